package objects

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func noise(n int) []byte {
	r := rand.New(rand.NewPCG(uint64(n), 1))
	text := make([]byte, n)
	for i := range text {
		text[i] = byte(r.Uint32())
	}
	return text
}

func TestStore(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, place string, files files) {
		s, file := open(t, place)
		if file != "" || s.Path("") != place {
			t.Errorf("%q, %q, want %q", file, s.Path(""), place)
		}
		sizes := []int{7, 1, 64 << 10, 64<<10 + 1, 1 << 20}
		for i, size := range sizes {
			name := fmt.Sprint("a", i)
			must(t, put(t.Context(), s, name, noise(size)))
			if got, err := get(t.Context(), s, name); err != nil || !bytes.Equal(got, noise(size)) || !bytes.Equal(files.read(name), got) {
				t.Errorf("%d bytes: %d, %v", size, len(got), err)
			}
		}
		if err := put(t.Context(), s, "a1", []byte("other")); !errors.Is(err, fs.ErrExist) {
			t.Error(err)
		}
		if got, err := get(t.Context(), s, "a1"); err != nil || !bytes.Equal(got, noise(1)) {
			t.Errorf("%q, %v", got, err)
		}
		list, err := s.List(t.Context())
		if err != nil || len(list) != len(sizes) {
			t.Fatalf("%+v, %v", list, err)
		}
		for _, o := range list {
			if i := int(o.Name[1] - '0'); o.Bytes != int64(sizes[i]) || time.Since(o.Modified).Abs() > time.Minute {
				t.Errorf("%+v", o)
			}
		}
		must(t, s.Remove(t.Context(), "a1"))
		must(t, s.Remove(t.Context(), "a1"))
		if _, err := get(t.Context(), s, "a1"); !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
	})
}

// A listing has pages of 1000, and what else lies in the place is in nobody's way.
func TestManyFiles(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, place string, files files) {
		s, _ := open(t, place)
		for i := range 1203 {
			files.write(fmt.Sprintf("file-%04d", i), nil)
		}
		if strings.HasPrefix(place, "s3:") {
			files.write("below/app-20261127T172548.123Z.db", nil)
			files.write("\x01 no XML", nil)
		}
		list := names(t, s)
		slices.Sort(list)
		list = slices.DeleteFunc(list, func(name string) bool { return strings.HasSuffix(name, " no XML") })
		if len(list) != 1203 || list[1202] != "file-1202" {
			t.Errorf("%d: %q", len(list), list[:3])
		}
	})
}

func TestOddNames(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, place string, _ files) {
		s, _ := open(t, place)
		odd := []string{"a b+c%20d#e&f=g", "ü-日本-🦭", "a'b;c", "~", "%2F", "a=b@c$d!(e)"}
		if !strings.HasPrefix(place, "sftp:") || !strings.Contains(s.Path(""), "/C:") {
			odd = append(odd, "...", "a\nb", `"q" <x> \y`, "what?*")
		}
		for _, name := range odd {
			must(t, put(t.Context(), s, name, []byte(name)))
			if got, err := get(t.Context(), s, name); string(got) != name {
				t.Errorf("%q: %q, %v", name, got, err)
			}
			if again, file := open(t, s.Path(name+".db")); file != name+".db" || again.Path("") != s.Path("") {
				t.Errorf("%q: %q in %q", s.Path(name+".db"), file, again.Path(""))
			}
		}
		list := names(t, s)
		slices.Sort(list)
		slices.Sort(odd)
		if !slices.Equal(list, odd) {
			t.Errorf("%q, want %q", list, odd)
		}
		for _, name := range odd {
			must(t, s.Remove(t.Context(), name))
		}
		if left := names(t, s); len(left) > 0 {
			t.Errorf("%q", left)
		}
	})
}

// Of several that put a file of one name, one does, and what is there is its.
func TestOneName(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, place string, _ files) {
		const writers = 8
		var winner atomic.Int64
		var won atomic.Int64
		var wg sync.WaitGroup
		for i := range writers {
			s, _ := open(t, place)
			wg.Go(func() {
				switch err := put(t.Context(), s, "name", noise(200_000+i)); {
				case err == nil:
					won.Add(1)
					winner.Store(int64(i))
				case !errors.Is(err, fs.ErrExist):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		s, _ := open(t, place)
		got, err := get(t.Context(), s, "name")
		if won.Load() != 1 || err != nil || !bytes.Equal(got, noise(200_000+int(winner.Load()))) {
			t.Errorf("%d have won; %d bytes, %v", won.Load(), len(got), err)
		}
		if all := names(t, s); len(all) != 1 {
			t.Errorf("%q", all)
		}
	})
}

// stuck is content whose end never comes until the context is over.
type stuck struct {
	io.ReaderAt
	from  int64
	begun context.CancelFunc
	end   <-chan struct{}
}

func (s stuck) ReadAt(p []byte, off int64) (int, error) {
	if off >= s.from {
		s.begun()
		<-s.end
	}
	return s.ReaderAt.ReadAt(p, off)
}

// A context that ends ends an upload, and nothing is left of it.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, place string, _ files) {
		s, _ := open(t, place)
		must(t, put(t.Context(), s, "before", []byte("x")))
		ctx, cancel := context.WithCancel(t.Context())
		text := noise(1 << 20)
		err := s.Put(ctx, "name", stuck{bytes.NewReader(text), 700_000, cancel, ctx.Done()}, int64(len(text)))
		if err != ctx.Err() {
			t.Error(err)
		}
		if left := names(t, s); len(left) != 1 {
			t.Errorf("%q", left)
		}
		if _, err := get(ctx, s, "before"); err != ctx.Err() {
			t.Error(err)
		}
		content, _, err := s.Get(t.Context(), "before")
		must(t, err)
		must(t, content.Close())
	})
}

func TestURLs(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"s3://", "s3:///x", "s3://AKID:very-secret@bucket/x", "sftp://me:very-secret@host/x", "sftp://me:very-secret%zz@host/x", "http://bucket/x",
		"s3://bucket/a//b", "s3://bucket/../b", "s3://bucket/x?regoin=a", "s3://bucket/x?region=a&region=b", "s3://bucket/x#y",
		"s3://bucket/x?endpoint=ftp://host", "s3://bucket/x?endpoint=http://me:very-secret@host", "s3://bucket/x?path-style=maybe", "s3://bucket/%zz", "s3://bucket/x?endpoint=%zz",
	} {
		_, _, err := Open(t.Context(), name)
		if !errors.Is(err, ErrURL) || strings.Contains(err.Error(), "very-secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, want := range map[string][2]string{
		"s3://bucket":                          {"s3://bucket", ""},
		"s3://bucket/":                         {"s3://bucket", ""},
		"s3://bucket/x?endpoint=host:9000":     {"s3://bucket/x?endpoint=host:9000", ""},
		"s3://bucket/x?force-path-style=true":  {"s3://bucket/x?force-path-style=true", ""},
		"s3://bucket/a/b/?region=eu-central-1": {"s3://bucket/a/b?region=eu-central-1", ""},
		"s3://bucket/a/app.db":                 {"s3://bucket/a", "app.db"},
		"s3://bucket/a/app.db/":                {"s3://bucket/a/app.db", ""},
		"s3://bucket/app.db.tar.zst":           {"s3://bucket", "app.db.tar.zst"},
		"sftp://me@host:2222/dir/app.db":       {"sftp://me@host:2222/dir", "app.db"},
		"sftp://me@host/~/dir":                 {"sftp://me@host/~/dir", ""},
		"sftp://me@host/~":                     {"sftp://me@host/~", ""},
	} {
		s, file := open(t, name)
		if s.Path("") != want[0] || file != want[1] || !IsURL(name) {
			t.Errorf("%s: %q, %q", name, s.Path(""), file)
		}
	}
	if s, _ := open(t, "sftp://me@host/~/dir"); s.(*directory).dir != "./dir" {
		t.Error(s.(*directory).dir)
	}
	if IsURL("/dir/s3:") || IsURL("s3") {
		t.Error("a path is taken for a URL")
	}
}
