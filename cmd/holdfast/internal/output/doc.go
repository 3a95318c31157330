// Package output prints what the command has found, in the format that was
// asked for: a table for people, Markdown, CSV, JSON Lines or one JSON document.
//
// Tables and Markdown show control characters as escapes, so that nothing in a
// database can steer the terminal. JSON escapes them as its grammar demands.
// CSV is for programs and carries text as it is, except to a terminal.
package output
