package torture

import (
	"bufio"
	"bytes"
	"context"
	_ "embed" // the peer's source
	"fmt"
	"os/exec"
	"strconv"
	"strings"
)

// firstPeer is the first writer that is a process of another SQLite.
const firstPeer = 1000

//go:embed peer.py
var peerSource string

// peer starts a process that writes with Python's SQLite.
func (t *Trial) peer(ctx context.Context, path string, writer int, begun uint64, on func(Line)) (*Child, error) {
	return t.Stranger(ctx, on, "python3", "-c", peerSource, path, strconv.Itoa(writer), strconv.FormatUint(begun, 10))
}

// have tells whether the machine has what is needed.
func have(ctx context.Context, n Need) bool { return n(ctx) == "" }

// readByStranger reads the whole table, after an integrity check, with the sqlite3
// command: another build of SQLite, and mostly another version. Nobody may have
// the database open.
func readByStranger(ctx context.Context, path string) (rows []entry, err error) {
	const query = `.mode list
.separator " "
PRAGMA busy_timeout=30000;
PRAGMA integrity_check;
` + selectEntries + ";\n"
	cmd := exec.CommandContext(ctx, "sqlite3", "-batch", "-init", "/dev/null", path)
	cmd.Stdin = strings.NewReader(query)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("sqlite3 %s: %w: %s", path, err, &errs)
	}
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 1<<20)
	for _, want := range []string{"30000", "ok"} {
		if !lines.Scan() || lines.Text() != want {
			return nil, fmt.Errorf("sqlite3 says of %s: %s", path, lines.Text())
		}
	}
	for lines.Scan() {
		var e entry
		fields := strings.SplitN(lines.Text(), " ", 6)
		if len(fields) != 6 {
			return nil, fmt.Errorf("sqlite3 says of %s: %q", path, lines.Text())
		}
		if _, err := fmt.Sscan(strings.Join(fields[:5], " "), &e.id, &e.writer, &e.seq, &e.part, &e.parts); err != nil {
			return nil, fmt.Errorf("sqlite3 says of %s: %q", path, lines.Text())
		}
		e.body = fields[5]
		rows = append(rows, e)
	}
	return rows, lines.Err()
}
