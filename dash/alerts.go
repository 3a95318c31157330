package dash

import (
	"context"
	"errors"
	"fmt"
	"html/template"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/holdfastdb/holdfast/alerts"
)

// WithAlerts shows what an engine knows about the databases, which it watches under the
// names that the dashboard has for them; by Handler it is any name. Without it the page says
// that nobody looks at rules here.
func WithAlerts(e *alerts.Engine) Option { return func(o *options) { o.alerts = e } }

func alertsPage() page {
	return page{id: "alerts", view: func(ctx context.Context, v *visit) (any, error) { return v.showAlerts(ctx) }}
}

// alertsView is what the rules find.
type alertsView struct {
	Known      bool             `json:"known"` // there is an engine
	Sentences  []sentence       `json:"sentences"`
	Active     []alertRow       `json:"active"`  // pending and firing
	History    []alertRow       `json:"history"` // the newest first
	Silences   []alerts.Silence `json:"silences"`
	Objectives []objective      `json:"objectives"`
	Unmeasured string           `json:"objectives_error,omitempty"`
	Rules      []ruleRow        `json:"rules"`
	Status     *alerts.Status   `json:"status"`
}

// alertRow is an alert in the language of the page.
type alertRow struct {
	Rule       string    `json:"rule"`
	Name       string    `json:"name"`
	Subject    string    `json:"subject,omitempty"`
	Severity   string    `json:"severity"`
	State      string    `json:"state"`
	Summary    string    `json:"summary"`
	Next       string    `json:"next"`
	Runbook    string    `json:"runbook_url"`
	Since      time.Time `json:"since"`
	ResolvedAt time.Time `json:"resolved_at,omitzero"`
	SilencedBy string    `json:"silenced_by,omitempty"`
}

// objective is one of the figures that Holdfast promises.
type objective struct {
	Name    string          `json:"name"`
	What    string          `json:"what"`
	Target  float64         `json:"target"`
	Budgets []alerts.Budget `json:"budgets"`
}

// State is what is left of its tightest budget.
func (o objective) State() string { return budgetState(o.Budgets...) }

// ruleRow is a rule with its thresholds in effect.
type ruleRow struct {
	ID      string         `json:"id"`
	Name    string         `json:"name"`
	Off     bool           `json:"off"`
	When    string         `json:"when"`
	Next    string         `json:"next"`
	Runbook string         `json:"runbook_url"`
	Levels  []alerts.Level `json:"levels"`
}

func (v *visit) showAlerts(ctx context.Context) (*alertsView, error) {
	a := &alertsView{
		Active: []alertRow{}, History: []alertRow{}, Silences: []alerts.Silence{}, Objectives: []objective{}, Rules: []ruleRow{},
	}
	e, lang := v.options.alerts, v.text.lang
	if e == nil {
		a.Sentences = []sentence{{"unknown", v.text.T("alerts.off")}}
		for _, r := range alerts.Rules(alerts.DefaultConfig()) {
			a.Rules = append(a.Rules, ruleIn(r, lang))
		}
		return a, nil
	}
	status := e.Status()
	a.Known, a.Status = true, &status
	name := v.alertName(status)
	for _, x := range e.Active() {
		if x.Database == name || x.Database == "" {
			a.Active = append(a.Active, alertIn(x, lang))
		}
	}
	for _, x := range e.History() {
		if (x.Database == name || x.Database == "") && len(a.History) < mostEntriesShown {
			a.History = append(a.History, alertIn(x, lang))
		}
	}
	for _, s := range e.Silences() {
		if s.Database == name || s.Database == "" {
			a.Silences = append(a.Silences, s)
		}
	}
	for _, r := range e.Rules() {
		a.Rules = append(a.Rules, ruleIn(r, lang))
	}
	switch o, err := e.Objectives(ctx, name); {
	case errors.Is(err, alerts.ErrNoDatabase):
		a.Unmeasured = v.text.T("alerts.unwatched")
	case err != nil:
		a.Unmeasured = err.Error()
	default:
		for _, x := range o.List {
			a.Objectives = append(a.Objectives, objective{x.Name, x.What.In(lang), x.Target, x.Budgets})
		}
	}
	a.Sentences = v.alertSentences(a, name)
	return a, nil
}

// lastAlerts are a few for the overview: those that fire, and the last that have ended.
func (v *visit) lastAlerts() []alertRow {
	e, few := v.options.alerts, 4
	if e == nil {
		return nil
	}
	out := []alertRow{}
	name := v.alertName(e.Status())
	for _, x := range append(e.Active(), e.History()...) {
		if (x.Database == name || x.Database == "") && x.State != alerts.Pending && len(out) < few {
			out = append(out, alertIn(x, v.text.lang))
		}
	}
	return out
}

// testAlert sends one through every receiver.
func (v *visit) testAlert(ctx context.Context, _ url.Values) (string, error) {
	e := v.options.alerts
	if e == nil {
		return "", errNoEngine
	}
	results, err := e.Test(ctx)
	if err != nil {
		return "", err
	}
	var taken []string
	var failed []error
	for _, r := range results {
		if r.Error != "" {
			failed = append(failed, fmt.Errorf("%s: %s", r.Receiver, r.Error))
			continue
		}
		taken = append(taken, r.Receiver)
	}
	switch {
	case len(failed) > 0:
		return "", errors.Join(failed...)
	case len(taken) == 0:
		return "", errNoReceiver
	}
	return v.text.T("actions.alert.done", strings.Join(taken, ", ")), nil
}

var (
	errNoEngine   = errors.New("nobody looks at rules here: the program gives dash.WithAlerts an engine")
	errNoReceiver = errors.New("nobody is told: there is no receiver")
)

// alertName is what the engine calls the database of the visit.
func (v *visit) alertName(s alerts.Status) string {
	if v.place.name == "" && len(s.Databases) == 1 { // there is one here, and one there
		return s.Databases[0].Name
	}
	return v.place.name
}

func alertIn(a alerts.Alert, lang string) alertRow {
	return alertRow{
		a.Rule, a.Name, a.Subject, string(a.Severity), string(a.State), a.Summary.In(lang), a.Next.In(lang), address(a.Runbook),
		a.Since.UTC(), a.ResolvedAt.UTC(), a.SilencedBy,
	}
}

func ruleIn(r alerts.Rule, lang string) ruleRow {
	return ruleRow{r.ID, r.Name, r.Off, r.When.In(lang), r.Next.In(lang), address(r.Runbook), r.Levels}
}

// address is a link that may stand in a page, else "".
func address(to string) string {
	if strings.HasPrefix(to, "https://") || strings.HasPrefix(to, "http://") {
		return to
	}
	return ""
}

func (v *visit) alertSentences(a *alertsView, name string) []sentence {
	t := v.text
	var out []sentence
	say := func(state, key string, args ...any) { out = append(out, sentence{state, t.T(key, args...)}) }
	worst, firing, pending := "ok", int64(0), int64(0)
	for _, x := range a.Active {
		if x.State != string(alerts.Firing) {
			pending++
			continue
		}
		firing++
		if worst != "critical" {
			worst = x.Severity
		}
	}
	if firing == 0 {
		say("ok", "alerts.quiet")
	} else {
		out = append(out, sentence{worst, t.N("alerts.firing", firing)})
	}
	if pending > 0 {
		out = append(out, sentence{"unknown", t.N("alerts.pending", pending)})
	}
	for _, d := range a.Status.Databases {
		if d.Name == name && d.Error != "" {
			say("critical", "alerts.blind", d.Error)
		}
	}
	for _, r := range a.Status.Receivers {
		if !r.FailingSince.IsZero() {
			say("warning", "alerts.undelivered", r.Name, t.Ago(r.FailingSince, v.now), r.LastError)
		}
	}
	if len(a.Status.Receivers) == 0 {
		say("warning", "alerts.nobody")
	}
	if a.Status.LastRound.IsZero() {
		say("unknown", "alerts.no_round")
	}
	return out
}

// budgetState is the worst of some error budgets.
func budgetState(list ...alerts.Budget) string {
	state := "unknown"
	for _, b := range list {
		switch {
		case !b.Known:
		case b.Left < 0:
			return "critical"
		case b.Left < 0.25:
			state = "warning"
		case state == "unknown":
			state = "ok"
		}
	}
	return state
}

// drawBudget is a meter of what is left. Its number stands beside it.
func drawBudget(left float64) template.HTML {
	return template.HTML(fmt.Sprintf(`<svg class="budget %s" width="64" height="10" aria-hidden="true"><rect class="all" width="64" height="10"/><rect class="left" width="%.1f" height="10"/></svg>`, //nolint:gosec // numbers
		budgetState(alerts.Budget{Known: true, Left: left}), 64*min(max(left, 0), 1)))
}

// exact is a part of one in percent, near to 100 with what is missing: of 99.97 % the
// digits behind the point are what counts.
func (t *text) exact(part float64) string {
	s := strconv.FormatFloat(math.Floor(part*1e5+1e-6)/1e3, 'f', -1, 64)
	return t.point(s) + thin + "%"
}
