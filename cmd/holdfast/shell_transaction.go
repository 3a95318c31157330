package main

import (
	"errors"
	"strings"

	"github.com/holdfastdb/holdfast"
)

// transaction follows what the statements of a shell do to its transaction.
// The library knows better, but does not tell.
type transaction struct {
	open       bool
	savepoints []string // if the transaction was begun by a SAVEPOINT, outermost first
	bySave     bool
}

func (t *transaction) after(statement string, err error) {
	word := keyword(statement)
	if err != nil {
		// A COMMIT that failed has rolled back, unless a deferred foreign key
		// is violated: then the transaction goes on, to be repaired.
		e, ok := errors.AsType[*holdfast.Error](err)
		if (word == "COMMIT" || word == "END") && !(ok && e.ExtendedCode == constraintForeignKey) {
			t.end()
		}
		return
	}
	switch word {
	case "BEGIN":
		*t = transaction{open: true}
	case "COMMIT", "END":
		t.end()
	case "ROLLBACK":
		if !rollsBackTo(statement) {
			t.end()
		}
	case "SAVEPOINT":
		if !t.open {
			*t = transaction{open: true, bySave: true}
		}
		t.savepoints = append(t.savepoints, savepointName(statement))
	case "RELEASE":
		t.release(savepointName(statement))
	}
}

func (t *transaction) end() { *t = transaction{} }

// release ends the transaction if its outermost savepoint had opened it.
func (t *transaction) release(name string) {
	for i := len(t.savepoints) - 1; i >= 0; i-- {
		if strings.EqualFold(t.savepoints[i], name) {
			t.savepoints = t.savepoints[:i]
			break
		}
	}
	if t.bySave && len(t.savepoints) == 0 {
		t.end()
	}
}

// constraintForeignKey is SQLITE_CONSTRAINT_FOREIGNKEY.
const constraintForeignKey = 787

func rollsBackTo(statement string) bool {
	words := strings.Fields(strings.ToUpper(skipBlank(statement)))
	return len(words) > 2 && (words[1] == "TO" || words[1] == "TRANSACTION" && words[2] == "TO")
}

// savepointName is the last word of SAVEPOINT x or RELEASE [SAVEPOINT] x.
func savepointName(statement string) string {
	words := strings.Fields(strings.TrimRight(skipBlank(statement), "; \t\r\n"))
	return strings.Trim(words[len(words)-1], "\"'`[]")
}
