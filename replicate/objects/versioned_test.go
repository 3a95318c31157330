package objects

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
)

func versioned(t *testing.T, place string) Versioned {
	t.Helper()
	v, err := OpenVersioned(t.Context(), place, "leader.json")
	must(t, err)
	t.Cleanup(func() { must(t, v.Close()) })
	return v
}

// eachPlace runs f with a directory, by both of its names, and with a bucket.
func eachPlace(t *testing.T, f func(t *testing.T, place string)) {
	t.Parallel()
	if runtime.GOOS != "windows" {
		t.Run("directory", func(t *testing.T) { f(t, t.TempDir()+"/made") })
		t.Run("file", func(t *testing.T) { f(t, "file://"+t.TempDir()+"/made") })
	}
	t.Run("bucket", func(t *testing.T) { f(t, newS3(t).place("/app")+"&part-size=5") })
}

// Who writes another version than the last is refused, and changes nothing.
func TestVersioned(t *testing.T) {
	eachPlace(t, func(t *testing.T, place string) {
		v := versioned(t, place)
		if _, _, err := v.Read(t.Context()); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("before there is one: %v", err)
		}
		if _, err := v.Write(t.Context(), []byte("x"), "17"); !errors.Is(err, ErrChanged) {
			t.Errorf("of one that is not there: %v", err)
		}
		must(t, v.Prove(t.Context()))
		first := ""
		for version, n := "", 0; n < older+20; n++ {
			next, err := v.Write(t.Context(), fmt.Append(nil, n), version)
			must(t, err)
			if first == "" {
				first = next
			}
			content, now, err := v.Read(t.Context())
			if err != nil || string(content) != strconv.Itoa(n) || now != next {
				t.Fatalf("%q, %s for %s, %v", content, now, next, err)
			}
			for _, wrong := range []string{"", version, first} {
				if wrong == next || n > 3 && n < older {
					continue
				}
				if _, err := v.Write(t.Context(), []byte("wrong"), wrong); !errors.Is(err, ErrChanged) {
					t.Fatalf("%d: in the place of %q: %v", n, wrong, err)
				}
			}
			version = next
		}
		if dir, ok := v.(*series); ok {
			files, err := os.ReadDir(dir.dir)
			if must(t, err); len(files) > older+2 {
				t.Errorf("%d files are left", len(files))
			}
		}
	})
}

// Of those who write at once one gets through, each time.
func TestVersionedContenders(t *testing.T) {
	eachPlace(t, func(t *testing.T, place string) {
		const contenders, each = 8, 10
		var all sync.WaitGroup
		for c := range contenders {
			v := versioned(t, place)
			all.Go(func() {
				for done := 0; done < each; {
					n := 0
					content, version, err := v.Read(t.Context())
					if err == nil {
						text, _, _ := strings.Cut(string(content), " ")
						n, err = strconv.Atoi(text)
					} else if errors.Is(err, fs.ErrNotExist) {
						err = nil
					}
					if err != nil {
						t.Error(err)
						return
					}
					switch _, err := v.Write(t.Context(), fmt.Appendf(nil, "%d %d", n+1, c), version); {
					case err == nil:
						done++
					case !errors.Is(err, ErrChanged):
						t.Error(err)
						return
					}
				}
			})
		}
		all.Wait()
		content, _, err := versioned(t, place).Read(t.Context())
		if text, _, _ := strings.Cut(string(content), " "); err != nil || text != strconv.Itoa(contenders*each) {
			t.Errorf("%d writes, %q is counted (%v)", contenders*each, content, err)
		}
	})
}

// Who was refused because his own first request had got through is not told so.
func TestVersionedLostAnswer(t *testing.T) {
	t.Parallel()
	s := newS3(t)
	v := versioned(t, s.place("/app"))
	version, err := v.Write(t.Context(), []byte("one"), "")
	must(t, err)
	lost := false
	s.failing(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut || lost {
			return false
		}
		lost = true
		s.ServeHTTP(discard{http.Header{}}, r)
		panic(http.ErrAbortHandler)
	})
	if _, err = v.Write(t.Context(), []byte("two"), version); err != nil || !lost {
		t.Error(lost, err)
	}
}

// A store that takes every write is found out, and nothing is left there.
func TestUnconditional(t *testing.T) {
	t.Parallel()
	s := newS3(t)
	s.failing(func(_ http.ResponseWriter, r *http.Request) bool {
		r.Header.Del("If-Match")
		r.Header.Del("If-None-Match")
		return false
	})
	if err := versioned(t, s.place("/app")).Prove(t.Context()); !errors.Is(err, ErrUnconditional) {
		t.Error(err)
	}
	store, _ := open(t, s.place("/app"))
	if list, err := store.List(t.Context()); err != nil || len(list) > 0 {
		t.Errorf("%+v, %v", list, err)
	}
}

func TestVersionedPlaces(t *testing.T) {
	t.Parallel()
	for _, place := range []string{"sftp://host/dir", "ftp://host/x", "file://host/x", "s3://key:secret@bucket/x"} {
		if _, err := OpenVersioned(context.Background(), place, "leader.json"); !errors.Is(err, ErrURL) || strings.Contains(err.Error(), "secret@") {
			t.Errorf("%s: %v", place, err)
		}
	}
}
