package replicate

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/benbjohnson/litestream"
	"github.com/benbjohnson/litestream/file"
	"github.com/benbjohnson/litestream/s3"
	"github.com/holdfastdb/holdfast"
)

// target is where a database is replicated to.
type target struct {
	name string // as an operator may read it: no user, nothing of the query that isn't known to be harmless
	dir  string // of a target in the file system, absolute
	url  *url.URL
}

// shown are the keys of a query that may stand in a log.
var shown = []string{"endpoint", "region", "force-path-style", "forcePathStyle", "part-size", "partSize", "concurrency"}

// parseTarget reads a directory or a URL. Its errors don't quote what may be secret.
func parseTarget(text string) (target, error) {
	refuse := func(format string, args ...any) (target, error) {
		return target{}, fmt.Errorf("%w: %s", holdfast.ErrRefused, fmt.Sprintf(format, args...))
	}
	if text == "" {
		return refuse("the target is empty: name a directory, or s3://BUCKET/PREFIX")
	}
	if !strings.Contains(text, "://") {
		return directory(text)
	}
	u, err := url.Parse(text)
	if err != nil {
		return refuse("the target is no URL: write it as s3://BUCKET/PREFIX?endpoint=HOST&region=REGION")
	}
	switch u.Scheme {
	case "file":
		if u.Host != "" || u.Path == "" {
			return refuse("file:// is followed by an absolute path, as in file:///backups/app")
		}
		return directory(filepath.FromSlash(u.Path))
	case "s3":
		if u.Host == "" {
			return refuse("the target names no bucket: write it as s3://BUCKET/PREFIX")
		}
		if u.User != nil {
			return refuse("the target has credentials in it: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or use the profile or role of the machine")
		}
		if secretIn(u.Query()) {
			return refuse("the target has a key or a password in its query: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or use the profile or role of the machine")
		}
		if strings.Trim(u.Path, "/") == "" {
			return refuse("the target is a whole bucket: add a prefix for this database, as in s3://%s/app", u.Host)
		}
		u.Path = "/" + strings.Trim(u.Path, "/")
		name := url.URL{Scheme: "s3", Host: u.Host, Path: u.Path}
		query := url.Values{}
		for _, key := range shown {
			if v := u.Query().Get(key); v != "" {
				query.Set(key, v)
			}
		}
		name.RawQuery = query.Encode()
		return target{name: name.String(), url: u}, nil
	}
	return refuse("a target of the kind %s:// is not supported: name a directory, or s3://BUCKET/PREFIX", u.Scheme)
}

func secretIn(query url.Values) bool {
	for key, values := range query {
		key = strings.ToLower(key)
		for _, word := range []string{"secret", "password", "token", "access"} {
			if strings.Contains(key, word) {
				return true
			}
		}
		if slices.ContainsFunc(values, func(v string) bool { return strings.Contains(v, "@") }) { // an endpoint with a user
			return true
		}
	}
	return false
}

func directory(path string) (target, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return target{}, err
	}
	if fi, err := os.Stat(path); err == nil && !fi.IsDir() {
		return target{}, fmt.Errorf("%w: the target %s is a file: name a directory", holdfast.ErrRefused, path)
	}
	return target{name: path, dir: path}, nil
}

// connect is Litestream's client for the target. replica is what it is for, nil to read.
func (t target) connect(replica *litestream.Replica) (litestream.ReplicaClient, error) {
	if t.dir != "" {
		c := file.NewReplicaClient(t.dir)
		c.Replica = replica // whose database has the mode and the owner that the files get
		return c, nil
	}
	made, err := s3.NewReplicaClientFromURL(t.url.Scheme, t.url.Host, strings.TrimPrefix(t.url.Path, "/"), t.url.Query(), nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", holdfast.ErrRefused, t.name, err)
	}
	c := made.(*s3.ReplicaClient)
	if os.Getenv("AWS_ACCESS_KEY_ID") != "" {
		// Litestream takes the key from there, and leaves the session token: what is
		// issued for an hour would be refused. The SDK reads all three by itself.
		c.AccessKeyID, c.SecretAccessKey = "", ""
	}
	return c, nil
}
