package integrity

import (
	"fmt"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast/internal/maintain/logbook"
)

// Backups is what is known of the backups of a database.
type Backups struct {
	Book   logbook.Book
	Err    error     // why the record can't be read, or nil
	Wanted string    // the destination of which the configuration says that backups are made there, or ""
	Now    time.Time // by which Book is judged
}

// backups finds promises that weren't kept. The promise stands on record with the time
// from which on it is broken, so it is noticed also when nobody is left who made it.
func (j *judge) backups() {
	b := j.v.Backups
	if b.Err != nil {
		j.add(Warning, "backup-unknown", "What became of the backups can't be told", b.Err.Error(), "remove that file; the next backup begins a new one")
		return
	}
	for _, p := range b.Book.Places {
		j.drill(p)
		j.backup(p)
	}
	if p := b.Book.Find(b.Wanted); b.Wanted != "" && p.Every == 0 && p.DrillEvery == 0 {
		j.add(Warning, "backup-unscheduled", "The configuration asks for backups, and nothing makes any", "backup.destination is "+b.Wanted,
			"call backup.Schedule in the program, or run holdfast backup "+j.v.Path+" "+shellWord(b.Wanted)+" --every 1h")
	}
}

func (j *judge) backup(p logbook.Place) {
	d := p.Backup
	again := "holdfast backup " + j.v.Path + " " + shellWord(p.Destination)
	switch {
	case d.Late(j.v.Backups.Now):
		j.add(Warning, "backup-overdue", "The newest backup is older than it should be", fmt.Sprintf("%s; one is due every %s%s", last(p.Destination, d), every(p.Every), why(d)),
			"see that the program that makes them runs, and that there is room at "+p.Destination+"; "+again+" makes one now"+j.unwanted())
	case !d.FailedAt.IsZero():
		j.add(Warning, "backup-failed", "The last backup has failed", fmt.Sprintf("%s%s", last(p.Destination, d), why(d)),
			"it is tried again, later each time; "+again+" tries it now")
	}
}

func (j *judge) drill(p logbook.Place) {
	d := p.Drill
	switch {
	case !d.FailedAt.IsZero():
		j.add(Critical, "drill-failed", "A backup could not be restored", fmt.Sprintf("%s%s", last(p.Destination, d), why(d)),
			"make a backup now: holdfast backup "+j.v.Path+" "+shellWord(p.Destination)+"; then look which restore: holdfast backup --drill "+shellWord(p.Destination))
	case d.Late(j.v.Backups.Now):
		j.add(Warning, "drill-overdue", "No backup was restored for longer than it should be", fmt.Sprintf("%s; one is due every %s", last(p.Destination, d), every(p.DrillEvery)),
			"see that the program that does it runs; holdfast backup --drill "+shellWord(p.Destination)+" does it now"+j.unwanted())
	}
}

// unwanted is how a promise is taken back.
func (j *judge) unwanted() string {
	return "; if none are wanted any more, remove " + j.v.Path + logbook.Suffix
}

// shellWord keeps a shell from reading the ? of a URL.
func shellWord(destination string) string {
	if strings.Contains(destination, "?") {
		return "'" + destination + "'"
	}
	return destination
}

func last(destination string, d logbook.Deed) string {
	if d.At.IsZero() {
		return "there was none yet at " + destination
	}
	return "the last at " + destination + " was of " + d.At.UTC().Format(time.RFC3339)
}

func why(d logbook.Deed) string {
	if d.FailedAt.IsZero() {
		return ""
	}
	return fmt.Sprintf("; the try of %s failed: %s", d.FailedAt.UTC().Format(time.RFC3339), d.Error)
}

func every(seconds float64) time.Duration { return time.Duration(seconds * float64(time.Second)) }
