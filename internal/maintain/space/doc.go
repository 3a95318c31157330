// Package space gives free pages of a database back to the file system, tells where
// the space of a file is, and does a full VACUUM when somebody asks for it.
//
// Release works in steps of PRAGMA incremental_vacuum between the groups of the
// writer. A step looks at the clock after every few pages and ends when its budget
// is spent. While others write, it is shorter than a usual COMMIT. The file
// gets shorter when a checkpoint has copied the log.
//
// VACUUM keeps everybody from writing until it is done, and needs room for two
// copies of what is in the file. It is never begun without being asked for, nor
// where the room is missing.
package space
