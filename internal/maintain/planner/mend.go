package planner

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast/internal/sqlite"
	"github.com/holdfastdb/holdfast/internal/stats"
)

const (
	rounds = 3               // of taking back what made a plan worse; then everything is
	settle = 5 * time.Second // for putting back after the context has ended
)

// mend writes the true statistics, compares the plans of the known statements
// under both, and puts back those of tables that got a worse plan.
func (s *steward) mend(ctx context.Context, found []*finding) error {
	if err := s.prepare(ctx); err != nil {
		return err
	}
	texts := s.known(ctx)
	old, err := s.open(ctx) // knows the statistics as they are, from here to its end
	if err != nil {
		return err
	}
	defer old.Close()
	schema, err := old.QueryInt64("PRAGMA schema_version")
	if err != nil {
		return err
	}
	if err := s.apply(ctx, found); err != nil {
		return err
	}
	for _, f := range found {
		f.Outcome = Kept
	}
	left := found
	for n := 0; err == nil && len(left) > 0; n++ {
		var guilty []*finding
		guilty, err = s.compare(ctx, old, texts, left)
		if err == nil {
			err = s.unchanged(old, schema)
		}
		if err != nil || len(guilty) == 0 {
			break
		}
		if n == rounds {
			guilty = left
		}
		err = s.revert(ctx, guilty)
		left = slices.DeleteFunc(slices.Clone(left), func(f *finding) bool { return f.Outcome == Reverted })
	}
	if err != nil { // what could not be compared is not kept
		err = errors.Join(err, s.revert(ctx, left))
	}
	if errors.Is(err, errSchema) {
		for _, f := range left {
			f.Outcome = ""
			s.report.Left = append(s.report.Left, f.Name+": "+errSchema.Error())
		}
		err = nil
	}
	return errors.Join(err, s.tell(ctx))
}

// errSchema is why the plans could not be compared.
var errSchema = errors.New("the schema was changed meanwhile, so the plans could not be compared")

// unchanged tells whether old still knows the old statistics: after a change of the
// schema it has read them anew.
func (s *steward) unchanged(old *sqlite.Conn, schema int64) error {
	now, err := old.QueryInt64("PRAGMA schema_version")
	if err == nil && now != schema {
		err = errSchema
	}
	return err
}

// finish is a context for what has to be done also after ctx has ended.
func finish(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), settle)
}

func (s *steward) revert(ctx context.Context, found []*finding) error {
	ctx, cancel := finish(ctx)
	defer cancel()
	for _, f := range found {
		f.Outcome = Reverted
	}
	return s.putBack(ctx, found)
}

// tell makes all connections read the statistics, also after all were put back:
// somebody may have opened one meanwhile.
func (s *steward) tell(ctx context.Context) error {
	ctx, cancel := finish(ctx)
	defer cancel()
	return s.write(ctx, "ANALYZE sqlite_schema", func(c *sqlite.Conn) error { return c.Exec(tell) })
}

// open opens a connection that has read the schema and the statistics.
func (s *steward) open(ctx context.Context) (*sqlite.Conn, error) {
	c, err := s.Open(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := c.QueryInt64("SELECT 1 FROM sqlite_schema LIMIT 0"); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// known are the statements that have a plan. PRAGMA is not among them: many act
// while they are compiled.
func (s *steward) known(ctx context.Context) []string {
	if s.Statements == nil {
		return nil
	}
	var texts []string
	for _, text := range s.Statements(ctx) {
		l := lexer{sql: text}
		if l.next() && l.kind == word && slices.Contains([]string{"SELECT", "WITH", "UPDATE", "DELETE", "INSERT", "REPLACE"}, strings.ToUpper(l.text)) {
			texts = append(texts, text)
		}
	}
	slices.Sort(texts)
	return slices.Compact(texts)
}

// compare returns the tables because of which a statement got a worse plan.
func (s *steward) compare(ctx context.Context, old *sqlite.Conn, texts []string, found []*finding) (guilty []*finding, err error) {
	now, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	defer now.Close()
	m := meter{old: old, now: now, left: measured}
	s.report.Statements = 0
	for _, f := range found {
		f.Plans = nil
	}
	for _, text := range texts {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		before, err1 := explain(old, text)
		after, err2 := explain(now, text)
		if err1 != nil || err2 != nil {
			continue
		}
		s.report.Statements++
		if slices.Equal(before, after) {
			continue
		}
		if err := s.Pause(ctx); err != nil {
			return nil, err
		}
		p := Plan{Statement: stats.Fingerprint(text), Before: before, After: after}
		m.judge(ctx, text, &p)
		for _, f := range concerned(text, found) {
			f.Plans = append(f.Plans, p)
			if p.Verdict == Worse && !slices.Contains(guilty, f) {
				guilty = append(guilty, f)
			}
		}
	}
	return guilty, ctx.Err()
}

// concerned are the tables that a statement names, or all: it may use a view.
func concerned(text string, found []*finding) (named []*finding) {
	words := namesIn(text)
	for _, f := range found {
		if words[strings.ToLower(f.Name)] {
			named = append(named, f)
		}
	}
	if len(named) == 0 {
		return found
	}
	return named
}

// namesIn are the words of a statement and its quoted names, in lower case.
func namesIn(text string) map[string]bool {
	words := map[string]bool{}
	for l := (lexer{sql: text}); l.next(); {
		if l.kind == word || l.kind == quoted {
			words[strings.ToLower(l.text)] = true
		}
	}
	return words
}

// explain returns the plan of a statement, a line for each step, indented.
func explain(c *sqlite.Conn, text string) (plan []string, err error) {
	depth := map[int64]int{}
	err = rows(c, "EXPLAIN QUERY PLAN "+text, func(s *sqlite.Stmt) {
		d := depth[s.ColumnInt64(1)]
		depth[s.ColumnInt64(0)] = d + 1
		plan = append(plan, strings.Repeat("  ", d)+s.ColumnText(3))
	})
	return plan, err
}
