package config

import (
	"fmt"
	"strings"
)

// Reference is the reference page of the configuration, in Markdown. The rules
// are what holds between settings, a sentence each; example is a file to start
// from.
func (s *Schema[C]) Reference(rules []string, example string) string {
	var b strings.Builder
	b.WriteString(referenceIntro)
	for _, rule := range rules {
		fmt.Fprintf(&b, "- %s\n", rule)
	}
	fmt.Fprintf(&b, "\n## Example\n\n```json\n%s```\n", example)
	b.WriteString(s.Tables())
	return b.String()
}

// Tables are the tables of the reference page: a heading, a sentence and a row for each
// setting of each section.
func (s *Schema[C]) Tables() string {
	var b strings.Builder
	for _, section := range s.sections {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n| key | value | default | meaning |\n|---|---|---|---|\n", section.name, section.doc)
		for _, s := range s.settings {
			if s.section == section.name {
				fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", s.key, s.valueDoc(), s.defaultDoc(), s.meaningDoc())
			}
		}
	}
	return b.String()
}

const referenceIntro = `# Configuration

<!-- Generated from the tags in config.go; go test -run TestConfigReference -update . writes it. -->

Nothing needs to be configured: every setting has a safe default, and ` + "`holdfast.Open(ctx, \"app.db\")`" + ` uses them all.
` + "`holdfast config check`" + ` finds what is wrong with a file, ` + "`holdfast config print`" + ` shows each setting in effect and
where it came from, ` + "`holdfast config init`" + ` writes a file to start from. In Go the same settings are the fields of
` + "`holdfast.Config`" + `.

## Where settings come from

From the weakest to the strongest:

1. the default;
2. the JSON file;
3. the environment: ` + "`HOLDFAST_<SECTION>_<KEY>`" + `, for example ` + "`HOLDFAST_DATABASE_BUSY_TIMEOUT=5s`" + `. An empty variable counts as not
   set. Variables that begin with ` + "`HOLDFAST_`" + ` but not with a section's name are left alone;
4. flags, as dotted keys: ` + "`database.busy_timeout=5s`" + `.

An unknown key or variable is an error that names the nearest one there is. So is a key that stands twice, a value of the wrong
type, ` + "`null`" + `, and anything after the closing brace. A byte order mark is skipped. A file may have 1 MiB; one that looks like a
database is not read.

## How values are written

| kind | JSON | environment and flags |
|---|---|---|
| duration | a number in the unit of the table below (` + "`0.1`" + `), or a string with units: ` + "`\"30s\"`, `\"1h30m\"`, `\"20ms\"`" + ` | the same, without quotes |
| size | a whole number of bytes, or a string: ` + "`\"64MiB\"`, `\"64MB\"`, `\"1.5GiB\"`" + ` (KiB is 1024 bytes, KB is 1000) | the same, without quotes |
| count | a whole number | the same |
| switch | ` + "`true` or `false`" + ` | ` + "`true`, `on`, `1`, `false`, `off`, `0`" + ` |
| choice, text | a string; upper and lower case are the same in a choice | the same, without quotes |

**0, or nothing, means the default. -1 means off, where the table says what that is**, and ` + "`\"off\"`" + ` is another way to write it.
In Go the rule is the same: the zero value is the default, -1 is off.

## Settings that depend on each other

An error refuses the configuration. A note is reported by ` + "`holdfast config check`" + ` and logged by Open; it is only made for settings
that differ from their default.

`

func (s *setting) valueDoc() string {
	switch s.kind {
	case kindText:
		if s.values == nil {
			return "text"
		}
		return strings.Join(s.values, ", ")
	case kindBool, kindSwitch:
		return "switch"
	case kindDuration:
		return unitName(s.unit)
	case kindSize:
		return "bytes"
	default:
		if s.unit != "" {
			return s.unit
		}
		return "count"
	}
}

func (s *setting) defaultDoc() string {
	switch {
	case s.computed != "":
		return s.computed
	case s.defaultText == "":
		return ""
	case s.kind == kindText || s.kind == kindBool || s.kind == kindSwitch:
		return "`" + s.defaultText + "`"
	default:
		return "`" + s.format(s.defaultValue) + "`"
	}
}

func (s *setting) meaningDoc() string {
	text := s.doc
	if s.off != "" {
		text += " `-1`: " + s.off + "."
	}
	if s.min > 0 {
		text += " At least " + s.format(s.min) + "."
	}
	if s.bounded {
		text += " At most " + s.format(s.max) + "."
	}
	return text
}
