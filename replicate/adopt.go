package replicate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/holdfastdb/holdfast"
	"github.com/superfly/ltx"
)

// Litestream goes on with whatever history it finds at a target. It takes the last
// transaction from there, compares one page of the log with it, and if that
// happens to be equal it appends to that history. So a target with a history is only
// gone on with by the database that has written it, which its local state proves; and when the file
// is another one than before, the first thing that is shipped is all of it.

// HistoryError says that a target has the history of another database, or a later one
// of this. It answers to holdfast.ErrRefused.
type HistoryError struct {
	Target      string
	Transaction string // the last one there
}

func (e *HistoryError) Error() string {
	return fmt.Sprintf("%s has a history, up to transaction %s, and nothing here shows that this database has written it. "+
		"If it was restored from there, or its directory of Litestream's was lost, and nobody else replicates there any more, go on with take_over: "+
		"it begins with a copy of all of it, and what is there stays restorable. Otherwise name a new target", e.Target, e.Transaction)
}

// Is holdfast.ErrRefused.
func (e *HistoryError) Is(target error) bool { return target == holdfast.ErrRefused }

// baselineNode marks a transaction here that was put in place of the target's, so
// that what comes next is a copy of everything.
const baselineNode = 0x686f6c6466617374 // "holdfast"

// adopt decides whether the target may be gone on with, and how, by file.
func (e *engine) adopt(ctx context.Context, file string) error {
	if err := e.settle(); err != nil {
		return err
	}
	last, tail, err := e.lastAtTarget(ctx)
	if err != nil {
		return err
	}
	if last == 0 {
		// What is here is of another target, or of one that was emptied: without the
		// beginning nothing of it could be restored.
		if err := os.RemoveAll(e.db.LTXDir()); err != nil {
			return err
		}
		e.client.owns(0, nil)
		return nil
	}
	local, err := e.localTail(tail)
	switch {
	case err != nil:
		return err
	case tail == nil || tail.MaxTXID != last:
		return fmt.Errorf("%w: %s is damaged: it has transaction %s, and not the file of it; name a new target", holdfast.ErrRefused, e.target.name, last)
	case local == other && !e.config.TakeOver.Enabled():
		return &HistoryError{Target: e.target.name, Transaction: last.String()}
	case local == other:
		e.log.Warn("holdfast: a target is taken over, beginning with a copy of everything", "path", e.path, "target", e.target.name, "transaction", last.String())
		err = e.rebase(ctx, tail)
	case local == same && e.replaced(file):
		e.log.Info("holdfast: the file is another one than before, so all of it is copied to the target", "path", e.path, "target", e.target.name)
		err = e.rebase(ctx, tail)
	}
	if err == nil {
		e.client.owns(last, tail)
	}
	return err
}

// recover begins with a copy of everything when the state beside the database is lost
// while it is replicated: what is at the target was put there by this process. Litestream's own way
// would begin at transaction 1, below what the target has.
func (e *engine) recover(ctx context.Context) error {
	last, tail, err := e.lastAtTarget(ctx)
	if err != nil {
		return err
	}
	if !e.client.isOurs(tail) {
		return &HistoryError{Target: e.target.name, Transaction: last.String()}
	}
	e.log.Warn("holdfast: the state of the replication beside the database is lost, so all of it is copied to the target again", "path", e.path, "target", e.target.name)
	e.local.Lock()
	defer e.local.Unlock()
	if err := e.rebase(ctx, tail); err != nil {
		return err
	}
	return e.forget()
}

// forget has Litestream read the state anew, which it remembers otherwise. It removes all files for that,
// so they are out of its reach meanwhile.
func (e *engine) forget() error {
	if err := os.Rename(e.db.LTXDir(), e.nextState()); err != nil {
		return err
	}
	if err := e.db.ResetLocalState(context.Background()); err != nil {
		return err
	}
	if err := e.settle(); err != nil {
		return err
	}
	return e.note()
}

// lastAtTarget is the last transaction at the target, 0 if there is nothing, and its
// own file.
func (e *engine) lastAtTarget(ctx context.Context) (last ltx.TXID, tail *ltx.FileInfo, err error) {
	for level := range levels {
		itr, err := e.client.LTXFiles(ctx, level, 0, false)
		if err != nil {
			return 0, nil, err
		}
		for itr.Next() {
			info := *itr.Item()
			last = max(last, info.MaxTXID)
			if level == 0 && (tail == nil || info.MaxTXID > tail.MaxTXID) {
				tail = &info
			}
		}
	}
	return last, tail, nil
}

// relation is what the local state has to do with what is at the target.
type relation int

const (
	other    relation = iota // nothing, as far as can be seen
	same                     // it has written it
	baseline                 // it was put in its place
)

// localTail compares the target's last transaction with the one here: a file of
// Litestream's ends with a checksum of all of it.
func (e *engine) localTail(tail *ltx.FileInfo) (relation, error) {
	if tail == nil {
		return other, nil
	}
	f, err := os.Open(e.db.LTXPath(0, tail.MinTXID, tail.MaxTXID))
	if errors.Is(err, fs.ErrNotExist) {
		return other, nil
	}
	if err != nil {
		return other, err
	}
	defer f.Close()
	if hdr, _, err := ltx.PeekHeader(f); err == nil && hdr.NodeID == baselineNode {
		return baseline, nil
	}
	fi, err := f.Stat()
	if err != nil || fi.Size() != tail.Size || tail.Size < ltx.HeaderSize+ltx.TrailerSize {
		return other, err
	}
	for _, part := range []struct{ at, size int64 }{{0, ltx.HeaderSize}, {tail.Size - ltx.TrailerSize, ltx.TrailerSize}} {
		here, there := make([]byte, part.size), make([]byte, part.size)
		if _, err := f.ReadAt(here, part.at); err != nil {
			return other, err
		}
		if err := e.readAt(context.Background(), tail, part.at, there); err != nil {
			return other, err
		}
		if !bytes.Equal(here, there) {
			return other, nil
		}
	}
	return same, nil
}

func (e *engine) readAt(ctx context.Context, info *ltx.FileInfo, at int64, p []byte) error {
	r, err := e.client.OpenLTXFile(ctx, info.Level, info.MinTXID, info.MaxTXID, at, int64(len(p)))
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.ReadFull(r, p)
	return err
}

// rebase makes the target's last transaction the only one here, as one that no log can
// continue. Its pages are those of the target: it may yet be merged with others. It is complete
// before what it replaces is removed; settle finishes what a kill has left in between, or nothing here
// would show whose history that is.
func (e *engine) rebase(ctx context.Context, tail *ltx.FileInfo) error {
	in, err := e.client.OpenLTXFile(ctx, 0, tail.MinTXID, tail.MaxTXID, 0, 0)
	if err != nil {
		return err
	}
	defer in.Close()
	making := e.nextState() + ".tmp"
	dir := filepath.Join(making, filepath.Base(e.db.LTXLevelDir(0)))
	if err := os.RemoveAll(making); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := replaceFile(filepath.Join(dir, ltx.FormatFilename(tail.MinTXID, tail.MaxTXID)), func(f *os.File) error { return reencode(f, in) }); err != nil {
		return err
	}
	if err := os.Rename(making, e.nextState()); err != nil {
		return err
	}
	return e.settle()
}

func (e *engine) nextState() string { return e.db.LTXDir() + "-next" }

// settle puts the state that was made in the place of the one before.
func (e *engine) settle() error {
	if _, err := os.Stat(e.nextState()); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := os.RemoveAll(e.db.LTXDir()); err != nil {
		return err
	}
	return os.Rename(e.nextState(), e.db.LTXDir())
}

// reencode copies a transaction and says of the copy that it ends where no log begins.
func reencode(w io.Writer, r io.Reader) error {
	dec := ltx.NewDecoder(r)
	if err := dec.DecodeHeader(); err != nil {
		return err
	}
	enc, err := ltx.NewEncoder(w)
	if err != nil {
		return err
	}
	hdr := dec.Header()
	hdr.NodeID, hdr.WALOffset, hdr.WALSize, hdr.WALSalt1, hdr.WALSalt2 = baselineNode, 32, 0, 0, 0
	if err := enc.EncodeHeader(hdr); err != nil {
		return err
	}
	data := make([]byte, hdr.PageSize)
	for {
		var page ltx.PageHeader
		if err := dec.DecodePage(&page, data); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		if err := enc.EncodePage(ltx.PageHeader{Pgno: page.Pgno}, data); err != nil {
			return err
		}
	}
	if err := dec.Close(); err != nil {
		return err
	}
	enc.SetPostApplyChecksum(dec.Trailer().PostApplyChecksum)
	return enc.Close()
}

// state is what is noted of the file that is replicated.
type state struct {
	Schema string `json:"schema"`
	File   string `json:"file"` // which one it is
}

const stateSchema = "holdfast.replicate.state/v1"

func (e *engine) notePath() string { return filepath.Join(e.db.MetaPath(), "holdfast.json") }

// replaced tells whether the file under the name is another one than what was
// replicated here before: a restore, for one, puts a new file in its place.
func (e *engine) replaced(file string) bool {
	text, err := os.ReadFile(e.notePath())
	if err != nil {
		return true // not ours: a Litestream's that ran here before, or nobody knows
	}
	var s state
	return json.Unmarshal(text, &s) != nil || s.Schema != stateSchema || s.File != file
}

// note writes down which file is replicated. It follows the first upload, so that a
// file which never was shipped is not taken for one that was.
func (e *engine) note() error {
	text, err := json.Marshal(state{stateSchema, e.file})
	if err != nil {
		return err
	}
	return replaceFile(e.notePath(), func(f *os.File) error { _, err := f.Write(text); return err })
}

// replaceFile writes a file and then gives it its name.
func replaceFile(path string, write func(*os.File) error) error {
	f, err := os.OpenFile(path+".tmp", os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	err = write(f)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(path+".tmp", path)
	}
	if err != nil {
		_ = os.Remove(path + ".tmp")
	}
	return err
}
