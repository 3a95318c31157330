package sqlite

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestResultCodeNames(t *testing.T) {
	for code := ResultCode(0); code < 256; code++ {
		_, named := resultNames[code]
		known := code.Message() != "unknown error"
		// SQLite has no text for codes it never returns.
		if known && !named {
			t.Errorf("%d (%s) has no name", int(code), code.Message())
		}
	}
	for code, name := range resultNames {
		primary := code.Primary()
		if got := code.String(); got != name {
			t.Errorf("%d is %q and %q", int(code), got, name)
		}
		if code != primary && !strings.HasPrefix(name, primary.String()+"_") {
			t.Errorf("%s is not named after %s", name, primary)
		}
	}
	for code, want := range map[ResultCode]string{
		0: "SQLITE_OK", 5: "SQLITE_BUSY", 517: "SQLITE_BUSY_SNAPSHOT", 773: "SQLITE_BUSY_TIMEOUT",
		2067: "SQLITE_CONSTRAINT_UNIQUE", 8714: "SQLITE_IOERR_IN_PAGE", 99999: "SQLITE_UNKNOWN(99999)",
	} {
		if got := code.String(); got != want {
			t.Errorf("%d: %s, want %s", int(code), got, want)
		}
	}
	if got := ResultBusySnapshot.Message(); got != "database is locked" {
		t.Error(got)
	}
}

func TestErrorText(t *testing.T) {
	c := newConn(t, "CREATE TABLE t(a UNIQUE); INSERT INTO t VALUES (1)")
	for _, test := range []struct {
		sql, want string
		offset    int
	}{
		{"INSERT INTO t VALUES (1)", "constraint failed: UNIQUE constraint failed: t.a (2067)", -1},
		{"SELECT 1; SELECT 2 FROM nowhere", "SQL logic error: no such table: nowhere (1)", -1},
		{"SELECT 1; SELECT zip FROM t", "SQL logic error: no such column: zip (1)", 17},
		{"SELEKT", `SQL logic error: near "SELEKT": syntax error (1)`, 0},
	} {
		err := c.Exec(test.sql)
		var e *Error
		if !errors.As(err, &e) || e.Error() != test.want || e.Offset != test.offset {
			t.Errorf("%s: %#v: %v", test.sql, err, err)
		}
	}
	if got := newError(ResultBusy, "step").Error(); got != "database is locked (5) (SQLITE_BUSY)" {
		t.Error(got)
	}
}

func TestErrorStaleMessage(t *testing.T) {
	c := newConn(t, "")
	wantCode(t, c.Exec("SELECT * FROM nowhere"), ResultError)
	if e := c.fail("test", int32(ResultFull)).(*Error); e.Msg != "database or disk is full" {
		t.Errorf("message of another failure: %q", e.Msg)
	}
	if _, err := c.SnapshotGet("main"); strings.Contains(err.Error(), "nowhere") {
		t.Error(err)
	}
}

func TestCode(t *testing.T) {
	for want, err := range map[ResultCode]error{
		ResultOK:    nil,
		ResultError: errors.New("x"),
		ResultFull:  fmt.Errorf("wrapped: %w", newError(ResultFull, "step")),
	} {
		if got := Code(err); got != want {
			t.Errorf("%v: %v", err, got)
		}
	}
}
