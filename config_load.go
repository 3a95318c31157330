package holdfast

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"
)

// ConfigSource says where LoadConfig finds settings. Later fields win over
// earlier ones. The zero value yields the defaults.
type ConfigSource struct {
	Path      string            // JSON file; with Reader only its name in errors
	Reader    io.Reader         // JSON text in place of the file; not closed
	Env       []string          // "HOLDFAST_DATABASE_BUSY_TIMEOUT=5s"; nil is none, callers pass os.Environ()
	Overrides map[string]string // dotted key to value, from flags: "database.busy_timeout": "5s"
}

// ConfigReport says what is in effect and why.
type ConfigReport struct {
	Values []ConfigValue `json:"values"` // every key, in the order of the reference page
	Notes  []string      `json:"notes"`  // settings that don't do what a reader would expect; nil is none
}

// ConfigValue is one setting in effect.
type ConfigValue struct {
	Key     string `json:"key"`
	Value   string `json:"value"`   // as a flag takes it: "30s", "64MiB", "off"
	Default string `json:"default"` // on this machine
	Origin  string `json:"origin"`  // "default", "file", "environment" or "flag"
	Unit    string `json:"unit"`    // what a bare number counts: "s", "ms", "bytes", "pages" or ""
	Doc     string `json:"doc"`
}

// Where a setting came from.
const (
	originDefault     = "default"
	originFile        = "file"
	originEnvironment = "environment"
	originFlag        = "flag"
)

// maxConfigSize bounds what is taken for a configuration.
const maxConfigSize = 1 << 20

// LoadConfig reads a configuration. Flags win over the environment, and the
// environment over the file. The Config holds what was given and no more, so
// that the caller may still change it before OpenConfig resolves it; the report
// holds what is in effect.
//
// Everything that is wrong comes back at once, as joined *ConfigError; a file
// that can't be read comes back as its own error. A file that looks like a
// database is refused unread: to close one would drop the locks that this
// process may hold on it.
func LoadConfig(src ConfigSource) (Config, *ConfigReport, error) {
	var c Config
	l := configLoader{config: &c, origins: map[string]string{}}
	text, err := src.read()
	if err != nil {
		return Config{}, nil, err
	}
	if text != nil {
		l.file(text, src.Path)
	}
	l.environment(src.Env)
	l.overrides(src.Overrides)
	if err := l.err(); err != nil {
		return Config{}, nil, err
	}
	effective, notes, err := c.withDefaults()
	if err != nil {
		return Config{}, nil, err
	}
	l.settleReaders()
	defaults := DefaultConfig()
	report := &ConfigReport{Notes: notes}
	for _, s := range settings() {
		origin := l.origins[s.name]
		if origin == "" {
			origin = originDefault
		}
		report.Values = append(report.Values, ConfigValue{
			Key: s.name, Value: s.text(&effective), Default: s.text(&defaults), Origin: origin, Unit: s.unit, Doc: s.doc,
		})
	}
	return c, report, nil
}

// read returns the JSON text, or nil if there is none to read.
func (src ConfigSource) read() ([]byte, error) {
	in := src.Reader
	if in == nil {
		if src.Path == "" {
			return nil, nil
		}
		if err := refuseDatabase(src.Path); err != nil {
			return nil, err
		}
		f, err := os.Open(src.Path)
		if err != nil {
			return nil, fmt.Errorf("read the configuration: %w", err)
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, maxConfigSize+1))
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	if len(text) > maxConfigSize {
		return nil, &ConfigError{Where: src.Path, Problem: "more than 1 MiB: this is no configuration"}
	}
	return text, nil
}

// refuseDatabase keeps `-c app.db` from opening, and worse closing, a live
// database outside SQLite. It looks at names and sizes only.
func refuseDatabase(path string) error {
	refuse := func(why string) error {
		return &ConfigError{Where: path, Problem: "not read as a configuration: " + why}
	}
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target // the names that matter are those of the file itself
	}
	if database, sidecar := openHere(path); database || sidecar {
		return refuse("it belongs to a database that this process has open")
	}
	lower := strings.ToLower(path)
	for _, suffix := range []string{".db", ".sqlite", ".sqlite3", "-wal", "-shm", "-journal"} {
		if strings.HasSuffix(lower, suffix) {
			return refuse("its name is that of a database")
		}
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil // opening it says so
	case err != nil:
		return fmt.Errorf("read the configuration: %w", err)
	case info.Mode().IsRegular() && info.Size() > maxConfigSize:
		return refuse("it is larger than 1 MiB")
	}
	for _, suffix := range []string{"-wal", "-shm", "-journal"} {
		if _, err := os.Stat(path + suffix); err == nil {
			return refuse("a database's " + suffix + " file stands beside it")
		}
	}
	return nil
}

// A configLoader puts what the sources say into config, and remembers where each
// setting came from.
type configLoader struct {
	config  *Config
	origins map[string]string
	errs    []error
}

func (l *configLoader) err() error { return errors.Join(l.errs...) }

func (l *configLoader) fail(where, key, format string, args ...any) {
	l.errs = append(l.errs, &ConfigError{Key: key, Where: where, Problem: fmt.Sprintf(format, args...)})
}

func (l *configLoader) set(s setting, text, where, origin string) {
	if err := s.set(l.config, text); err != nil {
		err.Where = where
		l.errs = append(l.errs, err)
		return
	}
	l.origins[s.name] = origin
}

// settleReaders gives both keys for the number of readers the origin of the one
// that decides.
func (l *configLoader) settleReaders() {
	const db, pool = "database.max_connections", "connection_pool.max_connections"
	if l.config.ConnectionPool.MaxConnections == 0 && l.config.Database.MaxConnections != 0 {
		l.origins[pool] = l.origins[db]
	} else {
		l.origins[db] = l.origins[pool]
	}
}

// environment applies the variables whose names begin with a section's. Other
// HOLDFAST_ variables are somebody else's, and an empty one counts as not set.
func (l *configLoader) environment(env []string) {
	known := map[string]setting{}
	for _, s := range settings() {
		known[envName(s.name)] = s
	}
	values := map[string]string{} // the last of a name wins, as in package os/exec
	for _, entry := range env {
		if name, value, ok := strings.Cut(entry, "="); ok {
			values[name] = value
		}
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		value := values[name]
		if value == "" || !hasSectionPrefix(name) {
			continue
		}
		s, ok := known[name]
		if !ok {
			l.fail("", "", "unknown environment variable %s: did you mean %s?", name, nearest(name, slices.Sorted(maps.Keys(known))))
			continue
		}
		l.set(s, value, "environment variable "+name, originEnvironment)
	}
}

// envName is the variable for a dotted key.
func envName(key string) string {
	return "HOLDFAST_" + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

func hasSectionPrefix(name string) bool {
	return slices.ContainsFunc(sections(), func(s sectionDoc) bool {
		return strings.HasPrefix(name, envName(s.name)+"_")
	})
}

func (l *configLoader) overrides(values map[string]string) {
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if s, ok := settingNamed(key); ok {
			l.set(s, values[key], "flag", originFlag)
		} else {
			l.unknown("flag", key)
		}
	}
}

func settingNamed(name string) (setting, bool) {
	for _, s := range settings() {
		if s.name == name {
			return s, true
		}
	}
	return setting{}, false
}

// file applies the JSON text of the file called name.
func (l *configLoader) file(text []byte, name string) {
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	p := configParser{configLoader: l, name: name, text: text, seen: map[string]bool{}}
	if !utf8.Valid(text) {
		l.fail(name, "", "the text is not valid UTF-8")
		return
	}
	if len(bytes.TrimSpace(text)) == 0 {
		l.fail(name, "", "the text is empty: the least configuration is {}")
		return
	}
	var whole json.RawMessage
	if err := json.Unmarshal(text, &whole); err != nil {
		where := name
		if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
			where = p.at(max(0, int(syntax.Offset)-1))
		}
		l.fail(where, "", "not JSON: %v", err)
		return
	}
	p.decoder = json.NewDecoder(bytes.NewReader(text))
	p.top()
}

// A configParser goes through text that is known to be valid JSON. It goes token by
// token because encoding/json, left alone, keeps the last of two equal keys,
// ignores case, and can't tell where a key stands.
type configParser struct {
	*configLoader
	name    string
	text    []byte
	decoder *json.Decoder
	seen    map[string]bool // full names of the keys so far
}

func (p *configParser) top() {
	if !p.enter("") {
		return
	}
	for p.decoder.More() {
		where, section := p.key("")
		isSection := slices.ContainsFunc(sections(), func(s sectionDoc) bool { return s.name == section })
		if !isSection {
			p.unknown(where, section)
		}
		if !isSection || p.duplicate(where, section) || !p.enter(section) {
			p.value()
			continue
		}
		for p.decoder.More() {
			where, key := p.key(section)
			p.setting(where, key, p.value())
		}
		_, _ = p.decoder.Token() // the closing brace
	}
}

func (p *configParser) setting(where, key string, raw json.RawMessage) {
	s, ok := settingNamed(key)
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
func (p *configParser) enter(key string) bool {
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
func (p *configParser) key(section string) (where, key string) {
	where = p.at(p.next())
	token, _ := p.decoder.Token()
	key, _ = token.(string)
	if section != "" {
		key = section + "." + key
	}
	return where, key
}

// value reads the next value as it stands.
func (p *configParser) value() json.RawMessage {
	var raw json.RawMessage
	_ = p.decoder.Decode(&raw) // the text is valid
	return raw
}

func (p *configParser) duplicate(where, key string) bool {
	if p.seen[key] {
		p.fail(where, key, "duplicate key %q", key)
		return true
	}
	p.seen[key] = true
	return false
}

// next is the offset of the next token.
func (p *configParser) next() int {
	at := int(p.decoder.InputOffset())
	for at < len(p.text) && strings.IndexByte(" \t\r\n,:", p.text[at]) >= 0 {
		at++
	}
	return at
}

// at says where an offset is: "holdfast.json:4:5".
func (p *configParser) at(offset int) string {
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

// unknown complains about a dotted key and names the nearest one there is.
func (l *configLoader) unknown(where, key string) {
	var known []string
	if !strings.Contains(key, ".") {
		for _, s := range sections() {
			known = append(known, s.name)
		}
	}
	for _, s := range settings() {
		known = append(known, s.name)
	}
	if len(key) > maxKeyLength {
		key = strings.ToValidUTF8(key[:maxKeyLength], "") + "..."
	}
	l.fail(where, key, "unknown key %q: did you mean %q?", key, nearest(key, known))
}

// maxKeyLength bounds the search and the text that a hopeless key causes.
const maxKeyLength = 100

// nearest is the one of known that key was most likely meant to be. A key in the
// wrong section is near too, and so is one that only lacks its beginning or end.
func nearest(key string, known []string) string {
	key = strings.ToLower(key[:min(len(key), maxKeyLength)])
	last := key[strings.LastIndexByte(key, '.')+1:]
	best, bestScore, bestWhole := "", 0, 0
	for _, k := range known {
		lower := strings.ToLower(k)
		whole := editDistance(key, lower)
		score := min(whole, editDistance(last, lower[strings.LastIndexByte(lower, '.')+1:])+1)
		if len(last) > 2 && strings.Contains(lower, last) {
			score = min(score, 2)
		}
		if best == "" || score < bestScore || score == bestScore && whole < bestWhole {
			best, bestScore, bestWhole = k, score, whole
		}
	}
	return best
}

// editDistance counts the bytes to insert, delete or replace (Levenshtein).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
