package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/exitcode"
	"github.com/holdfastdb/holdfast/cmd/holdfast/internal/output"
)

// report prints err on standard error and returns the exit code.
func (a *app) report(err error) int {
	code := exitcode.Of(err)
	if a.format.Structured() {
		line, _ := json.Marshal(errorDocument{Schema: "holdfast.error/v1", Error: a.describe(err, code)}) // plain fields
		fmt.Fprintf(a.errs, "%s\n", line)
		return code
	}
	word := "holdfast:"
	if a.color(a.errColor) {
		word = "\x1b[31mholdfast:\x1b[0m"
	}
	for line := range strings.SplitSeq(a.message(err), "\n") {
		fmt.Fprintln(a.errs, word, output.Visible(line))
	}
	if !a.running {
		fmt.Fprintln(a.errs, "Run 'holdfast --help' for the commands and flags there are.")
	}
	return code
}

// errorDocument is an error for programs.
type errorDocument struct {
	Schema string         `json:"schema"`
	Error  errorAsDetails `json:"error"`
}

type errorAsDetails struct {
	Message       string         `json:"message"`
	Code          int            `json:"code"`          // SQLite's result code; 0 if it wasn't SQLite
	ExtendedCode  int            `json:"extended_code"` // likewise
	ExitCode      int            `json:"exit_code"`
	WaitedSeconds float64        `json:"waited_seconds,omitempty"`
	Holder        *holderDetails `json:"holder,omitempty"`
}

type holderDetails struct {
	Kind     string `json:"kind"`
	CallSite string `json:"call_site,omitempty"`
	SQL      string `json:"sql,omitempty"`
	Since    string `json:"since,omitempty"`
	PID      int    `json:"pid,omitempty"`
	Program  string `json:"program,omitempty"`
	State    string `json:"state,omitempty"`
	Lock     string `json:"lock,omitempty"`
}

func (a *app) describe(err error, code int) errorAsDetails {
	d := errorAsDetails{Message: a.message(err), ExitCode: code}
	e, ok := errors.AsType[*holdfast.Error](err)
	if !ok {
		return d
	}
	d.Code, d.ExtendedCode, d.WaitedSeconds = e.Code, e.ExtendedCode, seconds(e.Waited)
	if h := e.Holder; h != nil {
		d.Holder = &holderDetails{
			Kind: h.Kind, CallSite: h.CallSite, SQL: h.SQL,
			PID: h.PID, Program: h.Program, State: h.State, Lock: h.Lock,
		}
		if !h.Since.IsZero() {
			d.Holder.Since = h.Since.UTC().Format(time.RFC3339Nano)
		}
	}
	return d
}

// message says what happened. The ends of a context are put into words that
// name the setting behind them.
func (a *app) message(err error) string {
	_, told := errors.AsType[*holdfast.Error](err)
	switch {
	case told: // it has said what the end of the context meant
	case errors.Is(err, context.Canceled):
		return "interrupted"
	case errors.Is(err, context.DeadlineExceeded) && a.timeout > 0:
		return fmt.Sprintf("the %s of --timeout ran out; try again, or allow more time", a.timeout)
	case errors.Is(err, context.DeadlineExceeded):
		return "the database could not be opened within database.connection_timeout; try again, or raise it"
	}
	return err.Error()
}

// seconds is a duration as JSON carries it, to the microsecond.
func seconds(d time.Duration) float64 { return d.Round(time.Microsecond).Seconds() }
