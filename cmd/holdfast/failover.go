package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/exitcode"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/output"
	"github.com/holdfastdb/holdfast/replicate/lease"
	"github.com/holdfastdb/holdfast/replicate/objects"
	"github.com/spf13/cobra"
)

func (a *app) failoverCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "failover",
		Short: "Say who owns a database that machines take over from each other, and change it",
		Args:  cobra.NoArgs,
	}
	add := func(use, short, long string, run func(context.Context, *lease.Place) error) {
		cmd.AddCommand(&cobra.Command{
			Use: use + " TARGET", Short: short, Long: long, Args: cobra.ExactArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				ctx, cancel := a.within(cmd.Context())
				defer cancel()
				place, err := lease.Open(ctx, args[0], lease.Options{})
				if errors.Is(err, objects.ErrURL) {
					return exitcode.With(exitcode.Usage, err)
				}
				if err != nil {
					return replicaFailed(err)
				}
				defer place.Close()
				return replicaFailed(run(ctx, place))
			},
		})
	}
	add("status", "Say who owns the database, and whether it renews its lease",
		`Say who owns the database, and whether it renews its lease, for which it is watched for at
most one length of it. Exit code 0: it does. 1: the lease is free, as after an orderly end. 2: it
has expired, and nobody has taken over. 3: nobody ever owned the database.`, a.failoverStatus)
	add("promote", "Have a standby take over at once, without the owner",
		`Have a standby take over at once: the epoch is ended without its owner, which fails with
ErrFenced from its next look on. Whoever waits with holdfast standby takes over within a second. Nothing
that was acknowledged in DURABLE mode is lost by that; in ASYNC mode what was not shipped yet is:
prefer demote while the owner answers.`, a.failoverPromote)
	add("demote", "Ask the owner to hand the database over",
		`Ask the owner to hand the database over: it stops acknowledging, ships what is left, and gives
its lease back, in a third of its length. Then a standby takes over at once. It waits until that is
so, or --timeout (default 30s) is over.`, a.failoverDemote)
	return cmd
}

// failoverAnswer is what failover prints.
type failoverAnswer struct {
	Schema string `json:"schema"`
	lease.Manifest
	State string `json:"state"` // "owned", "free", "expired", "never"
}

var failoverCodes = map[string]exitcode.Verdict{"owned": 0, "free": 1, "expired": 2, "never": 3}

func (a *app) failoverStatus(ctx context.Context, place *lease.Place) error {
	w := place.Watch()
	first, free, left, err := w.Look(ctx)
	s, state := first, "owned"
	for err == nil && !free && s.Renewals == first.Renewals && s.Epoch == first.Epoch {
		if err = lease.Rest(ctx, min(left, 200*time.Millisecond)); err == nil {
			s, free, left, err = w.Look(ctx)
		}
	}
	switch {
	case err != nil:
		return err
	case s.Epoch == 0:
		state = "never"
	case s.Released:
		state = "free"
	case free:
		state = "expired"
	}
	if err := a.printFailover(s.Manifest, state); err != nil || state == "owned" {
		return err
	}
	return failoverCodes[state]
}

func (a *app) printFailover(m lease.Manifest, state string) error {
	if a.format != output.Table {
		return a.printer().Document(failoverAnswer{"holdfast.failover/v1", m, state}, nil)
	}
	line := fmt.Sprintf("epoch %d: %s", m.Epoch, state)
	if m.Node != "" {
		line += fmt.Sprintf(", %s", m.Node)
	}
	if m.Address != "" {
		line += " at " + m.Address
	}
	if !m.Renewed.IsZero() {
		line += fmt.Sprintf(", renewed %s by its clock", m.Renewed.Format(time.RFC3339))
	}
	return a.printLines([]string{line})
}

func (a *app) failoverPromote(ctx context.Context, place *lease.Place) error {
	s, err := place.Depose(ctx)
	if err != nil {
		return err
	}
	return a.printFailover(s.Manifest, "free")
}

func (a *app) failoverDemote(ctx context.Context, place *lease.Place) error {
	if a.timeout == 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
	}
	asked, err := place.Ask(ctx)
	s := asked
	for err == nil && !s.Released && s.Epoch == asked.Epoch {
		if err = lease.Rest(ctx, 100*time.Millisecond); err == nil {
			s, err = place.Read(ctx)
		}
	}
	if err != nil {
		return fmt.Errorf("the owner of epoch %d has not handed it over (%w): if it is dead, a standby takes over when its lease has expired; holdfast failover promote doesn't wait", asked.Epoch, err)
	}
	state := "free"
	if !s.Released { // a standby was faster than this look
		state = "owned"
	}
	return a.printFailover(s.Manifest, state)
}
