package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/exitcode"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/output"
	"github.com/holdfastdb/holdfast/plan"
	"github.com/spf13/cobra"
)

// measureBudget ends a statement that --run runs, if --timeout doesn't say.
const measureBudget = 30 * time.Second

func (a *app) explainCommand() *cobra.Command {
	var b bindings
	var file string
	var run bool
	cmd := &cobra.Command{
		Use:   "explain DATABASE SQL [ARGUMENT...]",
		Short: "Say in plain words how SQLite runs a statement",
		Long: `Say in plain words how SQLite runs a statement: the tree of EXPLAIN QUERY PLAN, and
under each step one sentence, in English or German, as LC_ALL, LC_MESSAGES or LANG say.
A step that is worth a look has a line that begins with "note" or "warning".

Nothing is run: a DELETE that is explained deletes nothing. SQL "-" is read from standard
input, and --file reads it from a file; of several statements each is explained. Numbers of
rows are those of sqlite_stat1, which "holdfast optimize" keeps true. The plan has neither
triggers nor foreign keys.

Parameters may be left without arguments: SQLite then plans for any value. With the value
it may choose another way, for LIKE or for a rare value as sqlite_stat4 knows it.

--run runs a statement that reads, once, for 30 seconds at most unless --timeout says
otherwise, throws its rows away and prints what SQLite counted. A statement that writes is
refused: it would hold up others, and its triggers may reach further than a rollback.

The database is opened for reading only; nothing is written to it.

` + bindingsHelp,
		Example: `  holdfast explain app.db "SELECT * FROM orders WHERE status = ? ORDER BY day"
  holdfast explain app.db "SELECT * FROM orders WHERE id = ?" 42 --run
  holdfast explain app.db --file report.sql -o md
  holdfast explain app.db - --json < slow.sql | jq '.statements[].steps'`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var text string
			var err error
			rest := args[1:]
			switch {
			case file != "":
				text, err = readFile(file)
			case len(rest) == 0:
				return exitcode.Usagef("explain needs a statement, or --file")
			default:
				text, err = a.sqlText(rest[0])
				rest = rest[1:]
			}
			if err != nil {
				return err
			}
			return a.explain(cmd.Context(), args[0], text, b.values(rest), run)
		},
	}
	b.flags(cmd)
	cmd.Flags().StringVarP(&file, "file", "f", "", "read the SQL from this `file`")
	cmd.Flags().BoolVar(&run, "run", false, "run statements that read, once, and print what was counted")
	return cmd
}

// readFile runs before the database is opened, like readBatch.
func readFile(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", fmt.Errorf("read the SQL: %w", err)
	}
	defer f.Close()
	text, err := readAll(f)
	return string(text), err
}

// explainAnswer is what explain --json prints.
type explainAnswer struct {
	Schema     string               `json:"schema"`
	Statements []explainedStatement `json:"statements"`
}

type explainedStatement struct {
	holdfast.Explanation
	Steps    []explainedStep       `json:"steps"` // instead of those of the plan
	Measured *holdfast.Measurement `json:"measured"`
}

type explainedStep struct {
	*plan.Step
	Sentence  string          `json:"sentence"`
	Attention plan.Attention  `json:"attention"`
	Remark    string          `json:"remark,omitempty"`
	Steps     []explainedStep `json:"steps,omitempty"`
}

func explainedSteps(steps []*plan.Step, l plan.Language) []explainedStep {
	list := make([]explainedStep, 0, len(steps))
	for _, s := range steps {
		e := explainedStep{Step: s, Sentence: s.Sentence(l), Steps: explainedSteps(s.Steps, l)}
		e.Attention, e.Remark = s.Remark(l)
		list = append(list, e)
	}
	return list
}

func (a *app) explain(ctx context.Context, path, text string, args []any, run bool) error {
	statements := split(text)
	switch {
	case len(statements) == 0:
		return errEmpty
	case len(statements) > 1 && len(args) > 0:
		return exitcode.Usagef("arguments belong to a single statement, and these are %d", len(statements))
	}
	if run && a.timeout == 0 {
		a.timeout = measureBudget
	}
	ctx, cancel := a.within(ctx)
	defer cancel()
	p, err := a.openPatient(ctx, path, false)
	if p == nil {
		return err
	}
	defer p.close()
	if err != nil {
		return readingHints(path, err)
	}
	language := plan.LanguageOf(language(os.Getenv))
	var answer *explainAnswer
	err = p.examine(ctx, func(db *holdfast.DB) (err error) {
		answer, err = explainAll(ctx, db, statements, args, run, language)
		return err
	})
	if e := a.printExplained(answer, language); e != nil {
		return e
	}
	return err
}

// explainAll returns what it has with an error: a statement that took too long has
// been counted until then.
func explainAll(ctx context.Context, db *holdfast.DB, statements []string, args []any, run bool, l plan.Language) (*explainAnswer, error) {
	answer := &explainAnswer{Schema: "holdfast.explain/v1"}
	for _, text := range statements {
		x, err := db.Explain(ctx, text, args...)
		if err != nil {
			return answer, err
		}
		if n := len(args); n > x.Parameters {
			return answer, exitcode.Usagef("the statement takes %s, but %d %s given; check the parameters in the SQL text",
				count(x.Parameters, "argument"), n, plural(n, "was", "were"))
		}
		answer.Statements = append(answer.Statements, explainedStatement{Explanation: x, Steps: explainedSteps(x.Plan.Steps, l)})
		if !run {
			continue
		}
		m, err := db.Measure(ctx, text, args...)
		if errors.Is(err, holdfast.ErrRefused) {
			return answer, exitcode.Usagef("--run only runs statements that read; without it this one is explained and not run")
		}
		answer.Statements[len(answer.Statements)-1].Measured = &m
		if err != nil {
			return answer, err
		}
	}
	return answer, nil
}

func (a *app) printExplained(answer *explainAnswer, l plan.Language) error {
	if answer == nil || len(answer.Statements) == 0 {
		return nil
	}
	if a.format != output.Table {
		return a.printer().Document(answer, a.explainGrid(answer, l))
	}
	var b strings.Builder
	for n := range answer.Statements {
		if n > 0 {
			b.WriteByte('\n')
		}
		a.drawExplained(&b, &answer.Statements[n], l)
	}
	if _, err := a.out.WriteString(b.String()); err != nil {
		return &output.WriteError{Err: err}
	}
	return nil
}

// readable is where lines are broken if no terminal says how wide it is.
const readable = 100

func (a *app) drawExplained(b *strings.Builder, s *explainedStatement, l plan.Language) {
	width := a.outWidth
	if width == 0 {
		width = readable
	}
	write := func(indent, text string) {
		for _, line := range fold(output.Visible(text), max(width-utf8.RuneCountInString(indent), 30)) {
			b.WriteString(strings.TrimRight(indent+line, " ") + "\n")
		}
	}
	write("", strings.Join(strings.Fields(s.SQL), " "))
	for _, line := range s.Plan.Lines(a.ascii) {
		b.WriteString(line.Lead + output.Visible(line.Step.Detail) + "\n")
		write(line.Indent, line.Step.Sentence(l))
		if degree, remark := line.Step.Remark(l); degree != plan.None {
			write(line.Indent, degree.In(l)+": "+remark)
		}
	}
	for _, text := range s.notes(l) {
		write("", text)
	}
}

// notes are what has to be said of a statement beside its steps.
func (s *explainedStatement) notes(l plan.Language) (list []string) {
	say := func(en, de string, args ...any) {
		if l == plan.German {
			en = de
		}
		list = append(list, fmt.Sprintf(en, args...))
	}
	if text := s.Plan.Sentence(l); text != "" {
		list = append(list, text)
	}
	if !s.ReadOnly {
		say("It does not only read, and was not run; triggers and foreign keys are not in the plan.",
			"Sie liest nicht nur und wurde nicht ausgeführt; Trigger und Fremdschlüssel stehen nicht im Plan.")
	}
	if s.Unbound > 0 {
		say("Parameters without a value: %d. With their values SQLite may choose another way.",
			"Parameter ohne Wert: %d. Mit ihren Werten wählt SQLite vielleicht einen anderen Weg.", s.Unbound)
	}
	if m := s.Measured; m != nil {
		if !m.Complete {
			say("Not run to its end; until then:", "Nicht zu Ende gelaufen; bis dahin:")
		}
		say("Counted: rows %d, instructions %d, steps of full scans %d, sorts %d, rows in automatic indexes %d, pages from the cache %d, pages read %d, time %s.",
			"Gezählt: Zeilen %d, Instruktionen %d, Schritte in vollen Durchläufen %d, Sortierungen %d, Zeilen in automatischen Indizes %d, Seiten aus dem Cache %d, Seiten gelesen %d, Zeit %s.",
			m.Rows, m.Steps, m.FullScanSteps, m.Sorts, m.AutoIndexRows, m.PagesHit, m.PagesRead, time.Duration(m.Seconds*float64(time.Second)).Round(time.Microsecond))
		if n := m.FilterSkipped + m.FilterPassed; n > 0 {
			say("A Bloom filter spared %d of %d look-ups.", "Ein Bloom-Filter sparte %d von %d Suchen.", m.FilterSkipped, n)
		}
	}
	return list
}

// fold breaks text between words.
func fold(text string, width int) (lines []string) {
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}

func (a *app) explainGrid(answer *explainAnswer, l plan.Language) *output.Result {
	var rows [][]any
	for n := range answer.Statements {
		s := &answer.Statements[n]
		rows = append(rows, []any{n + 1, strings.Join(strings.Fields(s.SQL), " "), strings.Join(s.notes(l), " "), "", ""})
		for _, line := range s.Plan.Lines(a.ascii) {
			degree, remark := line.Step.Remark(l)
			rows = append(rows, []any{n + 1, line.Lead + line.Step.Detail, line.Step.Sentence(l), degree.In(l), remark})
		}
	}
	return output.Grid(rows, "statement", "step", "what it does", "attention", "remark")
}
