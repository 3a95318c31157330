package integrity

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// Severities of findings, in rising order.
const (
	Info     = "info"     // worth knowing, nothing to do
	Warning  = "warning"  // will hurt sooner or later
	Critical = "critical" // data is lost, unreadable or can't be written, or is about to be
)

// Finding is one thing that was noticed.
type Finding struct {
	ID       string
	Severity string
	Summary  string
	Evidence string
	Fix      string
}

// Vitals are all that is known of a database at one moment. Judge says what they
// mean.
type Vitals struct {
	Path     string
	Fenced   error // why nothing is acknowledged any more, or nil
	Seen     Facts // if NotSeen is nil
	NotSeen  error
	UnderWay time.Duration // of a look that has not come back
	WantsWAL bool          // the configuration does
	LogBytes int64
	LogLimit int64  // from here on the log is too large; 0 if nowhere
	LogKey   string // the setting that says so
	Free     int64  // bytes of the volume; -1 if not known
	Volume   int64
	Holder   Holding // of the writer
	Queued   int
	Reader   Holding // the oldest
	Readers  Crowd
	Failures Failures
	Verified *Verdict
	Damage   *Damage  // nil while none is known
	WriteOn  bool     // though there is
	Bugs     []string // of the engine
	Copy     Shipping
	Backups  Backups
}

// Shipping is how a continuous copy elsewhere is.
type Shipping struct {
	Target    string
	Durable   bool // writes wait for it
	Lag       time.Duration
	Limit     time.Duration // from when on that is too much; 0 if never
	Pending   int64         // bytes of the log that are not there
	Uploaded  time.Time     // last; zero if never
	Error     string        // since then
	Elsewhere int           // the process that makes it durably while this one, which writes too, doesn't wait for it; 0 if none does
}

// Holding is who has something, and for how long.
type Holding struct {
	Kind string // "" for nobody
	Site string // where it was taken, if that is known
	Age  time.Duration
	Slow time.Duration // from when on that is long
	Late time.Duration // from when on those behind get errors
}

func (h Holding) who() string {
	if h.Site == "" {
		return h.Kind
	}
	return h.Kind + " of " + h.Site
}

// Crowd is how many of the readers are taken.
type Crowd struct{ InUse, Max, Waiting int }

// Thresholds. Those of space are doctor's.
const (
	spaceFull  = 32 << 20
	spaceLow   = 1 << 30
	stallAfter = time.Second
	longLog    = 1000 // frames that could be copied: SQLite's own automatic checkpoint would
	manyPages  = 256  // from here on statistics help the planner
)

// Judge returns the findings, the worst first.
func Judge(v Vitals) []Finding {
	j := judge{v: v}
	j.file()
	j.failures()
	j.damage()
	j.space()
	j.writer()
	j.copied()
	j.readers()
	j.log()
	j.backups()
	j.rest()
	out := make([]Finding, 0, len(j.found))
	for _, severity := range []string{Critical, Warning, Info} {
		for _, f := range j.found {
			if f.Severity == severity {
				out = append(out, f)
			}
		}
	}
	return out
}

type judge struct {
	v     Vitals
	found []Finding
}

func (j *judge) add(severity, id, summary, evidence, fix string) {
	j.found = append(j.found, Finding{ID: id, Severity: severity, Summary: summary, Evidence: evidence, Fix: fix})
}

func (j *judge) file() {
	v := j.v
	switch code := sqlite.Code(v.NotSeen); {
	case v.Fenced != nil:
		j.add(Critical, "fenced", "The file was taken away or replaced, and nothing is acknowledged any more", v.Fenced.Error(),
			"close the handle, move the -wal and -shm of the old file away from the new one, and open again")
	case v.NotSeen == nil:
	case errors.Is(v.NotSeen, ErrOccupied):
		severity := Warning
		if v.UnderWay >= stallAfter {
			severity = Critical
		}
		j.add(severity, "stalled", "The file gives no answer", fmt.Sprintf("a look at page 1 has lasted for %s", v.UnderWay.Round(time.Millisecond)),
			"look at the disk and at the kernel log (dmesg)")
	case code.Primary() == sqlite.ResultBusy:
		j.add(Warning, "locked", "The database can't be read at the moment", v.NotSeen.Error(), "holdfast locks "+v.Path+" says who keeps it")
	case code == sqlite.ResultReadOnlyRollback, code == sqlite.ResultReadOnlyRecovery:
		j.add(Warning, "crash-left", "A writer crashed, and what it left has to be played back before anybody can read", v.NotSeen.Error(),
			"open the database once for writing: holdfast exec "+v.Path+" 'SELECT 1'")
	case damaged(v.NotSeen) && v.Damage != nil: // said below
	case damaged(v.NotSeen):
		j.add(Critical, "corrupt", "The database is damaged", v.NotSeen.Error(), j.rescue())
	default:
		j.add(Critical, "unreadable", "The database can't be read", v.NotSeen.Error(), "holdfast doctor "+v.Path)
	}
}

// rescue is what to do about a damage.
func (j *judge) rescue() string {
	if d := j.v.Damage; d != nil {
		from := d.Kept
		if from == "" {
			from = j.v.Path
		} else {
			from = filepath.Join(from, filepath.Base(j.v.Path))
		}
		return "holdfast restore a verified backup over " + j.v.Path + ", and holdfast salvage " + from + " NEW.db for what it doesn't have; see docs/operator/corruption.md"
	}
	return "stop writing, keep " + j.v.Path + " with its -wal and -shm, and restore a checked backup; holdfast salvage copies what can be read"
}

func (j *judge) damage() {
	v, f := j.v, j.v.Failures
	if d := v.Damage; d != nil {
		summary := "The database is damaged, and is not written any more"
		if v.WriteOn {
			summary = "The database is damaged, and is written all the same (writer.write_when_damaged)"
		}
		kept := "copies of its files are being made"
		switch {
		case d.Kept != "":
			kept = "its files as they were are in " + d.Kept
		case d.NotKept != "":
			kept = "its files could not be kept: " + d.NotKept
		}
		if v.Verified != nil && len(v.Verified.Problems) > 0 {
			kept += fmt.Sprintf("; the last verification has found %d problems", len(v.Verified.Problems))
		}
		j.add(Critical, "corrupt", summary, fmt.Sprintf("%s, met by %s at %s; %s", d.Evidence, d.Op, d.At.UTC().Format(time.RFC3339), kept), j.rescue())
	}
	switch {
	case v.Damage != nil: // said
	case v.Verified != nil && len(v.Verified.Problems) > 0:
		j.add(Critical, "corrupt", "The last verification has found damage",
			fmt.Sprintf("%s: %d problems, the first: %s", v.Verified.At.UTC().Format(time.RFC3339), len(v.Verified.Problems), v.Verified.Problems[0]), j.rescue())
	case v.Verified != nil && len(v.Verified.Orphans) > 0:
		j.add(Critical, "foreign-key-orphans", "The last verification has found rows that refer to missing ones",
			fmt.Sprintf("%s: %d, the first: %s", v.Verified.At.UTC().Format(time.RFC3339), len(v.Verified.Orphans), v.Verified.Orphans[0]),
			"holdfast query "+v.Path+" 'PRAGMA foreign_key_check'; delete them, or add what they refer to")
	}
	switch {
	case v.Verified != nil && len(v.Verified.Problems) > 0, v.Damage != nil: // said
	case !f.Corrupt.At.IsZero():
		j.add(Critical, "corrupt", "A statement met damage", f.Corrupt.String(), "holdfast verify "+v.Path+" --level full; until it is ok, "+j.rescue())
	}
}

func (j *judge) failures() {
	f := j.v.Failures
	if f.IO.recent() {
		j.add(Critical, "io-error", "Reading or writing failed", f.IO.String(), "look at the kernel log and the volume before writing again")
	}
}

func (j *judge) space() {
	v := j.v
	switch {
	case v.Free >= 0 && v.Free < spaceFull:
		j.add(Critical, "disk-full", "The volume is full", fmt.Sprintf("%d MiB are left", v.Free>>20), "free space on the volume of "+v.Path)
	case v.Failures.Full.recent():
		j.add(Critical, "disk-full", "A write found no space", v.Failures.Full.String(), "free space on the volume of "+v.Path)
	case v.Free >= 0 && v.Free < spaceLow && v.Free < v.Volume/20:
		j.add(Warning, "disk-low", "The volume is almost full", fmt.Sprintf("%d MiB of %d MiB are left", v.Free>>20, v.Volume>>20),
			"free space on the volume of "+v.Path)
	}
}

func (j *judge) writer() {
	h := j.v.Holder
	if h.Kind == "" || j.v.Queued == 0 || h.Age < h.Slow {
		return
	}
	severity := Warning
	if h.Late > 0 && h.Age >= h.Late {
		severity = Critical
	}
	j.add(severity, "writer-held", "Writes wait behind one that takes long",
		fmt.Sprintf("%d wait; %s has had the writer for %s", j.v.Queued, h.who(), h.Age.Round(time.Millisecond)),
		"shorten that transaction; writer.max_transaction_age ends such ones")
}

func (j *judge) readers() {
	c, r := j.v.Readers, j.v.Reader
	if c.Waiting > 0 && c.InUse >= c.Max && r.Kind != "" && r.Age >= time.Second {
		j.add(Warning, "readers-taken", "Reads wait, because all readers are taken",
			fmt.Sprintf("%d of %d in use, %d wait; the oldest for %s: %s", c.InUse, c.Max, c.Waiting, r.Age.Round(time.Millisecond), r.who()),
			"close rows and read transactions sooner, or raise connection_pool.max_connections")
	}
}

func (j *judge) log() {
	v := j.v
	if v.Reader.Kind != "" && v.Reader.Age >= v.Reader.Slow && v.Seen.LogFrames-v.Seen.CopiedFrames >= longLog {
		j.add(Warning, "log-pinned", "An old reader keeps the log from being emptied",
			fmt.Sprintf("%s has read for %s; %d of %d frames are not copied", v.Reader.who(), v.Reader.Age.Round(time.Second), v.Seen.LogFrames-v.Seen.CopiedFrames, v.Seen.LogFrames),
			"end it; connection_pool.max_lease_age ends such ones")
	}
	if v.LogLimit > 0 && v.LogBytes > 2*v.LogLimit {
		j.add(Warning, "log-large", "The log is more than twice as large as its limit",
			fmt.Sprintf("%d MiB, and %s is %d MiB", v.LogBytes>>20, v.LogKey, v.LogLimit>>20), "holdfast locks "+v.Path+" says who reads in it")
	}
}

// copied is about what is lost together with this machine.
func (j *judge) copied() {
	c := j.v.Copy
	last := "nothing was uploaded to " + c.Target + " yet"
	if !c.Uploaded.IsZero() {
		last = "the last upload to " + c.Target + " was at " + c.Uploaded.UTC().Format(time.RFC3339)
	}
	if c.Error != "" {
		last += "; since then: " + c.Error
	}
	fix := "see that the target can be reached, has room, and takes the credentials in the environment; until then the log grows"
	switch {
	case c.Limit > 0 && c.Lag >= c.Limit && c.Durable:
		j.add(Critical, "replication-behind", "Writes are not acknowledged, because they don't reach the target of the replication",
			fmt.Sprintf("the oldest has waited for %s, %d bytes are pending; %s", c.Lag.Round(time.Second), c.Pending, last), fix)
	case c.Limit > 0 && c.Lag >= c.Limit:
		j.add(Warning, "replication-behind", "The replication is behind, and what is not at its target is lost with this machine",
			fmt.Sprintf("by %s and %d bytes; %s", c.Lag.Round(time.Second), c.Pending, last), fix)
	case c.Error != "":
		j.add(Warning, "replication-failing", "An upload of the replication has failed, and none has succeeded since", last, fix)
	}
	if c.Elsewhere != 0 {
		j.add(Warning, "replication-elsewhere", "Another process acknowledges its writes when they are at the target of its replication, and this one doesn't",
			fmt.Sprintf("pid %d replicates %s", c.Elsewhere, j.v.Path), "let that process write what must survive the loss of the machine")
	}
}

func (j *judge) rest() {
	v := j.v
	for _, bug := range v.Bugs {
		j.add(Warning, "engine-bug", "The engine has a known bug", bug, "go get modernc.org/sqlite@latest")
	}
	if v.NotSeen != nil {
		return
	}
	if v.WantsWAL && v.Seen.JournalMode != "wal" {
		j.add(Info, "journal-mode", "The database is not in WAL mode, so that readers and writers wait for each other", "journal mode "+v.Seen.JournalMode,
			"holdfast exec "+v.Path+" 'PRAGMA journal_mode=WAL'")
	}
	if !v.Seen.Statistics && v.Seen.Pages >= manyPages {
		j.add(Info, "statistics-missing", "The planner has no statistics", "there is no sqlite_stat1", "holdfast exec "+v.Path+" 'PRAGMA optimize=0x10002'")
	}
}
