package doctor

// texts are what the findings say, by id. The table is never written to.
// docs/operator/doctor.md and doctor.de.md explain each one.
var texts = map[string]bilingual{
	"filesystem-network": {
		text{"The database lies on a network file system", "{0} mounted at {1}: locks and shared memory don't hold between machines", "move the file to a local disk: holdfast query {db} \"VACUUM INTO '/local/path.db'\""},
		text{"Die Datenbank liegt auf einem Netzwerk-Dateisystem", "{0}, eingehängt unter {1}: Sperren und gemeinsamer Speicher gelten nicht zwischen Rechnern", "Datei auf eine lokale Platte bringen: holdfast query {db} \"VACUUM INTO '/lokal/pfad.db'\""},
	},
	"filesystem-bridged": {
		text{"The file system hands its files to another kernel or a daemon", "{0} mounted at {1}: locks and shared memory don't reach everybody who has the file open", "use a named volume or a directory of the Linux system, and move the file there"},
		text{"Das Dateisystem reicht seine Dateien an einen anderen Kernel oder einen Dienst weiter", "{0}, eingehängt unter {1}: Sperren und gemeinsamer Speicher erreichen nicht alle, die die Datei offen haben", "ein benanntes Volume oder ein Verzeichnis des Linux-Systems verwenden und die Datei dorthin bringen"},
	},
	"filesystem-memory": {
		text{"The database lies in memory and is gone after a restart", "{0} mounted at {1}", "move it to a disk if it should stay"},
		text{"Die Datenbank liegt im Arbeitsspeicher und ist nach einem Neustart weg", "{0}, eingehängt unter {1}", "auf eine Platte bringen, wenn sie bleiben soll"},
	},
	"filesystem-read-only": {
		text{"The file system is mounted read-only", "{0} mounted at {1}", "mount -o remount,rw, if the database should be written"},
		text{"Das Dateisystem ist nur lesbar eingehängt", "{0}, eingehängt unter {1}", "mount -o remount,rw, falls die Datenbank geschrieben werden soll"},
	},
	"hard-links": {
		text{"The file has several names, and each would get its own -wal", "{0} hard links", "find {1} -xdev -samefile {db}; keep one name, and use symbolic links for the rest"},
		text{"Die Datei hat mehrere Namen, und jeder bekäme sein eigenes -wal", "{0} harte Links", "find {1} -xdev -samefile {db}; einen Namen behalten und für die übrigen symbolische Links verwenden"},
	},
	"symlink": {
		text{"The name is a symbolic link", "{0} leads to {db}, and the -wal lies there", "nothing to do; back up the directory of the file, not that of the link"},
		text{"Der Name ist ein symbolischer Link", "{0} führt zu {db}, und das -wal liegt dort", "nichts zu tun; das Verzeichnis der Datei sichern, nicht das des Links"},
	},
	"sidecar-beside-link": {
		text{"A log lies beside the symbolic link, where SQLite never looks", "{0}, {1}", "find out which program made it; move it aside after a backup, and don't put it beside the file"},
		text{"Ein Log liegt neben dem symbolischen Link, wo SQLite nie nachsieht", "{0}, {1}", "herausfinden, welches Programm es angelegt hat; nach einer Sicherung beiseite legen und nicht neben die Datei stellen"},
	},
	"permissions-open": {
		text{"Every user of the machine may write to it", "{0} has mode {1}", "chmod o-w {0}"},
		text{"Jeder Benutzer des Rechners darf hineinschreiben", "{0} hat die Rechte {1}", "chmod o-w {0}"},
	},
	"directory-not-writable": {
		text{"The owner of the database may not write to its directory, which WAL mode needs", "{0} has mode {1}, the database belongs to uid {2}", "chown {2} {0}"},
		text{"Der Besitzer der Datenbank darf nicht in ihr Verzeichnis schreiben, was der WAL-Modus braucht", "{0} hat die Rechte {1}, die Datenbank gehört uid {2}", "chown {2} {0}"},
	},
	"owner-mixed": {
		text{"A sidecar belongs to another user than the database", "{0} belongs to uid {1}, the database to uid {2}", "chown {2} {0}; and run all programs that use the database as one user"},
		text{"Eine Begleitdatei gehört einem anderen Benutzer als die Datenbank", "{0} gehört uid {1}, die Datenbank uid {2}", "chown {2} {0}; und alle Programme, die die Datenbank benutzen, unter einem Benutzer laufen lassen"},
	},
	"sidecar-permissions": {
		text{"Whoever may use the database may not use its sidecar", "{0} has mode {1}, the database {2}", "chmod --reference={db} {0}"},
		text{"Wer die Datenbank benutzen darf, darf ihre Begleitdatei nicht benutzen", "{0} hat die Rechte {1}, die Datenbank {2}", "chmod --reference={db} {0}"},
	},
	"deleted-open": {
		text{"A process writes to a file that was deleted or replaced: what it commits is lost", "pid {0} has {1} open, which has no name any more", "stop pid {0}, but first save its data if you can: cat /proc/{0}/fd/N"},
		text{"Ein Prozess schreibt in eine Datei, die gelöscht oder ersetzt wurde: was er festschreibt, geht verloren", "pid {0} hat {1} offen, das keinen Namen mehr hat", "pid {0} anhalten, vorher nach Möglichkeit seine Daten retten: cat /proc/{0}/fd/N"},
	},
	"lock-file-odd": {
		text{"The name of Holdfast's lock file is taken by something else", "{0} is {1}", "remove it, so that processes take turns again: rm {0}"},
		text{"Den Namen von Holdfasts Sperrdatei trägt etwas anderes", "{0} ist {1}", "entfernen, damit Prozesse sich wieder abwechseln: rm {0}"},
	},
	"engine-bug": {
		text{"The SQLite in this program has a bug that loses data", "SQLite {0}: {1}", "install a newer holdfast"},
		text{"Das SQLite in diesem Programm hat einen Fehler, der Daten verliert", "SQLite {0}: {1}", "ein neueres holdfast installieren"},
	},
	"driver-engine-bug": {
		text{"A driver brings a SQLite that can lose committed transactions (WAL-reset bug, 3.7.0 to 3.51.2)", "{0}: {1} {2}", "go get {1}@latest"},
		text{"Ein Treiber bringt ein SQLite mit, das festgeschriebene Transaktionen verlieren kann (WAL-Reset-Fehler, 3.7.0 bis 3.51.2)", "{0}: {1} {2}", "go get {1}@latest"},
	},
	"driver-unknown": {
		text{"It is not known whether the driver's SQLite has the WAL-reset bug (fixed in 3.51.3)", "{0}: {1} {2}", "ask it: SELECT sqlite_version()"},
		text{"Es ist nicht bekannt, ob das SQLite des Treibers den WAL-Reset-Fehler hat (behoben in 3.51.3)", "{0}: {1} {2}", "fragen: SELECT sqlite_version()"},
	},
	"driver-none": {
		text{"No SQLite driver that is known", "{0}", "nothing to do"},
		text{"Kein SQLite-Treiber, der bekannt ist", "{0}", "nichts zu tun"},
	},
	"two-engines": {
		text{"The program contains SQLite twice; if both open one file they corrupt it", "{0}: {1}", "keep one driver: go mod why -m MODULE tells who requires the other"},
		text{"Das Programm enthält SQLite zweimal; öffnen beide eine Datei, zerstören sie sie", "{0}: {1}", "einen Treiber behalten: go mod why -m MODUL sagt, wer den anderen verlangt"},
	},
	"dsn-ignored": {
		text{"The driver ignores a parameter of the data source name", "{0} ({1})", "replace it by {2}, or run the PRAGMA on every connection"},
		text{"Der Treiber übergeht einen Parameter des Datenquellennamens", "{0} ({1})", "ersetzen durch {2}, oder das PRAGMA auf jeder Verbindung ausführen"},
	},
	"dsn-no-uri": {
		text{"The parameter counts only in a name that begins with \"file:\"", "{0}", "write file:PATH?{0}=..."},
		text{"Der Parameter gilt nur in einem Namen, der mit \"file:\" beginnt", "{0}", "file:PFAD?{0}=... schreiben"},
	},
	"dsn-unsafe": {
		text{"The setting can lose or corrupt data in a crash or power cut", "{0}", "leave it out"},
		text{"Die Einstellung kann bei Absturz oder Stromausfall Daten verlieren oder zerstören", "{0}", "weglassen"},
	},
	"dsn-shared-cache": {
		text{"With a shared cache connections lock each other's tables, and busy_timeout doesn't count", "{0}", "leave it out"},
		text{"Mit gemeinsamem Cache sperren Verbindungen einander die Tabellen, und busy_timeout gilt nicht", "{0}", "weglassen"},
	},
	"journal-rollback": {
		text{"The database is in rollback mode: readers and the writer wait for each other", "the header says so", "holdfast exec {db} 'PRAGMA journal_mode=WAL'"},
		text{"Die Datenbank ist im Rollback-Modus: Leser und Schreiber warten aufeinander", "der Kopf der Datei sagt es", "holdfast exec {db} 'PRAGMA journal_mode=WAL'"},
	},
	"wal-mispaired": {
		text{"The -wal belongs to another database or to another state of this one; opening it mixes both", "{0}: {1}", "open nothing; copy both files away, then mv {0} {0}.foreign"},
		text{"Das -wal gehört zu einer anderen Datenbank oder zu einem anderen Stand dieser; Öffnen vermischt beide", "{0}: {1}", "nichts öffnen; beide Dateien wegkopieren, dann mv {0} {0}.fremd"},
	},
	"wal-damaged": {
		text{"The -wal is damaged, and SQLite will silently ignore the rest of it", "{0}: {1}; readable up to frame {2}, {3} commits behind it", "copy both files away before anything opens them; then restore the last backup beside it and compare"},
		text{"Das -wal ist beschädigt, und SQLite wird den Rest wortlos übergehen", "{0}: {1}; lesbar bis Frame {2}, dahinter {3} Commits", "beide Dateien wegkopieren, bevor etwas sie öffnet; dann die letzte Sicherung daneben zurückholen und vergleichen"},
	},
	"wal-leftover": {
		text{"A process ended without closing the database; committed data is in the -wal alone", "{0}, {1} commits, and no process has the database open", "holdfast exec {db} 'PRAGMA wal_checkpoint(TRUNCATE)'; never delete the -wal"},
		text{"Ein Prozess endete, ohne die Datenbank zu schließen; Festgeschriebenes steht nur im -wal", "{0}, {1} Commits, und kein Prozess hat die Datenbank offen", "holdfast exec {db} 'PRAGMA wal_checkpoint(TRUNCATE)'; nie das -wal löschen"},
	},
	"wal-replicated": {
		text{"The -wal was kept for a replication that does not run now", "{0}, {1} commits; {2} says how far it has come", "start it again: what is missing at its target is in the -wal; if it is given up, remove {2}"},
		text{"Das -wal wurde für eine Replikation behalten, die gerade nicht läuft", "{0}, {1} Commits; {2} weiß, wie weit sie ist", "sie wieder starten: Was am Ziel fehlt, steht im -wal; ist sie aufgegeben, {2} entfernen"},
	},
	"wal-large": {
		text{"The -wal has grown large, which slows every read and the next start", "{0} beside a database of {1}; {3} of {2} frames are copied", "holdfast exec {db} 'PRAGMA wal_checkpoint(TRUNCATE)'; set journal_size_limit"},
		text{"Das -wal ist groß geworden, was jedes Lesen und den nächsten Start bremst", "{0} neben einer Datenbank von {1}; {3} von {2} Frames sind übertragen", "holdfast exec {db} 'PRAGMA wal_checkpoint(TRUNCATE)'; journal_size_limit setzen"},
	},
	"wal-pinned": {
		text{"A reader keeps the -wal from being copied into the database, so it grows", "{1} of {0} frames are copied; {2} reads in slot {3} at frame {4}", "end that read (stopping a reader loses nothing): holdfast locks {db}"},
		text{"Ein Leser verhindert, dass das -wal in die Datenbank übertragen wird; es wächst", "{1} von {0} Frames sind übertragen; {2} liest in Platz {3} bei Frame {4}", "dieses Lesen beenden (einen Leser anzuhalten verliert nichts): holdfast locks {db}"},
	},
	"wal-lost": {
		text{"The file looks like a database whose -wal was lost", "{0} pages in the file, {1} by its header, and no log", "look for the -wal where the file came from, or take another backup; then holdfast doctor {db} --open"},
		text{"Die Datei sieht aus wie eine Datenbank, deren -wal verloren ging", "{0} Seiten in der Datei, {1} laut Kopf, und kein Log", "das -wal dort suchen, wo die Datei herkam, oder eine andere Sicherung nehmen; dann holdfast doctor {db} --open"},
	},
	"backup-without-wal": {
		text{"A copy was made of the file without its -wal and lacks what was committed last", "{0} shows the state before the {1} commits in the log", "holdfast query {db} \"VACUUM INTO 'copy.db'\" makes a whole copy"},
		text{"Eine Kopie wurde von der Datei ohne ihr -wal gemacht; ihr fehlt das zuletzt Festgeschriebene", "{0} zeigt den Stand vor den {1} Commits im Log", "holdfast query {db} \"VACUUM INTO 'kopie.db'\" macht eine ganze Kopie"},
	},
	"journal-hot": {
		text{"A writer crashed in a transaction; the -journal must be rolled back before anybody reads", "{0}, {1}; the database had {2} pages before", "holdfast exec {db} 'SELECT 1' rolls it back; never delete the journal"},
		text{"Ein Schreiber stürzte in einer Transaktion ab; das -journal muss zurückgerollt werden, ehe jemand liest", "{0}, {1}; die Datenbank hatte vorher {2} Seiten", "holdfast exec {db} 'SELECT 1' rollt es zurück; nie das Journal löschen"},
	},
	"journal-mispaired": {
		text{"The -journal belongs to another database; opening this one would write foreign pages into it", "{0}: page size {1}, the database {2}", "open nothing; copy both files away, then mv {0} {0}.foreign"},
		text{"Das -journal gehört zu einer anderen Datenbank; Öffnen schriebe fremde Seiten in diese", "{0}: Seitengröße {1}, die Datenbank {2}", "nichts öffnen; beide Dateien wegkopieren, dann mv {0} {0}.fremd"},
	},
	"super-journal": {
		text{"A transaction over several databases ended in a crash", "{0} names the super-journal {1}, {2}", "bring all databases of the transaction to one place, then holdfast exec {db} 'SELECT 1'; delete no journal"},
		text{"Eine Transaktion über mehrere Datenbanken endete in einem Absturz", "{0} nennt das Super-Journal {1}, {2}", "alle Datenbanken der Transaktion an einen Ort bringen, dann holdfast exec {db} 'SELECT 1'; kein Journal löschen"},
	},
	"database-missing": {
		text{"The database is gone, but its log is there; a new file of this name would be mixed with it", "{0}, {1}", "find the database or restore a backup under another name; move the log aside before anything opens {db}"},
		text{"Die Datenbank ist weg, ihr Log aber da; eine neue Datei dieses Namens würde damit vermischt", "{0}, {1}", "die Datenbank suchen oder eine Sicherung unter anderem Namen zurückholen; das Log beiseite legen, ehe etwas {db} öffnet"},
	},
	"file-empty": {
		text{"The file is empty: nobody has written to it yet, or it was cut to nothing", "{0} has 0 bytes", "check the path the program uses; if there were data, restore a backup"},
		text{"Die Datei ist leer: noch niemand hat hineingeschrieben, oder sie wurde auf nichts gekürzt", "{0} hat 0 Bytes", "den Pfad prüfen, den das Programm benutzt; gab es Daten, eine Sicherung zurückholen"},
	},
	"file-truncated": {
		text{"The file was cut: pages are missing at its end", "{0}, {1} whole pages of {2}", "copy it away and restore a backup; what is left can be read with sqlite3 {db} .recover"},
		text{"Die Datei wurde gekürzt: am Ende fehlen Seiten", "{0}, {1} ganze Seiten von {2}", "wegkopieren und eine Sicherung zurückholen; den Rest liest sqlite3 {db} .recover"},
	},
	"not-a-database": {
		text{"The file is no SQLite database, or its begin was overwritten", "it begins with \"{0}\"", "check the path; if it was a database, restore a backup"},
		text{"Die Datei ist keine SQLite-Datenbank, oder ihr Anfang wurde überschrieben", "sie beginnt mit \"{0}\"", "den Pfad prüfen; war es eine Datenbank, eine Sicherung zurückholen"},
	},
	"encrypted": {
		text{"The file is encrypted, or it is no database", "{0} that look random from the first byte", "open it with the program and the key that made it (SQLCipher, SEE); holdfast reads no encrypted files"},
		text{"Die Datei ist verschlüsselt, oder sie ist keine Datenbank", "{0}, die vom ersten Byte an zufällig aussehen", "mit Programm und Schlüssel öffnen, die sie gemacht haben (SQLCipher, SEE); holdfast liest keine verschlüsselten Dateien"},
	},
	"header-damaged": {
		text{"The header of the database is damaged", "{0}", "copy it away and restore a backup"},
		text{"Der Kopf der Datenbank ist beschädigt", "{0}", "wegkopieren und eine Sicherung zurückholen"},
	},
	"disk-full": {
		text{"The disk is nearly full: commits and checkpoints will fail", "{0} free at {1}", "make room before the next write; deleting rows needs room too"},
		text{"Die Platte ist fast voll: Commits und Checkpoints werden scheitern", "{0} frei unter {1}", "Platz schaffen vor dem nächsten Schreiben; auch Löschen braucht Platz"},
	},
	"disk-low": {
		text{"The disk is getting full", "{0} of {1} free at {2}", "make room, or move the database to a larger disk"},
		text{"Die Platte wird voll", "{0} von {1} frei unter {2}", "Platz schaffen oder die Datenbank auf eine größere Platte bringen"},
	},
	"inodes-low": {
		text{"The file system can take hardly any more files, so no -wal or journal", "{0} inodes free at {1}", "remove small files there"},
		text{"Das Dateisystem nimmt kaum noch Dateien auf, also kein -wal oder Journal", "{0} Inodes frei unter {1}", "dort kleine Dateien entfernen"},
	},
	"temp-low": {
		text{"There is no room for temporary files: sorting, indexes and VACUUM will fail", "{1} free at {0}", "set SQLITE_TMPDIR to a directory with room"},
		text{"Für temporäre Dateien ist kein Platz: Sortieren, Indizes und VACUUM werden scheitern", "{1} frei unter {0}", "SQLITE_TMPDIR auf ein Verzeichnis mit Platz setzen"},
	},
	"temp-small": {
		text{"There is less room for temporary files than VACUUM would need", "{1} free at {0}, the database has {2}", "set SQLITE_TMPDIR before VACUUM"},
		text{"Für temporäre Dateien ist weniger Platz, als VACUUM brauchte", "{1} frei unter {0}, die Datenbank hat {2}", "vor VACUUM SQLITE_TMPDIR setzen"},
	},
	"corrupt": {
		text{"The database is corrupt", "{0}", "stop all writers, restore a verified backup (holdfast restore); holdfast salvage {db} NEW.db copies what can be read"},
		text{"Die Datenbank ist beschädigt", "{0}", "alle Schreiber anhalten, eine geprüfte Sicherung zurückholen (holdfast restore); holdfast salvage {db} NEU.db kopiert, was lesbar ist"},
	},
	"check-skipped": {
		text{"The database is too large for a check in passing", "{0} pages", "holdfast query {db} 'PRAGMA quick_check', on a copy if it is in use"},
		text{"Die Datenbank ist zu groß für eine Prüfung im Vorbeigehen", "{0} Seiten", "holdfast query {db} 'PRAGMA quick_check', an einer Kopie, wenn sie in Gebrauch ist"},
	},
	"free-pages": {
		text{"Much of the file is empty", "{0} of {1} pages are free ({2} %)", "holdfast exec {db} VACUUM when nobody writes; it needs twice the room"},
		text{"Ein großer Teil der Datei ist leer", "{0} von {1} Seiten sind frei ({2} %)", "holdfast exec {db} VACUUM, wenn niemand schreibt; es braucht den doppelten Platz"},
	},
	"auto-vacuum-full": {
		text{"auto_vacuum=FULL moves pages at every commit", "PRAGMA auto_vacuum is 1", "holdfast exec {db} 'PRAGMA auto_vacuum=INCREMENTAL'"},
		text{"auto_vacuum=FULL verschiebt bei jedem Commit Seiten", "PRAGMA auto_vacuum ist 1", "holdfast exec {db} 'PRAGMA auto_vacuum=INCREMENTAL'"},
	},
	"page-size": {
		text{"The pages are smaller than those of the disk", "{0} bytes", "VACUUM after PRAGMA page_size=4096, in rollback mode, if writing is slow"},
		text{"Die Seiten sind kleiner als die der Platte", "{0} Bytes", "VACUUM nach PRAGMA page_size=4096, im Rollback-Modus, falls das Schreiben langsam ist"},
	},
	"encoding": {
		text{"Texts are stored as UTF-16, which takes about twice the room", "{0}", "nothing to do; only a new file can have another encoding"},
		text{"Texte werden als UTF-16 gespeichert, was etwa doppelt so viel Platz braucht", "{0}", "nichts zu tun; nur eine neue Datei kann eine andere Kodierung haben"},
	},
	"application-id": {
		text{"The file says which program it belongs to", "application_id {0}", "nothing to do"},
		text{"Die Datei sagt, zu welchem Programm sie gehört", "application_id {0}", "nichts zu tun"},
	},
	"foreign-key-orphans": {
		text{"Rows refer to parents that don't exist", "{1} rows of {0} without their row of {2}", "holdfast query {db} 'PRAGMA foreign_key_check' lists them; set foreign_keys=ON on every connection"},
		text{"Zeilen verweisen auf Eltern, die es nicht gibt", "{1} Zeilen von {0} ohne ihre Zeile von {2}", "holdfast query {db} 'PRAGMA foreign_key_check' nennt sie; foreign_keys=ON auf jeder Verbindung setzen"},
	},
	"foreign-key-mismatch": {
		text{"A foreign key refers to columns that aren't unique, so writes to its tables fail", "{0}", "make the parent's columns UNIQUE"},
		text{"Ein Fremdschlüssel verweist auf Spalten, die nicht eindeutig sind; Schreiben in seine Tabellen scheitert", "{0}", "die Spalten der Eltern UNIQUE machen"},
	},
	"foreign-key-unindexed": {
		text{"No index begins with the columns of a foreign key: each change of a parent reads the whole table", "{0}({1}) refers to {2}", "holdfast exec {db} {3}"},
		text{"Kein Index beginnt mit den Spalten eines Fremdschlüssels: jede Änderung an Eltern liest die ganze Tabelle", "{0}({1}) verweist auf {2}", "holdfast exec {db} {3}"},
	},
	"index-duplicate": {
		text{"Two indexes have the same columns", "{0} on {1} does what {2} does", "holdfast exec {db} {3}"},
		text{"Zwei Indizes haben dieselben Spalten", "{0} auf {1} leistet, was {2} leistet", "holdfast exec {db} {3}"},
	},
	"index-redundant": {
		text{"An index is the begin of another one", "{0} on {1} is the begin of {2}", "holdfast exec {db} {3}"},
		text{"Ein Index ist der Anfang eines anderen", "{0} auf {1} ist der Anfang von {2}", "holdfast exec {db} {3}"},
	},
	"index-one-key": {
		text{"All rows of an index have the same key", "{0} on {1}: a key has {2} of {3} rows, so it finds only what is not there", "holdfast exec {db} {4}; to find exceptions, a partial index (CREATE INDEX ... WHERE ...) costs less"},
		text{"Alle Zeilen eines Indexes haben denselben Schlüssel", "{0} auf {1}: ein Schlüssel hat {2} von {3} Zeilen, er findet also nur, was es nicht gibt", "holdfast exec {db} {4}; für Ausnahmen kostet ein partieller Index (CREATE INDEX ... WHERE ...) weniger"},
	},
	"index-unused": {
		text{"No statement uses an index, and each write keeps it up to date", "{0} on {1}: none of the {2} statements that {3} has run since it opened the database uses it", "once all that the program does has run, and no other program needs it: holdfast exec {db} {4}"},
		text{"Keine Anweisung benutzt einen Index, und jedes Schreiben hält ihn aktuell", "{0} auf {1}: keine der {2} Anweisungen, die {3} seit dem Öffnen der Datenbank ausgeführt hat, benutzt ihn", "wenn alles einmal gelaufen ist, was das Programm tut, und kein anderes Programm ihn braucht: holdfast exec {db} {4}"},
	},
	"statistics-missing": {
		text{"The planner has no statistics and has to guess", "{0} has indexes and {1} rows or more", "holdfast exec {db} ANALYZE"},
		text{"Der Planer hat keine Statistik und muss raten", "{0} hat Indizes und {1} Zeilen oder mehr", "holdfast exec {db} ANALYZE"},
	},
	"statistics-stale": {
		text{"The planner's statistics are far from the truth", "{0}: {1} rows by the statistics, {2} or more in the table", "holdfast exec {db} ANALYZE"},
		text{"Die Statistik des Planers ist weit von der Wahrheit", "{0}: {1} Zeilen laut Statistik, {2} oder mehr in der Tabelle", "holdfast exec {db} ANALYZE"},
	},
}

// phrases are parts of evidences.
var phrases = map[string]bilingualPhrase{
	"other page size": {"its page size is another one", "seine Seitengröße ist eine andere"},
	"rollback mode":   {"the database is in rollback mode and has no log", "die Datenbank ist im Rollback-Modus und hat kein Log"},
	"other encoding":  {"its text encoding is another one", "seine Textkodierung ist eine andere"},
	"other counter":   {"its change counter doesn't follow that of the file", "sein Änderungszähler folgt nicht auf den der Datei"},
	"older schema":    {"its schema is older than that of the file", "sein Schema ist älter als das der Datei"},
	"frame checksum":  {"the checksum of a frame is wrong", "die Prüfsumme eines Frames ist falsch"},
	"super gone":      {"which is gone: the transaction was committed", "das es nicht gibt: die Transaktion ist festgeschrieben"},
	"super there":     {"which is there: the transaction was not committed", "das es gibt: die Transaktion ist nicht festgeschrieben"},

	"the file ends within its header":                                         {"the file ends within its header", "die Datei endet in ihrem Kopf"},
	"bytes 16 and 17: the page size is no power of two between 512 and 65536": {"bytes 16 and 17: the page size is no power of two between 512 and 65536", "Bytes 16 und 17: die Seitengröße ist keine Zweierpotenz zwischen 512 und 65536"},
	"bytes 18 and 19: the format version is unknown":                          {"bytes 18 and 19: the format version is unknown", "Bytes 18 und 19: die Formatversion ist unbekannt"},
	"bytes 21 to 23: the payload fractions are not 64, 32, 32":                {"bytes 21 to 23: the payload fractions are not 64, 32, 32", "Bytes 21 bis 23: die Nutzlastanteile sind nicht 64, 32, 32"},
	"byte 20: the reserved space leaves no room on a page":                    {"byte 20: the reserved space leaves no room on a page", "Byte 20: der reservierte Platz lässt keinen Raum auf einer Seite"},
	"bytes 44 to 47: the schema format is unknown":                            {"bytes 44 to 47: the schema format is unknown", "Bytes 44 bis 47: das Schemaformat ist unbekannt"},
	"bytes 56 to 59: the text encoding is unknown":                            {"bytes 56 to 59: the text encoding is unknown", "Bytes 56 bis 59: die Textkodierung ist unbekannt"},
	"it is shorter than its header":                                           {"it is shorter than its header", "es ist kürzer als sein Kopf"},
	"it doesn't begin like a log":                                             {"it doesn't begin like a log", "es beginnt nicht wie ein Log"},
	"its page size makes no sense":                                            {"its page size makes no sense", "seine Seitengröße ist unsinnig"},
	"the checksum of its header is wrong":                                     {"the checksum of its header is wrong", "die Prüfsumme seines Kopfes ist falsch"},
}

// blindTexts say what could not be seen.
var blindTexts = map[string]bilingualPhrase{
	"unreadable": {"{0} can't be read ({1}); run doctor as its owner", "{0} ist nicht lesbar ({1}); doctor als ihr Besitzer ausführen"},
	"directory":  {"{0} can't be listed ({1}); run doctor as its owner", "{0} ist nicht auflistbar ({1}); doctor als sein Besitzer ausführen"},
	"locks": {
		"who uses the database can't be seen from here; run doctor in the process namespace of the programs (docker run --pid=container:NAME)",
		"wer die Datenbank benutzt, ist von hier nicht zu sehen; doctor im Prozess-Namensraum der Programme ausführen (docker run --pid=container:NAME)",
	},
	"moving": {
		"the files changed during every look, so the log was not compared with the database; run doctor again",
		"die Dateien änderten sich bei jedem Blick, darum wurde das Log nicht mit der Datenbank verglichen; doctor noch einmal ausführen",
	},
	"not opened": {
		"the database was not opened, because what was found makes that dangerous or useless",
		"die Datenbank wurde nicht geöffnet, weil das nach dem Befund gefährlich oder nutzlos ist",
	},
	"unplanned": {
		"whether indexes are unused is not known, because this statement of a running program can't be planned here: {0}",
		"ob Indizes unbenutzt sind, ist unbekannt, weil sich diese Anweisung, die ein Prozess genannt hat, hier nicht planen lässt: {0}",
	},
	"open": {"the database could not be asked by SQL: {0}", "die Datenbank ließ sich nicht mit SQL befragen: {0}"},
}
