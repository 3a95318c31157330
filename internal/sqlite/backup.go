package sqlite

import (
	sqlite3 "modernc.org/sqlite/lib"
)

// Backup copies one database into another, page by page, while both stay in use
// by other connections. It uses the connections it was made from: the three are
// used by one goroutine at a time. See https://www.sqlite.org/backup.html.
type Backup struct {
	dst, src *Conn
	ptr      uintptr // 0 once finished
}

// NewBackup starts a backup of src's schema over dst's, "" being main. What dst
// had there is lost as soon as the first pages arrive. The caller ends it with
// [Backup.Finish]; closing one of the connections ends it too.
func NewBackup(dst *Conn, dstSchema string, src *Conn, srcSchema string) (*Backup, error) {
	if dst.db == 0 || src.db == 0 {
		return nil, closedError("backup")
	}
	zDst, err := pushName(dst.tls, orMain(dstSchema))
	if err != nil {
		return nil, err
	}
	defer zDst.pop()
	zSrc, err := pushName(dst.tls, orMain(srcSchema))
	if err != nil {
		return nil, err
	}
	defer zSrc.pop()
	p := sqlite3.Xsqlite3_backup_init(dst.tls, dst.db, zDst.p, src.db, zSrc.p)
	if p == 0 {
		return nil, dst.fail("backup", sqlite3.Xsqlite3_extended_errcode(dst.tls, dst.db))
	}
	b := &Backup{dst: dst, src: src, ptr: p}
	dst.owned[b] = struct{}{}
	src.owned[b] = struct{}{}
	return b, nil
}

func orMain(schema string) string {
	if schema == "" {
		return "main"
	}
	return schema
}

// Step copies up to pages pages, all that remain if it is negative, and reports
// whether the backup is complete. Between steps no lock is held on the source; if
// another connection writes to it, the next step starts over. After
// [ResultBusy] or [ResultLocked] Step may be called again; other errors are
// final.
func (b *Backup) Step(pages int) (done bool, err error) {
	if b.ptr == 0 {
		return false, misuse("backup", "the backup is finished")
	}
	rc := sqlite3.Xsqlite3_backup_step(b.dst.tls, b.ptr, clampInt32(pages))
	b.raise()
	switch rc {
	case sqlite3.SQLITE_DONE:
		return true, nil
	case sqlite3.SQLITE_OK:
		return false, nil
	}
	return false, newError(ResultCode(rc), "backup") // the connections hold no message
}

// Remaining returns the pages that were left to copy after the last Step.
func (b *Backup) Remaining() int {
	if b.ptr == 0 {
		return 0
	}
	return int(sqlite3.Xsqlite3_backup_remaining(b.dst.tls, b.ptr))
}

// PageCount returns the pages of the source at the last Step.
func (b *Backup) PageCount() int {
	if b.ptr == 0 {
		return 0
	}
	return int(sqlite3.Xsqlite3_backup_pagecount(b.dst.tls, b.ptr))
}

// Finish ends the backup. One that is not complete is rolled back in the
// destination. The error is that of a Step that failed for good.
func (b *Backup) Finish() error {
	if b.ptr == 0 {
		return misuse("backup", "the backup is finished")
	}
	rc := b.finish()
	b.raise()
	if rc != sqlite3.SQLITE_OK {
		return newError(ResultCode(rc), "backup")
	}
	return nil
}

func (b *Backup) finish() int32 {
	p := b.ptr
	b.ptr = 0
	delete(b.dst.owned, b)
	delete(b.src.owned, b)
	return sqlite3.Xsqlite3_backup_finish(b.dst.tls, p)
}

func (b *Backup) release() {
	if b.ptr != 0 {
		b.finish()
	}
}

func (b *Backup) forget() { b.ptr = 0 }

func (b *Backup) raise() {
	b.dst.raise()
	b.src.raise()
}
