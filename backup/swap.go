package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/internal/dbfile"
	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// sidecars are the endings of the files that SQLite reads with a database. The log
// is first: it is what would be mixed with the new database.
var sidecars = [...]string{"-wal", "-journal", "-shm"}

// note is what the next restore has to know if this one is killed. It is on the
// disk before the first file of the old database is moved.
type note struct {
	New     string    `json:"new"`   // identity of the file that was unpacked
	Old     string    `json:"old"`   // and of the one that it replaces; "" if there is none
	Aside   string    `json:"aside"` // what the names of the old files have after that of the database
	Size    int64     `json:"size"`  // of the old file
	ModTime time.Time `json:"mod_time"`
}

// swap puts the file at fresh in the place of the database. When it returns an
// error, settle finds out how far it came; what swap has locked stays so until then.
func (r *restore) swap(ctx context.Context, fresh string) error {
	n := note{Aside: strings.TrimPrefix(r.aside, r.path)}
	if err := r.takeOver(&n, fresh); err != nil {
		return err
	}
	r.at("locked")
	if err := r.write(n, fresh); err != nil {
		return err
	}
	r.at("noted")
	if !renamesOpenFiles { // then the system keeps who has it open from losing it
		r.release()
	}
	if err := r.clear(); err != nil {
		return err
	}
	r.at("cleared")
	if n.Old == "" {
		if err := r.appear(fresh); err != nil {
			return err
		}
		r.at("swapped")
		return r.syncBoth()
	}
	old, err := r.exchange(fresh, r.path, r.aside)
	if err != nil {
		return err
	}
	r.at("swapped")
	if err := r.syncBoth(); err != nil {
		return err
	}
	r.at("flushed")
	if err := r.undoIfUsed(ctx, old, fresh); err != nil {
		return err
	}
	r.at("looked")
	if old != r.aside {
		if err := os.Rename(old, r.aside); err != nil {
			return err
		}
	}
	r.at("kept")
	r.report.Kept = append([]string{r.aside}, r.report.Kept...)
	return r.syncBoth()
}

// appear gives the file at fresh the name that nothing has, unless somebody has made
// a database there meanwhile.
func (r *restore) appear(fresh string) error {
	err := os.Link(fresh, r.path)
	switch {
	case err == nil:
		r.at("linked")
		return os.Remove(fresh)
	case errors.Is(err, fs.ErrExist):
		return &InUseError{Database: r.path}
	}
	return os.Rename(fresh, r.path) // a file system without hard links
}

// clear takes the sidecars aside.
func (r *restore) clear() error {
	for _, s := range sidecars {
		err := os.Rename(r.path+s, r.aside+s)
		switch {
		case err == nil:
			r.report.Kept = append(r.report.Kept, r.aside+s)
		case !errors.Is(err, fs.ErrNotExist):
			return err
		}
		r.at("moved" + s)
	}
	return dbfile.SyncDir(filepath.Dir(r.path))
}

func (r *restore) syncBoth() error {
	return errors.Join(dbfile.SyncDir(filepath.Dir(r.path)), dbfile.SyncDir(r.work))
}

// undoIfUsed looks for somebody who has opened the old file in the moment before
// it lost its name. He has waited for the lock since, so he has read nothing, but
// once it is free he would go on with the old file, and make a log for it under the
// name that is the new one's.
//
// Another may have opened the new one by then, and waits too. Once it is nobody's he
// would make a log for it under the name that is the old one's again; so it is made
// no database, which he is told at his first look.
func (r *restore) undoIfUsed(ctx context.Context, old, fresh string) error {
	own := 0
	if r.held.old != nil {
		own = 1
	}
	use := r.unused(context.WithoutCancel(ctx), old, own) // half a change is none
	if use == nil {
		return nil
	}
	var err error
	if old == fresh {
		_, err = r.exchange(fresh, r.path, "")
	} else if err = os.Link(r.path, fresh); err == nil { // settle knows by its name that it was undone
		err = os.Rename(old, r.path)
	}
	if err == nil {
		err = os.Truncate(fresh, 1) // by its name: the close of a descriptor would drop the lock
	}
	return single(errors.Join(use, err, r.syncBoth()))
}

// hold are the old and the new database, locked; nil where there is none, or it can't be
// locked.
type hold struct{ old, fresh *sqlite.Conn }

// release unlocks them. SQLite neither copies nor removes the log: see lockAll.
func (r *restore) release() {
	for _, c := range []*sqlite.Conn{r.held.old, r.held.fresh} {
		if c != nil {
			_ = c.Close() // nothing was written by it
		}
	}
	r.held = hold{}
}

// takeOver locks the old database so that nobody can begin to use it, brings its log
// into it, and locks the new one, so that nobody can begin with that either before it is
// to stay.
func (r *restore) takeOver(n *note, fresh string) error {
	info, err := os.Stat(r.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Size() > 0 { // of a database of no bytes SQLite deletes the log
		if r.held.old, err = lockAll(r.path); err != nil {
			return r.inUse(err)
		}
	}
	id, about, err := dbfile.Identify(r.path)
	if err != nil {
		return err
	}
	n.Old, n.Size, n.ModTime = inode(id), about.Size, about.ModTime
	if r.held.fresh, err = lockAll(fresh); err != nil {
		return fmt.Errorf("lock %s: %w", fresh, err)
	}
	return nil
}

// inUse says of a lock what the first look couldn't see.
func (r *restore) inUse(err error) error {
	switch sqlite.Code(err).Primary() {
	case sqlite.ResultBusy, sqlite.ResultLocked:
		return &InUseError{Database: r.path}
	case sqlite.ResultFull:
		return fmt.Errorf("%w: no room to copy the log of %s into it: %w", holdfast.ErrDiskFull, r.path, err)
	case sqlite.ResultReadOnly, sqlite.ResultPerm, sqlite.ResultAuth:
		return fmt.Errorf("%s can't be written by this user, so it can't be locked (%w): %w", r.path, fs.ErrPermission, err)
	}
	return fmt.Errorf("lock %s: %w", r.path, err)
}

// lockAll locks a database with all that SQLite has against everybody: the
// exclusive mode, which every connection in WAL mode conflicts with, also an idle
// one, and which keeps the index of the log in memory instead of the -shm. Then
// the log is copied into the file and left as it is: with it or without, the file
// is the same database. A database that is damaged can't be locked so; it is nil
// then, and what keeps others away is that nobody was seen.
func lockAll(path string) (*sqlite.Conn, error) {
	c, err := sqlite.Open(path, sqlite.OpenReadWrite)
	if err != nil {
		return nil, err
	}
	// On Close SQLite would remove the -wal by its name, which may be another's then.
	if _, err = c.DBConfig(sqlite.DBConfigNoCkptOnClose, true); err == nil {
		err = c.Exec("PRAGMA locking_mode=EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT")
	}
	if err == nil {
		var frames, copied int
		frames, copied, err = c.WALCheckpoint("main", sqlite.CheckpointFull)
		if err == nil && frames != copied {
			err = fmt.Errorf("%d of %d frames of the log could be copied", copied, frames)
		}
	}
	if err == nil {
		return c, nil
	}
	closed := c.Close()
	switch sqlite.Code(err).Primary() {
	case sqlite.ResultCorrupt, sqlite.ResultNotADB:
		return nil, closed
	}
	return nil, err
}

// write puts the note on the disk.
func (r *restore) write(n note, fresh string) error {
	id, _, err := dbfile.Identify(fresh)
	if err != nil {
		return err
	}
	n.New = inode(id)
	text, err := json.Marshal(n)
	if err != nil {
		return err
	}
	path := filepath.Join(r.work, noteName)
	// What lies there, a killed restore's or a link that somebody made, is not written to.
	if err := os.Remove(path + ".new"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return single(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	return r.syncBoth()
}

// renamesOpenFiles is what Windows doesn't.
const renamesOpenFiles = runtime.GOOS != "windows"

// exchange puts the file at fresh in the place of the one at path, and returns
// where that is now: at fresh if the system can do it at once, else at aside.
func (r *restore) exchange(fresh, path, aside string) (old string, err error) {
	err = errors.ErrUnsupported
	if !r.options.twoNames {
		err = swapNames(fresh, path)
	}
	if err == nil || !errors.Is(err, errors.ErrUnsupported) {
		return fresh, err
	}
	// A second name for the old file, and then one call that takes its first: at no
	// moment is there no database under the name. A kill in between leaves two names,
	// of which settle removes one.
	if err := os.Link(path, aside); err != nil {
		return "", fmt.Errorf("this file system can neither exchange two files nor give one two names, so nothing can be replaced safely: %w", err)
	}
	return aside, os.Rename(fresh, path)
}

// settle finds out how far a restore has come that isn't running any more, and
// brings it to an end: the old database under its name with all its files, or the
// new one under it and the old one aside. It returns what it did, in sentences, and
// leaves nothing of use in work.
func settle(path, work string) (did []string, err error) {
	fresh := filepath.Join(work, newName)
	if err := notOpenHere(filepath.Join(work, noteName)); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(work, noteName))
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Lstat(fresh); err == nil {
			did = append(did, fmt.Sprintf("a restore of %s was stopped before it touched the database, which is as it was", path))
			return did, os.Remove(fresh)
		}
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var n note
	if err := json.Unmarshal(text, &n); err != nil {
		return nil, fmt.Errorf("%s is no note of a restore: look at what is in %s, then remove it: %w", filepath.Join(work, noteName), work, err)
	}
	// A note that somebody else has written leads nowhere else.
	if !strings.HasPrefix(n.Aside, asideEnding) || strings.ContainsAny(n.Aside, `/\`) {
		return nil, fmt.Errorf("%s is no note of a restore: look at what is in %s, then remove it", filepath.Join(work, noteName), work)
	}
	n.Aside = path + n.Aside
	switch identity(fresh) {
	case n.New:
		if identity(path) != n.New { // else the new one has both names for a moment
			did, err = putBack(path, n)
		}
	case "":
	default: // the old one has changed places, and not got its name yet
		err = os.Rename(fresh, n.Aside)
	}
	if err != nil {
		return did, err
	}
	if did == nil && n.Old != "" && identity(n.Aside) == n.Old {
		did = append(did, fmt.Sprintf("a restore of %s had put the new database in its place; the old one is %s", path, n.Aside))
	}
	if err := errors.Join(dbfile.SyncDir(filepath.Dir(path)), dbfile.SyncDir(work)); err != nil {
		return did, err
	}
	// The note goes last: without it nobody could tell what new.db is.
	for _, name := range []string{fresh, filepath.Join(work, noteName)} {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return did, err
		}
	}
	return did, dbfile.SyncDir(work)
}

// inode tells the files of a restore apart. They are in one file system, whose number
// may be another when the machine is up again.
func inode(id dbfile.ID) string { return strconv.FormatUint(id.Ino, 16) }

func identity(path string) string {
	id, err := dbfile.Look(path)
	if err != nil {
		return ""
	}
	return inode(id)
}

// putBack undoes what was moved for a change that didn't come.
func putBack(path string, n note) (did []string, err error) {
	id, info, err := dbfile.Identify(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	same := err == nil && inode(id) == n.Old
	unchanged := same && info.Size == n.Size && info.ModTime.Equal(n.ModTime) || n.Old == "" && errors.Is(err, fs.ErrNotExist)
	did = append(did, fmt.Sprintf("a restore of %s was stopped before the change: the old database is in its place", path))
	for _, s := range sidecars {
		_, err := os.Lstat(path + s)
		switch _, e := os.Lstat(n.Aside + s); {
		case errors.Is(e, fs.ErrNotExist):
			continue
		case e != nil:
			return did, e
		case unchanged && errors.Is(err, fs.ErrNotExist):
			if err := os.Rename(n.Aside+s, path+s); err != nil {
				return did, err
			}
		default: // somebody has used the database since, so this belongs to what it was
			did = append(did, fmt.Sprintf("%s%s is what lay beside it; the database has been used since, so it stays there", n.Aside, s))
		}
	}
	if same && identity(n.Aside) == n.Old { // the second name
		return did, os.Remove(n.Aside)
	}
	return did, nil
}
