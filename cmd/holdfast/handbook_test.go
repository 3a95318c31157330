package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"
)

const operatorPages = "../../docs/operator/"

// TestHandbook runs the commands of the operator's handbook as they stand there. While
// somebody else holds the write lock, for the first ones; the daemon is a real one.
func TestHandbook(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("who holds a lock, and an address of one's own, has Linux alone")
	}
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("there is no curl")
	}
	wants := map[string]string{
		`holdfast locks shop.db`: "holds WAL_WRITE for at least",
		`holdfast exec shop.db "INSERT INTO orders(item) VALUES ('rice')"`: "^exit code 75$",
		`holdfast doctor shop.db`:                                           "^healthy: ",
		`holdfast health shop.db`:                                           "^ok: ",
		`holdfast queries shop.db`:                                          "no program with Holdfast",
		`holdfast verify shop.db`:                                           "^ok: ",
		`holdfast backup --list`:                                            "shop",
		`holdfast backup --check`:                                           "^ok ",
		`holdfast backup --drill`:                                           "^ok ",
		`holdfast restore backups shop.db --dry`:                            "and for that:",
		`holdfast query shop.db "SELECT count`:                              "2",
		`holdfast config check`:                                             "nothing is wrong",
		`curl -fsS --retry 9`:                                               "database main ok",
		`curl -fsS -u ":$(cat write.tokens)" -G`:                            `"values":\[\[2\]\]`,
		`curl -fsS -u ":$(cat write.tokens)" -H`:                            `"rows_affected":1`,
		`HOLDFAST_TOKEN=$(cat write.tokens) holdfast health`:                "^ok: ",
		`HOLDFAST_TOKEN=$(cat write.tokens) holdfast queries`:               "INSERT INTO orders",
		`curl -fsS http://127.0.0.1:7391/healthz`:                           "^ok$",
		`curl -fsS -u ":$(cat write.tokens)" http://127.0.0.1:7391/metrics`: "holdfast_",
	}
	var script strings.Builder
	looked := make(map[string]bool)
	lines := commandsOf(operatorPage(t, "handbook.md"))
	for _, line := range lines {
		first := line == "holdfast locks shop.db" && !looked[line]
		if first {
			script.WriteString("lock shop.db\n")
		}
		// A process of its own port: others may use the one in the handbook.
		command := strings.ReplaceAll(strings.ReplaceAll(line, "127.0.0.1:7391", loopback()), `"serve": {`, `"serve": {"listen": "`+loopback()+`", `)
		script.WriteString("exec sh -ec '" + strings.ReplaceAll(command, "'", "''") + "'\n")
		for command, want := range wants {
			switch {
			case !strings.HasPrefix(line, command):
			case line == "holdfast locks shop.db" && !first: // later nobody holds it
				script.WriteString("! stdout WAL_WRITE\n")
			default:
				script.WriteString("stdout '" + want + "'\n")
			}
			if strings.HasPrefix(line, command) {
				looked[command] = true
			}
		}
		if strings.Contains(line, "exit code $?") {
			script.WriteString("unlock\n")
		}
	}
	if len(looked) != len(wants) {
		t.Fatalf("%d of %d commands are in the handbook: %v", len(looked), len(wants), looked)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "handbook.txtar"), []byte(script.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: dir, RequireExplicitExec: true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"lock": lock, "unlock": unlock},
		Setup: func(env *testscript.Env) error {
			// Where a command fails, nobody comes to the one that ends the daemon.
			env.Defer(func() { endDaemon(filepath.Join(env.WorkDir, "daemon.pid")) })
			return nil
		},
	})
}

// loopback is an address of this machine that no other process of this test has: Linux
// has all of 127.0.0.0/8.
func loopback() string {
	pid := os.Getpid()
	return fmt.Sprintf("127.%d.%d.%d:7391", 1+pid>>16%254, pid>>8%256, 1+pid%254)
}

func endDaemon(file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		return
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return
	}
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil || strings.TrimSpace(string(name)) != "holdfast" {
		return
	}
	if process, err := os.FindProcess(pid); err == nil {
		_ = process.Signal(syscall.SIGKILL)
	}
}

func operatorPage(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(operatorPages + name)
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(text), "\r\n", "\n")
}

// Pages in two languages tell the same: headings, lines of tables, commands, and each
// name of a command, a setting or an alert.
func TestBothHandbooksTellTheSame(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"handbook", "runbooks", "daemon", "cluster"} {
		english, german := operatorPage(t, name+".md"), operatorPage(t, name+".de.md")
		for _, part := range []string{"\n## ", "\n### ", "\n|"} {
			if in, de := strings.Count(english, part), strings.Count(german, part); in != de {
				t.Errorf("%s: %d times %q, in German %d times", name, in, part, de)
			}
		}
		if !slices.Equal(withoutComments(commandsOf(english)), withoutComments(commandsOf(german))) {
			t.Errorf("%s: the commands differ", name)
		}
		in, de := namesOf(english), namesOf(german)
		if len(in) < 20 {
			t.Errorf("%s has %d names: this test looks at nothing", name, len(in))
		}
		for _, one := range in {
			if !slices.Contains(de, one) {
				t.Errorf("%s: only the English page has %s", name, one)
			}
		}
		for _, one := range de {
			if !slices.Contains(in, one) {
				t.Errorf("%s: only the German page has %s", name, one)
			}
		}
	}
}

// The two READMEs have the same parts, commands, tables and links.
func TestBothReadmesTellTheSame(t *testing.T) {
	t.Parallel()
	english, german := operatorPage(t, "../../README.md"), operatorPage(t, "../../README.de.md")
	for _, part := range []string{"\n## ", "\n- **", "\n|", "\n```go\n"} {
		if in, de := strings.Count(english, part), strings.Count(german, part); in != de || in == 0 {
			t.Errorf("%d times %q, in German %d times", in, part, de)
		}
	}
	if in, de := withoutComments(commandsOf(english)), withoutComments(commandsOf(german)); !slices.Equal(in, de) {
		t.Errorf("the commands differ:\n%q\n%q", in, de)
	}
	links := func(page string) []string {
		var to []string
		for _, found := range link.FindAllStringSubmatch(page, -1) {
			if name := strings.ReplaceAll(found[1], ".de.md", ".md"); name != "README.md" {
				to = append(to, name)
			}
		}
		slices.Sort(to)
		return slices.Compact(to)
	}
	if in, de := links(english), links(german); !slices.Equal(in, de) {
		t.Errorf("they lead elsewhere:\n%q\n%q", in, de)
	}
}

func withoutComments(commands []string) []string {
	for i, command := range commands {
		command, _, _ = strings.Cut(command, " #")
		commands[i] = strings.TrimSpace(command)
	}
	return commands
}

var (
	block  = regexp.MustCompile("(?s)```.*?```")
	inline = regexp.MustCompile("`[^`]+`")
	link   = regexp.MustCompile(`\]\(([^)]+)\)`)
)

// namesOf are the pieces of code in the sentences of a page, and where it leads to. A
// file or directory that stands for the reader's own has a word of the language.
func namesOf(page string) []string {
	page = block.ReplaceAllString(page, "")
	var names []string
	for _, name := range inline.FindAllString(page, -1) {
		name = strings.Join(strings.Fields(name), " ")
		for german, english := range map[string]string{"DATEI": "FILE", "VERZEICHNIS": "DIRECTORY", "SICHERUNG": "BACKUP", "KOPIE": "COPY"} {
			name = strings.ReplaceAll(name, german, english)
		}
		names = append(names, name)
	}
	for _, to := range link.FindAllStringSubmatch(page, -1) {
		if name := strings.ReplaceAll(to[1], ".de.md", ".md"); name != "handbook.md" && name != "runbooks.md" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Each command in a sentence exists, with its flags, and so does each page that is led to.
func TestWhatTheHandbookNames(t *testing.T) {
	t.Parallel()
	root := new(app).rootCommand()
	commands := 0
	for _, page := range []string{"handbook.md", "handbook.de.md", "runbooks.md", "runbooks.de.md"} {
		text := operatorPage(t, page)
		for _, span := range append(inline.FindAllString(block.ReplaceAllString(text, ""), -1), commandsOf(text)...) {
			words := strings.Fields(strings.Trim(span, "`"))
			if len(words) > 2 && strings.HasPrefix(words[0], "HOLDFAST_TOKEN=") {
				words = words[2:]
			}
			if len(words) < 2 || words[0] != "holdfast" {
				continue
			}
			commands++
			if err := understood(root, words[1:]); err != nil {
				t.Errorf("%s: %s: %v", page, span, err)
			}
		}
		for _, to := range link.FindAllStringSubmatch(text, -1) {
			file, section, _ := strings.Cut(to[1], "#")
			if file == "" {
				file = page
			}
			if _, err := os.Stat(filepath.Join(operatorPages, file)); err != nil {
				t.Errorf("%s leads to %s, which is not there", page, to[1])
			} else if section != "" && !strings.Contains(operatorPage(t, file), "\n## "+section+"\n") {
				t.Errorf("%s leads to %s, which has no such section", page, to[1])
			}
		}
	}
	if commands < 100 {
		t.Errorf("%d commands: this test looks at nothing", commands)
	}
}

func understood(root *cobra.Command, words []string) error {
	command, _, err := root.Find(words)
	if err != nil {
		return err
	}
	if command == root {
		return fmt.Errorf("no command %q", words[0])
	}
	for _, word := range words {
		name, isFlag := strings.CutPrefix(word, "--")
		name, _, _ = strings.Cut(name, "=")
		if isFlag && name != "" && command.Flag(name) == nil {
			return fmt.Errorf("%s has no flag --%s", command.CommandPath(), name)
		}
	}
	return nil
}
