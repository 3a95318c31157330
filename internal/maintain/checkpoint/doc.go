// Package checkpoint keeps the write-ahead log of a database short: it copies the
// log into the database off the write path, finds the moment in which the log can
// be begun anew, and tells who keeps it from being emptied.
//
// What a checkpoint has achieved is told from the frames in the log and those of
// them that were copied, never from SQLite's busy flag, which is 0 for a PASSIVE
// checkpoint that a reader has stopped at the first frame.
package checkpoint
