package doctor

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// dialects are the keys of a data source name that each driver understands
// (mattn v1.14.53, modernc v1.61.1, ncruces v0.36.0). What it doesn't know it
// ignores without a word.
var dialects = map[string]string{
	"mattn": "_auth _auth_user _auth_pass _auth_crypt _auth_salt _auto_vacuum _vacuum _busy_timeout _timeout _cache_size " +
		"_case_sensitive_like _cslike _defer_foreign_keys _defer_fk _foreign_keys _fk _ignore_check_constraints " +
		"_journal_mode _journal _loc _locking_mode _locking _mutex _query_only _recursive_triggers _rt _secure_delete " +
		"_stmt_cache_size _synchronous _sync _txlock _writable_schema",
	"modernc": "_pragma _txlock _time_format _time_integer_format _timezone _inttotime _texttotime _dqs _defensive _error_rc " + shorthands,
	"ncruces": "_pragma _txlock _timefmt",
}

// shorthands are mattn's keys that modernc takes since shorthandsSince; before
// that it ignored them.
const (
	shorthands      = "_busy_timeout _timeout _foreign_keys _fk _journal_mode _journal _synchronous _sync _auto_vacuum _vacuum _query_only"
	shorthandsSince = "v1.55.0"
)

// uriKeys are SQLite's own, https://www.sqlite.org/uri.html. They count only if
// the name begins with "file:".
const uriKeys = "mode cache immutable nolock psow vfs modeof"

var driverModules = map[string]string{
	"mattn": "github.com/mattn/go-sqlite3", "modernc": "modernc.org/sqlite", "ncruces": "github.com/ncruces/go-sqlite3",
}

// source judges a data source name.
func (e *examination) source(dsn, driver string, versions map[string]string) error {
	if dsn == "" {
		return nil
	}
	name, version, _ := strings.Cut(driver, "@")
	known, ok := dialects[name]
	if !ok {
		return fmt.Errorf("unknown driver %q: choose mattn, modernc or ncruces", driver)
	}
	if version == "" {
		version = versions[driverModules[name]]
	}
	file, query, _ := strings.Cut(dsn, "?")
	values, err := url.ParseQuery(query)
	if err != nil {
		return fmt.Errorf("the parameters of the data source name can't be parsed: %s", strings.TrimPrefix(err.Error(), "invalid "))
	}
	uri := strings.HasPrefix(file, "file:")
	for _, key := range slices.Sorted(keysOf(values)) {
		switch {
		case name == "modernc" && isOneOf(key, shorthands) && (version == "" || compare(version, shorthandsSince) < 0):
			e.found("dsn-ignored", Warning, key, "modernc < "+shorthandsSince, wayOf(key, name))
		case isOneOf(key, known):
			e.hazard(key, values[key])
		case isOneOf(key, uriKeys) && uri:
			e.hazard(key, values[key])
		case isOneOf(key, uriKeys):
			e.found("dsn-no-uri", Warning, key)
		default:
			e.found("dsn-ignored", Warning, key, name, wayOf(key, name))
		}
	}
	return nil
}

func keysOf(values url.Values) func(func(string) bool) {
	return func(yield func(string) bool) {
		for key := range values {
			if !yield(key) {
				return
			}
		}
	}
}

func isOneOf(word, list string) bool { return slices.Contains(strings.Fields(list), word) }

// wayOf says how the driver takes the setting.
func wayOf(key, driver string) string {
	pragmas := map[string]string{
		"_busy_timeout": "busy_timeout(5000)", "_timeout": "busy_timeout(5000)", "_foreign_keys": "foreign_keys(1)", "_fk": "foreign_keys(1)",
		"_journal_mode": "journal_mode(WAL)", "_journal": "journal_mode(WAL)", "_synchronous": "synchronous(FULL)", "_sync": "synchronous(FULL)",
		"_auto_vacuum": "auto_vacuum(INCREMENTAL)", "_vacuum": "auto_vacuum(INCREMENTAL)", "_query_only": "query_only(1)",
		"_cache_size": "cache_size(-2000)", "_locking_mode": "locking_mode(NORMAL)", "_locking": "locking_mode(NORMAL)",
	}
	switch p := pragmas[key]; {
	case driver == "mattn" && key == "_pragma":
		return "_busy_timeout=5000&_journal_mode=WAL&_foreign_keys=1"
	case p != "" && driver != "mattn":
		return "_pragma=" + p
	}
	return "-"
}

// hazard judges what a key asks for. No value is repeated: it may be a
// password.
func (e *examination) hazard(key string, values []string) {
	for _, v := range values {
		setting := strings.ToLower(strings.TrimPrefix(key, "_") + "=" + v)
		if key == "_pragma" {
			setting = strings.ToLower(strings.NewReplacer("(", "=", ")", "", " ", "").Replace(v))
		}
		switch setting {
		case "synchronous=off", "synchronous=0", "sync=off", "sync=0", "journal_mode=off", "journal=off",
			"journal_mode=memory", "journal=memory", "nolock=1", "writable_schema=1", "writable_schema=on":
			e.found("dsn-unsafe", Warning, setting)
		case "cache=shared":
			e.found("dsn-shared-cache", Warning, setting)
		}
	}
}
