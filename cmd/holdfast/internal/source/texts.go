package source

import "strings"

// text is what a finding says; its evidence is the place and the piece of source.
type text struct{ summary, fix string }

type bilingual[T any] struct{ en, de T }

func (b bilingual[T]) in(locale string) T {
	language, _, _ := strings.Cut(strings.NewReplacer("-", "_", ".", "_").Replace(strings.ToLower(locale)), "_")
	if language == "de" {
		return b.de
	}
	return b.en
}

// texts by id. The table is never written to. docs/operator/doctor.md and
// doctor.de.md explain each one.
var texts = map[string]bilingual[text]{
	"source-pragma": {
		text{"A PRAGMA reaches one connection of the pool only", "set it where every connection gets it: in the data source name, in the driver's connect hook or in Holdfast's configuration"},
		text{"Ein PRAGMA erreicht nur eine Verbindung des Pools", "dort setzen, wo jede Verbindung es bekommt: im Datenquellennamen, im Connect-Hook des Treibers oder in den Einstellungen von Holdfast"},
	},
	"source-rows": {
		text{"Rows are not closed and keep their connection and its snapshot", "defer rows.Close() right after the error is checked; Exec for what returns no rows"},
		text{"Ergebniszeilen werden nicht geschlossen und behalten ihre Verbindung und deren Snapshot", "defer rows.Close() gleich nach der Prüfung des Fehlers; Exec für das, was keine Zeilen liefert"},
	},
	"source-transaction": {
		text{"The pool is used while a transaction is open: it runs outside of it, and a write waits for it", "use the transaction (tx) instead of the database, or move the call behind Commit"},
		text{"Der Pool wird benutzt, während eine Transaktion offen ist: das läuft außerhalb von ihr, und ein Schreiben wartet auf sie", "die Transaktion (tx) statt der Datenbank benutzen, oder den Aufruf hinter Commit verlegen"},
	},
	"source-error-text": {
		text{"An error is told by its text, which differs between drivers and versions", "errors.As with the driver's error type and its Code (SQLITE_BUSY 5, SQLITE_CONSTRAINT_UNIQUE 2067); with Holdfast errors.Is(err, holdfast.ErrBusy) and the like"},
		text{"Ein Fehler wird an seinem Text erkannt, der je nach Treiber und Version anders lautet", "errors.As mit dem Fehlertyp des Treibers und dessen Code (SQLITE_BUSY 5, SQLITE_CONSTRAINT_UNIQUE 2067); mit Holdfast errors.Is(err, holdfast.ErrBusy) und dergleichen"},
	},
	"source-open-file": {
		text{"A database file is opened beside SQLite: closing it drops the locks that this process has on it", "os.Stat for its size, VACUUM INTO or the backup API for a copy; other looks from a process of their own"},
		text{"Eine Datenbankdatei wird an SQLite vorbei geöffnet: das Schließen hebt die Sperren auf, die dieser Prozess auf ihr hat", "os.Stat für die Größe, VACUUM INTO oder die Backup-Schnittstelle für eine Kopie; anderes aus einem eigenen Prozess"},
	},
}

var blindText = bilingual[string]{
	"package {0} can't be examined ({1}); make it build, then run doctor again",
	"das Paket {0} ist nicht zu untersuchen ({1}); übersetzbar machen, dann doctor noch einmal ausführen",
}

func fill(template string, args ...string) string {
	return strings.NewReplacer("{0}", args[0], "{1}", args[1]).Replace(template)
}
