package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/exitcode"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/output"
	"github.com/spf13/cobra"
)

func (a *app) clusterCommand() *cobra.Command {
	cmd := group("cluster", "Look at a cluster of rqlite, and move a database there and back")
	cmd.AddCommand(a.clusterStatusCommand(), a.clusterHealthCommand(), a.clusterBackupCommand(), a.clusterRestoreCommand(), a.clusterImportCommand(), a.clusterExportCommand())
	return cmd
}

// addressText is about the ADDRESS of the verbs of cluster.
const addressText = `ADDRESS is rqlite://USER@HOST:4001,HOST:4001?password_file=FILE (see package cluster for all
parameters). It names some of the machines, the others are learned of. An address is seen
by everybody who lists processes, so the password belongs into the file.`

// address refuses what is none.
func address(name string) error {
	if isAddress(name) {
		return nil
	}
	return exitcode.Usagef("%s is no address of a cluster: give rqlite://HOST:4001,HOST:4001", holdfast.Redacted(name))
}

func (a *app) clusterStatusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status ADDRESS",
		Short: "Show the machines of a cluster: who leads, who can be reached, how far each is behind",
		Long: `Show the machines of a cluster: who leads, who votes, who can be reached, in which version,
how many entries of the log each is behind, and how long its answer took. Every machine is
asked for itself, for two seconds at most.

` + addressText + `

Exit codes:
    0  somebody leads
   69  nobody is known to lead: the table is printed all the same
Other codes are those of "holdfast help". "holdfast cluster health" judges.`,
		Example: `  holdfast cluster status rqlite://a:4001,b:4001
  holdfast cluster status rqlite://a:4001 --json | jq '.nodes[] | select(.leader).address'`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := a.within(cmd.Context())
			defer cancel()
			return a.clusterStatus(ctx, args[0])
		},
	}
}

// clusterAnswer is what cluster status --json prints.
type clusterAnswer struct {
	Schema  string    `json:"schema"`
	Address string    `json:"address"`
	At      time.Time `json:"at"`
	holdfast.ClusterHealth
}

func (a *app) clusterStatus(ctx context.Context, name string) error {
	if err := address(name); err != nil {
		return err
	}
	h, err := a.addressHealth(ctx, name, false, false)
	if err != nil {
		return err
	}
	answer := clusterAnswer{Schema: "holdfast.cluster.status/v1", Address: h.File.Path, At: h.LastCheck, ClusterHealth: *h.Cluster}
	slices.SortStableFunc(answer.Nodes, func(a, b holdfast.ClusterNode) int { return compareNodes(&a, &b) })
	var rows [][]any
	for _, n := range answer.Nodes {
		role := "voter"
		switch {
		case n.Leader:
			role = "leader"
		case !n.Voter:
			role = "reads only"
		}
		row := []any{n.ID, n.Address, role, "yes", n.Version, n.Lag, fmt.Sprintf("%.1f ms", n.Seconds*1e3)}
		if !n.Reachable {
			row = []any{n.ID, n.Address, role, "no: " + n.Error, n.Version, nil, nil}
		}
		rows = append(rows, row)
	}
	if err := a.printer().Document(answer, output.Grid(rows, "id", "address", "role", "reachable", "version", "entries behind", "round trip")); err != nil {
		return err
	}
	if answer.Leader == "" {
		return exitcode.Verdict(exitcode.Unavailable).AsError()
	}
	return nil
}

// compareNodes has the leader first, and then the order of their names.
func compareNodes(a, b *holdfast.ClusterNode) int {
	switch {
	case a.Leader != b.Leader && a.Leader:
		return -1
	case a.Leader != b.Leader:
		return 1
	case a.ID+a.Address < b.ID+b.Address:
		return -1
	case a.ID+a.Address > b.ID+b.Address:
		return 1
	}
	return 0
}

func (a *app) clusterHealthCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "health ADDRESS",
		Short: "Judge how a cluster is",
		Long: `Judge how a cluster is: the first line is the answer, then one line for each finding, the
worst first, and the machines. It is "holdfast health" with an address.

` + addressText + `

Exit codes:
    0  ok: at most remarks
    1  a warning: a machine can't be reached, is far behind, or doesn't enforce foreign keys
    2  something critical: nobody leads, or a majority can't be reached
Other codes are those of "holdfast help".`,
		Example: `  holdfast cluster health rqlite://a:4001,b:4001
  holdfast cluster health rqlite://a:4001 --json | jq '.findings[] | [.severity, .id, .evidence]'`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := a.within(cmd.Context())
			defer cancel()
			if err := address(args[0]); err != nil {
				return err
			}
			answer, err := a.addressHealth(ctx, args[0], false, false)
			if err != nil {
				return err
			}
			answer.Schema = "holdfast.cluster.health/v1"
			return a.printHealth(answer)
		},
	}
}

func (a *app) clusterBackupCommand() *cobra.Command {
	r := backupRequest{schema: "holdfast.cluster.backup/v1"}
	cmd := &cobra.Command{
		Use:   "backup ADDRESS FILE|DIRECTORY|URL",
		Short: "Make a verified copy of a cluster's database",
		Long: `Make a verified copy of a cluster's database: it is "holdfast backup" with an address, and
that lists, checks and restores what this makes. The copy is the leader's, of one committed
state; it gets its name when integrity_check and its sums have proven it.

` + addressText,
		Example: `  holdfast cluster backup rqlite://a:4001,b:4001 /backups --keep last=3,daily=7
  holdfast cluster backup rqlite://a:4001 's3://backups/app' --compress --scratch /var/tmp`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := a.within(cmd.Context())
			defer cancel()
			if err := address(args[0]); err != nil {
				return err
			}
			return a.backup(ctx, args[0], args[1], r)
		},
	}
	r.makingFlags(cmd)
	return cmd
}

func (a *app) clusterRestoreCommand() *cobra.Command {
	r := restoreRequest{schema: "holdfast.cluster.restore/v1"}
	cmd := &cobra.Command{
		Use:   "restore SOURCE ADDRESS",
		Short: "Put a backup or a replica in the place of all that a cluster has",
		Long: `Put a backup or a replica in the place of all that a cluster has: it is "holdfast restore"
with an address. The backup is unpacked in the directory for temporary files, compared with
its manifest and checked, and then sent; the rows of all tables are counted afterwards.
Nobody else may write meanwhile.

` + addressText,
		Example: `  holdfast cluster restore /backups/a-20261128T030000.000Z.db rqlite://a:4001,b:4001
  holdfast cluster restore /backups rqlite://a:4001 --dry-run`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := address(args[1]); err != nil {
				return err
			}
			return a.restore(cmd.Context(), args[0], args[1], r)
		},
	}
	r.flags(cmd)
	return cmd
}
