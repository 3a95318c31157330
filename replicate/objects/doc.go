// Package objects keeps the files of backups where there is no file system: in a
// bucket, or behind SFTP.
package objects
