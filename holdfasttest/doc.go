// Package holdfasttest makes databases for tests, and makes their disk fail.
//
// [New] opens a fast database of its own for a test, and proves at the end that
// it is sound and that nothing was left open. [FailOnFullScan] and [FailOnLeak]
// make the test fail for statements that read whole tables and for rows,
// transactions and connections that were not closed.
//
// A [Disk] stands between a database and its files. It fails the Nth write with
// "no space left", kills the process at a commit, pretends to sync, and records
// what is written, from which a [Recording] makes the directories that a power
// cut could have left behind. It needs no testing.TB, so it works in child
// processes too:
//
//	disk := holdfasttest.NewDisk()
//	defer disk.Close()
//	disk.Inject(holdfasttest.Fault{Kind: holdfasttest.Full, File: holdfasttest.WAL, N: 3})
//	db, err := holdfast.Open(disk.Context(ctx), "app.db")
//
// Everything works on real files and SQLite's own locks. Programs that don't
// import this package contain nothing of it.
package holdfasttest
