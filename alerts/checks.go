package alerts

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast"
)

// beyond is the worst severity whose threshold a value is above; "" if none is. A slack
// below 1 lowers the thresholds.
func beyond(value, slack, warning, critical float64) Severity {
	switch {
	case critical > 0 && value > critical*slack:
		return Critical
	case warning > 0 && value > warning*slack:
		return Warning
	}
	return ""
}

// one is the verdict of a rule that is true of a database once, or none.
func one(severity Severity, value float64, en, de string) []verdict {
	if severity == "" {
		return nil
	}
	return []verdict{{severity: severity, value: value, summary: Text{en, de}}}
}

// span writes a number of seconds as people do.
func span(s float64) string {
	d := time.Duration(s * float64(time.Second))
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%.0f d", d.Hours()/24)
	case d >= time.Minute:
		text := d.Round(time.Second).String()
		if short, whole := strings.CutSuffix(text, "m0s"); whole {
			text = short + "m"
		}
		return text
	}
	unit := time.Microsecond
	for d >= 1000*unit { // three digits say enough
		unit *= 10
	}
	return d.Round(unit).String()
}

// size writes a number of bytes.
func size(bytes float64) string {
	for _, unit := range []string{"B", "KiB", "MiB", "GiB"} {
		if bytes < 1024 {
			return fmt.Sprintf("%.4g %s", bytes, unit)
		}
		bytes /= 1024
	}
	return fmt.Sprintf("%.4g TiB", bytes)
}

// kinds are what DB.Locks calls holders.
var kinds = map[string]string{
	"write transaction": "einer Schreibtransaktion", "read transaction": "einer Lesetransaktion", "statement": "einer Anweisung",
	"exclusive work": "exklusiver Arbeit", "migration": "einer Migration", "rows": "einem offenen Ergebnis", "backup": "einer Sicherung",
	"another process": "einem anderen Prozess",
}

// who names a holder by what is known of it, after "by" and "von".
func who(h *holdfast.LockHolder) Text {
	t := Text{"a " + h.Kind, cmp.Or(kinds[h.Kind], h.Kind)}
	switch {
	case h.PID != 0:
		t = Text{strings.TrimSpace(fmt.Sprintf("process %d %s", h.PID, h.Program)), strings.TrimSpace(fmt.Sprintf("Prozess %d %s", h.PID, h.Program))}
	case h.Kind == "":
		return Text{"nobody known", "niemand Bekanntem"}
	case h.Kind == "rows" || h.Kind == "exclusive work" || h.Kind == "another process":
		t.EN = h.Kind
	}
	if h.CallSite != "" {
		t = Text{t.EN + " at " + h.CallSite, t.DE + " bei " + h.CallSite}
	}
	if h.Statement != "" {
		t = Text{t.EN + " (" + h.Statement + ")", t.DE + " (" + h.Statement + ")"}
	}
	return t
}

func unreachable(o *observation, _ *Config, _ float64) []verdict {
	why := ""
	switch {
	case o.unopened:
		why = "it could not be opened"
	case o.health.DatabaseAccessible:
		return nil
	default:
		for _, f := range o.health.Findings { // the worst first
			why = f.ID + ": " + f.Evidence
			break
		}
	}
	return one(Critical, 1, o.name+" can't be read: "+why, o.name+" kann nicht gelesen werden: "+why)
}

func integrity(o *observation, _ *Config, _ float64) []verdict {
	h := &o.health
	if !h.ConnectionStats.Damaged && h.IntegrityCheck != "failed" && !slices.ContainsFunc(h.Findings, func(f holdfast.Finding) bool { return f.ID == "corrupt" }) {
		return nil
	}
	what := "corrupt"
	for _, f := range h.Findings {
		if f.ID == "corrupt" || f.ID == "foreign-key-orphans" {
			what = f.ID + ": " + f.Evidence
			break
		}
	}
	return one(Critical, 1, o.name+" is damaged, or a check has failed: "+what, o.name+" ist beschädigt, oder eine Prüfung ist fehlgeschlagen: "+what)
}

func writeLock(o *observation, c *Config, slack float64) []verdict {
	var longest holdfast.LockHolder
	for _, h := range o.locks.Holders {
		if h.Lock != "WAL_READ" && h.Lock != "SHARED" && h.HeldSeconds > longest.HeldSeconds {
			longest = h
		}
	}
	by := who(&longest)
	return one(beyond(longest.HeldSeconds, slack, seconds(c.Load.WriteLockWarning), seconds(c.Load.WriteLockCritical)), longest.HeldSeconds,
		fmt.Sprintf("The writer of %s has been held for %s by %s; %d wait", o.name, span(longest.HeldSeconds), by.EN, o.locks.Queued),
		fmt.Sprintf("Der Schreiber von %s wird seit %s gehalten von %s; %d warten", o.name, span(longest.HeldSeconds), by.DE, o.locks.Queued))
}

func busyErrors(o *observation, c *Config, slack float64) []verdict {
	w := o.window
	writes := w.busy + w.units
	if writes == 0 {
		return nil
	}
	share := w.busy / writes
	return one(beyond(share, slack, float64(c.Load.BusyWarning)/1000, float64(c.Load.BusyCritical)/1000), share,
		fmt.Sprintf("%.1f %% of the writes to %s ended with a busy error (%.0f of %.0f in %s)%s", share*100, o.name, w.busy, writes, span(w.length.Seconds()), o.inTheWay("; in the way: ").EN),
		fmt.Sprintf("%.1f %% der Schreibvorgänge auf %s endeten mit einem Sperrfehler (%.0f von %.0f in %s)%s", share*100, o.name, w.busy, writes, span(w.length.Seconds()), o.inTheWay("; im Weg: ").DE))
}

func readerPins(o *observation, c *Config, slack float64) []verdict {
	uncopied := float64(o.health.WAL.Frames - o.health.WAL.CopiedFrames)
	age, reader := o.pin()
	if uncopied <= float64(c.Load.ReaderFrames)*slack {
		return nil
	}
	return one(beyond(age, slack, seconds(c.Load.ReaderWarning), seconds(c.Load.ReaderCritical)), age,
		fmt.Sprintf("The log of %s can't be emptied: it is read for %s by %s, and %.0f frames wait", o.name, span(age), reader.EN, uncopied),
		fmt.Sprintf("Das Log von %s kann nicht geleert werden: es wird seit %s gelesen von %s, und %.0f Seiten warten", o.name, span(age), reader.DE, uncopied))
}

func walTooBig(o *observation, c *Config, slack float64) []verdict {
	wal, file, least := float64(o.health.WAL.Bytes), float64(o.health.File.Bytes), float64(c.Load.WALSize)
	var pinned Text
	if age, reader := o.pin(); age > 0 {
		pinned = Text{"; it is read for " + span(age) + " by " + reader.EN, "; es wird seit " + span(age) + " gelesen von " + reader.DE}
	}
	return one(beyond(wal, slack, max(least, file*float64(c.Load.WALShare)/100), max(least, file)), wal,
		fmt.Sprintf("The log of %s has %s, the database %s%s", o.name, size(wal), size(file), pinned.EN),
		fmt.Sprintf("Das Log von %s hat %s, die Datenbank %s%s", o.name, size(wal), size(file), pinned.DE))
}

func checkpoints(o *observation, c *Config, slack float64) []verdict {
	row := o.figure["wal.checkpoints_incomplete_in_a_row"]
	if slack < 1 { // a count in a row is broken by the first that succeeds
		slack = 1 / float64(c.Load.Checkpoints)
	}
	var severity Severity
	if row >= float64(c.Load.Checkpoints)*slack {
		severity = Warning
	}
	_, reader := o.pin()
	return one(severity, row,
		fmt.Sprintf("The last %.0f checkpoints of %s got nowhere; the log is read by %s", row, o.name, reader.EN),
		fmt.Sprintf("Die letzten %.0f Checkpoints von %s kamen nicht voran; das Log wird gelesen von %s", row, o.name, reader.DE))
}

func queueDeep(o *observation, c *Config, slack float64) []verdict {
	queued, limit := o.figure["writer.queued"], o.figure["writer.queue_limit"]
	if rejected := o.window.rejectedNow; rejected > 0 {
		return one(Critical, rejected,
			fmt.Sprintf("%.0f writes to %s were refused, because %.0f wait already%s", rejected, o.name, limit, o.inTheWay("; in the way: ").EN),
			fmt.Sprintf("%.0f Schreibvorgänge auf %s wurden abgewiesen, weil schon %.0f warten%s", rejected, o.name, limit, o.inTheWay("; im Weg: ").DE))
	}
	if limit == 0 {
		return nil
	}
	return one(beyond(queued/limit, slack, float64(c.Load.Queue)/100, 0), queued/limit,
		fmt.Sprintf("%.0f of at most %.0f writes wait for the writer of %s%s", queued, limit, o.name, o.inTheWay("; in the way: ").EN),
		fmt.Sprintf("%.0f von höchstens %.0f Schreibvorgängen warten auf den Schreiber von %s%s", queued, limit, o.name, o.inTheWay("; im Weg: ").DE))
}

func starved(o *observation, c *Config, slack float64) []verdict {
	w, s, oldest := o.window, o.health.ConnectionStats.Readers, Text{"nobody known", "niemand Bekanntem"}
	if r := o.locks.OldestReader; r != nil {
		oldest = who(r)
	}
	return one(beyond(w.readerWait, slack, seconds(c.Load.ReaderWait), 0), w.readerWait,
		fmt.Sprintf("Reads of %s wait for %s for a reader: %d of %d are in use, %d wait; one has been kept longest by %s", o.name, span(w.readerWait), s.InUse, s.Max, s.Waiting, oldest.EN),
		fmt.Sprintf("Lesende warten auf %s %s auf eine Verbindung: %d von %d sind vergeben, %d warten; am längsten behalten von %s", o.name, span(w.readerWait), s.InUse, s.Max, s.Waiting, oldest.DE))
}

func slower(o *observation, c *Config, slack float64) (out []verdict) {
	for _, s := range o.slow {
		if min(s.calls[0], s.calls[1]) < uint64(c.Load.SlowdownCalls) || s.was <= 0 || s.now < seconds(c.Load.SlowdownLeast)*slack || s.now/s.was < float64(c.Load.Slowdown)/100*slack {
			continue
		}
		out = append(out, verdict{subject: s.id, severity: Warning, value: s.now / s.was, summary: Text{
			fmt.Sprintf("A statement of %s takes %s instead of %s (p95, %d calls): %s (%s)", o.name, span(s.now), span(s.was), s.calls[0], s.statement, s.id),
			fmt.Sprintf("Eine Anweisung auf %s dauert %s statt %s (p95, %d Aufrufe): %s (%s)", o.name, span(s.now), span(s.was), s.calls[0], s.statement, s.id),
		}})
	}
	return out
}

func diskFull(o *observation, c *Config, slack float64) []verdict {
	free, total := float64(o.health.Volume.FreeBytes), float64(o.health.Volume.TotalBytes)
	if total <= 0 {
		return nil // in memory, or the system doesn't tell
	}
	log := float64(o.health.WAL.Bytes)
	if free < max(total*float64(c.Safety.DiskFree)/100, 2*log)/slack {
		return one(Critical, free,
			fmt.Sprintf("The disk of %s is almost full: %s of %s are free, and the log has %s", o.name, size(free), size(total), size(log)),
			fmt.Sprintf("Die Platte von %s ist fast voll: %s von %s sind frei, und das Log hat %s", o.name, size(free), size(total), size(log)))
	}
	left := o.figure["volume.full_in_seconds"]
	if left <= 0 || left >= seconds(c.Safety.DiskForecast)/slack {
		return nil
	}
	return one(Warning, left,
		fmt.Sprintf("The disk of %s is full in %s, if it goes on as in the last day: %s are free", o.name, span(left), size(free)),
		fmt.Sprintf("Die Platte von %s ist in %s voll, wenn es so weitergeht wie am letzten Tag: %s sind frei", o.name, span(left), size(free)))
}

func backupStale(o *observation, c *Config, slack float64) (out []verdict) {
	for _, p := range o.health.Backup.Places {
		if p.EverySeconds <= 0 {
			continue
		}
		since := p.Backups.At
		if since.IsZero() { // none yet: what was promised first is late from then on
			since = p.Backups.Due.Add(-time.Duration(p.EverySeconds * float64(time.Second)))
		}
		if since.IsZero() || p.Backups.Due.IsZero() {
			continue
		}
		age := o.at.Sub(since).Seconds()
		severity := beyond(age/p.EverySeconds, slack, float64(c.Safety.BackupWarning)/100, float64(c.Safety.BackupCritical)/100)
		if severity == "" {
			continue
		}
		failed := ""
		if p.Backups.Error != "" {
			failed = ": " + p.Backups.Error
		}
		out = append(out, verdict{subject: p.Destination, severity: severity, value: age, summary: Text{
			fmt.Sprintf("The last backup of %s at %s is %s old, and one is due every %s%s", o.name, p.Destination, span(age), span(p.EverySeconds), failed),
			fmt.Sprintf("Die letzte Sicherung von %s in %s ist %s alt, fällig ist alle %s eine%s", o.name, p.Destination, span(age), span(p.EverySeconds), failed),
		}})
	}
	return out
}

func backupNotVerified(o *observation, c *Config, slack float64) []verdict {
	b := &o.health.Backup
	if b.LastBackup.IsZero() {
		return nil
	}
	if b.LastVerified.IsZero() {
		return one(Warning, o.at.Sub(b.LastBackup).Seconds(),
			"No backup of "+o.name+" was ever restored and checked", "Noch nie wurde eine Sicherung von "+o.name+" zurückgespielt und geprüft")
	}
	age := o.at.Sub(b.LastVerified).Seconds()
	return one(beyond(age, slack, seconds(c.Safety.BackupVerified), 0), age,
		fmt.Sprintf("No backup of %s was restored and checked for %s", o.name, span(age)),
		fmt.Sprintf("Seit %s wurde keine Sicherung von %s zurückgespielt und geprüft", span(age), o.name))
}

func replicaLag(o *observation, c *Config, slack float64) []verdict {
	r := &o.health.ConnectionStats.Replication
	if r.Target == "" {
		return nil
	}
	failed := ""
	if r.LastError != "" {
		failed = ": " + r.LastError
	}
	if r.Ended {
		return one(Critical, r.LagSeconds,
			"The copy of "+o.name+" at "+r.Target+" is not continued any more"+failed, "Die Kopie von "+o.name+" in "+r.Target+" wird nicht mehr fortgesetzt"+failed)
	}
	return one(beyond(r.LagSeconds, slack, seconds(c.Safety.ReplicaWarning), seconds(c.Safety.ReplicaCritical)), r.LagSeconds,
		fmt.Sprintf("The copy of %s at %s is %s and %s behind%s", o.name, r.Target, span(r.LagSeconds), size(float64(r.PendingBytes)), failed),
		fmt.Sprintf("Die Kopie von %s in %s liegt %s und %s zurück%s", o.name, r.Target, span(r.LagSeconds), size(float64(r.PendingBytes)), failed))
}

func twoPrimaries(o *observation, _ *Config, _ float64) []verdict {
	r := &o.health.ConnectionStats.Replication
	if !r.OtherWriter {
		return nil
	}
	return one(Critical, 1, "Somebody else writes to "+r.Target+", where "+o.name+" is replicated: "+r.LastError,
		"Jemand anderes schreibt nach "+r.Target+", wohin "+o.name+" repliziert wird: "+r.LastError)
}

func leaked(o *observation, c *Config, slack float64) []verdict {
	idle := o.figure["watch.idle_transaction_seconds"]
	by := who(o.idlest())
	return one(beyond(idle, slack, seconds(c.Safety.TransactionIdle), 0), idle,
		fmt.Sprintf("A transaction of %s has run no statement for %s; it is held by %s", o.name, span(idle), by.EN),
		fmt.Sprintf("Eine Transaktion von %s hat seit %s keine Anweisung ausgeführt; sie wird gehalten von %s", o.name, span(idle), by.DE))
}

func drift(o *observation, _ *Config, _ float64) []verdict {
	n := o.figure["watch.pragma_drift"]
	if n == 0 {
		return nil
	}
	mode := o.health.File.JournalMode
	return one(Warning, n,
		fmt.Sprintf("%.0f settings of %s (synchronous, foreign_keys, journal_mode) differ from its configuration; its journal mode is %s", n, o.name, mode),
		fmt.Sprintf("%.0f Einstellungen von %s (synchronous, foreign_keys, journal_mode) weichen von dem ab, was eingestellt ist; der Journalmodus ist %s", n, o.name, mode))
}

func memoryHigh(o *observation, c *Config, slack float64) []verdict {
	used, limit := o.figure["memory.process.used"], o.figure["memory.process.limit"]
	if limit <= 0 {
		return nil
	}
	return one(beyond(used/limit, slack, float64(c.Safety.Memory)/100, 0), used/limit,
		fmt.Sprintf("The process of %s has %s of the %s that it may have; SQLite has %s", o.name, size(used), size(limit), size(o.figure["engine_bytes"])),
		fmt.Sprintf("Der Prozess von %s hat %s von den %s, die er haben darf; SQLite hat %s", o.name, size(used), size(limit), size(o.figure["engine_bytes"])))
}
