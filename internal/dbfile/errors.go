package dbfile

import "errors"

// Reasons for which a path or a name is refused, to be asked for with
// [errors.Is]. The error itself is one sentence that names the file and the
// next step.
var (
	// ErrBadName: the name is empty, holds a NUL byte, or is a URI that can't be honoured.
	ErrBadName = errors.New("bad database name")
	// ErrIsDirectory: the name leads to a directory.
	ErrIsDirectory = errors.New("is a directory")
	// ErrNoDirectory: the directory that should hold the file is missing or isn't a directory.
	ErrNoDirectory = errors.New("no such directory")
	// ErrNotRegular: the name leads to a device, pipe or socket.
	ErrNotRegular = errors.New("not a regular file")
	// ErrNetworkFS: the file system doesn't give WAL mode the locks and shared memory it needs.
	ErrNetworkFS = errors.New("file system is not safe for WAL mode")
	// ErrHardLinked: the file has more than one name.
	ErrHardLinked = errors.New("database file has several hard links")
	// ErrUnreadable: the file can't be read.
	ErrUnreadable = errors.New("database can't be read")
	// ErrReadOnly: the file, its directory or its mount can't be written.
	ErrReadOnly = errors.New("database is read-only here")
)

// refusal is a sentence for people that also answers errors.Is, for its kind
// (one of the sentinels above) and for the cause the operating system gave.
type refusal struct {
	kind     error
	cause    error // nil if this package found the reason by itself
	sentence string
}

func (r *refusal) Error() string { return r.sentence }

func (r *refusal) Unwrap() []error {
	if r.cause == nil {
		return []error{r.kind}
	}
	return []error{r.kind, r.cause}
}

func refuse(kind, cause error, sentence string) error {
	return &refusal{kind: kind, cause: cause, sentence: sentence}
}
