package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A Notifier tells systemd how the daemon is, by the protocol of sd_notify(3): a datagram
// to the socket that the environment names. The zero value tells nobody.
type Notifier struct {
	socket   string
	watchdog time.Duration // how often systemd wants to hear of it; 0: never
}

// NewNotifier reads what systemd has put into the environment.
func NewNotifier(getenv func(string) string, pid int) Notifier {
	n := Notifier{socket: getenv("NOTIFY_SOCKET")}
	if whom := getenv("WATCHDOG_PID"); whom != "" && whom != strconv.Itoa(pid) {
		return n
	}
	if us, err := strconv.ParseInt(getenv("WATCHDOG_USEC"), 10, 64); err == nil && us > 0 {
		n.watchdog = time.Duration(us) * time.Microsecond
	}
	return n
}

// send tells systemd some variables. Where there is no systemd it does nothing.
func (n Notifier) send(ctx context.Context, lines ...string) error {
	if n.socket == "" {
		return nil
	}
	if !strings.HasPrefix(n.socket, "/") && !strings.HasPrefix(n.socket, "@") {
		return errors.New("NOTIFY_SOCKET names no socket of this machine's file system")
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unixgram", n.socket)
	if err != nil {
		return fmt.Errorf("tell systemd: %w", err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(strings.Join(lines, "\n"))); err != nil {
		return fmt.Errorf("tell systemd: %w", err)
	}
	return nil
}

// Run serves until ctx ends, and reloads at each signal that comes on hangups, telling
// systemd all of it. While the watchdog is on, it hears of the daemon as long as every
// database answers.
func (d *Daemon) Run(ctx context.Context, n Notifier, hangups <-chan struct{}) error {
	tell := func(lines ...string) {
		if err := n.send(context.WithoutCancel(ctx), lines...); err != nil {
			d.Logger.Warn("holdfast: "+err.Error(), "socket", n.socket)
		}
	}
	beat := make(<-chan time.Time)
	if n.watchdog > 0 {
		ticker := time.NewTicker(n.watchdog / 3)
		defer ticker.Stop()
		beat = ticker.C
	}
	served, reloaded := make(chan error, 1), make(chan error, 1)
	go func() { served <- d.Serve(ctx) }()
	tell("READY=1", "STATUS=serving at "+d.URL())
	d.Logger.Info("holdfast: serving", "url", d.URL())
	stopping := []string{"STOPPING=1", "STATUS=finishing what is under way"}
	var reloads sync.WaitGroup // one at a time
	defer reloads.Wait()
	ended, next := ctx.Done(), hangups
	for {
		select {
		case err := <-served:
			if ended != nil && ctx.Err() != nil { // it was quicker than this loop
				tell(stopping...)
			}
			return err
		case <-ended:
			tell(stopping...)
			ended, next = nil, nil
		case <-next:
			tell(append([]string{"RELOADING=1", "STATUS=reading the configuration"}, monotonic()...)...)
			// It may wait as long as a request for a database that is removed, and the watchdog doesn't.
			next = nil
			reloads.Go(func() { reloaded <- d.Reload(ctx) })
		case err := <-reloaded:
			status := "STATUS=serving at " + d.URL()
			if err != nil {
				d.Logger.Error("holdfast: the configuration was not reloaded", "error", err)
				status = "STATUS=the new configuration is wrong, the old one holds; see the log"
			} else {
				d.Logger.Info("holdfast: the configuration was reloaded")
			}
			if ended != nil {
				tell("READY=1", status)
				next = hangups
			}
		case <-beat:
			if d.answers(ctx, n.watchdog/3) {
				tell("WATCHDOG=1")
			}
		}
	}
}

// answers tells whether every database does, within d.
func (d *Daemon) answers(ctx context.Context, within time.Duration) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), within)
	defer cancel()
	done := make(chan bool, 1)
	go func() {
		fine := true
		for name, err := range d.Check(ctx) {
			if err != nil && ctx.Err() != nil { // a fault that it can tell is no reason for a restart
				d.Logger.Error("holdfast: a database does not answer", "database", name, "error", err)
				fine = false
			}
		}
		done <- fine
	}()
	select {
	case fine := <-done:
		return fine
	case <-ctx.Done(): // stuck where no context reaches
		d.Logger.Error("holdfast: a database is stuck; systemd restarts the daemon if that lasts")
		return false
	}
}
