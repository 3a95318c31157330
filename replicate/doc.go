// Package replicate ships what is committed to a database to another place while the
// database is in use, and brings it back, to its last state or to an earlier one.
//
// Package replicate/objects keeps whole backups in such places.
package replicate
