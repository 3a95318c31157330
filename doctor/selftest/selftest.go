package selftest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/holdfastdb/holdfast/doctor"
	"github.com/holdfastdb/holdfast/internal/control"
	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// Result is the examination of one database.
type Result struct {
	Name    string   `json:"name"`
	Sick    bool     `json:"sick"`
	Want    string   `json:"want,omitempty"` // the finding's id, for a sick one
	Found   []string `json:"found"`          // ids of warnings and worse
	OK      bool     `json:"ok"`
	Skipped string   `json:"skipped,omitempty"` // why this system can't make it
}

// errSkip is the reason why a case can't be made here.
type errSkip string

func (e errSkip) Error() string { return string(e) }

// Run makes each database below dir and examines it. hold returns the command
// of a process that calls [Hold] with the path; nil leaves out the databases
// that need one.
func Run(ctx context.Context, dir string, hold func(ctx context.Context, path string) *exec.Cmd) ([]Result, error) {
	var results []Result
	for _, list := range [][]patient{sick, healthy} {
		for _, p := range list {
			l := &lab{ctx: ctx, dir: filepath.Join(dir, p.name), hold: hold}
			r, err := l.examine(p)
			if err != nil {
				return results, fmt.Errorf("%s: %w", p.name, err)
			}
			results = append(results, r)
		}
	}
	return results, nil
}

// Hold opens the database at path, runs the first line of in on it, says "ready",
// and keeps what it has until in ends.
func Hold(path string, in io.Reader, out io.Writer) error {
	lines := bufio.NewReader(in)
	sql, err := lines.ReadString('\n')
	if err != nil {
		return err
	}
	c, err := sqlite.Open(path, sqlite.OpenReadWrite)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Exec(sql); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(out, "ready"); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, lines)
	return err
}

// patient is one prepared database.
type patient struct {
	name string
	want string // id, "" for a healthy one
	not  string // a hint that a healthy one must not get
	make func(*lab) string
	opts doctor.Options
}

// lab makes one database. Its functions panic with *failure, which examine
// returns: a recipe then reads as what it does.
type lab struct {
	ctx   context.Context
	dir   string
	hold  func(ctx context.Context, path string) *exec.Cmd
	ended []func()
}

type failure struct{ err error }

func must(err error) {
	if err != nil {
		panic(&failure{err})
	}
}

func (l *lab) examine(p patient) (r Result, err error) {
	r = Result{Name: p.name, Sick: p.want != "", Want: p.want, Found: []string{}}
	defer func() {
		for _, end := range slices.Backward(l.ended) {
			end()
		}
		if f, ok := recover().(*failure); ok {
			err = f.err
		}
		if skip, ok := errors.AsType[errSkip](err); ok {
			r.Skipped, r.OK, err = string(skip), true, nil
		}
	}()
	must(os.MkdirAll(l.dir, 0o700))
	p.opts.Open = true
	if p.opts.GoMod != "" {
		p.opts.GoMod = l.write("go.mod", p.opts.GoMod)
	}
	path := p.make(l)
	report, err := doctor.Examine(l.ctx, path, p.opts)
	if err != nil {
		return r, err
	}
	for _, f := range report.Findings {
		if f.Severity > doctor.Info || f.ID == p.want || f.ID == p.not { // other hints fit the healthy too
			r.Found = append(r.Found, f.ID)
		}
	}
	if r.Sick {
		r.OK = slices.Contains(r.Found, p.want)
	} else {
		r.OK = len(r.Found) == 0 && !report.Unknown
	}
	return r, nil
}

func (l *lab) path(name string) string { return filepath.Join(l.dir, name) }

// open opens a database of the lab and runs sql on it.
func (l *lab) open(name, sql string) *sqlite.Conn {
	c, err := sqlite.Open(l.path(name), sqlite.OpenReadWrite|sqlite.OpenCreate)
	must(err)
	l.ended = append(l.ended, func() { _ = c.Close() })
	must(c.Exec(sql))
	return c
}

// made is the path of a database on which sql was run, and which was closed.
func (l *lab) made(name, sql string) string {
	must(l.open(name, sql).Close())
	return l.path(name)
}

// reader starts a process that reads the database until the end of the case.
func (l *lab) reader(name string) {
	in, cmd := l.second(name, "BEGIN; SELECT count(*) FROM sqlite_schema")
	l.ended = append(l.ended, func() { _, _ = in.Close(), cmd.Wait() })
}

// second starts a process that has run sql, a line, and keeps what that holds.
func (l *lab) second(name, sql string) (io.Closer, *exec.Cmd) {
	if l.hold == nil {
		panic(&failure{errSkip("needs a second process")})
	}
	cmd := l.hold(l.ctx, l.path(name))
	in, err := cmd.StdinPipe()
	must(err)
	out, err := cmd.StdoutPipe()
	must(err)
	cmd.Stderr = os.Stderr
	must(cmd.Start())
	_, err = fmt.Fprintln(in, sql)
	must(err)
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		panic(&failure{fmt.Errorf("the second process said %q: %w", line, err)})
	}
	return in, cmd
}

// copied copies files of which this process has no connection.
func (l *lab) copied(pairs ...string) {
	for i := 0; i < len(pairs); i += 2 {
		b, err := os.ReadFile(l.path(pairs[i]))
		must(err)
		must(os.WriteFile(l.path(pairs[i+1]), b, 0o600))
	}
}

func (l *lab) write(name, text string) string {
	must(os.WriteFile(l.path(name), []byte(text), 0o600))
	return l.path(name)
}

// patched overwrites bytes of a file.
func (l *lab) patched(name string, at int64, b []byte) {
	f, err := os.OpenFile(l.path(name), os.O_WRONLY, 0)
	must(err)
	_, err = f.WriteAt(b, at)
	must(errors.Join(err, f.Close()))
}

func (l *lab) size(name string) int64 {
	st, err := os.Stat(l.path(name))
	must(err)
	return st.Size()
}

func (l *lab) cut(name string, size int64)   { must(os.Truncate(l.path(name), size)) }
func (l *lab) chmod(name string, m int)      { must(os.Chmod(l.path(name), os.FileMode(m))) }
func (l *lab) chmodAtEnd(name string, m int) { l.ended = append(l.ended, func() { l.chmod(name, m) }) }

// crashed is a database whose last writer died: sql was run in WAL mode after
// the first statements, and nothing of it is copied back.
func (l *lab) crashed(name, before, after string) string {
	l.made(name, wal+before)
	l.crashedFrom(name, after)
	must(os.Remove(l.path(name + "-shm")))
	return l.path(name)
}

// tells answers for a database as a process would that runs Holdfast and has run
// these statements.
func (l *lab) tells(path string, statements ...string) {
	var list []control.Statement
	for _, text := range statements {
		list = append(list, control.Statement{Text: text})
	}
	s := control.Start(control.Config{
		Path: path, Log: slog.New(slog.DiscardHandler),
		Claim:      func(int) (bool, error) { return true, nil },
		Statements: func(context.Context) (any, error) { return list, nil },
	})
	l.ended = append(l.ended, s.Close)
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); {
		if answers, _ := control.Ask(l.ctx, path, control.RequestStatements); len(answers) > 0 {
			return
		}
		<-time.After(time.Millisecond) // a socket tells nobody that it is there
	}
	panic(&failure{errSkip("no control socket here")})
}
