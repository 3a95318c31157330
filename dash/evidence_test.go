package dash

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func TestSaid(t *testing.T) {
	t.Parallel()
	de := catalogue()["de"]
	for english, want := range map[string]string{
		"7 wait; write transaction of billing.go:88 (shop.Charge) has had the writer for 3.2s": "7 warten; Schreibtransaktion von billing.go:88 (shop.Charge) hat den Schreiber seit 3.2s",
		"statement has had the writer for 3s":                                                  "Anweisung hat den Schreiber seit 3s",
		"8 of 8 in use, 3 wait; the oldest for 4s: rows of a.go:1":                             "8 von 8 vergeben, 3 warten; der älteste seit 4s: " + de.Kind("rows") + " von a.go:1",
		"12 MiB of 3000 MiB are left":                                                          "12 MiB von 3000 MiB sind frei",
		"12 MiB are left":                                                                      "12 MiB sind frei",
		"SQLITE_IOERR_WRITE in commit at 2026-01-01T00:00:00Z":                                 "SQLITE_IOERR_WRITE bei commit um 2026-01-01T00:00:00Z",
		"2026-01-01T00:00:00Z: 3 problems, the first: row 1 missing from index i":              "2026-01-01T00:00:00Z: 3 Probleme, das erste: row 1 missing from index i",
		"the last at s3://b/x?region=eu was of 2026-01-01T00:00:00Z; one is due every 1h0m0s; the try of 2026-01-01T01:00:00Z failed: no route to host": "das letzte in s3://b/x?region=eu war von 2026-01-01T00:00:00Z; fällig ist eines alle 1h0m0s; der Versuch von 2026-01-01T01:00:00Z scheiterte: no route to host",
		"holdfast locks /srv/app.db says who keeps it": "holdfast locks /srv/app.db sagt, wer sie hält",
		"holdfast verify /srv/app.db --level full; until it is ok, stop writing, keep /srv/app.db with its -wal and -shm, and restore a checked backup; holdfast salvage copies what can be read": "holdfast verify /srv/app.db --level full; bis sie heil ist: nicht mehr schreiben, /srv/app.db mit -wal und -shm aufheben und ein geprüftes Backup einspielen; holdfast salvage kopiert, was lesbar ist",
	} {
		var said []string
		for _, p := range de.Said(english) {
			if said = append(said, p.Text); p.Foreign {
				t.Errorf("%q is called English", p.Text)
			}
		}
		if got := strings.Join(said, "; "); got != want {
			t.Errorf("%s\n got %s\nwant %s", english, got, want)
		}
	}
	if p := de.Said("disk I/O error"); len(p) != 1 || !p[0].Foreign || p[0].Text != "disk I/O error" {
		t.Errorf("%+v", p)
	}
	if p := catalogue()["en"].Said("7 wait; x"); len(p) != 1 || p[0].Foreign || p[0].Text != "7 wait; x" {
		t.Errorf("%+v", p)
	}
}

// What findings are made of in the source has its German.
func TestPhrasesOfFindingsAreKnown(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../internal/maintain/integrity/*.go")
	if err != nil {
		t.Fatal(err)
	}
	literal := regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)
	forms := catalogue()["en"].messages
	known := map[string]bool{}
	for key, form := range forms {
		if strings.HasPrefix(key, phrasePrefix) {
			known[form] = true
		}
	}
	wordy := regexp.MustCompile(`[a-z]{2,} [a-z]{2,}`)
	seen := 0
	for _, file := range files {
		if name := filepath.Base(file); name != "judge.go" && name != "backups.go" {
			continue
		}
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(source)) {
			line, _, _ = strings.Cut(line, " // ")
			if !strings.Contains(line, "Sprintf(") {
				continue
			}
			form, err := strconv.Unquote(literal.FindString(line[strings.Index(line, "Sprintf("):]))
			if err != nil || !wordy.MatchString(form) && !strings.Contains(form, " MiB") {
				continue
			}
			for part := range strings.SplitSeq(strings.TrimPrefix(form, "; "), "; ") {
				part = strings.ReplaceAll(part, "%d", "%s")
				if part = strings.TrimSuffix(part, "%s%s"); strings.HasSuffix(part, "every ") { // what follows begins with "; "
					part += "%s"
				}
				if seen++; part != "%s" && !known[part] {
					t.Errorf("%s: %q has no German: add it to texts/evidence.json", filepath.Base(file), part)
				}
			}
		}
	}
	if seen < 20 {
		t.Errorf("only %d phrases were seen", seen)
	}
}
