package sqlite

import "testing"

func BenchmarkPrepareCached(b *testing.B) {
	c, err := Open(":memory:", OpenReadWrite)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	b.ReportAllocs()
	for b.Loop() {
		s, _, err := c.PrepareCached("SELECT ?, ?")
		if err != nil {
			b.Fatal(err)
		}
		_ = s.Release()
	}
}

func BenchmarkBindStepColumn(b *testing.B) {
	c, err := Open(":memory:", OpenReadWrite)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	b.ReportAllocs()
	for b.Loop() {
		s, _, _ := c.PrepareCached("SELECT ?, ?, ?")
		_ = s.BindInt64(1, 42)
		_ = s.BindText(2, "some text of usual length")
		_ = s.BindFloat(3, 0.5)
		if _, err := s.Step(); err != nil {
			b.Fatal(err)
		}
		_, _, _ = s.ColumnInt64(0), s.ColumnText(1), s.ColumnFloat(2)
		_ = s.Release()
	}
}

// BenchmarkScan reads rows of an integer and a text; one operation is one row.
func BenchmarkScan(b *testing.B) {
	c, err := Open(":memory:", OpenReadWrite)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	if err := c.Exec("CREATE TABLE t(a, b);" + rows(10000)); err != nil {
		b.Fatal(err)
	}
	s, _, err := c.PrepareCached("SELECT a, b FROM t")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		row, err := s.Step()
		if err != nil {
			b.Fatal(err)
		}
		if row {
			for i := range 2 {
				switch s.ColumnType(i) {
				case TypeInteger:
					_ = s.ColumnInt64(i)
				case TypeText:
					_ = s.ColumnText(i)
				}
			}
		}
	}
}
