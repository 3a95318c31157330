// Command holdfast looks into SQLite databases and changes them, by the rules
// of the library: private files, WAL, full durability, fair waiting.
//
// It parses flags, calls the library, and prints. Data goes to standard output,
// everything else to standard error; package internal/exitcode has the meaning
// of the exit codes, and `holdfast help` lists them.
package main
