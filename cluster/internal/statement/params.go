package statement

import (
	"database/sql/driver"
	"fmt"
	"strconv"
	"strings"
)

// maxParams is SQLite's own limit, as rqlite compiles it.
const maxParams = 32766

// params numbers the parameters as SQLite does: "?" is one more than the largest so far, "?N"
// is N, and a name has one number wherever it stands.
func params(sql string, all []token, base int) []param {
	var out []param
	names := map[string]int{}
	largest := 0
	for _, t := range all {
		if t.kind != variable {
			continue
		}
		p := param{start: t.start - base, end: t.end - base, name: sql[t.start:t.end]}
		switch n, known := names[p.name]; {
		case p.name == "?":
			p.index = largest + 1
		case p.name[0] == '?':
			p.index, _ = strconv.Atoi(p.name[1:])
			if p.index < 1 {
				p.index = maxParams + 1
			}
		case known:
			p.index = n
		default:
			p.index = largest + 1
			names[p.name] = p.index
		}
		largest = max(largest, p.index)
		out = append(out, p)
	}
	return out
}

// Bind gives every parameter its value, in the order of their numbers, as the drivers on a file
// do: values beyond the last parameter are ignored, a missing one is ErrInvalid. The server
// itself would take NULL for it.
func (s *Statement) Bind(args []driver.NamedValue) ([]driver.Value, error) {
	n := 0
	for _, p := range s.params {
		n = max(n, p.index)
	}
	if n == 0 {
		return nil, nil
	}
	values := make([]driver.Value, n)
	for _, p := range s.params {
		v, err := argument(p, args)
		if err != nil {
			return nil, err
		}
		values[p.index-1] = v
	}
	return values, nil
}

func argument(p param, args []driver.NamedValue) (driver.Value, error) {
	if p.name[0] == '?' {
		if p.index <= len(args) {
			return args[p.index-1].Value, nil
		}
		return nil, refuse(ErrInvalid, "missing argument with index %d (%d given)", p.index, len(args))
	}
	name := p.name[1:]
	for i := range args {
		if args[i].Name == name {
			return args[i].Value, nil
		}
	}
	if k, err := strconv.Atoi(name); err == nil && p.name[0] == '$' && k >= 1 && k <= len(args) {
		return args[k-1].Value, nil // "$1", as PostgreSQL's clients write it
	}
	return nil, refuse(ErrInvalid, "missing named argument %q", name)
}

// Variables is how many parameters stand in the statement, a repeated one once for each place.
func (s *Statement) Variables() int { return len(s.params) }

// Cast returns the text with the parameters of these numbers put into CAST(... AS TEXT). It is
// how a text is sent that the server would take for something else.
func (s *Statement) Cast(numbers map[int]bool) string {
	if len(numbers) == 0 {
		return s.SQL
	}
	var b strings.Builder
	from := 0
	for _, p := range s.params {
		if !numbers[p.index] {
			continue
		}
		b.WriteString(s.SQL[from:p.start])
		fmt.Fprintf(&b, "CAST(%s AS TEXT)", s.SQL[p.start:p.end])
		from = p.end
	}
	b.WriteString(s.SQL[from:])
	return b.String()
}
