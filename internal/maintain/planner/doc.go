// Package planner keeps true what SQLite's query planner knows of a database: the
// rows of sqlite_stat1, which say how many rows an index has and how many share
// a key.
//
// ANALYZE holds the write lock for as long as it reads, and PRAGMA optimize, which
// bounds that by analysis_limit, writes what it saw of the first keys as if it
// were all: an index with two keys over a million rows becomes one with 400 rows a
// key, and the planner prefers it to every other. So neither is run. The Steward
// counts on a connection that only reads, compares with what is recorded, and
// gives the writer nothing to do but to write a few rows.
//
// The plans of known statements are compared under both statistics, and those
// that became others are run, within bounds, under both. SQLite makes that easy: a
// connection that knows the old statistics keeps them until the schema changes. If
// a plan got worse the rows are put back before anybody has used them; else a
// change of the schema tells all connections of all processes.
package planner
