package output

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"
)

// Document prints one answer: doc as JSON, or what table makes of it.
func (p *Printer) Document(doc any, table *Result) error {
	if p.Format.Structured() {
		return p.document(doc)
	}
	return p.Result(table)
}

// document writes doc on one line.
func (p *Printer) document(doc any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(doc); err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	return p.write(b.Bytes())
}

// Rows prints the rows of a query. CSV and JSON Lines go out as the rows come
// in; the other formats need the whole result first, so an error leaves nothing
// half-printed. doc makes the document that JSON prints.
func (p *Printer) Rows(rows *sql.Rows, doc func(*Result) any) error {
	switch p.Format {
	case CSV, JSONL:
		return p.stream(rows)
	}
	r, err := Collect(rows)
	if err != nil {
		return err
	}
	if p.Format == JSON {
		return p.document(doc(r))
	}
	return p.Result(r)
}

// Result prints a result that is in memory, in a format of rows.
func (p *Printer) Result(r *Result) error {
	if len(r.Columns) == 0 {
		return nil
	}
	switch p.Format {
	case CSV, JSONL:
		w := p.rowWriter(r.Columns)
		if err := w.head(); err != nil {
			return err
		}
		for _, row := range r.Rows {
			if err := w.row(row); err != nil {
				return err
			}
		}
		return nil
	case Markdown:
		return p.write([]byte(p.markdown(r)))
	}
	return p.write([]byte(p.table(r)))
}

func (p *Printer) stream(rows *sql.Rows) error {
	columns, err := Columns(rows)
	if err != nil || len(columns) == 0 {
		return err
	}
	w := p.rowWriter(columns)
	if err := w.head(); err != nil {
		return err
	}
	return each(rows, len(columns), w.row)
}

func (p *Printer) write(b []byte) error {
	if _, err := p.Out.Write(b); err != nil {
		return &WriteError{err}
	}
	return nil
}

// WriteError says that the output could not be written.
type WriteError struct{ Err error }

func (e *WriteError) Error() string { return "write the output: " + e.Err.Error() }

// Unwrap returns the operating system's error.
func (e *WriteError) Unwrap() error { return e.Err }

// rowWriter writes rows one by one.
type rowWriter struct {
	p       *Printer
	columns []Column
	keys    [][]byte // of JSON Lines: the column's name, quoted, and a colon
	line    []byte
}

func (p *Printer) rowWriter(columns []Column) *rowWriter {
	w := &rowWriter{p: p, columns: columns}
	for _, name := range distinct(columns) {
		w.keys = append(w.keys, append(appendString(nil, name), ':'))
	}
	return w
}

// distinct gives columns of the same name a number, since the keys of a JSON
// object should differ: a, a_2, a_3.
func distinct(columns []Column) []string {
	names := make([]string, len(columns))
	taken := make(map[string]bool)
	for _, c := range columns {
		taken[c.Name] = true
	}
	used := make(map[string]bool)
	for i, c := range columns {
		name := c.Name
		for n := 2; used[name] || name != c.Name && taken[name]; n++ {
			name = fmt.Sprintf("%s_%d", c.Name, n)
		}
		used[name] = true
		names[i] = name
	}
	return names
}

func (w *rowWriter) head() error {
	if w.p.Format != CSV {
		return nil
	}
	w.line = w.line[:0]
	for i, c := range w.columns {
		if i > 0 {
			w.line = append(w.line, ',')
		}
		w.line = w.appendCSV(w.line, c.Name, true)
	}
	w.line = append(w.line, '\n')
	return w.p.write(w.line)
}

func (w *rowWriter) row(values []any) error {
	w.line = w.line[:0]
	if w.p.Format == JSONL {
		w.line = append(w.line, '{')
	}
	for i, v := range values {
		if i > 0 {
			w.line = append(w.line, ',')
		}
		if w.p.Format == JSONL {
			w.line = append(w.line, w.keys[i]...)
			w.line = appendJSON(w.line, v, w.columns[i])
			continue
		}
		text, ok := plain(v, w.columns[i])
		w.line = w.appendCSV(w.line, text, ok)
	}
	if w.p.Format == JSONL {
		w.line = append(w.line, '}')
	}
	w.line = append(w.line, '\n')
	return w.p.write(w.line)
}

// appendCSV writes a field by RFC 4180. NULL is nothing, the empty text is a
// pair of quotes.
func (w *rowWriter) appendCSV(b []byte, text string, ok bool) []byte {
	if !ok {
		return b
	}
	if w.p.terminal() {
		text = Visible(text)
	}
	if text != "" && !strings.ContainsAny(text, ",\"\r\n") && text[0] != ' ' && text[len(text)-1] != ' ' {
		return append(b, text...)
	}
	b = append(b, '"')
	b = append(b, strings.ReplaceAll(text, `"`, `""`)...)
	return append(b, '"')
}
