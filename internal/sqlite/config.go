package sqlite

import (
	"strconv"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// Limit is a run-time limit of a connection.
// See https://www.sqlite.org/c3ref/c_limit_attached.html.
type Limit int

// Limits of a connection.
const (
	LimitLength            Limit = sqlite3.SQLITE_LIMIT_LENGTH // bytes of a text, a blob or a row
	LimitSQLLength         Limit = sqlite3.SQLITE_LIMIT_SQL_LENGTH
	LimitColumn            Limit = sqlite3.SQLITE_LIMIT_COLUMN
	LimitExprDepth         Limit = sqlite3.SQLITE_LIMIT_EXPR_DEPTH
	LimitCompoundSelect    Limit = sqlite3.SQLITE_LIMIT_COMPOUND_SELECT
	LimitVDBEOp            Limit = sqlite3.SQLITE_LIMIT_VDBE_OP
	LimitFunctionArg       Limit = sqlite3.SQLITE_LIMIT_FUNCTION_ARG
	LimitAttached          Limit = sqlite3.SQLITE_LIMIT_ATTACHED
	LimitLikePatternLength Limit = sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH
	LimitVariableNumber    Limit = sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER
	LimitTriggerDepth      Limit = sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH
	LimitWorkerThreads     Limit = sqlite3.SQLITE_LIMIT_WORKER_THREADS
	LimitParserDepth       Limit = sqlite3.SQLITE_LIMIT_PARSER_DEPTH
	LimitSchema            Limit = sqlite3.SQLITE_LIMIT_SCHEMA
	LimitTriggerSteps      Limit = sqlite3.SQLITE_LIMIT_TRIGGER_STEPS
)

// Limit sets a limit and returns what it was; a negative v only reads. Limits
// cannot be raised above those the engine was compiled with. An unknown id gives
// -1. See https://www.sqlite.org/c3ref/limit.html.
func (c *Conn) Limit(id Limit, v int) int {
	if c.db == 0 {
		return -1
	}
	old := int(sqlite3.Xsqlite3_limit(c.tls, c.db, int32(id), clampInt32(v)))
	if id == LimitLength {
		c.maxLength = int(sqlite3.Xsqlite3_limit(c.tls, c.db, int32(id), -1))
	}
	return old
}

// DBConfig is an on/off option of a connection.
// See https://www.sqlite.org/c3ref/c_dbconfig_defensive.html.
type DBConfig int

// Options of a connection.
const (
	DBConfigEnableFKey          DBConfig = sqlite3.SQLITE_DBCONFIG_ENABLE_FKEY
	DBConfigEnableTrigger       DBConfig = sqlite3.SQLITE_DBCONFIG_ENABLE_TRIGGER
	DBConfigEnableView          DBConfig = sqlite3.SQLITE_DBCONFIG_ENABLE_VIEW
	DBConfigEnableFTS3Tokenizer DBConfig = sqlite3.SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER
	DBConfigEnableLoadExtension DBConfig = sqlite3.SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION
	DBConfigEnableQPSG          DBConfig = sqlite3.SQLITE_DBCONFIG_ENABLE_QPSG
	DBConfigEnableAttachCreate  DBConfig = sqlite3.SQLITE_DBCONFIG_ENABLE_ATTACH_CREATE
	DBConfigEnableAttachWrite   DBConfig = sqlite3.SQLITE_DBCONFIG_ENABLE_ATTACH_WRITE
	DBConfigEnableComments      DBConfig = sqlite3.SQLITE_DBCONFIG_ENABLE_COMMENTS
	DBConfigNoCkptOnClose       DBConfig = sqlite3.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE
	DBConfigTriggerEQP          DBConfig = sqlite3.SQLITE_DBCONFIG_TRIGGER_EQP
	DBConfigResetDatabase       DBConfig = sqlite3.SQLITE_DBCONFIG_RESET_DATABASE
	DBConfigDefensive           DBConfig = sqlite3.SQLITE_DBCONFIG_DEFENSIVE
	DBConfigWritableSchema      DBConfig = sqlite3.SQLITE_DBCONFIG_WRITABLE_SCHEMA
	DBConfigLegacyAlterTable    DBConfig = sqlite3.SQLITE_DBCONFIG_LEGACY_ALTER_TABLE
	DBConfigDQSDML              DBConfig = sqlite3.SQLITE_DBCONFIG_DQS_DML
	DBConfigDQSDDL              DBConfig = sqlite3.SQLITE_DBCONFIG_DQS_DDL
	DBConfigLegacyFileFormat    DBConfig = sqlite3.SQLITE_DBCONFIG_LEGACY_FILE_FORMAT
	DBConfigTrustedSchema       DBConfig = sqlite3.SQLITE_DBCONFIG_TRUSTED_SCHEMA
	DBConfigStmtScanStatus      DBConfig = sqlite3.SQLITE_DBCONFIG_STMT_SCANSTATUS
	DBConfigReverseScanOrder    DBConfig = sqlite3.SQLITE_DBCONFIG_REVERSE_SCANORDER
)

// DBConfig switches an option and returns the setting in effect afterwards.
func (c *Conn) DBConfig(op DBConfig, on bool) (bool, error) {
	return c.dbConfig(op, libc.Bool32(on))
}

// DBConfigValue returns the setting of an option.
func (c *Conn) DBConfigValue(op DBConfig) (bool, error) {
	return c.dbConfig(op, -1)
}

func (c *Conn) dbConfig(op DBConfig, v int32) (bool, error) {
	if c.db == 0 {
		return false, closedError("db_config")
	}
	// The C function is variadic: these options take (int, int*), others differ.
	if op < DBConfigEnableFKey || op > DBConfigEnableComments {
		return false, newError(ResultRange, "db_config")
	}
	p := c.tls.Alloc(24)
	defer c.tls.Free(24)
	out := p + 16
	store[int32](out, 0)
	rc := sqlite3.Xsqlite3_db_config(c.tls, c.db, int32(op), libc.VaList(p, v, out))
	return load[int32](out) != 0, c.result("db_config", rc)
}

// DBStatus is a counter of a connection.
// See https://www.sqlite.org/c3ref/c_dbstatus_options.html.
type DBStatus int

// Counters for [Conn.Status].
const (
	DBStatusLookasideUsed     DBStatus = sqlite3.SQLITE_DBSTATUS_LOOKASIDE_USED
	DBStatusCacheUsed         DBStatus = sqlite3.SQLITE_DBSTATUS_CACHE_USED  // bytes
	DBStatusSchemaUsed        DBStatus = sqlite3.SQLITE_DBSTATUS_SCHEMA_USED // bytes
	DBStatusStmtUsed          DBStatus = sqlite3.SQLITE_DBSTATUS_STMT_USED   // bytes
	DBStatusLookasideHit      DBStatus = sqlite3.SQLITE_DBSTATUS_LOOKASIDE_HIT
	DBStatusLookasideMissSize DBStatus = sqlite3.SQLITE_DBSTATUS_LOOKASIDE_MISS_SIZE
	DBStatusLookasideMissFull DBStatus = sqlite3.SQLITE_DBSTATUS_LOOKASIDE_MISS_FULL
	DBStatusCacheHit          DBStatus = sqlite3.SQLITE_DBSTATUS_CACHE_HIT         // pages
	DBStatusCacheMiss         DBStatus = sqlite3.SQLITE_DBSTATUS_CACHE_MISS        // pages
	DBStatusCacheWrite        DBStatus = sqlite3.SQLITE_DBSTATUS_CACHE_WRITE       // pages
	DBStatusDeferredFKs       DBStatus = sqlite3.SQLITE_DBSTATUS_DEFERRED_FKS      // 1 while a deferred foreign key is violated
	DBStatusCacheUsedShared   DBStatus = sqlite3.SQLITE_DBSTATUS_CACHE_USED_SHARED // bytes
	DBStatusCacheSpill        DBStatus = sqlite3.SQLITE_DBSTATUS_CACHE_SPILL       // pages
	DBStatusTempbufSpill      DBStatus = sqlite3.SQLITE_DBSTATUS_TEMPBUF_SPILL     // bytes
)

// Status returns a counter of the connection and, where there is one, its high
// water mark; with reset, these start over. See
// https://www.sqlite.org/c3ref/db_status.html.
func (c *Conn) Status(op DBStatus, reset bool) (current, high int64, err error) {
	if c.db == 0 {
		return 0, 0, closedError("db_status")
	}
	p := c.tls.Alloc(16)
	defer c.tls.Free(16)
	store[int64](p, 0)
	store[int64](p+8, 0)
	rc := sqlite3.Xsqlite3_db_status64(c.tls, c.db, int32(op), p, p+8, libc.Bool32(reset))
	if rc != sqlite3.SQLITE_OK {
		return 0, 0, newError(ResultCode(rc), "db_status")
	}
	return load[int64](p), load[int64](p + 8), nil
}

// DeferredViolations reports whether COMMIT would be refused for foreign keys: it
// is [DBStatusDeferredFKs] for those who ask after each statement.
func (c *Conn) DeferredViolations() bool {
	if c.db == 0 {
		return false
	}
	// What sqlite3_db_status looks at. The field names are checked by the
	// compiler and the effect by a test.
	db := (*sqlite3.Tsqlite3)(pointer(c.db))
	return db.FnDeferredCons > 0 || db.FnDeferredImmCons > 0
}

// DefersForeignKeys reports whether PRAGMA defer_foreign_keys is on, which it is until
// the transaction ends, also after a ROLLBACK TO what was before it.
func (c *Conn) DefersForeignKeys() bool {
	return c.db != 0 && (*sqlite3.Tsqlite3)(pointer(c.db)).Fflags&sqlite3.SQLITE_DeferFKs != 0
}

// CheckpointMode is how far a checkpoint goes.
// See https://www.sqlite.org/c3ref/wal_checkpoint_v2.html.
type CheckpointMode int

// Modes of [Conn.WALCheckpoint].
const (
	CheckpointNoop     CheckpointMode = sqlite3.SQLITE_CHECKPOINT_NOOP     // copies nothing, tells the numbers
	CheckpointPassive  CheckpointMode = sqlite3.SQLITE_CHECKPOINT_PASSIVE  // copies what needs no waiting
	CheckpointFull     CheckpointMode = sqlite3.SQLITE_CHECKPOINT_FULL     // waits for the writer and copies all
	CheckpointRestart  CheckpointMode = sqlite3.SQLITE_CHECKPOINT_RESTART  // and waits until readers are off the log
	CheckpointTruncate CheckpointMode = sqlite3.SQLITE_CHECKPOINT_TRUNCATE // and truncates it
)

// WALCheckpoint copies frames of the -wal file to the database; a schema of ""
// stands for all attached databases. It returns the frames in the log and those
// of them that have been copied, by this checkpoint or before; both are -1 for a
// database that is not in WAL mode. They are set also with [ResultBusy], when
// somebody else kept the checkpoint from going all the way. Modes from Full on
// wait with the busy handler.
func (c *Conn) WALCheckpoint(schema string, mode CheckpointMode) (logFrames, copiedFrames int, err error) {
	if c.db == 0 {
		return -1, -1, closedError("checkpoint")
	}
	z, err := pushName(c.tls, schema)
	if err != nil {
		return -1, -1, err
	}
	defer z.pop()
	p := c.tls.Alloc(8)
	defer c.tls.Free(8)
	store[int32](p, -1)
	store[int32](p+4, -1)
	rc := sqlite3.Xsqlite3_wal_checkpoint_v2(c.tls, c.db, z.p, int32(mode), p, p+4)
	return int(load[int32](p)), int(load[int32](p + 4)), c.result("checkpoint", rc)
}

// CacheStatus is what a connection's page caches hold now, and how they were used
// since it was opened.
type CacheStatus struct {
	Used                 int64 // bytes of pages, with what is kept about each; SQLite adds up 32 bits for each database: wrong above 2 GiB
	Peak                 int64 // the most bytes in the main cache since the last call
	Evicted              int64 // pages of the main cache that others took the place of
	Hits, Misses, Spills int64 // pages found, read, and written early for want of room
}

// CacheStatus returns the counters of the page cache. It walks through nothing and
// takes 0.1 us. Misses alone don't say that a cache is too small: with each commit by
// another connection a cache loses all of its pages. Evicted does.
func (c *Conn) CacheStatus() (CacheStatus, error) {
	var s CacheStatus
	for _, q := range [...]struct {
		op DBStatus
		to *int64
	}{
		{DBStatusCacheUsed, &s.Used},
		{DBStatusCacheHit, &s.Hits},
		{DBStatusCacheMiss, &s.Misses},
		{DBStatusCacheSpill, &s.Spills},
	} {
		var err error
		if *q.to, _, err = c.Status(q.op, false); err != nil {
			return CacheStatus{}, err
		}
	}
	if k := c.mainCache(); k != nil {
		s.Peak = int64(k.peak) * int64(k.pageSize+cachedPageSize+k.extra)
		s.Evicted = k.evicted
		k.peak = k.pages
	} else {
		s.Peak, s.Evicted = s.Used, s.Misses
	}
	return s, nil
}

// SetCacheSize bounds the page cache of the main database to so many KiB, as PRAGMA
// cache_size does, also on a confined connection. What is above it and not in use is
// freed at once; within a transaction too.
func (c *Conn) SetCacheSize(kib int) error {
	confined := c.confined
	c.confined = nil
	defer func() { c.confined = confined }()
	// SQLite takes a number that is no 32-bit integer for 0.
	return c.Exec("PRAGMA cache_size=-" + strconv.Itoa(int(clampInt32(max(kib, 1)))))
}

// ReleaseMemory frees every page that is not in use, of each attached database and of
// the temporary one too. See https://www.sqlite.org/c3ref/db_release_memory.html.
func (c *Conn) ReleaseMemory() error {
	if c.db == 0 {
		return closedError("db_release_memory")
	}
	return c.result("db_release_memory", sqlite3.Xsqlite3_db_release_memory(c.tls, c.db))
}
