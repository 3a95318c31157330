package space

import (
	"context"

	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// Size is what one table or index takes in the file.
type Size struct {
	Name   string
	Table  string // the table that it is an index of, or ""
	Pages  int64
	Bytes  int64
	Unused int64 // of Bytes
	Leaves int64
	Jumps  int64 // leaves that don't follow the one before them in the file
}

// Sizes reads every page of the file, through a connection of its own, until it is
// done or ctx ends: then partial is true and what was read is returned. That long
// it keeps the log from being begun anew.
func Sizes(ctx context.Context, cfg Config) (list []Size, partial bool, err error) {
	c, err := cfg.Open(ctx)
	if err != nil {
		return nil, false, err
	}
	defer c.Close()
	tables := map[string]string{}
	if err := each(context.WithoutCancel(ctx), c, "SELECT name, tbl_name FROM main.sqlite_schema WHERE type = 'index'", func(s *sqlite.Stmt) bool {
		tables[s.ColumnText(0)] = s.ColumnText(1)
		return true
	}); err != nil {
		return nil, false, err
	}
	var last int64
	err = each(ctx, c, "SELECT name, pageno, pagetype = 'leaf', pgsize, unused FROM dbstat('main')", func(s *sqlite.Stmt) bool {
		if ctx.Err() != nil {
			partial = true
			return false
		}
		if n := len(list); n == 0 || string(s.ColumnView(0)) != list[n-1].Name {
			name := s.ColumnText(0)
			list = append(list, Size{Name: name, Table: tables[name]})
			last = 0
		}
		size := &list[len(list)-1]
		size.Pages++
		size.Bytes += s.ColumnInt64(3)
		size.Unused += s.ColumnInt64(4)
		if s.ColumnInt64(2) == 0 {
			return true
		}
		size.Leaves++
		page := s.ColumnInt64(1)
		if last != 0 && page != last+1 {
			size.Jumps++
		}
		last = page
		return true
	})
	if sqlite.Code(err).Primary() == sqlite.ResultInterrupt && ctx.Err() != nil {
		return list, true, nil
	}
	return list, partial, err
}

// each calls fn with the rows of a query until it says no. The end of ctx interrupts
// the rows alone: a dbstat that is interrupted while it is made fails like one that the
// engine lacks.
func each(ctx context.Context, c *sqlite.Conn, sql string, fn func(*sqlite.Stmt) bool) (err error) {
	s, _, err := c.Prepare(sql)
	if err != nil {
		return err
	}
	defer c.InterruptAfter(ctx)()
	defer func() {
		if e := s.Finalize(); err == nil {
			err = e
		}
	}()
	for {
		more, err := s.Step()
		if err != nil || !more || !fn(s) {
			return err
		}
	}
}
