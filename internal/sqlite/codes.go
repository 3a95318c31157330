package sqlite

import (
	"fmt"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// ResultCode is an extended result code of SQLite. Every connection reports
// extended codes, so a caller that only cares about the family compares
// [ResultCode.Primary].
//
// See https://www.sqlite.org/rescode.html.
type ResultCode int

// The result codes of the SQLite this package is linked with.
const (
	ResultOK                     ResultCode = sqlite3.SQLITE_OK
	ResultOKLoadPermanently      ResultCode = sqlite3.SQLITE_OK_LOAD_PERMANENTLY
	ResultOKSymlink              ResultCode = sqlite3.SQLITE_OK_SYMLINK
	ResultError                  ResultCode = sqlite3.SQLITE_ERROR
	ResultErrorMissingCollSeq    ResultCode = sqlite3.SQLITE_ERROR_MISSING_COLLSEQ
	ResultErrorRetry             ResultCode = sqlite3.SQLITE_ERROR_RETRY
	ResultErrorSnapshot          ResultCode = sqlite3.SQLITE_ERROR_SNAPSHOT
	ResultErrorReserveSize       ResultCode = sqlite3.SQLITE_ERROR_RESERVESIZE
	ResultErrorKey               ResultCode = sqlite3.SQLITE_ERROR_KEY
	ResultErrorUnable            ResultCode = sqlite3.SQLITE_ERROR_UNABLE
	ResultInternal               ResultCode = sqlite3.SQLITE_INTERNAL
	ResultPerm                   ResultCode = sqlite3.SQLITE_PERM
	ResultAbort                  ResultCode = sqlite3.SQLITE_ABORT
	ResultAbortRollback          ResultCode = sqlite3.SQLITE_ABORT_ROLLBACK
	ResultBusy                   ResultCode = sqlite3.SQLITE_BUSY
	ResultBusyRecovery           ResultCode = sqlite3.SQLITE_BUSY_RECOVERY
	ResultBusySnapshot           ResultCode = sqlite3.SQLITE_BUSY_SNAPSHOT
	ResultBusyTimeout            ResultCode = sqlite3.SQLITE_BUSY_TIMEOUT
	ResultLocked                 ResultCode = sqlite3.SQLITE_LOCKED
	ResultLockedSharedCache      ResultCode = sqlite3.SQLITE_LOCKED_SHAREDCACHE
	ResultLockedVTab             ResultCode = sqlite3.SQLITE_LOCKED_VTAB
	ResultNoMem                  ResultCode = sqlite3.SQLITE_NOMEM
	ResultReadOnly               ResultCode = sqlite3.SQLITE_READONLY
	ResultReadOnlyRecovery       ResultCode = sqlite3.SQLITE_READONLY_RECOVERY
	ResultReadOnlyCantLock       ResultCode = sqlite3.SQLITE_READONLY_CANTLOCK
	ResultReadOnlyRollback       ResultCode = sqlite3.SQLITE_READONLY_ROLLBACK
	ResultReadOnlyDBMoved        ResultCode = sqlite3.SQLITE_READONLY_DBMOVED
	ResultReadOnlyCantInit       ResultCode = sqlite3.SQLITE_READONLY_CANTINIT
	ResultReadOnlyDirectory      ResultCode = sqlite3.SQLITE_READONLY_DIRECTORY
	ResultInterrupt              ResultCode = sqlite3.SQLITE_INTERRUPT
	ResultIOErr                  ResultCode = sqlite3.SQLITE_IOERR
	ResultIOErrRead              ResultCode = sqlite3.SQLITE_IOERR_READ
	ResultIOErrShortRead         ResultCode = sqlite3.SQLITE_IOERR_SHORT_READ
	ResultIOErrWrite             ResultCode = sqlite3.SQLITE_IOERR_WRITE
	ResultIOErrFsync             ResultCode = sqlite3.SQLITE_IOERR_FSYNC
	ResultIOErrDirFsync          ResultCode = sqlite3.SQLITE_IOERR_DIR_FSYNC
	ResultIOErrTruncate          ResultCode = sqlite3.SQLITE_IOERR_TRUNCATE
	ResultIOErrFstat             ResultCode = sqlite3.SQLITE_IOERR_FSTAT
	ResultIOErrUnlock            ResultCode = sqlite3.SQLITE_IOERR_UNLOCK
	ResultIOErrRDLock            ResultCode = sqlite3.SQLITE_IOERR_RDLOCK
	ResultIOErrDelete            ResultCode = sqlite3.SQLITE_IOERR_DELETE
	ResultIOErrBlocked           ResultCode = sqlite3.SQLITE_IOERR_BLOCKED
	ResultIOErrNoMem             ResultCode = sqlite3.SQLITE_IOERR_NOMEM
	ResultIOErrAccess            ResultCode = sqlite3.SQLITE_IOERR_ACCESS
	ResultIOErrCheckReservedLock ResultCode = sqlite3.SQLITE_IOERR_CHECKRESERVEDLOCK
	ResultIOErrLock              ResultCode = sqlite3.SQLITE_IOERR_LOCK
	ResultIOErrClose             ResultCode = sqlite3.SQLITE_IOERR_CLOSE
	ResultIOErrDirClose          ResultCode = sqlite3.SQLITE_IOERR_DIR_CLOSE
	ResultIOErrShmOpen           ResultCode = sqlite3.SQLITE_IOERR_SHMOPEN
	ResultIOErrShmSize           ResultCode = sqlite3.SQLITE_IOERR_SHMSIZE
	ResultIOErrShmLock           ResultCode = sqlite3.SQLITE_IOERR_SHMLOCK
	ResultIOErrShmMap            ResultCode = sqlite3.SQLITE_IOERR_SHMMAP
	ResultIOErrSeek              ResultCode = sqlite3.SQLITE_IOERR_SEEK
	ResultIOErrDeleteNoEnt       ResultCode = sqlite3.SQLITE_IOERR_DELETE_NOENT
	ResultIOErrMmap              ResultCode = sqlite3.SQLITE_IOERR_MMAP
	ResultIOErrGetTempPath       ResultCode = sqlite3.SQLITE_IOERR_GETTEMPPATH
	ResultIOErrConvPath          ResultCode = sqlite3.SQLITE_IOERR_CONVPATH
	ResultIOErrVnode             ResultCode = sqlite3.SQLITE_IOERR_VNODE
	ResultIOErrAuth              ResultCode = sqlite3.SQLITE_IOERR_AUTH
	ResultIOErrBeginAtomic       ResultCode = sqlite3.SQLITE_IOERR_BEGIN_ATOMIC
	ResultIOErrCommitAtomic      ResultCode = sqlite3.SQLITE_IOERR_COMMIT_ATOMIC
	ResultIOErrRollbackAtomic    ResultCode = sqlite3.SQLITE_IOERR_ROLLBACK_ATOMIC
	ResultIOErrData              ResultCode = sqlite3.SQLITE_IOERR_DATA
	ResultIOErrCorruptFS         ResultCode = sqlite3.SQLITE_IOERR_CORRUPTFS
	ResultIOErrInPage            ResultCode = sqlite3.SQLITE_IOERR_IN_PAGE
	ResultIOErrBadKey            ResultCode = sqlite3.SQLITE_IOERR_BADKEY
	ResultIOErrCodec             ResultCode = sqlite3.SQLITE_IOERR_CODEC
	ResultCorrupt                ResultCode = sqlite3.SQLITE_CORRUPT
	ResultCorruptVTab            ResultCode = sqlite3.SQLITE_CORRUPT_VTAB
	ResultCorruptSequence        ResultCode = sqlite3.SQLITE_CORRUPT_SEQUENCE
	ResultCorruptIndex           ResultCode = sqlite3.SQLITE_CORRUPT_INDEX
	ResultNotFound               ResultCode = sqlite3.SQLITE_NOTFOUND
	ResultFull                   ResultCode = sqlite3.SQLITE_FULL
	ResultCantOpen               ResultCode = sqlite3.SQLITE_CANTOPEN
	ResultCantOpenNoTempDir      ResultCode = sqlite3.SQLITE_CANTOPEN_NOTEMPDIR
	ResultCantOpenIsDir          ResultCode = sqlite3.SQLITE_CANTOPEN_ISDIR
	ResultCantOpenFullPath       ResultCode = sqlite3.SQLITE_CANTOPEN_FULLPATH
	ResultCantOpenConvPath       ResultCode = sqlite3.SQLITE_CANTOPEN_CONVPATH
	ResultCantOpenDirtyWAL       ResultCode = sqlite3.SQLITE_CANTOPEN_DIRTYWAL
	ResultCantOpenSymlink        ResultCode = sqlite3.SQLITE_CANTOPEN_SYMLINK
	ResultProtocol               ResultCode = sqlite3.SQLITE_PROTOCOL
	ResultEmpty                  ResultCode = sqlite3.SQLITE_EMPTY
	ResultSchema                 ResultCode = sqlite3.SQLITE_SCHEMA
	ResultTooBig                 ResultCode = sqlite3.SQLITE_TOOBIG
	ResultConstraint             ResultCode = sqlite3.SQLITE_CONSTRAINT
	ResultConstraintCheck        ResultCode = sqlite3.SQLITE_CONSTRAINT_CHECK
	ResultConstraintCommitHook   ResultCode = sqlite3.SQLITE_CONSTRAINT_COMMITHOOK
	ResultConstraintForeignKey   ResultCode = sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY
	ResultConstraintFunction     ResultCode = sqlite3.SQLITE_CONSTRAINT_FUNCTION
	ResultConstraintNotNull      ResultCode = sqlite3.SQLITE_CONSTRAINT_NOTNULL
	ResultConstraintPrimaryKey   ResultCode = sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY
	ResultConstraintTrigger      ResultCode = sqlite3.SQLITE_CONSTRAINT_TRIGGER
	ResultConstraintUnique       ResultCode = sqlite3.SQLITE_CONSTRAINT_UNIQUE
	ResultConstraintVTab         ResultCode = sqlite3.SQLITE_CONSTRAINT_VTAB
	ResultConstraintRowID        ResultCode = sqlite3.SQLITE_CONSTRAINT_ROWID
	ResultConstraintPinned       ResultCode = sqlite3.SQLITE_CONSTRAINT_PINNED
	ResultConstraintDataType     ResultCode = sqlite3.SQLITE_CONSTRAINT_DATATYPE
	ResultMismatch               ResultCode = sqlite3.SQLITE_MISMATCH
	ResultMisuse                 ResultCode = sqlite3.SQLITE_MISUSE
	ResultNoLFS                  ResultCode = sqlite3.SQLITE_NOLFS
	ResultAuth                   ResultCode = sqlite3.SQLITE_AUTH
	ResultAuthUser               ResultCode = sqlite3.SQLITE_AUTH_USER
	ResultFormat                 ResultCode = sqlite3.SQLITE_FORMAT
	ResultRange                  ResultCode = sqlite3.SQLITE_RANGE
	ResultNotADB                 ResultCode = sqlite3.SQLITE_NOTADB
	ResultNotice                 ResultCode = sqlite3.SQLITE_NOTICE
	ResultNoticeRecoverWAL       ResultCode = sqlite3.SQLITE_NOTICE_RECOVER_WAL
	ResultNoticeRecoverRollback  ResultCode = sqlite3.SQLITE_NOTICE_RECOVER_ROLLBACK
	ResultNoticeRBU              ResultCode = sqlite3.SQLITE_NOTICE_RBU
	ResultWarning                ResultCode = sqlite3.SQLITE_WARNING
	ResultWarningAutoIndex       ResultCode = sqlite3.SQLITE_WARNING_AUTOINDEX
	ResultRow                    ResultCode = sqlite3.SQLITE_ROW
	ResultDone                   ResultCode = sqlite3.SQLITE_DONE
)

// resultNames is read only; it backs [ResultCode.String].
var resultNames = map[ResultCode]string{
	ResultOK:                     "SQLITE_OK",
	ResultOKLoadPermanently:      "SQLITE_OK_LOAD_PERMANENTLY",
	ResultOKSymlink:              "SQLITE_OK_SYMLINK",
	ResultError:                  "SQLITE_ERROR",
	ResultErrorMissingCollSeq:    "SQLITE_ERROR_MISSING_COLLSEQ",
	ResultErrorRetry:             "SQLITE_ERROR_RETRY",
	ResultErrorSnapshot:          "SQLITE_ERROR_SNAPSHOT",
	ResultErrorReserveSize:       "SQLITE_ERROR_RESERVESIZE",
	ResultErrorKey:               "SQLITE_ERROR_KEY",
	ResultErrorUnable:            "SQLITE_ERROR_UNABLE",
	ResultInternal:               "SQLITE_INTERNAL",
	ResultPerm:                   "SQLITE_PERM",
	ResultAbort:                  "SQLITE_ABORT",
	ResultAbortRollback:          "SQLITE_ABORT_ROLLBACK",
	ResultBusy:                   "SQLITE_BUSY",
	ResultBusyRecovery:           "SQLITE_BUSY_RECOVERY",
	ResultBusySnapshot:           "SQLITE_BUSY_SNAPSHOT",
	ResultBusyTimeout:            "SQLITE_BUSY_TIMEOUT",
	ResultLocked:                 "SQLITE_LOCKED",
	ResultLockedSharedCache:      "SQLITE_LOCKED_SHAREDCACHE",
	ResultLockedVTab:             "SQLITE_LOCKED_VTAB",
	ResultNoMem:                  "SQLITE_NOMEM",
	ResultReadOnly:               "SQLITE_READONLY",
	ResultReadOnlyRecovery:       "SQLITE_READONLY_RECOVERY",
	ResultReadOnlyCantLock:       "SQLITE_READONLY_CANTLOCK",
	ResultReadOnlyRollback:       "SQLITE_READONLY_ROLLBACK",
	ResultReadOnlyDBMoved:        "SQLITE_READONLY_DBMOVED",
	ResultReadOnlyCantInit:       "SQLITE_READONLY_CANTINIT",
	ResultReadOnlyDirectory:      "SQLITE_READONLY_DIRECTORY",
	ResultInterrupt:              "SQLITE_INTERRUPT",
	ResultIOErr:                  "SQLITE_IOERR",
	ResultIOErrRead:              "SQLITE_IOERR_READ",
	ResultIOErrShortRead:         "SQLITE_IOERR_SHORT_READ",
	ResultIOErrWrite:             "SQLITE_IOERR_WRITE",
	ResultIOErrFsync:             "SQLITE_IOERR_FSYNC",
	ResultIOErrDirFsync:          "SQLITE_IOERR_DIR_FSYNC",
	ResultIOErrTruncate:          "SQLITE_IOERR_TRUNCATE",
	ResultIOErrFstat:             "SQLITE_IOERR_FSTAT",
	ResultIOErrUnlock:            "SQLITE_IOERR_UNLOCK",
	ResultIOErrRDLock:            "SQLITE_IOERR_RDLOCK",
	ResultIOErrDelete:            "SQLITE_IOERR_DELETE",
	ResultIOErrBlocked:           "SQLITE_IOERR_BLOCKED",
	ResultIOErrNoMem:             "SQLITE_IOERR_NOMEM",
	ResultIOErrAccess:            "SQLITE_IOERR_ACCESS",
	ResultIOErrCheckReservedLock: "SQLITE_IOERR_CHECKRESERVEDLOCK",
	ResultIOErrLock:              "SQLITE_IOERR_LOCK",
	ResultIOErrClose:             "SQLITE_IOERR_CLOSE",
	ResultIOErrDirClose:          "SQLITE_IOERR_DIR_CLOSE",
	ResultIOErrShmOpen:           "SQLITE_IOERR_SHMOPEN",
	ResultIOErrShmSize:           "SQLITE_IOERR_SHMSIZE",
	ResultIOErrShmLock:           "SQLITE_IOERR_SHMLOCK",
	ResultIOErrShmMap:            "SQLITE_IOERR_SHMMAP",
	ResultIOErrSeek:              "SQLITE_IOERR_SEEK",
	ResultIOErrDeleteNoEnt:       "SQLITE_IOERR_DELETE_NOENT",
	ResultIOErrMmap:              "SQLITE_IOERR_MMAP",
	ResultIOErrGetTempPath:       "SQLITE_IOERR_GETTEMPPATH",
	ResultIOErrConvPath:          "SQLITE_IOERR_CONVPATH",
	ResultIOErrVnode:             "SQLITE_IOERR_VNODE",
	ResultIOErrAuth:              "SQLITE_IOERR_AUTH",
	ResultIOErrBeginAtomic:       "SQLITE_IOERR_BEGIN_ATOMIC",
	ResultIOErrCommitAtomic:      "SQLITE_IOERR_COMMIT_ATOMIC",
	ResultIOErrRollbackAtomic:    "SQLITE_IOERR_ROLLBACK_ATOMIC",
	ResultIOErrData:              "SQLITE_IOERR_DATA",
	ResultIOErrCorruptFS:         "SQLITE_IOERR_CORRUPTFS",
	ResultIOErrInPage:            "SQLITE_IOERR_IN_PAGE",
	ResultIOErrBadKey:            "SQLITE_IOERR_BADKEY",
	ResultIOErrCodec:             "SQLITE_IOERR_CODEC",
	ResultCorrupt:                "SQLITE_CORRUPT",
	ResultCorruptVTab:            "SQLITE_CORRUPT_VTAB",
	ResultCorruptSequence:        "SQLITE_CORRUPT_SEQUENCE",
	ResultCorruptIndex:           "SQLITE_CORRUPT_INDEX",
	ResultNotFound:               "SQLITE_NOTFOUND",
	ResultFull:                   "SQLITE_FULL",
	ResultCantOpen:               "SQLITE_CANTOPEN",
	ResultCantOpenNoTempDir:      "SQLITE_CANTOPEN_NOTEMPDIR",
	ResultCantOpenIsDir:          "SQLITE_CANTOPEN_ISDIR",
	ResultCantOpenFullPath:       "SQLITE_CANTOPEN_FULLPATH",
	ResultCantOpenConvPath:       "SQLITE_CANTOPEN_CONVPATH",
	ResultCantOpenDirtyWAL:       "SQLITE_CANTOPEN_DIRTYWAL",
	ResultCantOpenSymlink:        "SQLITE_CANTOPEN_SYMLINK",
	ResultProtocol:               "SQLITE_PROTOCOL",
	ResultEmpty:                  "SQLITE_EMPTY",
	ResultSchema:                 "SQLITE_SCHEMA",
	ResultTooBig:                 "SQLITE_TOOBIG",
	ResultConstraint:             "SQLITE_CONSTRAINT",
	ResultConstraintCheck:        "SQLITE_CONSTRAINT_CHECK",
	ResultConstraintCommitHook:   "SQLITE_CONSTRAINT_COMMITHOOK",
	ResultConstraintForeignKey:   "SQLITE_CONSTRAINT_FOREIGNKEY",
	ResultConstraintFunction:     "SQLITE_CONSTRAINT_FUNCTION",
	ResultConstraintNotNull:      "SQLITE_CONSTRAINT_NOTNULL",
	ResultConstraintPrimaryKey:   "SQLITE_CONSTRAINT_PRIMARYKEY",
	ResultConstraintTrigger:      "SQLITE_CONSTRAINT_TRIGGER",
	ResultConstraintUnique:       "SQLITE_CONSTRAINT_UNIQUE",
	ResultConstraintVTab:         "SQLITE_CONSTRAINT_VTAB",
	ResultConstraintRowID:        "SQLITE_CONSTRAINT_ROWID",
	ResultConstraintPinned:       "SQLITE_CONSTRAINT_PINNED",
	ResultConstraintDataType:     "SQLITE_CONSTRAINT_DATATYPE",
	ResultMismatch:               "SQLITE_MISMATCH",
	ResultMisuse:                 "SQLITE_MISUSE",
	ResultNoLFS:                  "SQLITE_NOLFS",
	ResultAuth:                   "SQLITE_AUTH",
	ResultAuthUser:               "SQLITE_AUTH_USER",
	ResultFormat:                 "SQLITE_FORMAT",
	ResultRange:                  "SQLITE_RANGE",
	ResultNotADB:                 "SQLITE_NOTADB",
	ResultNotice:                 "SQLITE_NOTICE",
	ResultNoticeRecoverWAL:       "SQLITE_NOTICE_RECOVER_WAL",
	ResultNoticeRecoverRollback:  "SQLITE_NOTICE_RECOVER_ROLLBACK",
	ResultNoticeRBU:              "SQLITE_NOTICE_RBU",
	ResultWarning:                "SQLITE_WARNING",
	ResultWarningAutoIndex:       "SQLITE_WARNING_AUTOINDEX",
	ResultRow:                    "SQLITE_ROW",
	ResultDone:                   "SQLITE_DONE",
}

// Primary returns the primary result code: the low eight bits.
func (c ResultCode) Primary() ResultCode { return c & 0xff }

// String returns the name of the code in the C API, such as
// "SQLITE_BUSY_SNAPSHOT", or "SQLITE_UNKNOWN(n)".
func (c ResultCode) String() string {
	if name, ok := resultNames[c]; ok {
		return name
	}
	return fmt.Sprintf("SQLITE_UNKNOWN(%d)", int(c))
}

// Message returns the English text SQLite has for the code, such as
// "database is locked". See https://www.sqlite.org/c3ref/errcode.html.
func (c ResultCode) Message() string {
	return withTLS(func(tls *libc.TLS) string {
		return goString(sqlite3.Xsqlite3_errstr(tls, int32(c)))
	})
}
