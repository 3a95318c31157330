package salvage

import (
	"cmp"
	"slices"
)

// Report is what Run has found and copied.
type Report struct {
	Schema      string `json:"schema"` // "holdfast.salvage/v1"
	Database    string `json:"database"`
	Destination string `json:"destination"`
	// Verdict is "whole" if nothing is lost, "partial", or "nothing" if there was no
	// row to copy where there should have been some.
	Verdict     string `json:"verdict"`
	Verified    bool   `json:"verified"` // the new database passes integrity_check
	Pages       int64  `json:"pages"`
	PageSize    int    `json:"page_size"`
	HeaderWhole bool   `json:"header_whole"` // else the size of a page, the encoding and more were guessed

	Rows         int64   `json:"rows"`           // copied into tables of their own
	RowsLost     int64   `json:"rows_lost"`      // the sum over the tables
	LostAndFound string  `json:"lost_and_found"` // the table with rows that belong to no table for sure; "" if there are none
	Aside        int64   `json:"rows_in_lost_and_found"`
	Tables       []Table `json:"tables"`

	SchemaFrom   string   `json:"schema_from"`   // the database that the tables' texts were taken from; "" if it is the damaged one
	DamagedPages []uint32 `json:"damaged_pages"` // 1000 at most; those of indexes too, which are made anew
	FreePages    int      `json:"free_pages"`
	FreelistBad  bool     `json:"freelist_damaged"`
	Indexes      []string `json:"damaged_indexes"` // they were made anew
	NotMade      []Object `json:"not_made"`        // indexes, views, triggers and virtual tables that could not be made

	Log             *Log    `json:"wal"`     // nil if there was none
	JournalPages    int     `json:"journal"` // pages of a transaction that was rolled back, of a -journal that was there
	DurationSeconds float64 `json:"duration_seconds"`
}

// Object is something of the schema that the new database is without.
type Object struct {
	Kind   string `json:"kind"`
	Name   string `json:"name"`
	SQL    string `json:"sql"`
	Reason string `json:"reason"`
}

// Table is what became of one table.
type Table struct {
	Name        string  `json:"name"`
	Rows        int64   `json:"rows"`           // copied into the table of that name
	FromIndexes int64   `json:"from_indexes"`   // of these, put together from indexes
	FromOrphans int64   `json:"from_orphans"`   // of these, on pages that nothing refers to any more
	Aside       int64   `json:"lost_and_found"` // rows of it, whole or in part, that are there instead
	Duplicates  int64   `json:"duplicates"`     // were there twice, word for word
	RowsLost    int64   `json:"rows_lost"`      // that are not in the table; some may be in lost_and_found
	LostExact   bool    `json:"rows_lost_exact"`
	Missing     []Range `json:"missing_rowids"` // 100 at most; they hold the lost rows, and gaps that were there before if RowsLost is an estimate

	DamagedPages []uint32 `json:"damaged_pages"` // 100 at most
	Problems     []string `json:"problems"`      // 20 at most
}

// Range is rowids, both ends included.
type Range struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
}

const (
	mostPages    = 1000
	mostOfTable  = 100
	mostProblems = 20
)

func (t *Table) problem(text string) {
	if len(t.Problems) < mostProblems && !slices.Contains(t.Problems, text) {
		t.Problems = append(t.Problems, text)
	}
}

func addPage(pages []uint32, n uint32, most int) []uint32 {
	if len(pages) < most && !slices.Contains(pages, n) {
		pages = append(pages, n)
	}
	return pages
}

// merge sorts ranges and joins those that touch, up to so many.
func merge(ranges []Range, most int) []Range {
	slices.SortFunc(ranges, func(a, b Range) int { return cmp.Compare(a.From, b.From) })
	out := []Range{}
	for _, r := range ranges {
		if n := len(out); n > 0 && (out[n-1].To >= r.From || out[n-1].To+1 == r.From) {
			out[n-1].To = max(out[n-1].To, r.To)
			continue
		}
		if len(out) == most {
			break
		}
		out = append(out, r)
	}
	return out
}
