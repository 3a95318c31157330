// Package backup keeps, lists, proves and restores the backups of databases.
//
// [Create] makes a backup in a directory: the verified copy of
// [holdfast.DB.Backup], or an archive of it in a [Format]. [List] finds them
// again, [Prune] keeps as many as a [Retention] says, [Verify] reads one to its end
// and compares it with what was written down when it was made.
//
// [Restore] puts one in the place of a database, also of one that is damaged or
// missing. It is the only safe way: a copy that is laid over a database whose -wal
// stays beside it is mixed with what that log holds, and no check tells.
//
// A [Target] is where they are kept: a [Directory], or by [Remote] a [Store] such as
// a bucket, with the same promises.
//
// Package backup/archive, a module of its own, has the compressed and encrypted
// format, and replicate/objects, another one, stores in S3 and behind SFTP.
package backup
