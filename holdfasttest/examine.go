package holdfasttest

import (
	"fmt"

	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// Examine opens the database at path with SQLite alone, as a program without
// Holdfast would, which recovers it after a crash; proves it by integrity_check;
// and returns the first column of the first row of each query as text, "" if
// there is none. Nothing is copied from its log. A file that is missing is
// created empty.
func Examine(path string, queries ...string) (answers []string, err error) {
	c, err := sqlite.Open(path, sqlite.OpenReadWrite|sqlite.OpenCreate)
	if err != nil {
		return nil, fmt.Errorf("holdfasttest: %s can't be opened: %w", path, err)
	}
	defer func() {
		if e := c.Close(); err == nil && e != nil {
			err = fmt.Errorf("holdfasttest: %s can't be closed: %w", path, e)
		}
	}()
	if _, err := c.DBConfig(sqlite.DBConfigNoCkptOnClose, true); err != nil {
		return nil, fmt.Errorf("holdfasttest: %w", err)
	}
	verdict, err := c.QueryText("PRAGMA integrity_check")
	switch {
	case err != nil:
		return nil, fmt.Errorf("holdfasttest: integrity_check of %s: %w", path, err)
	case verdict != "ok":
		return nil, fmt.Errorf("holdfasttest: integrity_check of %s: %s", path, verdict)
	}
	for _, q := range queries {
		answer, err := c.QueryText(q)
		if err != nil {
			return nil, fmt.Errorf("holdfasttest: %s: %w", q, err)
		}
		answers = append(answers, answer)
	}
	return answers, nil
}
