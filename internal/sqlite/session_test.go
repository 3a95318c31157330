package sqlite

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

const twoTables = `CREATE TABLE t(a INTEGER PRIMARY KEY, b);
	CREATE TABLE u(a INTEGER PRIMARY KEY, b);
	INSERT INTO t VALUES (1, 'one'), (2, 'two'), (3, 'three');`

func changes(t *testing.T, c *Conn, sql string) []byte {
	t.Helper()
	s, err := c.NewSession("")
	must(t, err)
	defer s.Close()
	must(t, s.Attach(""))
	if !s.IsEmpty() {
		t.Error("not empty")
	}
	mustExec(t, c, sql)
	if s.IsEmpty() {
		t.Error("empty")
	}
	b, err := s.Changeset()
	must(t, err)
	return b
}

const dump = "SELECT group_concat(x, ' ') FROM (SELECT 't' || a || '=' || b AS x FROM t UNION ALL SELECT 'u' || a || '=' || b FROM u ORDER BY x)"

func TestChangeset(t *testing.T) {
	a, b := newConn(t, twoTables), newConn(t, twoTables)
	set := changes(t, a, "INSERT INTO u VALUES (9, x'00ff'); UPDATE t SET b='TWO' WHERE a=2; DELETE FROM t WHERE a=3")

	it, err := NewChangesetIter(set)
	must(t, err)
	defer it.Close()
	var got []string
	for {
		more, err := it.Next()
		must(t, err)
		if !more {
			break
		}
		table, op, columns, indirect := it.Op()
		old, hasOld, _ := it.Old(1)
		nw, hasNew, _ := it.New(1)
		got = append(got, fmt.Sprintln(table, op, columns, indirect, it.PK(), old.Text(), hasOld, nw.Blob(), hasNew))
	}
	slices.Sort(got)
	want := []string{
		"t 23 2 false [true false] two true [84 87 79] true\n",
		"t 9 2 false [true false] three true [] false\n",
		"u 18 2 false [true false]  false [0 255] true\n",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	_, _, err = it.Old(7)
	if err == nil {
		t.Error("no error")
	}

	must(t, b.ApplyChangeset(set, nil, nil))
	after, err := a.QueryText(dump)
	must(t, err)
	wantText(t, b, after, dump)
	inverse, err := InvertChangeset(set)
	must(t, err)
	must(t, b.ApplyChangeset(inverse, nil, nil))
	wantText(t, b, "t1=one t2=two t3=three", dump)
	must(t, b.ApplyChangeset(set, func(table string) bool { return table == "u" }, nil))
	wantText(t, b, "t1=one t2=two t3=three u9=\x00\xff", dump)
}

func TestChangesetConflicts(t *testing.T) {
	a, b := newConn(t, twoTables), newConn(t, twoTables)
	set := changes(t, a, "INSERT INTO t VALUES (4, 'four'); UPDATE t SET b='TWO' WHERE a=2; DELETE FROM t WHERE a=3; UPDATE t SET b='ONE' WHERE a=1")
	mustExec(t, b, "INSERT INTO t VALUES (4, 'mine'); UPDATE t SET b='changed' WHERE a=2; DELETE FROM t WHERE a=3")
	wantCode(t, b.ApplyChangeset(set, nil, nil), ResultAbort)
	wantText(t, b, "t1=one t2=changed t4=mine", dump) // nothing of it is left

	var got []string
	var lent *ChangesetIter
	must(t, b.ApplyChangeset(set, nil, func(typ ConflictType, it *ChangesetIter) ConflictAction {
		lent = it
		table, op, _, _ := it.Op()
		text := ""
		if typ == ConflictData || typ == ConflictExists {
			v, ok, err := it.Conflict(1)
			if !ok || err != nil {
				t.Error(ok, err)
			}
			text = v.Text()
		}
		got = append(got, fmt.Sprint(typ, table, op, text))
		if typ == ConflictData {
			return ConflictReplace
		}
		return ConflictOmit
	}))
	slices.Sort(got)
	if want := []string{"1t23changed", "2t9", "3t18mine"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	wantText(t, b, "t1=ONE t2=TWO t4=mine", dump)
	if _, err := lent.Next(); Code(err) != ResultMisuse {
		t.Error(err)
	}

	mustExec(t, b, "UPDATE t SET b='changed'")
	wantPanic(t, "conflict", func() {
		_ = b.ApplyChangeset(set, nil, func(ConflictType, *ChangesetIter) ConflictAction { panic("conflict") })
	})
	wantPanic(t, "filter", func() {
		_ = b.ApplyChangeset(set, func(string) bool { panic("filter") }, nil)
	})
	wantText(t, b, "t1=changed t2=changed t4=changed", dump)
	err := b.ApplyChangeset([]byte("not a changeset"), nil, nil)
	wantCode(t, err, ResultCorrupt)
}

func TestChangesetForeignKeys(t *testing.T) {
	const schema = "CREATE TABLE p(a INTEGER PRIMARY KEY); CREATE TABLE c(a INTEGER PRIMARY KEY, p REFERENCES p)"
	a, b := newConn(t, schema), newConn(t, schema)
	set := changes(t, a, "INSERT INTO c VALUES (1, 7), (2, 8)")
	mustExec(t, b, "PRAGMA foreign_keys=on")
	violated := 0
	err := b.ApplyChangeset(set, nil, func(typ ConflictType, it *ChangesetIter) ConflictAction {
		n, err := it.FKConflicts()
		must(t, err)
		if typ != ConflictForeignKey || it.PK() != nil {
			t.Error(typ)
		}
		violated = n
		return ConflictAbort
	})
	wantCode(t, err, ResultConstraint)
	if violated == 0 {
		t.Error(violated)
	}
	wantInt(t, b, 0, "SELECT count(*) FROM c")
}

func TestSession(t *testing.T) {
	c := newConn(t, twoTables)
	s, err := c.NewSession("main")
	must(t, err)
	must(t, s.Attach("u"))
	mustExec(t, c, "UPDATE t SET b='not recorded'")
	s.Enable(false)
	mustExec(t, c, "INSERT INTO u VALUES (1, 1)")
	if !s.IsEmpty() {
		t.Error("not empty")
	}
	s.Enable(true)
	mustExec(t, c, "INSERT INTO u VALUES (2, 2); UPDATE u SET b=3 WHERE a=1")
	patch, err := s.Patchset()
	must(t, err)
	set, err := s.Changeset()
	must(t, err)
	if len(patch) == 0 || len(patch) >= len(set) {
		t.Error(len(patch), len(set))
	}

	mustExec(t, c, "ATTACH ':memory:' AS other; CREATE TABLE other.t(a INTEGER PRIMARY KEY, b); CREATE TABLE other.u(a, b)")
	must(t, s.Diff("other", "t"))
	if grown, err := s.Changeset(); len(grown) <= len(set) || err != nil {
		t.Error(len(grown), err)
	}
	if e := wantCode(t, s.Diff("other", "u"), ResultSchema); !strings.Contains(e.Msg, "do not match") {
		t.Error(e)
	}
	must(t, s.Close())
	must(t, s.Close())
	wantCode(t, s.Attach("t"), ResultMisuse)

	left, err := c.NewSession("") // ended by the connection
	must(t, err)
	must(t, left.Attach(""))
	mustExec(t, c, "DELETE FROM t")
}

func TestFunction(t *testing.T) {
	c := newConn(t, "")
	must(t, c.CreateFunction("echo", 1, true, func(args []Value) (any, error) {
		switch v := args[0]; v.Type() {
		case TypeInteger:
			return v.Int64(), nil
		case TypeFloat:
			return v.Float(), nil
		case TypeText:
			return v.Text(), nil
		case TypeBlob:
			return v.Blob(), nil
		}
		return nil, nil
	}))
	for _, expr := range []string{"1", "-9223372036854775807", "0.5", "'text'", "''", "x'00ff'", "x''", "NULL", "'a' || char(0) || 'b'"} {
		wantInt(t, c, 1, "SELECT echo("+expr+") IS "+expr+" AND typeof(echo("+expr+")) = typeof("+expr+")")
	}
	must(t, c.CreateFunction("echo", -1, false, func(args []Value) (any, error) {
		return len(args) == 2, nil
	}))
	wantText(t, c, "1,0,7", "SELECT echo(1, 2) || ',' || echo() || ',' || echo(7)")
	mustExec(t, c, "CREATE TABLE t(a); CREATE INDEX i ON t(echo(a)); INSERT INTO t VALUES (2), (1)")
	wantInt(t, c, 1, "SELECT a FROM t ORDER BY echo(a)")

	must(t, c.CreateFunction("bad", 1, false, func(args []Value) (any, error) {
		switch args[0].Int64() {
		case 1:
			return nil, fmt.Errorf("plain")
		case 2:
			return nil, newError(ResultTooBig, "x")
		}
		return struct{}{}, nil
	}))
	if e := wantCode(t, c.Exec("SELECT bad(1)"), ResultError); e.Msg != "plain" {
		t.Error(e)
	}
	wantCode(t, c.Exec("SELECT bad(2)"), ResultTooBig)
	if e := wantCode(t, c.Exec("SELECT bad(3)"), ResultError); !strings.Contains(e.Msg, "struct {}") {
		t.Error(e)
	}
	must(t, c.CreateFunction("bad", 1, false, nil))
	wantCode(t, c.Exec("SELECT bad(1)"), ResultError)
	wantCode(t, c.CreateFunction("x", 99999, false, func([]Value) (any, error) { return nil, nil }), ResultMisuse)
	mustExec(t, c, "DROP INDEX i") // the integrity check does not know the function
}
