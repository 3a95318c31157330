package dash

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast"
)

func actionsPage() page {
	return page{id: "actions", view: func(ctx context.Context, v *visit) (any, error) { return v.actionsView(ctx) }}
}

// actionsView is what may be done, and what was.
type actionsView struct {
	Offered bool         `json:"offered"`
	Backups bool         `json:"backups"` // there is a place for them
	Holders []holderForm `json:"holders"` // that may be ended
	Audit   []deed       `json:"audit"`   // the newest first
}

// holderForm is a holder, and how a form names it.
type holderForm struct {
	holdfast.LockHolder
	Nanos int64 `json:"-"` // of its beginning
}

// deed is something that was done by a button, or refused.
type deed struct {
	At       time.Time `json:"at"`
	Database string    `json:"database"`
	Action   string    `json:"action"`
	Peer     string    `json:"peer"`
	User     string    `json:"user,omitempty"` // of basic authentication
	Outcome  string    `json:"outcome"`        // "done" or "failed"
	Result   string    `json:"result"`
	Seconds  float64   `json:"seconds"`
}

// audit remembers the last deeds; all are in the log.
type audit struct {
	mu   sync.Mutex
	last []deed
}

const (
	mostDeeds  = 50
	mostForm   = 16 << 10
	actionTime = 30 * time.Minute
	tokenTime  = time.Hour // in which a form has to be sent, and as long again
)

func (a *audit) add(d deed) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.last = append(a.last, d); len(a.last) > mostDeeds {
		a.last = slices.Clone(a.last[1:])
	}
}

func (a *audit) of(database string) []deed {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := []deed{}
	for _, d := range slices.Backward(a.last) {
		if d.Database == database {
			list = append(list, d)
		}
	}
	return list
}

// mayAct reports whether buttons are offered: somebody has to have been asked who may.
func (o *options) mayAct() bool { return o.actions && o.auth != nil }

func (v *visit) actionsView(ctx context.Context) (*actionsView, error) {
	a := &actionsView{Offered: v.mayAct(), Backups: v.backup() != nil, Holders: []holderForm{}, Audit: []deed{}}
	if !a.Offered {
		return a, nil
	}
	held, err := v.watch.locks(ctx)
	if err != nil {
		return nil, err
	}
	for _, h := range held.Holders {
		switch h.Kind {
		case "write transaction", "read transaction", "rows":
			a.Holders = append(a.Holders, holderForm{h, h.Since.UnixNano()})
		}
	}
	a.Audit = v.audit.of(v.place.name)
	return a, nil
}

// An action does something by a button, and says what came of it.
type action func(v *visit, ctx context.Context, form url.Values) (string, error)

// action is one of those that there are.
func actionOf(id string) action {
	return map[string]action{
		"checkpoint": (*visit).checkpoint, "optimize": (*visit).optimize, "backup": (*visit).backUp, "end": (*visit).endHolder,
		"alert": (*visit).testAlert,
	}[id]
}

// token is what a form has to carry for an action, in the hour that it was made in and the
// next. Other sites can't read it, and it is of no use to who signs in otherwise.
func (d *Dashboard) token(at place, id, authorization string, hour int64) string {
	m := hmac.New(sha256.New, d.secret)
	for _, part := range []string{at.base, id, authorization, strconv.FormatInt(hour, 10)} {
		m.Write(fmt.Appendf(nil, "%d:%s", len(part), part)) // it never fails
	}
	return base64.RawURLEncoding.EncodeToString(m.Sum(nil))
}

func (d *Dashboard) fits(token string, at place, id, authorization string, now time.Time) bool {
	hour := now.Unix() / int64(tokenTime.Seconds())
	for _, h := range []int64{hour, hour - 1} {
		if hmac.Equal([]byte(token), []byte(d.token(at, id, authorization, h))) {
			return true
		}
	}
	return false
}

// act does what a form asks for, after all that could speak against it.
func (d *Dashboard) act(w http.ResponseWriter, r *http.Request, at place, id string) {
	run := actionOf(id)
	if run == nil || !d.mayAct() || at.db.Address() != "" {
		d.fail(w, r, at, http.StatusNotFound, noPage(at))
		return
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "this is done by a form", http.StatusMethodNotAllowed)
		return
	}
	if err := d.mistrust(w, r, at, id); err != nil {
		d.logger.Warn("holdfast: an action of the dashboard was refused", "action", id, "database", at.name, "peer", r.RemoteAddr, "reason", err)
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	select {
	case d.acting <- struct{}{}:
		defer func() { <-d.acting }()
	default:
		http.Error(w, "another action is under way", http.StatusConflict)
		return
	}
	p, _ := d.pageOf(at.db, "actions")
	at.rest = p.address()
	v := d.visit(r, at, p)
	ctx, cancel := context.WithTimeout(r.Context(), actionTime)
	defer cancel()
	began := time.Now()
	did := deed{At: began.UTC(), Database: at.name, Action: id, Peer: r.RemoteAddr, Outcome: "done"}
	did.User, _, _ = r.BasicAuth()
	var err error
	if did.Result, err = run(v, ctx, r.PostForm); err != nil {
		did.Outcome, did.Result = "failed", err.Error()
	}
	did.Seconds = time.Since(began).Seconds()
	d.audit.add(did)
	d.logger.Info("holdfast: an action of the dashboard", "action", id, "database", at.name, "path", at.db.Path(), "peer", did.Peer, "user", did.User,
		"outcome", did.Outcome, "result", did.Result, "took", time.Since(began))
	d.cache.forget(at.base)
	e := d.look(ctx, v)
	s := d.scene(v, e)
	s.Done = &did
	d.write(w, http.StatusOK, "layout", s)
}

var (
	errForeign = errors.New("the form was sent by another site")
	errNoForm  = errors.New("the form can't be read")
	errToken   = errors.New("the form is too old, or not from this dashboard: load the page again")
)

// mistrust says why a form is not what the reader has sent; it reads it.
func (d *Dashboard) mistrust(w http.ResponseWriter, r *http.Request, at place, id string) error {
	if d.cross.Check(r) != nil {
		return errForeign
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
		return errNoForm
	}
	r.Body = http.MaxBytesReader(w, r.Body, mostForm)
	if err := r.ParseForm(); err != nil {
		return errNoForm
	}
	if !d.fits(r.PostForm.Get("token"), at, id, r.Header.Get("Authorization"), time.Now()) {
		return errToken
	}
	return nil
}

func (v *visit) checkpoint(ctx context.Context, form url.Values) (string, error) {
	mode := holdfast.CheckpointMode(form.Get("mode"))
	if mode == "" {
		mode = holdfast.CheckpointPassive
	}
	r, err := v.db.Checkpoint(ctx, mode)
	if err != nil {
		return "", err
	}
	return v.text.T("actions.checkpoint.done", v.text.Int(int64(r.CopiedFrames)), v.text.Int(int64(r.LogFrames)), v.text.Bytes(float64(r.BytesBefore)), v.text.Bytes(float64(r.BytesAfter))), nil
}

func (v *visit) optimize(ctx context.Context, _ url.Values) (string, error) {
	r, err := v.db.Optimize(ctx)
	if err != nil {
		return "", err
	}
	return v.text.T("actions.optimize.done", v.text.Int(int64(r.Statistics.Indexes)), v.text.Int(int64(len(r.Statistics.Tables))), v.text.Dur(r.Seconds)), nil
}

var errNoPlace = errors.New("there is no place for backups: the configuration (backup.destination) or the program (dash.WithBackups) gives one")

// backup is what the button does, or nil.
func (v *visit) backup() BackupFunc {
	switch {
	case v.backupOf != nil:
		return v.backupOf(v.place.name)
	case v.backupDir != "":
		return func(ctx context.Context) (holdfast.BackupInfo, error) { return v.db.Backup(ctx, v.backupDir) }
	}
	return nil
}

func (v *visit) backUp(ctx context.Context, _ url.Values) (string, error) {
	run := v.backup()
	if run == nil {
		return "", errNoPlace
	}
	info, err := run(ctx)
	if err != nil {
		return "", err
	}
	return v.text.T("actions.backup.done", info.Destination, v.text.Bytes(float64(info.Bytes)), v.text.Dur(info.DurationSeconds)), nil
}

var errNotEnded = errors.New("nothing was ended: it has ended by itself, or can't be ended")

func (v *visit) endHolder(_ context.Context, form url.Values) (string, error) {
	nanos, err := strconv.ParseInt(form.Get("since"), 10, 64)
	if err != nil {
		return "", errNoForm
	}
	h := holdfast.LockHolder{Kind: form.Get("kind"), CallSite: form.Get("site"), Since: time.Unix(0, nanos)}
	if !v.db.EndHolder(h) {
		return "", errNotEnded
	}
	return v.text.T("actions.end.done", v.text.Kind(h.Kind), orUnknown(v.text, h.CallSite)), nil
}
