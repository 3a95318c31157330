package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// A parser goes through text that is known to be valid JSON. It goes token by
// token because encoding/json, left alone, keeps the last of two equal keys,
// ignores case, and can't tell where a key stands.
type parser struct {
	*Loader
	name    string
	text    []byte
	decoder *json.Decoder
	seen    map[string]bool // full names of the keys so far
}

func (p *parser) top() {
	if !p.enter("") {
		return
	}
	for p.decoder.More() {
		where, name := p.key("")
		if p.Several && name == databasesKey {
			p.databases(where)
			continue
		}
		isSection := slices.ContainsFunc(p.sections, func(s section) bool { return s.name == name })
		if !isSection {
			p.unknown(where, name)
		}
		if !isSection || p.duplicate(where, name) || !p.enter(name) {
			p.value()
			continue
		}
		for p.decoder.More() {
			where, key := p.key(name)
			p.setting(where, key, p.value())
		}
		_, _ = p.decoder.Token() // the closing brace
	}
}

// databases notes where the members of the object "databases" stand.
func (p *parser) databases(where string) {
	if p.duplicate(where, databasesKey) || !p.enter(databasesKey) {
		p.value()
		return
	}
	for p.decoder.More() {
		where, key := p.key(databasesKey)
		begin := p.next()
		raw := p.value()
		name := strings.TrimPrefix(key, databasesKey+".")
		switch {
		case p.duplicate(where, key):
		case !isDatabaseName(name):
			p.fail(where, key, "%s: a database is named by 1 to 64 letters, digits, '_', '-' and '.', and begins with a letter or digit", databasesKey)
		case raw[0] != '{':
			p.fail(where, key, "%s: expected an object, got %s", key, jsonKind(raw))
		default:
			p.Databases = append(p.Databases, Database{Name: name, text: p.text, file: p.name, begin: begin, end: begin + len(raw)})
		}
	}
	_, _ = p.decoder.Token() // the closing brace
}

// isDatabaseName says what can stand in a path and in a label as it is.
func isDatabaseName(name string) bool {
	for i, r := range name {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
		case i > 0 && strings.ContainsRune("_-.", r):
		default:
			return false
		}
	}
	return name != "" && len(name) <= 64
}

func (p *parser) setting(where, key string, raw json.RawMessage) {
	s, ok := p.named(key)
	switch {
	case !ok:
		p.unknown(where, key)
	case p.duplicate(where, key):
	case !s.takesJSON(raw):
		p.fail(where, key, "%s: expected %s, got %s", key, s.expected(), jsonKind(raw))
	default:
		text := string(raw)
		if raw[0] == '"' {
			_ = json.Unmarshal(raw, &text) // valid, and a string
		}
		p.set(s, text, where, originFile)
	}
}

// enter steps into the object that is the value of key, or complains and stays
// before the value.
func (p *parser) enter(key string) bool {
	at := p.next()
	if p.text[at] == '{' {
		_, _ = p.decoder.Token() // the brace that next has seen
		return true
	}
	what := "the configuration"
	if key != "" {
		what = key
	}
	p.fail(p.at(at), key, "%s: expected an object, got %s", what, jsonKind(p.text[at:]))
	return false
}

// key reads the next key of the object called section.
func (p *parser) key(section string) (where, key string) {
	where = p.at(p.next())
	token, _ := p.decoder.Token()
	key, _ = token.(string)
	if section != "" {
		key = section + "." + key
	}
	return where, key
}

// value reads the next value as it stands.
func (p *parser) value() json.RawMessage {
	var raw json.RawMessage
	_ = p.decoder.Decode(&raw) // the text is valid
	return raw
}

func (p *parser) duplicate(where, key string) bool {
	if p.seen[key] {
		p.fail(where, key, "duplicate key %q", key)
		return true
	}
	p.seen[key] = true
	return false
}

// next is the offset of the next token.
func (p *parser) next() int {
	at := int(p.decoder.InputOffset())
	for at < len(p.text) && strings.IndexByte(" \t\r\n,:", p.text[at]) >= 0 {
		at++
	}
	return at
}

// at says where an offset is: "holdfast.json:4:5".
func (p *parser) at(offset int) string {
	before := p.text[:min(offset, len(p.text))]
	line := bytes.Count(before, []byte("\n")) + 1
	column := utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]) + 1
	if p.name == "" {
		return fmt.Sprintf("line %d, column %d", line, column)
	}
	return fmt.Sprintf("%s:%d:%d", p.name, line, column)
}

// jsonKind names the kind of a JSON value in place of the value, which may be
// long.
func jsonKind(raw []byte) string {
	switch raw[0] {
	case '{':
		return "an object"
	case '[':
		return "an array"
	case '"':
		return "a string"
	case 't', 'f':
		return "true or false"
	case 'n':
		return "null"
	default:
		return "a number"
	}
}
