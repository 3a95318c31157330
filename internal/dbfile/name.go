package dbfile

import (
	"fmt"
	"runtime"
	"strings"
)

// Name is what a database's name says, before anything is looked up.
type Name struct {
	// Path of the file as given, not yet resolved; "" for a database in memory.
	Path string
	// Memory says that the database lives in memory only.
	Memory bool
	// Shared is the name by which connections of this process share a database
	// in memory; "" means that it is private to its owner.
	Shared string
	// ReadOnly asks that nothing be written (mode=ro, immutable=1).
	ReadOnly bool
	// MustExist asks that a missing file be an error rather than created.
	MustExist bool
	// Immutable promises that nobody writes the file while it is open, so
	// that SQLite may do without locks. If the promise is broken, queries
	// answer wrongly.
	Immutable bool
}

// ParseName reads the name of a database.
//
//   - ":memory:" and "file::memory:" are a private database in memory.
//   - "file::memory:?cache=shared" and "file:NAME?mode=memory" are a database
//     in memory that this process shares by its name.
//   - Anything else that begins with "file:" is a URI as
//     https://www.sqlite.org/uri.html describes it, with the parameters
//     mode=ro|rw|rwc|memory, immutable and cache=private. Other parameters are
//     refused by a sentence that names the parameter, never its value, and for
//     the ones that other Go drivers know also Holdfast's way.
//   - Everything else is the path of a file, taken literally: '?', '#', '%',
//     ':' and blanks have no meaning in it. See [Hint] for the mistake that
//     this invites.
//
// All errors answer to [ErrBadName].
func ParseName(name string) (Name, error) {
	return parseName(name, runtime.GOOS == "windows")
}

func parseName(name string, windows bool) (Name, error) {
	if err := checkText(name); err != nil {
		return Name{}, err
	}
	if name == memoryName {
		return Name{Memory: true}, nil
	}
	// Case matters: SQLite too takes "FILE:x" for a path.
	if rest, ok := strings.CutPrefix(name, "file:"); ok {
		return parseURI(rest, windows)
	}
	return Name{Path: name}, nil
}

// Hint looks at a literal path for signs that its writer meant something else,
// and returns a sentence about it, or "". Other Go drivers cut "app.db?_x=y"
// at the question mark, so a program that moves over would find a new, empty
// database of that long name. Meant for the message when the file is missing.
func Hint(path string) string {
	file, query, found := strings.Cut(path, "?")
	if !found || !strings.Contains(query, "=") {
		return ""
	}
	return fmt.Sprintf("the path is taken literally, with all that follows the question mark; "+
		"give %q and set the parameters in the configuration, or write a URI that begins with \"file:\"", file)
}

const memoryName = ":memory:"
