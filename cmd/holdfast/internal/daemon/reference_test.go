package daemon

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfastdb/holdfast"
)

var update = flag.Bool("update", false, "write the files that tests compare with")

const referenceIntro = `# Configuration of the daemon

<!-- Generated from the tags in cmd/holdfast/internal/daemon; go test -run TestReference -update ./internal/daemon in cmd/holdfast writes it. -->

What "holdfast serve" knows besides the sections of [configuration.md](configuration.md), under the same rules: in the same file, by
environment variables (` + "`HOLDFAST_SERVE_LISTEN`" + `) and by flags (` + "`--set serve.listen=127.0.0.1:7391`" + `). "holdfast config check" and
"holdfast config print" know it, too.

## Several databases

A file with the section ` + "`database`" + ` has one database, which is called ` + "`main`" + `. An object ` + "`databases`" + ` has several: each member is named by
its key and has those sections in which it differs from the rest of the file. Environment and flags hold for all of them.

` + "```json" + `
{
  "database": {"synchronous": "FULL"},
  "databases": {
    "orders": {"database": {"path": "/var/lib/holdfast/orders.db"}, "backup": {"destination": "/mnt/backups/orders", "every": "1h", "keep": "last=3,daily=7"}},
    "log": {"database": {"path": "/var/lib/holdfast/log.db", "synchronous": "NORMAL"}}
  },
  "serve": {"listen": "127.0.0.1:7391", "write_tokens": "/etc/holdfast/write.tokens"}
}
` + "```" + `

The first is the one that ` + "`/db/...`" + ` is about, unless ` + "`serve.database`" + ` names another; ` + "`/databases/NAME/db/...`" + ` is about each. On SIGHUP
databases that are new in the file are opened, and those that are gone are closed when their last request is done. What changes in a
database that stays takes effect at a restart.

A database is opened twice: as the configuration says, with ` + "`limits.defensive`" + `, ` + "`limits.value_length`" + ` 64 MiB and ` + "`limits.sql_length`" + ` 4 MiB
unless they are set, for what writes; and with ` + "`limits.untrusted_sql`" + ` for what reads.
`

func TestReference(t *testing.T) {
	path := filepath.Join("..", "..", "..", "..", "docs", "reference", "daemon.md")
	want := referenceIntro + holdfast.ConfigTables((&Settings{}).Sections()...)
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.ReplaceAll(string(got), "\r\n", "\n") != want {
		t.Errorf("%s is stale: go test -run TestReference -update ./internal/daemon", path)
	}
}

// The example of the page is one that can be used.
func TestReferenceExample(t *testing.T) {
	_, example, _ := strings.Cut(referenceIntro, "```json\n")
	example, _, _ = strings.Cut(example, "```")
	s, report, err := Load(holdfast.ConfigSource{Reader: strings.NewReader(example)})
	if err != nil || len(report.Notes) > 0 || len(s.Databases) != 2 || s.first() != "orders" || s.Databases[1].Database.Synchronous != "NORMAL" {
		t.Errorf("%+v, %v, %+v", s, err, report)
	}
}
