package alerts

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/internal/dbfile"
	"github.com/holdfastdb/holdfast/internal/locks/table"
)

// Silence keeps alerts from being told for a while. They are looked at all the same.
type Silence struct {
	ID       string    `json:"id"`       // given by Engine.Silence
	Rule     string    `json:"rule"`     // "" is every rule
	Database string    `json:"database"` // "" is every database
	Reason   string    `json:"reason"`
	By       string    `json:"by"` // who wants it
	From     time.Time `json:"from"`
	Until    time.Time `json:"until"`
}

// silences are those that have not ended, in a file if it has a path.
type silences struct {
	path string
	list []Silence
}

// mostSilences bounds them, and mostFile their file.
const (
	mostSilences = 1000
	mostFile     = 1 << 20
)

// loadSilences reads a file, which need not be there. If it is damaged it is kept aside and
// there are none: damage says so. What is no such file at all is an error.
func loadSilences(path string) (s silences, damage, err error) {
	s = silences{path: path}
	if path == "" {
		return s, nil, nil
	}
	wrong := func(why string) error {
		return &holdfast.ConfigError{Key: "alerts.silences_file", Problem: "alerts.silences_file: " + why}
	}
	if !strings.HasSuffix(path, ".json") { // so that it can't be a database
		return s, nil, wrong("its name must end with .json")
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return s, nil, nil
	case err == nil && !info.Mode().IsRegular():
		return s, nil, wrong("it is no file")
	case err == nil && table.Own(path):
		return s, nil, wrong("this process has it open as a database")
	case err == nil && info.Size() > mostFile:
		err = errors.New("it is larger than 1 MiB")
	}
	if err == nil {
		var text []byte
		if text, err = os.ReadFile(path); err == nil {
			err = json.Unmarshal(text, &s.list)
		}
	}
	if err != nil {
		s.list = nil
		return s, s.keepAside(err), nil
	}
	return s, nil, nil
}

// keepAside moves a file that can't be read out of the way, so that the next change does
// not overwrite what somebody may want to mend.
func (s *silences) keepAside(why error) error {
	aside := s.path + ".damaged"
	if err := os.Rename(s.path, aside); err != nil {
		s.path = "" // it is not overwritten
		return fmt.Errorf("the silences can't be read (%w), nor the file be moved away (%w): there are none, and new ones end with the process", why, err)
	}
	return fmt.Errorf("the silences can't be read (%w): there are none; the file is kept as %s", why, aside)
}

// save writes them beside, and puts them in place when they are on the disk.
func (s *silences) save() error {
	if s.path == "" {
		return nil
	}
	text, err := json.MarshalIndent(s.list, "", "  ")
	if err != nil {
		return err
	}
	if len(text) >= mostFile { // the next start would refuse it
		return errors.New("the silences are too many, or their reasons too long, for their file: it has room for 1 MiB")
	}
	dir := filepath.Dir(s.path)
	part := filepath.Join(dir, "."+filepath.Base(s.path)+".part")
	if err = writeThrough(part, append(text, '\n')); err == nil {
		if err = os.Rename(part, s.path); err == nil {
			err = dbfile.SyncDir(dir)
		}
	}
	if err != nil {
		return fmt.Errorf("write the silences: %w", err)
	}
	return nil
}

// writeThrough writes a file, and waits for the disk: a name may be on it before what it names.
// What lies there, a killed process's or a link that somebody made, is not opened: the file is new.
func writeThrough(path string, text []byte) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// match is the ID of a silence that an alert falls under, or "".
func (s *silences) match(a *Alert, now time.Time) string {
	for _, q := range s.list {
		if (q.Rule == "" || q.Rule == a.Rule) && (q.Database == "" || q.Database == a.Database) && !now.Before(q.From) && now.Before(q.Until) {
			return q.ID
		}
	}
	return ""
}

// Silence begins a silence. It needs a reason and an end; without a beginning it begins
// now. What fires when it ends is told then.
func (e *Engine) Silence(s Silence) (Silence, error) {
	now := time.Now()
	if s.From.IsZero() {
		s.From = now
	}
	switch {
	case strings.TrimSpace(s.Reason) == "":
		return s, errors.New("a silence needs a reason: whoever finds it wants to know")
	case !s.Until.After(now) || !s.Until.After(s.From):
		return s, errors.New("a silence needs an end that is yet to come")
	case s.From.UTC().Year() < 0 || s.Until.UTC().Year() > 9999: // JSON has no such time, so nobody could list it
		return s, errors.New("a silence needs times in the years 0 to 9999")
	case s.Rule != "" && !slices.ContainsFunc(rules, func(r rule) bool { return r.id == s.Rule }):
		return s, fmt.Errorf("there is no rule %q: holdfast alerts rules lists them", s.Rule)
	}
	s.ID = strings.ToLower(rand.Text()[:12])
	s.From, s.Until = s.From.UTC(), s.Until.UTC()
	e.mu.Lock()
	defer e.mu.Unlock()
	return s, e.changeSilences(func(list []Silence) ([]Silence, error) {
		list = slices.DeleteFunc(list, func(q Silence) bool { return !q.Until.After(now) })
		if len(list) >= mostSilences {
			return nil, fmt.Errorf("there are %d silences already", len(list))
		}
		return append(list, s), nil
	})
}

// Unsilence ends a silence.
func (e *Engine) Unsilence(id string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.changeSilences(func(list []Silence) ([]Silence, error) {
		i := slices.IndexFunc(list, func(q Silence) bool { return q.ID == id })
		if i < 0 {
			return nil, ErrNoSilence
		}
		return slices.Delete(list, i, i+1), nil
	})
}

// ErrNoSilence: there is none with this ID.
var ErrNoSilence = errors.New("no such silence")

// changeSilences changes nothing if it can't be saved.
func (e *Engine) changeSilences(change func([]Silence) ([]Silence, error)) error {
	was := e.silences.list
	list, err := change(slices.Clone(was))
	if err != nil {
		return err
	}
	e.silences.list = list
	if err := e.silences.save(); err != nil {
		e.silences.list = was
		return err
	}
	return nil
}

// Silences returns those that have not ended, the next to end first.
func (e *Engine) Silences() []Silence {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	list := slices.DeleteFunc(append([]Silence{}, e.silences.list...), func(q Silence) bool { return !q.Until.After(now) })
	slices.SortFunc(list, func(a, b Silence) int { return a.Until.Compare(b.Until) })
	return list
}
