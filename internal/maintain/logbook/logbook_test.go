package logbook

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func newFile(t *testing.T) *File {
	t.Helper()
	return &File{Path: filepath.Join(t.TempDir(), "app.db"+Suffix), Alive: func(string) bool { return false }}
}

func TestWhatIsNotedIsRead(t *testing.T) {
	t.Parallel()
	f := newFile(t)
	if b, err := f.Read(); err != nil || len(b.Places) != 0 {
		t.Fatalf("%+v, %v of a file that isn't there", b, err)
	}
	at := time.Date(2026, 11, 27, 12, 0, 0, 5e6, time.UTC)
	note := func(change func(*Book)) {
		t.Helper()
		if err := f.Change(change); err != nil {
			t.Fatal(err)
		}
	}
	note(func(b *Book) { b.At("/a").Backup.Succeed(at, "/a/1.db", 7) })
	note(func(b *Book) { b.At("/b").Drill.Succeed(at.Add(time.Hour), "/b/2.db", 8) })
	note(func(b *Book) {
		b.At("/a").Backup.Fail(at.Add(time.Minute), errors.New(strings.Repeat("no room ", 1000)))
	})
	other := &File{Path: f.Path, Alive: f.Alive}
	b, err := other.Read()
	if err != nil {
		t.Fatal(err)
	}
	a := b.Find("/a").Backup
	if !a.At.Equal(at) || a.Path != Name("/a/1.db") || a.Bytes != 7 || a.Done != 1 || a.Failures != 1 || !a.FailedAt.Equal(at.Add(time.Minute)) || len(a.Error) != longestError {
		t.Errorf("%+v", a)
	}
	if backup, drill := b.Last(); !backup.Equal(at) || !drill.Equal(at.Add(time.Hour)) {
		t.Errorf("last %v, %v", backup, drill)
	}
	note(func(b *Book) { b.At("/a").Backup.Succeed(at.Add(2*time.Hour), "/a/3.db", 9) })
	if b, err = other.Read(); err != nil || b.Find("/a").Backup.Done != 2 || b.Find("/a").Backup.Error != "" {
		t.Errorf("%+v, %v: what another has noted is not seen", b, err)
	}
	if info, err := os.Stat(f.Path); err != nil || info.Mode().Perm()&0o077 != 0 && os.PathSeparator == '/' {
		t.Errorf("%v, %v", info, err)
	}
	files, err := os.ReadDir(filepath.Dir(f.Path))
	if err != nil || len(files) != 1 {
		t.Errorf("beside it are %v, %v", files, err)
	}
}

// Whoever reads while others write sees a whole one.
func TestNothingIsTorn(t *testing.T) {
	t.Parallel()
	f := newFile(t)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			mine := &File{Path: f.Path, Alive: f.Alive}
			for range 50 {
				if err := mine.Change(func(b *Book) { b.At("/a").Backup.Done++ }); err != nil {
					t.Error(err)
				}
				if b, err := mine.Read(); err != nil || b.Find("/a").Backup.Done == 0 {
					t.Errorf("%+v, %v", b, err)
				}
			}
		})
	}
	all.Wait()
}

// What is no logbook is neither read nor replaced.
func TestWhatIsNoLogbook(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"text":            "somebody's own",
		"a later version": `{"schema":"holdfast.backups/v2","places":{}}`,
		"too large":       strings.Repeat(" ", largest+1),
	} {
		f := newFile(t)
		if err := os.WriteFile(f.Path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Read(); err == nil {
			t.Errorf("%s: it was read", name)
		}
		if err := f.Change(func(*Book) {}); err == nil {
			t.Errorf("%s: it was replaced", name)
		}
		if now, err := os.ReadFile(f.Path); err != nil || string(now) != text {
			t.Errorf("%s: it was changed, %v", name, err)
		}
	}
	f := newFile(t)
	if err := f.Change(func(*Book) {}); err != nil {
		t.Fatal(err)
	}
	f = &File{Path: f.Path, Alive: func(string) bool { return true }}
	if _, err := f.Read(); err == nil {
		t.Error("a file that is open as a database was read")
	}
}

// Two places have two names, one has one, and no secret is in any.
func TestName(t *testing.T) {
	t.Parallel()
	for destination, want := range map[string]string{
		"s3://b/app?region=eu&endpoint=https://a.example:9000":         "s3://b/app?endpoint=https://a.example:9000",
		"s3://b/app/?endpoint=https%3A%2F%2Fa.example%3A9000":          "s3://b/app?endpoint=https://a.example:9000",
		"s3://b/app?endpoint=a.example":                                "s3://b/app?endpoint=https://a.example",
		"s3://key:secret@b/app?token=secret&X-Amz-Signature=secret#s":  "s3://b/app",
		"s3://b/app?endpoint=https://user:secret@a.example?sig=secret": "s3://b/app?endpoint=https://a.example",
		"sftp://me:secret@nas:22/~/app?key=/home/me/key":               "sftp://me@nas:22/~/app",
		"https://token@example/app?sas=secret":                         "https://example/app",
		"s3://b/%zz?secret":                                            "s3://",
	} {
		if got := Name(destination); got != want || Name(got) != got && !strings.HasSuffix(got, "://") {
			t.Errorf("%s is %s, want %s", destination, got, want)
		}
	}
	if got := Name("/mnt/x://y?z"); os.PathSeparator == '/' && got != "/mnt/x:/y?z" {
		t.Errorf("a path is %s", got)
	}
}
