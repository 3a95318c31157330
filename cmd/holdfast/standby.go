package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	neturl "net/url"
	"os"
	"os/exec"
	"strconv"
	"time"

	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/exitcode"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/output"
	"github.com/holdfastdb/holdfast/replicate"
	"github.com/holdfastdb/holdfast/replicate/lease"
	"github.com/holdfastdb/holdfast/replicate/standby"
	"github.com/spf13/cobra"
)

// standbyRequest is the command line of standby.
type standbyRequest struct {
	begin bool
	cold  bool
	every time.Duration
	exec  string
	post  string
}

func (a *app) standbyCommand() *cobra.Command {
	var r standbyRequest
	cmd := &cobra.Command{
		Use:   "standby TARGET DATABASE",
		Short: "Follow a database, and bring it here when its owner is gone",
		Long: `Follow a database that another machine owns, and bring it here when that one is gone.

TARGET is the owner's replication.target; the owner has replication.lease. The replica is
followed in DATABASE-holdfast.standby. When the owner is silent for the whole length of its
lease, or has ended, this machine takes the next epoch, completes its copy from what the
owner has shipped, checks it, puts it at DATABASE, and ends with 0. What was at DATABASE is
kept beside it. Then start the program that uses the database, with replication.target and
replication.lease: it begins the next epoch. In a unit of systemd:

    ExecStartPre=holdfast standby --begin s3://BUCKET/app app.db
    ExecStart=the-program

Both machines run the same unit. A program whose lease is lost fails with ErrFenced, ends,
and is started again as a standby. --begin ends at once where nobody has ever owned the
database. A file here that was the last owner's is taken as it is.

--exec runs a command by sh, and --post sends the answer as JSON to a URL, both before it
ends, to move traffic here: HOLDFAST_DATABASE, HOLDFAST_TARGET, HOLDFAST_EPOCH,
HOLDFAST_TRANSACTION and HOLDFAST_ADDRESS (replication.address) are in the environment.
If one fails, so does standby, with the database in place.

replication.lease (default 3s) is how long this machine may be silent while it brings the
database here.`,
		Example: `  holdfast standby s3://backups/app app.db --exec 'systemctl start app'
  holdfast standby /mnt/nas/app app.db --set replication.address=10.0.0.2:7391 --json`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if a.format != output.Table && !a.format.Structured() {
				return exitcode.Usagef("standby prints for people or as JSON; leave --output %s out", a.format)
			}
			return a.standby(cmd.Context(), args[0], args[1], r)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&r.begin, "begin", false, "end at once if nobody has ever owned the database")
	f.BoolVar(&r.cold, "cold", false, "follow nothing, and fetch everything when it is needed")
	f.DurationVar(&r.every, "every", 10*time.Second, "how often a line says how far it is, on standard error; 0 for never")
	f.StringVar(&r.exec, "exec", "", "a `command` that is run once the database is here")
	f.StringVar(&r.post, "post", "", "a `URL` that is told once the database is here")
	return cmd
}

func (a *app) standby(ctx context.Context, target, path string, r standbyRequest) error {
	cfg, err := a.settings(path)
	if err != nil {
		return err
	}
	ctx, cancel := a.within(ctx)
	defer cancel()
	var told time.Time
	p, err := standby.Run(ctx, standby.Config{
		Target: target, Path: resolved(path), TTL: cfg.Replication.Lease, Address: cfg.Replication.Address, Begin: r.begin, Cold: r.cold, Logger: cfg.Logger,
		Looked: func(s lease.State, at replicate.Point) {
			if r.every > 0 && time.Since(told) >= r.every {
				told = time.Now()
				fmt.Fprintf(a.errs, "%s  epoch %d is %s's, transaction %s is here\n", told.UTC().Format(time.RFC3339), s.Epoch, orNone(s.Node), orNone(at.Transaction))
			}
		},
	})
	if err != nil {
		return replicaFailed(err)
	}
	if p.Epoch > 0 {
		err = errors.Join(runHook(ctx, r.exec, target, cfg.Replication.Address, p, a.errs), postHook(ctx, r.post, p))
	}
	if a.format != output.Table {
		return errors.Join(err, a.printer().Document(p, nil))
	}
	return errors.Join(err, a.printLines([]string{promotionLine(p)}))
}

func promotionLine(p standby.Promotion) string {
	switch {
	case p.Epoch == 0:
		return "nobody has ever owned the database: begin"
	case p.Own:
		return fmt.Sprintf("%s has everything itself: epoch %d is taken", p.Database, p.Epoch)
	}
	return fmt.Sprintf("%s is here, with transaction %s of epoch %d: epoch %d is taken, in %.1f s", p.Database, p.Transaction, p.From, p.Epoch, p.Took)
}

// hookLimit is how long a hook may take: nobody is served meanwhile.
const hookLimit = time.Minute

func runHook(ctx context.Context, command, target, address string, p standby.Promotion, out io.Writer) error {
	if command == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, hookLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", command) //nolint:gosec // it is the operator's
	cmd.Env = append(os.Environ(), "HOLDFAST_DATABASE="+p.Database, "HOLDFAST_TARGET="+target, "HOLDFAST_EPOCH="+strconv.FormatInt(p.Epoch, 10),
		"HOLDFAST_TRANSACTION="+p.Transaction, "HOLDFAST_ADDRESS="+address)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("the database is here, and --exec has failed: %w; run it by hand", err)
	}
	return nil
}

func postHook(ctx context.Context, url string, p standby.Promotion) error {
	if url == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, hookLimit)
	defer cancel()
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(text))
	if err != nil {
		return exitcode.Usagef("--post takes a URL")
	}
	req.Header.Set("Content-Type", "application/json")
	// A POST that is redirected becomes a GET, and nothing is told. The URL may be a secret by itself.
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := client.Do(req)
	if e := (*neturl.Error)(nil); errors.As(err, &e) {
		err = fmt.Errorf("%s: %w", req.URL.Host, e.Err)
	}
	if err == nil {
		_ = answer.Body.Close()
		if answer.StatusCode/100 != 2 {
			err = fmt.Errorf("HTTP %d", answer.StatusCode)
		}
	}
	if err != nil {
		return fmt.Errorf("the database is here, and --post has failed: %w; tell it by hand", err)
	}
	return nil
}
