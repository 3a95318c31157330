// Package replicate ships what is committed to a database to another place while the
// database is in use, and brings it back, to its last state or to an earlier one.
//
// A program that imports it for its effects can set replication.target:
//
//	import _ "github.com/holdfastdb/holdfast/replicate"
//
// [Open] replicates a database that other programs use, as holdfast replicate does.
// [Source] restores one by package backup, and [List] says to which moments.
//
// It is Litestream that ships (https://litestream.io), compiled in: what is at the
// target is a replica of Litestream's, and its own command restores it too. Litestream
// owns the write-ahead log of a database that is replicated: nobody else may
// checkpoint it, and one database has one target. See docs/guide/replication.md.
//
// Package replicate/objects keeps whole backups in such places.
package replicate
