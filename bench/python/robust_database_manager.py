"""A database manager for SQLite as many Python programs have one.

It is written as its design reads: a list of connections under a lock, good
pragmas on each, and a loop that tries a failed operation again when the text of
the error speaks of a lock. The benchmark compares with it, so nothing here is
improved. Where the design shows only how a method is used, the comment says
what was chosen.
"""

import logging
import random
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Tuple

logger = logging.getLogger(__name__)
logger.addHandler(logging.NullHandler())
logger.propagate = False

# The design does not say how a caller waits for a connection, only that it
# shall take less than 5 ms.
POOL_POLL = 0.005


class DatabaseLockManager:
    """Manages database locks and connection pooling to prevent conflicts"""

    def __init__(self, db_path: str, max_connections: int = 5, synchronous: str = "NORMAL"):
        self.db_path = Path(db_path)
        self.synchronous = synchronous
        self.connection_pool = []
        self.pool_lock = threading.Lock()
        self.active_connections = 0
        self.max_connections = max_connections
        self.max_retries = 5
        self.base_wait_time = 0.1
        self.max_wait_time = 5.0
        self.connection_timeout = 30.0
        self.stats = {
            "connections_created": 0,
            "successful_operations": 0,
            "lock_conflicts": 0,
            "retry_attempts": 0,
            "failed_operations": 0,
        }

        # Adjust settings based on threading support
        if sqlite3.threadsafety >= 2:
            # Higher threading support allows more aggressive settings
            self.max_connections = min(max_connections, 10)
            self.base_wait_time = 0.05  # Faster retries
        elif sqlite3.threadsafety == 1:
            # Separate connections per thread
            self.max_connections = min(max_connections, 5)
        else:
            # Limited threading support - be very conservative
            self.max_connections = 1
            self.max_wait_time = 10.0

    def _create_optimized_connection(self) -> sqlite3.Connection:
        """Create a connection with optimal settings for concurrent access"""
        try:
            conn = sqlite3.connect(
                str(self.db_path),
                timeout=30.0,  # 30 second timeout
                isolation_level=None,  # Autocommit mode
                check_same_thread=False,  # Allow connection sharing (if supported)
            )
            cursor = conn.cursor()

            # Enable WAL mode for better concurrency (if possible)
            try:
                cursor.execute("PRAGMA journal_mode=WAL")
            except sqlite3.Error as e:
                logger.warning("Could not enable WAL mode: %s", e)

            # Set optimal pragmas for performance and safety
            pragmas = [
                "PRAGMA foreign_keys=ON",
                f"PRAGMA synchronous={self.synchronous}",  # the design's own is NORMAL
                "PRAGMA cache_size=10000",
                "PRAGMA temp_store=MEMORY",
                "PRAGMA busy_timeout=30000",
            ]
            for pragma in pragmas:
                try:
                    cursor.execute(pragma)
                except sqlite3.Error as e:
                    logger.warning("Could not set pragma %s: %s", pragma, e)

            cursor.close()
            self.stats["connections_created"] += 1
            return conn
        except sqlite3.Error as e:
            logger.error("Failed to create SQLite connection: %s", e)
            raise

    def get_connection(self) -> sqlite3.Connection:
        """Take a connection from the list, or make one, or wait for one.

        The design has the list, the lock and the count; this is how they fit.
        """
        end = time.monotonic() + self.connection_timeout
        while True:
            with self.pool_lock:
                if self.connection_pool:
                    return self.connection_pool.pop()
                create = self.active_connections < self.max_connections
                if create:
                    self.active_connections += 1
            if create:
                return self._create_optimized_connection()
            if time.monotonic() > end:
                raise sqlite3.OperationalError("database is busy: no connection came back in time")
            time.sleep(POOL_POLL)

    def return_connection(self, conn: sqlite3.Connection):
        """Append a connection to the list."""
        with self.pool_lock:
            self.connection_pool.append(conn)

    def execute_with_retry(self, operation: Callable, *args, **kwargs) -> Any:
        """Execute operation with retry logic for lock conflicts"""
        last_exception = None

        for attempt in range(self.max_retries):
            try:
                result = operation(*args, **kwargs)
                self.stats["successful_operations"] += 1
                return result

            except sqlite3.OperationalError as e:
                last_exception = e
                error_message = str(e).lower()

                # Check if this is a lock-related error
                if any(lock_error in error_message for lock_error in [
                    "database is locked",
                    "database is busy",
                    "cannot start a transaction within a transaction",
                    "disk i/o error",
                ]):
                    self.stats["lock_conflicts"] += 1
                    self.stats["retry_attempts"] += 1

                    if attempt < self.max_retries - 1:
                        # Calculate wait time with exponential backoff + jitter
                        wait_time = min(
                            self.base_wait_time * (2 ** attempt) + random.uniform(0, 0.1),
                            self.max_wait_time,
                        )
                        logger.warning("Lock conflict detected (attempt %d/%d), retrying in %.3fs: %s",
                                       attempt + 1, self.max_retries, wait_time, e)
                        time.sleep(wait_time)
                        continue
                    logger.error("Max retries (%d) exceeded for lock conflict: %s", self.max_retries, e)
                    break
                # Non-lock error, don't retry
                logger.error("Non-retriable database error: %s", e)
                break

            except Exception as e:
                # Non-SQLite error, don't retry
                last_exception = e
                logger.error("Non-database error in operation: %s", e)
                break

        self.stats["failed_operations"] += 1
        raise last_exception

    def get_statistics(self) -> Dict:
        return dict(self.stats)


class RobustDatabaseManager:
    """Main robust database manager with comprehensive error handling"""

    def __init__(self, db_path: str, config: Dict = None):
        config = config or {}
        self.lock_manager = DatabaseLockManager(
            db_path,
            config.get("max_connections", 5),
            config.get("synchronous", "NORMAL"),
        )

    def execute_query(self, query: str, params: tuple = None) -> Any:
        """Run a query: one row comes as that row, several as a list.

        The design only shows that the first column of a one-row result is [0].
        """
        conn = self.lock_manager.get_connection()
        try:
            def query_operation():
                return conn.execute(query, params or ()).fetchall()

            rows = self.lock_manager.execute_with_retry(query_operation)
            return rows[0] if len(rows) == 1 else rows
        finally:
            self.lock_manager.return_connection(conn)

    def execute_transaction(self, operations: List[Tuple]) -> bool:
        """Execute multiple operations in a single transaction"""
        conn = None
        try:
            conn = self.lock_manager.get_connection()

            def transaction_operation():
                conn.execute("BEGIN IMMEDIATE")  # Start transaction immediately
                try:
                    for query, params in operations:
                        if params:
                            conn.execute(query, params)
                        else:
                            conn.execute(query)
                    conn.commit()
                    return True
                except Exception as e:
                    conn.rollback()
                    raise e

            return self.lock_manager.execute_with_retry(transaction_operation)

        except Exception as e:
            logger.error("Transaction failed: %s", e)
            if conn:
                try:
                    conn.rollback()
                except Exception:
                    pass
            return False
        finally:
            if conn:
                self.lock_manager.return_connection(conn)
