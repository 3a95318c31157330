package holdfast

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast/history"
	"github.com/holdfastdb/holdfast/internal/busy"
	"github.com/holdfastdb/holdfast/internal/control"
	"github.com/holdfastdb/holdfast/internal/dbfile"
	"github.com/holdfastdb/holdfast/internal/locks"
	"github.com/holdfastdb/holdfast/internal/maintain/memory"
	"github.com/holdfastdb/holdfast/internal/maintain/pace"
	"github.com/holdfastdb/holdfast/internal/sidelock"
	"github.com/holdfastdb/holdfast/internal/sqlite"
	recording "github.com/holdfastdb/holdfast/internal/stats/history"
	"github.com/holdfastdb/holdfast/queries"
)

// role is what a connection is for.
type role int

const (
	writing role = iota
	reading
)

func (d *database) key() any {
	if d.name.Memory {
		if d.name.Shared == "" {
			return d // private: nobody else's key
		}
		return "memory:" + d.name.Shared
	}
	if d.cfg.Limits.UntrustedSQL {
		return confinedID{d.id}
	}
	return d.id
}

// confinedID is the key of a file as SQL from outside has it: with readers of
// its own, beside the database that everybody else of the process shares. It
// never writes.
type confinedID struct{ dbfile.ID }

// pragma is one setting; the engine must answer the same value for it.
type pragma struct{ name, value string }

// proveAgain is asked whether a reader that was idle for long still works as it should.
func (d *database) proveAgain(c *sqlite.Conn) error {
	if _, err := c.QueryInt64("PRAGMA schema_version"); err != nil {
		return err
	}
	d.noteJournal(c)
	if d.cfg.Limits.UntrustedSQL {
		return nil // a confined connection can't be asked, and can't be changed
	}
	for _, p := range d.profile.settings.pragmas {
		if p.name != "foreign_keys" && p.name != "synchronous" {
			continue // what a write is worth doesn't depend on it
		}
		if got, err := c.QueryText("PRAGMA " + p.name); err != nil || got != p.value {
			d.seen.drifts.Add(1)
			d.log.Error("holdfast: a connection has other settings than it was given, and is given up", "path", d.path, "pragma", p.name, "is", got, "was", p.value,
				"next", "find what runs PRAGMA without database/sql; report it if nothing does")
			return errors.Join(err, errDrifted)
		}
	}
	return nil
}

var errDrifted = errors.New("a setting was changed")

// noteJournal compares the journal mode of the file with that at Open, by a connection that
// has just read. While a connection is open in WAL mode nobody can change it.
func (d *database) noteJournal(c *sqlite.Conn) {
	if d.name.Immutable {
		return
	}
	other := c.LogOpen() != (d.profile.journalMode == "wal")
	if d.seen.journal.Swap(other) == other {
		return
	}
	if other {
		d.log.Error("holdfast: another program has changed the journal mode", "path", d.path, "was", d.profile.journalMode,
			"next", "close the database everywhere, set PRAGMA journal_mode back, and find who does that")
	} else {
		d.log.Info("holdfast: the journal mode is what it was", "path", d.path, "mode", d.profile.journalMode)
	}
}

// connectFirst opens the connection that proves the file, within
// connection_timeout.
func (d *database) connectFirst(ctx context.Context) (*sqlite.Conn, error) {
	limit := d.cfg.Database.ConnectionTimeout
	limited := ctx
	if limit > 0 {
		var cancel context.CancelFunc
		limited, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	c, err := d.connect(limited, d.mainRole())
	if err == nil {
		if err = d.checkFile(limited, c); err != nil {
			_ = c.Close() // the error that matters is the first
		}
	}
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		return nil, newError("open", ErrBusy, sqlite.ResultBusy,
			fmt.Sprintf("database is locked (5) (SQLITE_BUSY): %s could not be opened within %s", d.path, limit),
			"see who has the file open, or raise connection_timeout")
	}
	return c, err
}

func (d *database) mainRole() role {
	if d.cfg.Database.ReadOnly || d.cfg.Limits.UntrustedSQL {
		return reading
	}
	return writing
}

// take opens a connection, or hands out the one that proved the file to whoever
// is first. That is mostly a reader, and then a program that only reads has
// opened one connection and not two. What a writing connection has besides, a
// hook on its commits, is idle on one that makes none.
func (d *database) take(ctx context.Context, r role) (*sqlite.Conn, error) {
	first := d.takeFirst()
	if first == nil {
		return d.connect(ctx, r)
	}
	var err error
	if r != d.mainRole() {
		err = d.profile.readOnly.run(ctx, first)
	}
	if err == nil && d.fenced.Load() {
		err = d.fence()
	}
	if err != nil {
		return nil, single(errors.Join(err, first.Close()))
	}
	return first, nil
}

// fence compares the path with the file that was opened, by stat, and the log and
// the shared memory with those that its connections have open.
func (d *database) fence() error {
	if d.memory != nil {
		return nil
	}
	id, err := dbfile.Look(d.path)
	switch {
	case err == nil && id == d.id:
	case errors.Is(err, fs.ErrNotExist):
		return d.fenceOff(errFencedFile, d.path, "was removed or renamed")
	case err != nil:
		return err
	default:
		return d.fenceOff(errFencedFile, d.path, "was replaced by another file")
	}
	if file, what := d.logFiles.Look(); what != "" {
		return d.fenceOff(errFencedLog, file, what)
	}
	return nil
}

func (d *database) fenceOff(kind error, file, what string) error {
	if !d.fenced.Swap(true) {
		d.log.Error("holdfast: fenced", "path", file, "reason", what)
	}
	return fmt.Errorf("%w: %s %s", kind, file, what)
}

// openedLog is called for a connection that has read, and so has opened the log
// and the shared memory, unless somebody changed the journal mode while there was
// none: then it has no log, and others may have one and remove it.
func (d *database) openedLog(c *sqlite.Conn) (gone, what string) {
	if c.LogOpen() {
		d.logFiles.Opened()
		c.OnClose(func() {
			switch last := d.logFiles.Closing(); {
			case d.isDamaged(): // the log is evidence
				_, _ = c.DBConfig(sqlite.DBConfigNoCkptOnClose, true)
			case last:
				bringIn(c)
			}
		})
	}
	return d.logFiles.Look()
}

// Whoever copies the log at the same time is done soon, or dead.
const (
	bringInTries = 100
	bringInPause = 10 * time.Millisecond
)

// bringIn copies a log that has no name any more into the file, because it ends
// with the last process that has it open. SQLite copies it when the last
// connection finds that it is the last, but two processes that close at once each
// find the other, and one that is killed closes nothing.
func bringIn(c *sqlite.Conn) {
	if !c.Autocommit() { // a reader's snapshot would hold the copy up
		_ = c.Exec("ROLLBACK")
	}
	for range bringInTries {
		if _, _, err := c.WALCheckpoint("main", sqlite.CheckpointPassive); sqlite.Code(err) != sqlite.ResultBusy {
			return // done, or it can't be: the error of what was not acknowledged stands
		}
		time.Sleep(bringInPause)
	}
}

// takeFirst hands out the connection that proved the file, once. A statement
// that is running while the database is closed may ask for it at the same time
// as close does.
func (d *database) takeFirst() *sqlite.Conn {
	d.mu.Lock()
	defer d.mu.Unlock()
	first := d.first
	d.first = nil
	return first
}

// connect is connectAs for a reader or the writer.
func (d *database) connect(ctx context.Context, r role) (*sqlite.Conn, error) {
	if r == writing {
		return d.connectAs(ctx, r, memory.Writer)
	}
	return d.connectAs(ctx, r, memory.Reader)
}

// connectAs opens one connection, gives it every setting, reads them back, and refuses to
// hand it out if one differs. Its page cache gets the part of the budget that such a
// connection begins with.
func (d *database) connectAs(ctx context.Context, r role, as memory.Role) (_ *sqlite.Conn, err error) {
	flags := sqlite.OpenReadWrite // the file exists, and one that was removed meanwhile stays so
	path := d.path
	if d.memory != nil {
		flags |= sqlite.OpenCreate
	}
	if d.cfg.Database.ReadOnly {
		flags = sqlite.OpenReadOnly
	}
	if d.name.Immutable {
		path, flags = immutableURI(path), flags|sqlite.OpenURI
	}
	c, err := d.profile.probe.Open(path, flags)
	if err != nil {
		if gone := d.fence(); errors.Is(gone, errFencedFile) {
			return nil, gone
		}
		return nil, err
	}
	if flags == sqlite.OpenReadWrite {
		c.CreateAttached()
	}
	d.counters.ConnectionsCreated.Add(1)
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
			err = single(err)
		}
	}()
	if r == writing {
		// SQLite opens a file that can't be written for reading instead, and a
		// writer would stay so long after the disk or the permissions are mended.
		if readOnly, err := c.DBReadOnly("main"); err != nil {
			return nil, err
		} else if readOnly {
			return nil, newError("open", ErrReadOnly, sqlite.ResultReadOnly,
				d.path+" can't be opened for writing now: the file system is read-only, or permission was withdrawn",
				"make it writable; the next write tries again")
		}
	}
	// The wait budget comes first: everything after it may find a lock.
	var h busy.Handler
	h.Arm(ctx, d.cfg.Database.BusyTimeout, nil)
	c.SetBusyHandler(h.Busy)
	defer c.SetBusyHandler(nil)
	d.setLimits(c)
	c.SetStatementCacheSize(max(d.cfg.ConnectionPool.StatementCacheSize, 0))
	if err := d.harden(c); err != nil {
		return nil, err
	}
	if r == writing {
		if err := d.prepareFile(ctx, c); err != nil {
			return nil, err
		}
		if err := d.checkpointItself(c); err != nil {
			return nil, err
		}
	}
	pace.Of(ctx).Pause(ctx)
	if err := d.profile.settings.run(ctx, c); err != nil {
		return nil, err
	}
	pace.Of(ctx).Pause(ctx)
	if r == reading {
		if err := d.profile.readOnly.run(ctx, c); err != nil {
			return nil, err
		}
	}
	if d.cfg.Limits.UntrustedSQL {
		d.narrow(c)
		if err := c.Confine(); err != nil {
			return nil, err
		}
	}
	if err := d.caches.Connect(c, as); err != nil {
		return nil, err
	}
	if d.fenced.Load() {
		return nil, d.fence()
	}
	if file, what := d.openedLog(c); what != "" {
		return nil, d.fenceOff(errFencedLog, file, what)
	}
	if d.profile.journalMode != "" { // else it is the first
		d.noteJournal(c)
	}
	return c, nil
}

// narrow lowers the number of columns if the tables allow it: a row of 2000 texts
// that an operator puts together took 1.5 GB, and a second in which nothing
// stops it. Under a limit that one table exceeds the whole schema is unreadable.
func (d *database) narrow(c *sqlite.Conn) {
	if d.cfg.Limits.Column > 0 {
		return
	}
	engine := c.Limit(sqlite.LimitColumn, 200)
	if _, err := c.QueryInt64("SELECT 1 FROM sqlite_schema LIMIT 0"); err != nil {
		c.Limit(sqlite.LimitColumn, engine) // a file that is damaged says so again
	}
}

// harden is what a connection gets before it reads, where statements or the whole file
// come from outside.
func (d *database) harden(c *sqlite.Conn) error {
	file := d.cfg.Limits.UntrustedFile
	if !file && !d.cfg.Limits.Defensive {
		return nil
	}
	if _, err := c.DBConfig(sqlite.DBConfigDefensive, true); err != nil || !file {
		return err
	}
	return c.Exec("PRAGMA trusted_schema=0; PRAGMA cell_size_check=1; PRAGMA mmap_size=0")
}

// checkFile reads the whole of a file from outside.
func (d *database) checkFile(ctx context.Context, c *sqlite.Conn) error {
	if !d.cfg.Limits.UntrustedFile {
		return nil
	}
	c.SetProgressHandler(1000, func() bool { return ctx.Err() != nil })
	defer c.SetProgressHandler(0, nil)
	found, err := c.QueryText("PRAGMA quick_check(1)")
	switch {
	case err != nil && ctx.Err() != nil:
		return ctx.Err()
	case err == nil && found != "ok":
		return newError("open", ErrCorrupt, sqlite.ResultCorrupt,
			fmt.Sprintf("%s is damaged: quick_check finds something", d.path), "don't use the file; holdfast doctor tells what it can")
	}
	return err
}

// single unwraps a join of one error, so that its type stays visible.
func single(err error) error {
	if j, ok := err.(interface{ Unwrap() []error }); ok && len(j.Unwrap()) == 1 {
		return j.Unwrap()[0]
	}
	return err
}

func immutableURI(path string) string {
	esc := strings.NewReplacer("%", "%25", "?", "%3f", "#", "%23")
	return "file:" + esc.Replace(path) + "?immutable=1"
}

// prepareFile gives a new file its layout and every file WAL mode. Processes
// that start together on a missing file all come here at once, and SQLite does
// not wait for a change of the journal mode, so it is tried until it succeeds.
func (d *database) prepareFile(ctx context.Context, c *sqlite.Conn) error {
	var err error
	_, expired, ctxErr := busy.Poll(ctx, d.cfg.Database.BusyTimeout, func() bool {
		err = d.layOut(c)
		return err == nil || busy.Classify(sqlite.Code(err)) != busy.Wait
	})
	if ctxErr != nil && err != nil && !expired {
		return ctxErr
	}
	return err
}

func (d *database) layOut(c *sqlite.Conn) error {
	pages, err := c.QueryInt64("PRAGMA page_count")
	if err != nil {
		return err
	}
	if pages == 0 {
		if n := d.cfg.Database.PageSize; n > 0 {
			if err := c.Exec("PRAGMA page_size=" + strconv.Itoa(n)); err != nil {
				return err
			}
		}
		if err := c.Exec("PRAGMA auto_vacuum=" + d.cfg.Database.AutoVacuum); err != nil {
			return err
		}
	}
	if !d.cfg.Database.EnableWALMode.Enabled() {
		return nil
	}
	mode, err := c.QueryText("PRAGMA journal_mode")
	if err != nil || mode == "wal" {
		return err
	}
	if mode, err = c.QueryText("PRAGMA journal_mode=WAL"); err != nil {
		return err
	}
	if mode != "wal" {
		return newError("open", ErrRefused, sqlite.ResultError,
			fmt.Sprintf("%s stays in journal mode %s and can't be switched to WAL", d.path, mode),
			"set database.enable_wal_mode to false to use it as it is")
	}
	// The switch doesn't open the log, the next read does. It is done here so
	// that Open proves the log too, as page_count did where there was one, and
	// that the connection has it even if the file is renamed a moment later.
	_, err = c.QueryInt64("PRAGMA schema_version")
	return err
}

// profile is what the connections of a database have in common.
type profile struct {
	journalMode string        // of the file, lower case
	settings    script        // of every connection
	readOnly    script        // of a reader besides
	probe       *sqlite.Probe // of a test, else nil
}

// script is settings in the order they are made, and the text that makes them
// all and then reads them all back.
type script struct {
	pragmas   []pragma
	set, read string
}

func newScript(pragmas ...pragma) script {
	sql := make([]byte, 0, 64*len(pragmas))
	for _, p := range pragmas {
		sql = append(append(append(append(append(sql, "PRAGMA "...), p.name...), '='), p.value...), ';')
	}
	set := len(sql)
	for _, p := range pragmas {
		sql = append(append(append(sql, "PRAGMA "...), p.name...), ';')
	}
	return script{pragmas, string(sql[:set]), string(sql[set:])}
}

// Values of PRAGMA synchronous.
const (
	syncFull  = 2
	syncExtra = 3
)

// newProfile is all that can be told before the file is open.
func newProfile(cfg Config, inMemory bool, probe *sqlite.Probe) profile {
	c := cfg.Database
	sync := slices.Index([]string{"OFF", "NORMAL", "FULL", "EXTRA"}, c.Synchronous)
	switch {
	case inMemory:
		sync = 0 // it ends with the process anyway
	case sync == syncFull && !c.EnableWALMode.Enabled():
		// A commit without a log is the removal of the journal, and FULL does not
		// flush the directory after that: the power fails, the journal is back, and
		// rolls back what was acknowledged. In WAL mode both are the same.
		sync = syncExtra
	}
	temp := slices.Index([]string{"", "FILE", "MEMORY"}, c.TempStore)
	foreignKeys := 0
	if c.EnableForeignKeys.Enabled() {
		foreignKeys = 1
	}
	return profile{
		probe: probe,
		settings: newScript(
			pragma{"foreign_keys", strconv.Itoa(foreignKeys)},
			pragma{"synchronous", strconv.Itoa(sync)},
			pragma{"trusted_schema", "0"},
			pragma{"temp_store", strconv.Itoa(temp)},
			pragma{"cache_size", strconv.Itoa(cfg.cachePragma())},
			pragma{"mmap_size", strconv.FormatInt(c.MmapSize, 10)},
			pragma{"journal_size_limit", strconv.FormatInt(c.JournalSizeLimit, 10)},
		),
		readOnly: newScript(pragma{"query_only", "1"}),
	}
}

// run makes the settings on c and proves them, with rests if ctx has any.
func (s script) run(ctx context.Context, c *sqlite.Conn) error {
	n := len(s.pragmas)
	answers, err := c.ExecTexts(s.set, make([]string, 0, 2*n))
	if err == nil {
		pace.Of(ctx).Pause(ctx)
		answers, err = c.ExecTexts(s.read, answers)
	}
	if err != nil {
		return err
	}
	for i, p := range s.pragmas {
		// An engine without memory mapping answers nothing at all.
		if got := answers[n+i]; got != p.value && (got != "" || p.value != "0") {
			return newError("open", ErrRefused, sqlite.ResultError,
				fmt.Sprintf("the engine answers %s = %q where %q was set", p.name, got, p.value),
				"report this with the output of holdfast version")
		}
	}
	return nil
}

func (d *database) pragmaDefaults() map[string]string {
	m := make(map[string]string)
	for _, p := range d.profile.settings.pragmas {
		m[p.name] = p.value
	}
	return m
}

func (d *database) setLimits(c *sqlite.Conn) {
	l := d.cfg.Limits
	for _, limit := range [...]struct {
		id sqlite.Limit
		v  int
	}{
		{sqlite.LimitLength, l.ValueLength},
		{sqlite.LimitSQLLength, l.SQLLength},
		{sqlite.LimitColumn, l.Column},
		{sqlite.LimitExprDepth, l.ExprDepth},
		{sqlite.LimitCompoundSelect, l.CompoundSelect},
		{sqlite.LimitVDBEOp, l.VDBEOp},
		{sqlite.LimitFunctionArg, l.FunctionArg},
		{sqlite.LimitLikePatternLength, l.LikePatternLength},
		{sqlite.LimitVariableNumber, l.VariableNumber},
		{sqlite.LimitTriggerDepth, l.TriggerDepth},
	} {
		if limit.v > 0 {
			c.Limit(limit.id, limit.v)
		}
	}
	switch {
	case l.Attached > 0:
		c.Limit(sqlite.LimitAttached, l.Attached)
	case l.Attached < 0:
		c.Limit(sqlite.LimitAttached, 0)
	}
}

func (d *database) connClosed(reason string) {
	if reason == "unclean" || reason == "check" {
		d.counters.ConnectionsDiscarded.Add(1)
		d.log.Warn("holdfast: a connection was given up", "path", d.path, "reason", reason)
	}
}

// openLockFile opens the lock that makes processes take turns, and tells which
// of them has which control socket and who does maintenance. Without it they still exclude each other,
// only less fairly, so a failure is no reason not to open the database.
func (d *database) openLockFile() {
	if d.cfg.Database.ReadOnly || d.memory != nil || !sidelock.Supported() ||
		!d.cfg.Writer.FairLock.Enabled() && !d.cfg.Database.ControlSocket.Enabled() && !d.cfg.Maintenance.Enabled.Enabled() && !d.replicated() {
		return
	}
	_, _, _, path, _ := dbfile.Sidecars(d.path)
	turn, err := sidelock.Open(path)
	if err != nil {
		d.log.Warn("holdfast: no fair lock between processes", "path", path, "error", err)
		return
	}
	d.turn = turn
}

// private gives what ATTACH or VACUUM INTO creates the permissions of a new
// database, by name: nothing is opened. A name that leads nowhere afterwards was
// no file's.
func (d *database) private(names []string, create bool) (afterwards func()) {
	missing := slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		_, err := os.Lstat(name)
		return !errors.Is(err, fs.ErrNotExist)
	})
	mode := d.cfg.Database.fileMode()
	if create && len(missing) == 1 && len(names) == 1 {
		_, _ = dbfile.CreatePrivate(missing[0], mode) // SQLite says what is wrong with the name
	}
	return func() {
		for _, name := range missing {
			_ = os.Chmod(name, mode) // most statements have created nothing
		}
	}
}

// ProcessHealth is what another process tells of a database that it has open.
type ProcessHealth struct {
	PID     int    `json:"pid"`
	Program string `json:"program"`
	Health  Health `json:"health"`
}

// AskHealth asks all processes that run Holdfast and have the database open, by
// their control sockets, and waits for 200 ms at most. Only processes of the same
// user answer, and to root all. silent says which socket gave no answer, and why.
// Nothing is opened; where there is no such process, or no file, nobody answers.
func AskHealth(ctx context.Context, path string) (told []ProcessHealth, silent []string, err error) {
	silent, err = askProcesses(ctx, "health", path, control.RequestHealth, func(a control.Answer) error {
		p := ProcessHealth{PID: a.PID, Program: a.Program}
		err := json.Unmarshal(a.Health, &p.Health)
		if err == nil {
			told = append(told, p)
		}
		return err
	})
	return told, silent, err
}

// askProcesses asks those who have the database at path open, and says who gave no
// answer that read could read.
func askProcesses(ctx context.Context, op, path string, request control.Request, read func(control.Answer) error) (silent []string, err error) {
	name, err := dbfile.ParseName(path)
	if err != nil {
		return nil, translate(op, "", locks.Site{}, nil, err)
	}
	resolved, err := dbfile.Resolve(name.Path)
	if err != nil || name.Memory {
		return nil, translate(op, "", locks.Site{}, nil, err)
	}
	answers, unheard := control.Ask(ctx, resolved, request)
	for _, a := range answers {
		if err := read(a); err != nil {
			silent = append(silent, fmt.Sprintf("%s (pid %d) gave no answer that can be read: %v", a.Program, a.PID, err))
		}
	}
	for _, s := range unheard {
		silent = append(silent, fmt.Sprintf("%s gave no answer: %v", s.Path, s.Err))
	}
	return silent, nil
}

// ProcessQueries is what another process tells of the statements that it has run.
type ProcessQueries struct {
	PID     int            `json:"pid"`
	Program string         `json:"program"`
	Report  queries.Report `json:"report"`
}

// AskQueries asks all processes that run Holdfast and have the database open for
// what DB.Queries tells, as AskHealth does. With reset they set it to zero then.
func AskQueries(ctx context.Context, path string, reset bool) (told []ProcessQueries, silent []string, err error) {
	request := control.RequestQueries
	if reset {
		request = control.RequestQueriesReset
	}
	silent, err = askProcesses(ctx, "queries", path, request, func(a control.Answer) error {
		r, err := queries.Read(a.Queries)
		if err == nil {
			told = append(told, ProcessQueries{PID: a.PID, Program: a.Program, Report: r})
		}
		return err
	})
	return told, silent, err
}

// ReadHistory is DB.History of a database that this process need not have open, and that
// may be gone: only its history is read. A history that was never begun is empty.
func ReadHistory(ctx context.Context, path string, q history.Request) (history.Report, error) {
	name, err := dbfile.ParseName(path)
	if err != nil {
		return history.Report{}, translate("history", "", locks.Site{}, nil, err)
	}
	resolved, err := dbfile.Resolve(name.Path)
	switch {
	case err != nil:
		return history.Report{}, translate("history", "", locks.Site{}, nil, err)
	case name.Memory:
		return history.Report{}, newError("history", ErrRefused, sqlite.ResultMisuse, "a database in memory has no history", "ask DB.Stats and DB.Queries")
	}
	return readHistory(ctx, recording.New(recording.Config{Path: resolved + recording.Suffix}), q)
}
