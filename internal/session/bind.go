package session

import (
	"database/sql/driver"
	"fmt"
	"strconv"
	"time"

	"github.com/holdfastdb/holdfast/internal/sqlite"
)

// ArgumentError says that the arguments don't fit the statement.
type ArgumentError struct{ Reason string }

func (e *ArgumentError) Error() string { return e.Reason }

// timeFormat keeps nanoseconds and the zone, sorts within one zone, and is
// read by SQLite's own date functions; see https://www.sqlite.org/lang_datefunc.html.
const timeFormat = "2006-01-02 15:04:05.999999999-07:00"

// bind sets every parameter of s. Arguments beyond the last parameter are
// ignored, as the stock drivers do; a missing one is an error.
func bind(s *sqlite.Stmt, args []driver.NamedValue) error {
	n := s.BindParamCount()
	for i := 1; i <= n; i++ {
		a, err := argument(s.BindParamName(i), i, args)
		if err != nil {
			return err
		}
		if err := bindValue(s, i, a); err != nil {
			return err
		}
	}
	return nil
}

func argument(name string, i int, args []driver.NamedValue) (driver.Value, error) {
	if name == "" || name[0] == '?' {
		ord := i
		if len(name) > 1 {
			if k, err := strconv.Atoi(name[1:]); err == nil {
				ord = k
			}
		}
		if ord <= len(args) {
			return args[ord-1].Value, nil
		}
		return nil, &ArgumentError{fmt.Sprintf("missing argument with index %d (%d given)", ord, len(args))}
	}
	for j := range args {
		if args[j].Name == name[1:] {
			return args[j].Value, nil
		}
	}
	if k, err := strconv.Atoi(name[1:]); err == nil && name[0] == '$' && k >= 1 && k <= len(args) {
		return args[k-1].Value, nil // "$1", as PostgreSQL's clients write it
	}
	return nil, &ArgumentError{fmt.Sprintf("missing named argument %q", name[1:])}
}

func bindValue(s *sqlite.Stmt, i int, v driver.Value) error {
	switch x := v.(type) {
	case nil:
		return s.BindNull(i)
	case int64:
		return s.BindInt64(i, x)
	case float64:
		return s.BindFloat(i, x)
	case bool:
		if x {
			return s.BindInt64(i, 1)
		}
		return s.BindInt64(i, 0)
	case string:
		return s.BindText(i, x)
	case []byte:
		return s.BindBlob(i, x)
	case time.Time:
		return s.BindText(i, FormatTime(x))
	}
	return &ArgumentError{fmt.Sprintf("argument %d has type %T, which SQLite can't store", i, v)}
}
