package objects

import (
	"bytes"
	"context"
	"crypto/md5" // S3's checksum of a request
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/holdfastdb/holdfast"
)

// ErrChanged: the object has another version than the one that was named.
var ErrChanged = errors.New("somebody else has changed it")

// ErrUnconditional: the store takes a write whose condition does not hold.
var ErrUnconditional = errors.New("the store doesn't honour conditional writes (If-Match and If-None-Match)")

// Versioned is one small object, 64 KiB at most, that several machines change. Its methods may
// be called by several goroutines at once.
type Versioned interface {
	// Read returns the content and its version; fs.ErrNotExist if there is none.
	Read(ctx context.Context) (content []byte, version string, err error)
	// Write replaces the version that was read, "" where there was none, and returns the
	// new one. It is ErrChanged if there is another one by now; of any other error
	// nobody knows whether it was written. No two contents may be the same.
	Write(ctx context.Context, content []byte, version string) (string, error)
	// Prove has the store refuse writes whose condition does not hold, on an object of its own. A
	// store that takes them is ErrUnconditional.
	Prove(ctx context.Context) error
	// Others tells whether something lies beside it whose name begins with prefix.
	Others(ctx context.Context, prefix string) (bool, error)
	// Path names the object, for people.
	Path() string
	Close() error
}

// OpenVersioned is the object name in a place: a directory or file:///DIRECTORY (not on
// Windows), or s3://BUCKET/PREFIX with the parameters of Open. Others of the URL are ignored. SFTP has no
// write that depends on what is there, and is ErrURL.
func OpenVersioned(ctx context.Context, place, name string) (Versioned, error) {
	scheme, rest, isURL := strings.Cut(place, "://")
	switch {
	case !isURL:
		return openSeries(place, name)
	case scheme == "file":
		u, err := url.Parse(place)
		if err != nil || u.Host != "" || u.Path == "" {
			return nil, invalid("file:// is followed by an absolute path")
		}
		return openSeries(filepath.FromSlash(u.Path), name)
	case scheme == "sftp":
		return nil, invalid("SFTP can't write on condition that nobody else has written, so two machines could both take over: use a bucket")
	case scheme != "s3":
		return nil, invalid("%s:// is no place for this: use s3://BUCKET/PREFIX or a directory", scheme)
	}
	base, query, _ := strings.Cut(rest, "?")
	given, err := url.ParseQuery(query)
	if err != nil {
		return nil, invalid("the parameters of the URL can't be read")
	}
	known := url.Values{}
	for key, values := range given {
		if key == "forcePathStyle" { // as Litestream spells it, too
			key = "force-path-style"
		}
		if slices.Contains(parameters["s3"], key) {
			known[key] = values
		}
	}
	u, err := parse("s3://" + strings.TrimSuffix(base, "/") + "?" + known.Encode())
	if err != nil {
		return nil, err
	}
	b, err := openBucket(ctx, u)
	if err != nil {
		return nil, err
	}
	return &object{b, name}, nil
}

// mostVersioned bounds what is read.
const mostVersioned = 64 << 10

// object is one in a bucket. Its version is the ETag.
type object struct {
	b    *bucket
	name string
}

func (o *object) Close() error { return o.b.Close() }
func (o *object) Path() string { return o.b.Path(o.name) }

func (o *object) Others(ctx context.Context, prefix string) (bool, error) {
	page, err := o.b.client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &o.b.name, Prefix: o.b.key(prefix), MaxKeys: aws.Int32(1)})
	if err != nil {
		return false, o.b.failed(ctx, "list", "", err)
	}
	return len(page.Contents) > 0, nil
}

func (o *object) Read(ctx context.Context) ([]byte, string, error) {
	got, err := o.b.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &o.b.name, Key: o.b.key(o.name)})
	if err != nil {
		return nil, "", o.b.failed(ctx, "read", o.name, err)
	}
	defer got.Body.Close()
	content, err := io.ReadAll(io.LimitReader(got.Body, mostVersioned))
	if err != nil {
		return nil, "", o.b.failed(ctx, "read", o.name, err)
	}
	return content, aws.ToString(got.ETag), nil
}

func (o *object) Write(ctx context.Context, content []byte, version string) (string, error) {
	sum := md5.Sum(content)
	in := &s3.PutObjectInput{
		Bucket: &o.b.name, Key: o.b.key(o.name), Body: bytes.NewReader(content), ContentLength: aws.Int64(int64(len(content))),
		ContentMD5: aws.String(base64.StdEncoding.EncodeToString(sum[:])),
	}
	if version == "" {
		in.IfNoneMatch = aws.String("*")
	} else {
		in.IfMatch = &version
	}
	out, err := o.b.client.PutObject(ctx, in)
	if err == nil {
		return aws.ToString(out.ETag), nil
	}
	err = o.b.failed(ctx, "write", o.name, err)
	if !errors.Is(err, fs.ErrExist) && !(version != "" && errors.Is(err, fs.ErrNotExist)) {
		return "", err
	}
	// The SDK asks again if an answer is lost, and is refused by its own first request.
	if there, now, e := o.Read(ctx); e == nil && bytes.Equal(there, content) {
		return now, nil
	}
	return "", fmt.Errorf("%w: %w", ErrChanged, err)
}

func (o *object) Prove(ctx context.Context) error {
	probe := &object{o.b, o.name + "-probe-" + rand.Text()}
	version, err := probe.Write(ctx, []byte("1"), "")
	if err != nil {
		return err
	}
	for i, wrong := range []string{"", `"00000000000000000000000000000000"`} {
		_, e := probe.Write(ctx, []byte{'2' + byte(i)}, wrong)
		switch {
		case e == nil:
			err = errors.Join(err, fmt.Errorf("%w: %s: use another one for leases", ErrUnconditional, o.b.Path("")))
		case !errors.Is(e, ErrChanged):
			err = errors.Join(err, e)
		}
	}
	if err == nil {
		_, err = probe.Write(ctx, []byte("4"), version)
	}
	return errors.Join(err, o.b.Remove(context.WithoutCancel(ctx), probe.name))
}

// series is an object in a directory: each version is a file of its own, whose number
// follows that of the one before. A second name can be given to a file only if there is
// none such, which is the condition; and no lock is held that a stopped process would keep.
type series struct{ dir, name string }

func openSeries(dir, name string) (*series, error) {
	if runtime.GOOS == "windows" { // where a file that is being removed can't be read, not even by its other name
		return nil, invalid("a directory can't be it on Windows: use s3://BUCKET/PREFIX")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	return &series{dir, name}, nil
}

func (s *series) Close() error                { return nil }
func (s *series) Path() string                { return filepath.Join(s.dir, s.name) }
func (s *series) Prove(context.Context) error { return nil } // a file system that has no second names fails Write

func (s *series) file(n uint64) string {
	return filepath.Join(s.dir, fmt.Sprintf("%s.%016d", s.name, n))
}

// last is the number of the newest version, 0 if there is none.
func (s *series) last() (last uint64, all []uint64, err error) {
	entries, err := os.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil, nil
	}
	if err != nil {
		return 0, nil, err
	}
	for _, e := range entries {
		if digits, ok := strings.CutPrefix(e.Name(), s.name+"."); ok && len(digits) == 16 {
			if n, err := strconv.ParseUint(digits, 10, 64); err == nil {
				all = append(all, n)
				last = max(last, n)
			}
		}
	}
	for last > 0 { // what has come while the directory was read
		if _, err := os.Lstat(s.file(last + 1)); err != nil {
			break
		}
		last++
	}
	return last, all, nil
}

func (s *series) Others(_ context.Context, prefix string) (bool, error) {
	entries, err := os.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return strings.HasPrefix(e.Name(), prefix) }), err
}

func (s *series) Read(ctx context.Context) ([]byte, string, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, "", err
		}
		n, _, err := s.last()
		if err != nil {
			return nil, "", err
		}
		if n == 0 {
			return nil, "", fmt.Errorf("%s: %w", s.Path(), fs.ErrNotExist)
		}
		content, err := os.ReadFile(s.file(n))
		if errors.Is(err, fs.ErrNotExist) {
			continue // this process was stopped for so long that it is gone
		}
		return content, strconv.FormatUint(n, 10), err
	}
}

// older is how many versions stay besides the last, for who is just reading.
const older = 64

func (s *series) Write(ctx context.Context, content []byte, version string) (string, error) {
	var from uint64
	if version != "" {
		var err error
		if from, err = strconv.ParseUint(version, 10, 64); err != nil {
			return "", invalid("%q is no version of %s", version, s.Path())
		}
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return "", err
	}
	made := filepath.Join(s.dir, partial+rand.Text())
	defer func() { _ = os.Remove(made) }()
	if err := writeSynced(made, content); err != nil {
		return "", err
	}
	last, all, err := s.last()
	if err == nil && last != from {
		err = fmt.Errorf("%w: %s", ErrChanged, s.Path())
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return "", err
	}
	if err := os.Link(made, s.file(from+1)); errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("%w: %s", ErrChanged, s.Path())
	} else if err != nil {
		return "", fmt.Errorf("%w; the directory must be on a file system with hard links", err)
	}
	if err := syncDir(s.dir); err != nil {
		return "", err
	}
	// A name is free again only after so many others have come. Then this one was too late, or
	// is long past: nobody can tell.
	if last, _, err = s.last(); err == nil && last > from+1+older {
		return "", fmt.Errorf("%w: %s: %d others have written meanwhile, and nobody knows who was first", holdfast.ErrIO, s.Path(), older)
	}
	for _, n := range all {
		if n+older < from+1 {
			_ = os.Remove(s.file(n)) // or the next one does it
		}
	}
	return strconv.FormatUint(from+1, 10), err
}

func writeSynced(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}
