// Package pydesign is a Go port of a design that many Python programs have: a
// list of connections under a lock, each with good pragmas, and a loop that
// tries a failed transaction again when the error's text speaks of a lock. It
// keeps the design's names, values and habits, also those that hurt, and runs
// on modernc.org/sqlite. bench/python has the same in Python.
package pydesign

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// Options is what the design reads from its configuration.
type Options struct {
	MaxConnections int
	Synchronous    string // the design's own is NORMAL
}

// DatabaseLockManager hands out connections and tries again what a lock kept
// from working.
type DatabaseLockManager struct {
	db             *sql.DB // makes the connections; its own pool is not used
	synchronous    string
	maxConnections int
	maxRetries     int
	baseWaitTime   time.Duration
	maxWaitTime    time.Duration

	poolLock          sync.Mutex
	connectionPool    []*sql.Conn
	activeConnections int

	statsLock sync.Mutex // Python's counters need none
	stats     Statistics
}

// Statistics are the design's counters.
type Statistics struct {
	ConnectionsCreated, SuccessfulOperations, LockConflicts, RetryAttempts, FailedOperations int64
}

const (
	connectTimeout = 30 * time.Second
	// poolPoll is how often a caller looks for a connection that has come back.
	// The design does not say how it waits, only that it shall take less than this.
	poolPoll = 5 * time.Millisecond
)

// newLockManager opens no connection yet. An engine that allows connections to
// be shared, as this one does, gets up to 10 of them and shorter waits.
func newLockManager(dsn string, o Options) (*DatabaseLockManager, error) {
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	return &DatabaseLockManager{
		db: db, synchronous: o.Synchronous, maxConnections: min(o.MaxConnections, 10),
		maxRetries: 5, baseWaitTime: 50 * time.Millisecond, maxWaitTime: 5 * time.Second,
	}, nil
}

// createOptimizedConnection opens a connection and sets it up.
func (m *DatabaseLockManager) createOptimizedConnection(ctx context.Context) (*sql.Conn, error) {
	conn, err := m.db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	pragmas := []string{
		fmt.Sprintf("PRAGMA busy_timeout=%d", connectTimeout.Milliseconds()), // the timeout of connect itself
		"PRAGMA journal_mode=WAL",
		"PRAGMA foreign_keys=ON",
		"PRAGMA synchronous=" + m.synchronous,
		"PRAGMA cache_size=10000",
		"PRAGMA temp_store=MEMORY",
		"PRAGMA busy_timeout=30000",
	}
	for _, p := range pragmas {
		// The design goes on with a warning when a pragma fails.
		_, _ = conn.ExecContext(ctx, p)
	}
	m.count(func(s *Statistics) { s.ConnectionsCreated++ })
	return conn, nil
}

var errExhausted = errors.New("database is busy: no connection came back in time")

// GetConnection takes a connection from the list, or makes one, or waits until
// one comes back.
func (m *DatabaseLockManager) GetConnection(ctx context.Context) (*sql.Conn, error) {
	for end := time.Now().Add(connectTimeout); ; {
		conn, create := m.pop()
		if conn != nil {
			return conn, nil
		}
		if create {
			return m.createOptimizedConnection(ctx)
		}
		if time.Now().After(end) {
			return nil, errExhausted
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(poolPoll):
		}
	}
}

// pop takes the last connection of the list, or permission to make one.
func (m *DatabaseLockManager) pop() (conn *sql.Conn, create bool) {
	m.poolLock.Lock()
	defer m.poolLock.Unlock()
	if n := len(m.connectionPool); n > 0 {
		conn = m.connectionPool[n-1]
		m.connectionPool = m.connectionPool[:n-1]
		return conn, false
	}
	if m.activeConnections < m.maxConnections {
		m.activeConnections++
		return nil, true
	}
	return nil, false
}

// ReturnConnection appends a connection to the list.
func (m *DatabaseLockManager) ReturnConnection(conn *sql.Conn) {
	m.poolLock.Lock()
	defer m.poolLock.Unlock()
	m.connectionPool = append(m.connectionPool, conn)
}

func (m *DatabaseLockManager) count(change func(s *Statistics)) {
	m.statsLock.Lock()
	defer m.statsLock.Unlock()
	change(&m.stats)
}

// GetStatistics returns the counters.
func (m *DatabaseLockManager) GetStatistics() Statistics {
	m.statsLock.Lock()
	defer m.statsLock.Unlock()
	return m.stats
}

func (m *DatabaseLockManager) close() error {
	m.poolLock.Lock()
	defer m.poolLock.Unlock()
	var errs []error
	for _, conn := range m.connectionPool {
		errs = append(errs, conn.Close())
	}
	return errors.Join(append(errs, m.db.Close())...)
}
