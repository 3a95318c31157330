package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/cluster"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/exitcode"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/output"
	"github.com/spf13/cobra"
)

// addressHelp is about DATABASE where it may be an address.
const addressHelp = `DATABASE may also be a cluster of rqlite: rqlite://USER@HOST:4001,HOST:4001?password_file=FILE
(see package cluster for all parameters). An address is seen by everybody who lists
processes, so the password belongs into the file.`

// isAddress tells the address of a cluster from the name of a file.
func isAddress(name string) bool { return holdfast.Scheme(name) == cluster.Scheme }

// addressed are the verbs whose DATABASE may be an address.
var addressed = []string{"query", "exec", "health", "backup", "restore"}

// inCluster tells the verbs that are for addresses.
func inCluster(cmd *cobra.Command) bool { return cmd.HasParent() && cmd.Parent().Name() == "cluster" }

// onlyFiles refuses an address where a file is needed.
func onlyFiles(cmd *cobra.Command, args []string) error {
	if inCluster(cmd) || slices.Contains(addressed, cmd.Name()) || !slices.ContainsFunc(args, isAddress) {
		return nil
	}
	return exitcode.Usagef("holdfast %s works on a database that is a file; %s, %s and cluster take an address",
		cmd.Name(), strings.Join(addressed[:len(addressed)-1], ", "), addressed[len(addressed)-1])
}

// openAddress opens a database that is no file.
func (a *app) openAddress(ctx context.Context, address string, readOnly bool) (*holdfast.DB, error) {
	cfg, err := a.settings(address)
	if err != nil {
		return nil, err
	}
	cfg.Database.ReadOnly = readOnly
	return holdfast.OpenConfig(ctx, cfg)
}

// execAt runs one statement at an address. No session there could be asked for the figures
// afterwards: those of a statement that returns rows are its rows.
func execAt(ctx context.Context, db *holdfast.DB, s holdfast.Statement) (answer execAnswer, err error) {
	if err := checkCount(ctx, db, s.SQL, s.Args); err != nil {
		return answer, err
	}
	reads, returns := kindOf(s.SQL)
	if !reads && !returns {
		done, err := db.ExecContext(ctx, s.SQL, s.Args...)
		if err != nil {
			return answer, err
		}
		if answer.RowsAffected, err = done.RowsAffected(); err == nil {
			answer.LastInsertID, err = done.LastInsertId()
		}
		return answer, err
	}
	rows, err := db.QueryContext(ctx, s.SQL, s.Args...)
	if err != nil {
		return answer, err
	}
	defer rows.Close()
	result, err := output.Collect(rows)
	if err != nil {
		return answer, err
	}
	answer.rows, answer.Columns, answer.Rows, answer.LastInsertID = result, result.Names(), result.JSON(), -1
	if returns {
		answer.RowsAffected = int64(len(result.Rows))
	}
	return answer, nil
}

// kindOf tells whether a statement reads, or writes and returns what it has written.
func kindOf(sql string) (reads, returns bool) {
	switch keyword(sql) {
	case "SELECT", "VALUES", "EXPLAIN", "PRAGMA":
		return true, false
	}
	letter := func(i int) bool {
		return i >= 0 && i < len(sql) && (sql[i] == '_' || sql[i] >= 0x80 || '0' <= sql[i] && sql[i] <= '9' || 'a' <= sql[i]|0x20 && sql[i]|0x20 <= 'z')
	}
	const word = "RETURNING"
	for i := 0; i < len(sql); i += token(sql[i:]) {
		if end := i + len(word); end <= len(sql) && strings.EqualFold(sql[i:end], word) && !letter(i-1) && !letter(end) {
			return false, true
		}
	}
	return false, false
}

// addressHealth is health at an address.
func (a *app) addressHealth(ctx context.Context, address string, deep, full bool) (*healthAnswer, error) {
	if deep || full {
		return nil, exitcode.Usagef("--deep and --full read a file; \"holdfast backup\" checks the copy that it makes of a cluster")
	}
	db, err := a.openAddress(ctx, address, true)
	if err != nil {
		return nil, err
	}
	defer a.closeDatabase(db)
	answer := &healthAnswer{Schema: "holdfast.health/v1", Processes: []holdfast.ProcessHealth{}, Blind: []string{}}
	answer.Health, err = db.Health(ctx)
	answer.File.Path = db.Address()
	return answer, err
}

// clusterGrid is what a person sees of a cluster's health.
func clusterGrid(h *healthAnswer) *output.Result {
	leader := h.Cluster.Leader
	if leader == "" {
		leader = "nobody is known to lead"
	}
	rows := [][]any{{"leader", leader}}
	if h.File.Bytes > 0 {
		rows = append(rows, []any{"database", size(h.File.Bytes)})
	}
	for _, n := range h.Cluster.Nodes {
		is := "can't be reached: " + n.Error
		if n.Reachable {
			role := "follower"
			switch {
			case n.Leader:
				role = "leader"
			case !n.Voter:
				role = "reads only"
			}
			is = fmt.Sprintf("%s, %d entries behind, answers in %.1f ms, version %s", role, n.Lag, n.Seconds*1e3, n.Version)
		}
		rows = append(rows, []any{strings.TrimSpace(n.ID + " " + n.Address), is})
	}
	return output.Grid(rows, "what", "is")
}
