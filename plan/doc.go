// Package plan reads what EXPLAIN QUERY PLAN says of a statement: rows go in, a tree
// of steps comes out, each with one plain sentence in English or German and, where
// one is due, a remark.
//
//	p := plan.Parse(rows)
//	p.Know(sql, facts) // optional: the schema and its statistics
//	for _, l := range p.Lines(false) {
//		fmt.Println(l.Lead+l.Step.Detail, l.Step.Sentence(plan.English))
//	}
//
// SQLite promises nothing about these texts
// (https://www.sqlite.org/eqp.html), so every text is a step: one that is not known
// keeps its own words. A sentence says no more than the text proves. It can't tell
// whether a whole table is read in the end, since a LIMIT may come first, nor what
// triggers and foreign keys do, which SQLite leaves out of the plan.
//
// The package does no I/O and keeps no state; a Plan is for one goroutine while it
// is changed by Know.
package plan
