package stats

import (
	"slices"
	"strings"
	"sync"
)

// maxStatements bounds Statements: a program that makes up names as it goes
// would fill it for ever.
const maxStatements = 1000

// Statements is the distinct statements of one database, as fingerprints: the
// first thousand. The zero value is ready to use.
type Statements struct {
	mu sync.Mutex // guards m
	m  map[string]bool
}

// Statement is one of them.
type Statement struct {
	Text   string `json:"statement"` // without literals
	Writes bool   `json:"writes"`
}

// Add notes a statement.
func (s *Statements) Add(sql string, writes bool) {
	text := Fingerprint(sql)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.m == nil {
		s.m = make(map[string]bool)
	}
	if _, known := s.m[text]; known || len(s.m) < maxStatements {
		s.m[text] = writes
	}
}

// List returns the statements in alphabetical order.
func (s *Statements) List() []Statement {
	s.mu.Lock()
	list := make([]Statement, 0, len(s.m))
	for text, writes := range s.m {
		list = append(list, Statement{text, writes})
	}
	s.mu.Unlock()
	slices.SortFunc(list, func(a, b Statement) int { return strings.Compare(a.Text, b.Text) })
	return list
}
