package pydesign

import (
	"context"
	"database/sql"
	"errors"
)

// RobustDatabaseManager is the design's face.
type RobustDatabaseManager struct {
	lockManager *DatabaseLockManager
}

// Operation is one statement of a transaction.
type Operation struct {
	Query  string
	Params []any
}

// New opens nothing yet, as in the design: connections are made when needed.
// The caller must Close it.
func New(dsn string, o Options) (*RobustDatabaseManager, error) {
	m, err := newLockManager(dsn, o)
	if err != nil {
		return nil, err
	}
	return &RobustDatabaseManager{lockManager: m}, nil
}

// LockManager gives the part that has the connections.
func (r *RobustDatabaseManager) LockManager() *DatabaseLockManager { return r.lockManager }

// Close closes the connections that have been returned.
func (r *RobustDatabaseManager) Close() error { return r.lockManager.close() }

// ExecuteQuery runs a query and lets scan read each row. When the query is tried
// again, scan begins anew; begin tells it so.
func (r *RobustDatabaseManager) ExecuteQuery(ctx context.Context, query string, params []any, begin func(), scan func(*sql.Rows) error) error {
	conn, err := r.lockManager.GetConnection(ctx)
	if err != nil {
		return err
	}
	defer r.lockManager.ReturnConnection(conn)
	return r.lockManager.ExecuteWithRetry(ctx, func() error {
		begin()
		rows, err := conn.QueryContext(ctx, query, params...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			if err := scan(rows); err != nil {
				return err
			}
		}
		return rows.Err()
	})
}

// ExecuteTransaction runs operations in one transaction. The design returns
// false where this returns an error.
func (r *RobustDatabaseManager) ExecuteTransaction(ctx context.Context, operations []Operation) error {
	conn, err := r.lockManager.GetConnection(ctx)
	if err != nil {
		return err
	}
	defer r.lockManager.ReturnConnection(conn)
	err = r.lockManager.ExecuteWithRetry(ctx, func() error { return transaction(ctx, conn, operations) })
	if err != nil {
		// Python's rollback does nothing when no transaction is open.
		_, _ = conn.ExecContext(ctx, "ROLLBACK")
	}
	return err
}

func transaction(ctx context.Context, conn *sql.Conn, operations []Operation) error {
	if _, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	for _, o := range operations {
		if _, err := conn.ExecContext(ctx, o.Query, o.Params...); err != nil {
			_, rollback := conn.ExecContext(ctx, "ROLLBACK")
			return errors.Join(err, rollback)
		}
	}
	_, err := conn.ExecContext(ctx, "COMMIT")
	if err != nil {
		_, rollback := conn.ExecContext(ctx, "ROLLBACK")
		return errors.Join(err, rollback)
	}
	return nil
}
