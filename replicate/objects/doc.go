// Package objects keeps the files of backups where there is no file system: in a
// bucket, or behind SFTP. [Open] makes a backup.Store of a URL; backup.Remote makes
// backups in it, with the promises that they have in a directory.
//
// A bucket is named s3://BUCKET/PREFIX, with these parameters:
//
//	endpoint=https://HOST:PORT  of a server that isn't AWS; https where it says nothing
//	region=eu-central-1         default: AWS_REGION, or what the profile says, or us-east-1
//	path-style=true             the bucket in the path and not in the name of the host; default with an
//	                            endpoint (force-path-style is the same)
//
// Credentials are found as every AWS SDK finds them: in AWS_ACCESS_KEY_ID and
// AWS_SECRET_ACCESS_KEY, by AWS_PROFILE, by a web identity, or as the role of the
// machine.
//
// A directory of another machine is named sftp://USER@HOST:PORT/DIRECTORY, or
// /~/DIRECTORY for one in the home of the user, with these parameters:
//
//	key=FILE          a private key without a passphrase; default: the keys of the agent
//	                  at SSH_AUTH_SOCK, and then ~/.ssh/id_ed25519, id_ecdsa and id_rsa
//	known-hosts=FILE  default: ~/.ssh/known_hosts
//
// The host must be in the file of known hosts, with the key that it shows.
//
// Characters like ?, # and % in a prefix or directory are written as in any URL:
// %3F, %23, %25.
package objects
