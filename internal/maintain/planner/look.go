package planner

import (
	"time"

	"github.com/holdfastdb/holdfast/internal/sqlite"
	"github.com/holdfastdb/holdfast/internal/stats"
)

// Look finds out the plans of up to n statements that have none, or one of another
// version of the schema, those first that took longest, and begins no more of them
// after until. New statistics change that version too where Holdfast writes them, and
// where they don't no connection plans anew. c is a connection that reads; what it
// can't compile (a table of another connection, a schema that has gone on) is
// left without a plan until the schema changes.
func Look(c *sqlite.Conn, t *stats.Queries, n int, until time.Time) error {
	version, err := c.QueryInt64("PRAGMA schema_version")
	if err != nil {
		return err
	}
	for i, q := range t.Unplanned(version, n) {
		if i > 0 && !time.Now().Before(until) {
			break
		}
		plan, err := explain(c, q.SQL())
		if err != nil && sqlite.Code(err).Primary() != sqlite.ResultError {
			return err // of the connection and not of the statement
		}
		q.Planned(version, plan)
	}
	return nil
}
