package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/exitcode"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/output"
)

const shellHelp = `.help               this text
.tables [PATTERN]   tables and views whose names are LIKE the pattern
.schema [TABLE]     the statements that made everything, or one table
.mode [FORMAT]      show or choose the output format: table, json, jsonl, csv, md
.timer on|off       print how long each statement takes
.read FILE          run a script
.quit               leave; an open transaction is rolled back
`

// maxRead is how deep scripts may read scripts: one that reads itself ends here.
const maxRead = 16

// command runs a command of the shell itself.
func (s *shell) command(ctx context.Context, line string) error {
	words := strings.Fields(line)
	argument := strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), words[0]))
	switch words[0] {
	case ".help":
		fmt.Fprint(s.app.errs, shellHelp)
		return nil
	case ".quit", ".exit":
		return errQuit
	case ".tables":
		return s.tables(ctx, argument)
	case ".schema":
		return s.schema(ctx, argument)
	case ".mode":
		return s.mode(argument)
	case ".timer":
		return s.setTimer(argument)
	case ".read":
		return s.read(ctx, argument)
	}
	return exitcode.Usagef("unknown command %s; .help lists the commands there are", words[0])
}

const listTables = `SELECT CASE schema WHEN 'main' THEN name ELSE schema || '.' || name END AS name, type
FROM pragma_table_list WHERE name NOT LIKE 'sqlite!_%' ESCAPE '!' AND type <> 'shadow' AND (?1 = '' OR name LIKE ?1)
ORDER BY schema <> 'main', schema, name`

func (s *shell) tables(ctx context.Context, pattern string) error {
	return s.app.printRows(ctx, s.printer, s.conn, listTables, pattern)
}

// schema prints the statements of the schema, which are text to be read or run
// again, whatever the output format.
func (s *shell) schema(ctx context.Context, table string) error {
	rows, err := s.conn.QueryContext(ctx,
		"SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND (?1 = '' OR tbl_name = ?1 COLLATE NOCASE) ORDER BY rowid", table)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return err
		}
		for line := range strings.SplitSeq(text+";", "\n") {
			if _, err := s.app.out.WriteString(output.Visible(strings.TrimSuffix(line, "\r")) + "\n"); err != nil {
				return &output.WriteError{Err: err}
			}
		}
	}
	return rows.Err()
}

func (s *shell) mode(name string) error {
	if name == "" {
		fmt.Fprintln(s.app.errs, s.printer.Format)
		return nil
	}
	format, err := output.ParseFormat(name)
	if err != nil {
		return exitcode.With(exitcode.Usage, err)
	}
	s.printer.Format = format
	return nil
}

func (s *shell) setTimer(word string) error {
	switch word {
	case "on", "off":
		s.timer = word == "on"
		return nil
	}
	return exitcode.Usagef(".timer is on or off")
}

// read runs a file as a script. It stops at the first error.
func (s *shell) read(ctx context.Context, name string) error {
	name = strings.Trim(name, `'"`)
	if name == "" {
		return exitcode.Usagef(".read needs the name of a file")
	}
	if s.depth >= maxRead {
		return exitcode.Usagef("%s: scripts read scripts more than %d deep", name, maxRead)
	}
	open, err := s.isOpen(ctx, name)
	if err != nil {
		return err
	}
	if open {
		return exitcode.Usagef("%s belongs to the database that is open; a script is a text file", name)
	}
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("read the script: %w", err)
	}
	defer f.Close()
	s.depth++
	defer func() { s.depth-- }()
	return s.script(ctx, newScript(f))
}

// isOpen tells whether a file is part of a database that the shell has open, also
// of an attached one. To open and close it here would drop the locks that SQLite
// holds on it (https://www.sqlite.org/howtocorrupt.html, section 2.2).
func (s *shell) isOpen(ctx context.Context, name string) (bool, error) {
	rows, err := s.conn.QueryContext(ctx, "SELECT file FROM pragma_database_list WHERE file <> ''")
	if err != nil {
		return false, err
	}
	defer rows.Close()
	files := []string{s.db.Path()}
	for rows.Next() {
		var file string
		if err := rows.Scan(&file); err != nil {
			return false, err
		}
		files = append(files, file)
	}
	return slices.ContainsFunc(files, func(file string) bool { return isPartOf(name, file) }), rows.Err()
}

// isPartOf tells whether a file is a database or one of its sidecars, by whatever
// name.
func isPartOf(name, database string) bool {
	info, err := os.Stat(name)
	if err != nil {
		return false
	}
	for _, suffix := range []string{"", "-wal", "-shm", "-journal", "-holdfast.lock", "-holdfast.sock"} {
		if part, err := os.Stat(database + suffix); err == nil && os.SameFile(info, part) {
			return true
		}
	}
	return false
}

// complete offers the names of tables and columns, and the shell's commands,
// for the word before the cursor.
func (s *shell) complete(line string, pos int) (head string, found []string, tail string) {
	runes := []rune(line)
	start := pos
	for start > 0 && !strings.ContainsRune(" \t,;()=<>", runes[start-1]) {
		start--
	}
	head, tail = string(runes[:start]), string(runes[pos:])
	word := string(runes[start:pos])
	if start == 0 && strings.HasPrefix(word, ".") {
		for _, name := range []string{".help", ".mode", ".quit", ".read", ".schema", ".tables", ".timer"} {
			if strings.HasPrefix(name, word) {
				found = append(found, name)
			}
		}
		return head, found, tail
	}
	if word == "" {
		return head, nil, tail
	}
	rows, err := s.conn.QueryContext(context.Background(), listNames, word)
	if err != nil {
		return head, nil, tail // completion must not get in the way
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if rows.Scan(&name) == nil {
			found = append(found, output.Visible(name))
		}
	}
	return head, found, tail
}

const listNames = `SELECT name FROM (SELECT name FROM pragma_table_list
UNION SELECT c.name FROM sqlite_schema AS t, pragma_table_info(t.name) AS c WHERE t.type IN ('table', 'view'))
WHERE substr(name, 1, length(?1)) = ?1 COLLATE NOCASE ORDER BY name LIMIT 50`
