package objects

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/holdfastdb/holdfast/backup"
)

// Store is a backup.Store with connections, which Close ends.
type Store interface {
	backup.Store
	Close() error
}

// ErrUnreachable: the store can't be reached, or went silent for two minutes.
var ErrUnreachable = errors.New("the store can't be reached")

// ErrURL: the URL of a store is wrong.
var ErrURL = errors.New("the URL can't be used")

// IsURL tells whether a name is one that Open understands, and not a path.
func IsURL(name string) bool {
	return strings.HasPrefix(name, "s3://") || strings.HasPrefix(name, "sftp://")
}

// Open returns the store that a URL names. It looks for credentials and keys, and
// connects to nothing yet. If the last part of the URL's path is the name of a backup
// (it ends in .db, or has .db. in it), it is returned as file, and store is where it
// lies; a slash at the end says that it is a place all the same.
//
// A URL that can't be one is ErrURL; so is one with a password.
func Open(ctx context.Context, name string) (store Store, file string, err error) {
	u, err := parse(name)
	if err != nil {
		return nil, "", err
	}
	dir := u.Path
	if base := path.Base(u.Path); !strings.HasSuffix(u.Path, "/") && (strings.HasSuffix(base, ".db") || strings.Contains(base, ".db.")) {
		dir, file = strings.TrimSuffix(u.Path, base), base
	}
	u.Path, u.RawPath = strings.TrimSuffix(dir, "/"), ""
	if u.Scheme == "s3" {
		store, err = openBucket(ctx, u)
	} else {
		store, err = openDirectory(u)
	}
	return store, file, err
}

// parameters are those that a URL of a scheme may have.
var parameters = map[string][]string{
	"s3":   {"endpoint", "region", "path-style", "force-path-style"},
	"sftp": {"key", "known-hosts"},
}

func parse(name string) (*url.URL, error) {
	u, err := url.Parse(name)
	if err != nil {
		var e *url.Error
		if errors.As(err, &e) { // it has the whole URL, and maybe a password in it
			err = e.Err
		}
		return nil, invalid("the URL can't be read: %w", err)
	}
	query, err := url.ParseQuery(u.RawQuery)
	known := parameters[u.Scheme]
	switch {
	case known == nil:
		return nil, invalid("the URL of a store begins with s3:// or sftp://")
	case err != nil:
		return nil, invalid("the parameters of the URL can't be read")
	case u.Scheme == "s3" && u.User != nil:
		return nil, invalid("the URL of a bucket holds no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE")
	case u.User != nil && hasPassword(u.User):
		return nil, invalid("a URL holds no password, which others would read: use a key file (key=FILE) or an agent")
	case u.Host == "":
		return nil, invalid("%s is the URL of no store: write s3://BUCKET/PREFIX or sftp://USER@HOST/DIRECTORY", u.Redacted())
	case u.Fragment != "":
		return nil, invalid("write %%23 for the # in the URL")
	}
	for key, values := range query {
		if !slices.Contains(known, key) || len(values) != 1 {
			return nil, invalid("%q can't be a parameter of the URL, or stands twice: there are %s", key, strings.Join(known, ", "))
		}
	}
	for part := range strings.SplitSeq(strings.Trim(u.Path, "/"), "/") {
		if u.Path != "" && u.Path != "/" && (part == "" || part == "." || part == "..") {
			return nil, invalid("the path of the URL has an empty part, . or ..: leave it out")
		}
	}
	return u, nil
}

func hasPassword(u *url.Userinfo) bool {
	_, has := u.Password()
	return has
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrURL, fmt.Errorf(format, args...))
}

// pathOf is the URL of a file in the place that u names.
func pathOf(u url.URL, name string) string {
	if name != "" {
		u.Path += "/" + name
	}
	return u.String()
}
