package planner

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/holdfastdb/holdfast/internal/maintain/pace"
	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// count returns what a full ANALYZE would write for an index; "" if it is empty.
// Each number is one statement with a snapshot of its own. DISTINCT over the
// leading columns of an index reads it in order, 36 ns a row where ANALYZE takes
// 80, and jumps from key to key where keys have many rows.
func (s *steward) count(ctx context.Context, c *sqlite.Conn, i index) (string, error) {
	all := "SELECT count(*) FROM "
	if pace.Of(ctx).Busy() {
		all = "SELECT count(1) FROM " // counts row by row, and so can rest
	}
	total, err := s.number(ctx, c, all+i.from)
	if err != nil || total == 0 {
		return "", err
	}
	stat := strconv.FormatInt(total, 10)
	for n := range i.terms {
		keys, err := s.number(ctx, c, fmt.Sprintf("SELECT count(*) FROM (SELECT DISTINCT %s FROM %s)", strings.Join(i.terms[:n+1], ", "), i.from))
		if err != nil {
			return "", err
		}
		stat += " " + strconv.FormatInt(rowsPerKey(total, keys), 10)
	}
	return stat, nil
}

// rowsPerKey is how SQLite rounds: up, but an index that is nearly unique is
// called unique. Rows may have gone between the two counts.
func rowsPerKey(total, keys int64) int64 {
	n := max((total+keys-1)/max(keys, 1), 1)
	if n == 2 && total*10 <= keys*11 {
		n = 1
	}
	return n
}

// errTooLong is the time that ran out before a statement began.
var errTooLong = errors.New("too long")

// number runs a statement that counts, for ScanTime at most, and longer only if it
// rests.
func (s *steward) number(ctx context.Context, c *sqlite.Conn, sql string) (int64, error) {
	work := pace.Of(ctx).Holding()
	if limit := s.ScanTime; limit > 0 {
		if work.Busy() {
			limit *= pace.Slower
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	if ctx.Err() != nil {
		return 0, errTooLong
	}
	if work != nil {
		c.SetProgressHandler(restingOps, func() bool {
			work.Pause(ctx)
			return false
		})
		defer c.SetProgressHandler(0, nil)
	}
	// count(*) of a whole table asks no progress handler.
	defer c.InterruptAfter(ctx)()
	return c.QueryInt64(sql)
}

// restingOps are instructions between two looks whether to rest: a microsecond of
// them, or 30 of those that jump from key to key and have pages to read.
const restingOps = 20

// handmade tells whether a row of sqlite_stat1 has anything but numbers: ANALYZE
// writes no "unordered", "noskipscan" or "sz=" of its own accord.
func handmade(stat string) bool {
	_, ok := numbers(stat)
	return stat != "" && !ok
}

func numbers(stat string) (list []int64, ok bool) {
	for _, f := range strings.Fields(stat) {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil || n < 0 {
			return nil, false
		}
		list = append(list, n)
	}
	return list, true
}

const (
	farApart = 4   // times; the planner reckons in logarithms, so less seldom turns a plan
	fewRows  = 100 // up to here a wrong number costs nothing

)

// difference says what is wrong with a row of sqlite_stat1, "" if it is near the
// truth.
func difference(before, after string) string {
	is, _ := numbers(before)
	truth, _ := numbers(after)
	switch {
	case before == after:
		return ""
	case len(is) == 0:
		return "there are no statistics"
	case len(truth) == 0 && is[0] > fewRows:
		return fmt.Sprintf("%d rows by the statistics, none in the table", is[0])
	case len(truth) == 0:
		return ""
	case len(is) != len(truth):
		return "the statistics are of another index of this name"
	case far(is[0], truth[0]):
		return fmt.Sprintf("%d rows by the statistics, %d in the table", is[0], truth[0])
	}
	for n := 1; n < len(is); n++ {
		if far(is[n], truth[n]) {
			return fmt.Sprintf("%d rows a key by the statistics, %d in the table", is[n], truth[n])
		}
	}
	return ""
}

func far(a, b int64) bool {
	if a > b {
		a, b = b, a
	}
	return b > fewRows && b/farApart > a
}
