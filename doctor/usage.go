package doctor

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfastdb/holdfast/internal/control"
	"github.com/holdfastdb/holdfast/internal/stats"
)

// useless looks for indexes all of whose rows have the same key, by the
// statistics that ANALYZE has left. A key without rows is found by them at once,
// which is what a foreign key needs.
func (q *asked) useless(int64) error {
	have, err := q.number("SELECT count(*) FROM main.sqlite_schema WHERE name = 'sqlite_stat1'")
	if err != nil || have == 0 {
		return err
	}
	stats := map[string]string{}
	err = q.rows("SELECT idx, stat FROM main.sqlite_stat1 WHERE idx IS NOT NULL", func(row []string) bool {
		stats[row[0]] = row[1]
		return true
	})
	if err != nil {
		return err
	}
	return q.droppable(func(table string, i index) {
		total, equal, ok := selectivity(stats[i.name], len(i.terms))
		if ok && total >= enoughRows && equal >= total-total/10 {
			q.e.found("index-one-key", Info, i.name, table, equal, total, quote("DROP INDEX "+identifier(i.name)))
		}
	})
}

// selectivity reads a row of sqlite_stat1: how many rows an index has, and how
// many of them have the same key on average.
func selectivity(stat string, columns int) (total, equal int64, ok bool) {
	f := strings.Fields(stat)
	if columns == 0 || len(f) <= columns {
		return 0, 0, false
	}
	total, err1 := strconv.ParseInt(f[0], 10, 64)
	equal, err2 := strconv.ParseInt(f[columns], 10, 64)
	return total, equal, err1 == nil && err2 == nil
}

// droppable calls each with the indexes that are nothing but a way to rows: made
// by CREATE INDEX, over whole tables, by columns, neither a rule nor the way from
// a parent to its children.
func (q *asked) droppable(each func(table string, i index)) error {
	tables, err := q.tables("SELECT DISTINCT tbl_name FROM main.sqlite_schema WHERE type = 'index' ORDER BY 1")
	if err != nil {
		return err
	}
	for _, table := range tables {
		list, err := q.indexesOf(table)
		if err != nil {
			return err
		}
		keys := map[string][]string{}
		err = q.rows("SELECT id, \"from\" FROM pragma_foreign_key_list(?) ORDER BY id, seq", func(row []string) bool {
			keys[row[0]] = append(keys[row[0]], row[1])
			return true
		}, table)
		if err != nil {
			return err
		}
		for _, i := range list {
			serves := func(id string) bool { return i.begins(keys[id]) }
			if i.origin == "c" && !i.unique && !i.partial && i.plain && !slices.ContainsFunc(sorted(keys), serves) {
				each(table, i)
			}
		}
	}
	return nil
}

// ran is what one process has told of its statements.
type ran struct {
	who   string
	texts []string // without literals
}

// knownStatements is where a process stops to note statements: a list of so many
// may lack some.
const knownStatements = 1000

// told asks the processes that run Holdfast on a database.
func told(ctx context.Context, path string) []ran {
	answers, _ := control.Ask(ctx, path, control.RequestStatements)
	var all []ran
	for _, a := range answers {
		if a.Error != "" {
			continue
		}
		r := ran{who: fmt.Sprintf("%s (pid %d)", a.Program, a.PID)}
		for _, s := range a.Statements {
			r.texts = append(r.texts, s.Text)
		}
		all = append(all, r)
	}
	return all
}

// unused looks for indexes that no plan of a statement has that was run since the
// processes began. It says nothing if it can't know: literals are gone from the
// statements, and with them what makes SQLite take an index for LIKE, and columns
// in double quotes, which might be literals; the statements of triggers are in no
// plan; and a list may be full.
func (q *asked) unused(processes []ran) error {
	var texts, who []string
	for _, p := range processes {
		if len(p.texts) == 0 {
			continue
		}
		if len(p.texts) >= knownStatements {
			return nil
		}
		texts, who = append(texts, p.texts...), append(who, p.who)
	}
	slices.Sort(texts)
	texts = slices.Compact(texts)
	if len(texts) == 0 {
		return nil
	}
	var plans, hidden []string
	err := q.rows("SELECT sql FROM main.sqlite_schema WHERE type = 'trigger'", func(row []string) bool {
		hidden = append(hidden, strings.ToLower(row[0]))
		return true
	})
	if err != nil {
		return err
	}
	for _, text := range texts {
		lower := strings.ToLower(text)
		if strings.Contains(lower, "like") || strings.Contains(lower, "glob") {
			hidden = append(hidden, lower)
		}
		if !mayRead(lower) {
			continue
		}
		if strings.Contains(text, stats.Hidden) { // it can be planned, as a string
			q.e.blind("unplanned", text)
			return nil
		}
		err := q.rows("EXPLAIN QUERY PLAN "+text, func(row []string) bool {
			plans = append(plans, row[3]+" ")
			return true
		})
		if err != nil {
			q.e.blind("unplanned", text)
			return nil
		}
	}
	return q.droppable(func(table string, i index) {
		names := func(text string) bool { return mentions(text, strings.ToLower(table)) }
		uses := func(plan string) bool { return strings.Contains(plan, "INDEX "+i.name+" ") }
		if !slices.ContainsFunc(hidden, names) && !slices.ContainsFunc(plans, uses) {
			q.e.found("index-unused", Info, i.name, table, len(texts), strings.Join(who, ", "), quote("DROP INDEX "+identifier(i.name)))
		}
	})
}

// mentions tells whether a name is a word of a text.
func mentions(text, name string) bool {
	inWord := func(c byte) bool {
		return c == '_' || c >= 0x80 || c >= '0' && c <= '9' || c >= 'a' && c <= 'z'
	}
	for rest := text; ; {
		_, after, found := strings.Cut(rest, name)
		if !found {
			return false
		}
		start := len(text) - len(after) - len(name)
		if (start == 0 || !inWord(text[start-1])) && (after == "" || !inWord(after[0])) {
			return true
		}
		rest = after
	}
}

// mayRead tells whether a statement can have use for an index. INSERT of values
// has none; its list of values is cut short, so it may not be SQL any more.
func mayRead(lower string) bool {
	word, _, _ := strings.Cut(lower, " ")
	switch word {
	case "select", "with", "update", "delete":
		return true
	case "insert", "replace":
		return strings.Contains(lower, "select")
	}
	return false
}
