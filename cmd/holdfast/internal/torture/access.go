package torture

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast"
)

func linksAndModes() Scenario {
	return Scenario{
		Name: "links-and-modes",
		About: "a database that has got a second name is opened by nobody, and one whose permissions are taken away under load " +
			"loses nothing and is used again when they are back",
		Tier:  Quick,
		Needs: []Need{Signals, boundByModes},
		Run:   runLinksAndModes,
	}
}

// bindRoot is the command that makes permissions count for the superuser too.
var bindRoot = []string{"setpriv", "--bounding-set=-dac_override,-dac_read_search"}

// boundByModes needs a process that can't read what has no permission to be read.
func boundByModes(ctx context.Context) string {
	if os.Geteuid() != 0 {
		return ""
	}
	if exec.CommandContext(ctx, bindRoot[0], append(bindRoot[1:], "true")...).Run() != nil {
		return "needs a user whom permissions bind, or setpriv from util-linux"
	}
	return ""
}

func runLinksAndModes(ctx context.Context, t *Trial) error {
	for n := range t.Rounds(1, 10, 100) {
		a := &accessing{generation: generation{
			t: t, path: filepath.Join(t.Dir, fmt.Sprintf("%d.db", n)), seed: t.Rand.Uint64(), synchronous: "FULL",
		}}
		if os.Geteuid() == 0 {
			a.prefix = bindRoot
		}
		if err := a.run(ctx); err != nil {
			return err
		}
	}
	return nil
}

// accessing is a database that is looked at in ways that are not its own.
type accessing struct {
	generation
	prefix []string // of every child
}

func (a *accessing) run(ctx context.Context) error {
	if err := create(ctx, a.path); err != nil {
		return err
	}
	for p := range 2 {
		s := &slot{g: &a.generation, hit: make(chan struct{}, 1), prefix: a.prefix, config: writeConfig{
			Path: a.path, Seed: a.seed, FirstWriter: p * maxGoroutines, Goroutines: 4, Readers: 0, Sabotage: a.t.Sabotage, Budget: 2 * time.Second,
		}}
		a.slots = append(a.slots, s)
		opened := "open"
		s.want.Store(&opened)
		if err := s.start(ctx); err != nil {
			return err
		}
		select { // one that opens later finds two names, and is refused
		case <-s.hit:
		case <-s.child.Done():
			return errors.Join(errors.New("a process ended early"), s.child.Kill())
		}
		s.want.Store(nil)
	}
	if err := errors.Join(a.secondName(ctx), a.noPermission(ctx), a.progress(ctx)); err != nil {
		return err
	}
	err := errors.Join(a.every((*slot).kill), a.failure())
	// While nobody may open the file, writes may fail, if they say so.
	a.t.Count("writes_refused", int64(len(a.ledger.Said)))
	a.ledger.Said = nil
	return errors.Join(err, a.t.verify(ctx, &a.ledger, a.seed, a.path, false))
}

// progress waits until something more was acknowledged.
func (a *accessing) progress(ctx context.Context) error {
	limited, cancel := context.WithTimeoutCause(ctx, 10*time.Second, errors.New("no write was acknowledged for 10 s, although nothing is in the way"))
	defer cancel()
	for before := a.ledger.Acked(); a.ledger.Acked() < before+10; {
		if err := sleep(limited, time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// opens has another process open the database by a name, and says how that went:
// "opened", "refused" or "failed", and the error.
func (a *accessing) opens(ctx context.Context, path string) (how, why string, err error) {
	child, err := a.t.ChildUnder(ctx, a.prefix, "try-open", writeConfig{Path: path}, nil)
	if err != nil {
		return "", "", err
	}
	l, err := child.Next(ctx)
	if err != nil {
		return "", "", err
	}
	how, why, _ = strings.Cut(l.Text, " ")
	return how, why, child.Finish(ctx)
}

// secondName gives the file a hard link.
func (a *accessing) secondName(ctx context.Context) error {
	if err := a.progress(ctx); err != nil {
		return err
	}
	other := a.path + ".link"
	if err := os.Link(a.path, other); err != nil {
		return err
	}
	for _, name := range []string{a.path, other} {
		how, why, err := a.opens(ctx, name)
		if err != nil {
			return err
		}
		if how != "refused" {
			return fmt.Errorf("a database with two names was to be refused, and opening %s %s: %s", name, how, why)
		}
		a.t.Count("links_refused", 1)
	}
	if err := os.Remove(other); err != nil {
		return err
	}
	if how, why, err := a.opens(ctx, a.path); err != nil || how != "opened" {
		return errors.Join(err, fmt.Errorf("the second name is gone, and opening the database %s: %s", how, why))
	}
	return nil
}

// noPermission takes the permissions away and gives them back.
func (a *accessing) noPermission(ctx context.Context) error {
	for _, mode := range []os.FileMode{0o400, 0} {
		if err := os.Chmod(a.path, mode); err != nil {
			return err
		}
		how, why, err := a.opens(ctx, a.path)
		if err == nil && how == "opened" {
			err = fmt.Errorf("a database of mode %04o was opened for writing", mode)
		}
		if err == nil && why == "" {
			err = fmt.Errorf("a database of mode %04o could not be opened, and nothing says why", mode)
		}
		err = errors.Join(err, sleep(ctx, time.Duration(a.t.Rand.IntN(200))*time.Millisecond))
		if err := errors.Join(err, os.Chmod(a.path, 0o600)); err != nil {
			return err
		}
		if how, why, err := a.opens(ctx, a.path); err != nil || how != "opened" {
			return errors.Join(err, fmt.Errorf("the permissions are back, and opening the database %s: %s", how, why))
		}
		a.t.Count("modes_changed", 1)
	}
	return nil
}

// tryOpenRole opens the database and tells how that went.
func tryOpenRole(ctx context.Context, p *Parent, config json.RawMessage) error {
	var c writeConfig
	if err := json.Unmarshal(config, &c); err != nil {
		return err
	}
	db, err := c.open(ctx)
	switch {
	case err == nil:
		return errors.Join(p.Tell("opened"), db.Close())
	case errors.Is(err, holdfast.ErrRefused):
		return p.Tell("refused %s", err)
	}
	return p.Tell("failed %s", err)
}
