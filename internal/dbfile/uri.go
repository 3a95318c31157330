package dbfile

import (
	"fmt"
	"strings"
)

// parseURI reads what follows "file:", by the rules of
// https://www.sqlite.org/uri.html and with the tolerance of SQLite's own
// parser: the fragment is ignored, a '%' without two hexadecimal digits
// stands for itself.
func parseURI(rest string, windows bool) (Name, error) {
	rest, _, _ = strings.Cut(rest, "#")
	path, err := uriPath(&rest, windows)
	if err != nil {
		return Name{}, err
	}
	params, err := uriParameters(rest)
	if err != nil {
		return Name{}, err
	}
	if path == memoryName || params.mode == "memory" {
		return memoryURI(path, params)
	}
	return fileURI(path, params)
}

// uriPath takes authority and path off the front of rest and leaves the query.
func uriPath(rest *string, windows bool) (string, error) {
	uri := *rest
	if after, ok := strings.CutPrefix(uri, "//"); ok {
		slash := strings.IndexByte(after, '/')
		if slash < 0 {
			slash = len(after)
		}
		if host := after[:slash]; host != "" && host != "localhost" {
			return "", badURI(`the URI names a host; only "file:///absolute/path" and "file://localhost/absolute/path" are possible, since a database is a local file`)
		}
		uri = after[slash:]
	}
	path, query, _ := strings.Cut(uri, "?")
	*rest = query
	path, err := percentDecode(path)
	if err != nil {
		return "", err
	}
	// "/C:/dir/app.db" is how a URI writes a path with a drive letter.
	if windows && len(path) >= 3 && path[0] == '/' && path[2] == ':' && isLetter(path[1]) {
		path = path[1:]
	}
	return path, nil
}

// parameters are the values of the query; "" means not given.
type parameters struct {
	mode, cache string
	immutable   bool
}

func uriParameters(query string) (parameters, error) {
	var p parameters
	seen := make(map[string]bool)
	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" {
			continue
		}
		key, value, _ := strings.Cut(pair, "=")
		key, err := percentDecode(key)
		if err != nil {
			return p, err
		}
		if value, err = percentDecode(value); err != nil {
			return p, err
		}
		if err := p.set(key, value); err != nil {
			return p, err
		}
		if seen[key] {
			return p, badURI(fmt.Sprintf("the URI gives %s twice; keep one", key))
		}
		seen[key] = true
	}
	return p, nil
}

func (p *parameters) set(key, value string) error {
	switch key {
	case "mode":
		switch value {
		case "ro", "rw", "rwc", "memory":
			p.mode = value
			return nil
		}
		return badURI("the URI's mode is unknown; choose ro, rw, rwc or memory")
	case "cache":
		switch value {
		case "shared", "private":
			p.cache = value
			return nil
		}
		return badURI("the URI's cache is unknown; leave the parameter out")
	case "immutable":
		yes, ok := sqliteBoolean(value)
		if !ok {
			return badURI("the URI's immutable is neither 0 nor 1; write immutable=1 or leave it out")
		}
		p.immutable = yes
		return nil
	}
	return badURI(refusedParameter(key))
}

func memoryURI(path string, p parameters) (Name, error) {
	switch {
	case p.mode == "ro":
		return Name{}, badURI("the URI asks for a read-only database in memory, which would stay empty; leave out mode=ro")
	case p.immutable:
		return Name{}, badURI("the URI asks for an immutable database in memory, which would stay empty; leave out immutable")
	case path == "" && p.cache == "shared":
		return Name{}, badURI(`the URI asks to share a database in memory that has no name; write "file:NAME?mode=memory"`)
	}
	// SQLite shares ":memory:" only on request; a database with a name of its
	// own was given that name to be found by it.
	shared := p.cache == "shared" || p.cache == "" && path != memoryName
	if shared {
		return Name{Memory: true, Shared: path}, nil
	}
	return Name{Memory: true}, nil
}

func fileURI(path string, p parameters) (Name, error) {
	switch {
	case path == "":
		return Name{}, badURI(`the URI holds no path; write "file:app.db", or ":memory:" for a database in memory`)
	case p.cache == "shared":
		return Name{}, badURI("the URI asks for cache=shared on a file: its table locks don't wait and its use is discouraged " +
			"(https://www.sqlite.org/sharedcache.html); leave it out, Holdfast's connections share one writer and a memory budget anyway")
	}
	return Name{
		Path:      path,
		ReadOnly:  p.mode == "ro" || p.immutable,
		MustExist: p.mode == "ro" || p.mode == "rw" || p.immutable,
		Immutable: p.immutable,
	}, nil
}

// percentDecode turns %41 into A. "%00" is refused: SQLite drops what follows
// it, so the URI would lead elsewhere than it reads.
func percentDecode(s string) (string, error) {
	if strings.IndexByte(s, '%') < 0 {
		return s, nil
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '%' || i+2 >= len(s) || !isHex(s[i+1]) || !isHex(s[i+2]) {
			out = append(out, s[i])
			continue
		}
		c := hexValue(s[i+1])<<4 | hexValue(s[i+2])
		if c == 0 {
			return "", badURI("the URI holds %00, a NUL byte; remove it")
		}
		out = append(out, c)
		i += 2
	}
	return string(out), nil
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func hexValue(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return (c | 0x20) - 'a' + 10
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

// sqliteBoolean reads the words that SQLite takes for yes and no.
func sqliteBoolean(s string) (value, ok bool) {
	switch strings.ToLower(s) {
	case "1", "on", "yes", "true":
		return true, true
	case "0", "off", "no", "false":
		return false, true
	}
	return false, false
}

func badURI(sentence string) error { return refuse(ErrBadName, nil, sentence) }
