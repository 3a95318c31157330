package holdfast

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/holdfastdb/holdfast/internal/busy"
	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// role is what a connection is for.
type role int

const (
	writing role = iota
	reading
)

// pragma is one setting; the engine must answer the same value for it.
type pragma struct{ name, value string }

// connect opens one connection, gives it every setting, reads them back, and
// refuses to hand it out if one differs.
func (d *database) connect(ctx context.Context, r role) (_ *sqlite.Conn, err error) {
	// CREATE is for ATTACH, which inherits it; the file itself exists, and if it
	// has vanished meanwhile the fence tells the new one from it.
	flags := sqlite.OpenReadWrite | sqlite.OpenCreate
	path := d.path
	if d.cfg.Database.ReadOnly {
		flags = sqlite.OpenReadOnly
	}
	if d.name.Immutable {
		path, flags = immutableURI(path), flags|sqlite.OpenURI
	}
	c, err := sqlite.Open(path, flags)
	if err != nil {
		return nil, err
	}
	d.counters.ConnectionsCreated.Add(1)
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
			err = single(err)
		}
	}()
	// The wait budget comes first: everything after it may find a lock.
	var h busy.Handler
	h.Arm(ctx, d.cfg.Database.BusyTimeout, nil)
	c.SetBusyHandler(h.Busy)
	defer c.SetBusyHandler(nil)
	d.setLimits(c)
	c.SetStatementCacheSize(max(d.cfg.ConnectionPool.StatementCacheSize, 0))
	if r == writing {
		if err := d.prepareFile(ctx, c); err != nil {
			return nil, err
		}
		if err := d.checkpointItself(c); err != nil {
			return nil, err
		}
	}
	if err := d.profile.scripts[r].run(c); err != nil {
		return nil, err
	}
	if d.fenced.Load() {
		return nil, d.fence()
	}
	return c, nil
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
	return nil
}

// autocheckpoint is how many frames in the log make a commit copy them to the
// database: SQLite's own default, 4 MB of pages of 4 KB.
const autocheckpoint = 1000

// checkpointItself replaces SQLite's automatic checkpoint by one that first asks
// the idle readers for the snapshots they keep, which would be in its way.
func (d *database) checkpointItself(c *sqlite.Conn) error {
	if err := c.WALAutocheckpoint(0); err != nil {
		return err
	}
	c.SetWALHook(func(schema string, frames int) {
		if frames < autocheckpoint {
			return
		}
		d.pool.Cool()
		_, _, _ = c.WALCheckpoint(schema, sqlite.CheckpointPassive) // as in SQLite: the commit is done, and the next one tries again
	})
	return nil
}

// pragmas are the settings of every connection, in the order they are made.
func (d *database) pragmas(r role) []pragma {
	c := d.cfg.Database
	sync := map[string]string{"OFF": "0", "NORMAL": "1", "FULL": "2", "EXTRA": "3"}[c.Synchronous]
	if d.memory != nil {
		sync = "0" // it ends with the process anyway
	}
	temp := map[string]string{"FILE": "1", "MEMORY": "2"}[c.TempStore]
	fk := "0"
	if c.EnableForeignKeys.Enabled() {
		fk = "1"
	}
	cache := strconv.Itoa(d.cfg.cachePragma())
	mmap := strconv.FormatInt(c.MmapSize, 10)
	limit := strconv.FormatInt(c.JournalSizeLimit, 10)
	list := []pragma{
		{"foreign_keys", fk},
		{"synchronous", sync},
		{"trusted_schema", "0"},
		{"temp_store", temp},
		{"cache_size", cache},
		{"mmap_size", mmap},
		{"journal_size_limit", limit},
	}
	if r == reading {
		list = append(list, pragma{"query_only", "1"})
	}
	return list
}

// profile is what all connections of a database have in common.
type profile struct {
	journalMode string    // of the file, lower case
	scripts     [2]script // by role
}

// script makes settings and reads them back, all in one text that is made once
// for all connections.
type script struct {
	pragmas []pragma
	sql     string
}

func newScript(pragmas []pragma) script {
	var sets, gets strings.Builder
	for _, p := range pragmas {
		fmt.Fprintf(&sets, "PRAGMA %s=%s;", p.name, p.value)
		fmt.Fprintf(&gets, "PRAGMA %s;", p.name)
	}
	return script{pragmas, sets.String() + gets.String()}
}

// run makes the settings on c and proves them.
func (s script) run(c *sqlite.Conn) error {
	n := len(s.pragmas)
	answers, err := c.ExecTexts(s.sql, make([]string, 0, 2*n))
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
	for _, p := range d.profile.scripts[writing].pragmas {
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
