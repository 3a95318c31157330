// Package torture proves that what Holdfast has acknowledged is never lost: it
// runs scenarios in which processes are killed, stopped, starved and lied to,
// and compares the database with a ledger that was kept outside of it.
//
// The parent keeps the ledger. Whatever touches the database under test is a
// child, this very program started again, which tells what it has begun and what
// was acknowledged through a pipe. A child that is killed can't unsay what it
// told, and what it had no time to tell counts as unknown, never as lost.
//
// To add a scenario, write a file with a function that returns a Scenario, and
// list it in Scenarios; list what its children do in roles.
package torture
