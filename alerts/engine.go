package alerts

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/holdfastdb/holdfast"
)

// CollectTimeout is how long a round waits for what a database tells. One that takes
// longer is judged when it has answered.
const CollectTimeout = 5 * time.Second

// ErrClosed: the engine was closed.
var ErrClosed = errors.New("the alerts engine is closed")

// Engine looks at databases and tells receivers what it finds. It is safe for concurrent
// use. It owns the goroutines that New begins, and Close ends.
type Engine struct {
	log     *slog.Logger
	host    string
	ctx     context.Context
	stop    context.CancelFunc
	running sync.WaitGroup
	retimed chan struct{} // the time between rounds has changed

	judging sync.Mutex // one round at a time

	mu       sync.Mutex // guards the rest
	outlets  []*outlet  // replaced as a whole
	beat     *heartbeat // nil if there is none
	cfg      Config     // complete
	watched  map[string]*watched
	states   map[key]*state
	ended    []Alert // the oldest first
	silences silences
	status   Status
}

// watched is one database.
type watched struct {
	subject subject
	looking bool // a look has not come back
	since   time.Time
	seen    *observation // of the last look that came back; nil if that failed
	seenAt  time.Time
	err     error

	available available
	kept      kept
}

// Status is how the engine itself is.
type Status struct {
	Rounds      int64            `json:"rounds"`
	LastRound   time.Time        `json:"last_round,omitzero"`
	TookSeconds float64          `json:"took_seconds"` // the last round
	Databases   []DatabaseStatus `json:"databases"`
	Receivers   []ReceiverStatus `json:"receivers"`
	Heartbeat   *ReceiverStatus  `json:"heartbeat"` // nil if there is none
}

// DatabaseStatus is whether a database tells its figures.
type DatabaseStatus struct {
	Name     string    `json:"name"`
	LastSeen time.Time `json:"last_seen,omitzero"`
	Error    string    `json:"error"` // "" if the last look succeeded
}

// ReceiverStatus is whether a receiver takes notifications.
type ReceiverStatus struct {
	Name          string    `json:"name"`
	Delivered     int64     `json:"delivered"`
	Failed        int64     `json:"failed"` // tries
	Pending       int       `json:"pending"`
	LastDelivered time.Time `json:"last_delivered,omitzero"`
	FailingSince  time.Time `json:"failing_since,omitzero"` // zero if the last try succeeded
	LastError     string    `json:"last_error"`
}

// New begins to look, once an interval, at what Watch names. Receivers are told beside
// those that c configures. The caller must Close it.
func New(c Config, receivers ...Receiver) (*Engine, error) {
	e, err := newEngine(c, receivers)
	if err != nil {
		return nil, err
	}
	e.running.Go(e.run)
	return e, nil
}

// newEngine has no clock: rounds are made by whoever asks for them.
func newEngine(c Config, receivers []Receiver) (*Engine, error) {
	c, err := c.complete()
	if err != nil {
		return nil, err
	}
	e := &Engine{
		cfg: c, log: c.Logger, host: hostname(), watched: map[string]*watched{}, states: map[key]*state{},
		retimed: make(chan struct{}, 1),
	}
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	var damage error
	if e.silences, damage, err = loadSilences(c.Alerts.SilencesFile); err != nil {
		return nil, err
	}
	if damage != nil {
		e.log.Error("holdfast: "+damage.Error(), "file", c.Alerts.SilencesFile)
	}
	e.ctx, e.stop = context.WithCancel(context.Background())
	e.deliverTo(append(c.receivers(e.log), receivers...), &c)
	return e, nil
}

// run makes the rounds.
func (e *Engine) run() {
	ticker := time.NewTicker(e.config().Alerts.Interval)
	defer ticker.Stop()
	for {
		select {
		case <-e.ctx.Done():
			return
		case <-e.retimed:
			ticker.Reset(e.config().Alerts.Interval)
		case <-ticker.C:
			e.round(time.Now())
		}
	}
}

func (e *Engine) config() Config {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.cfg
}

// Close ends the rounds and deliveries, and waits for those under way. What is not
// delivered by then is not delivered. Databases are not closed.
func (e *Engine) Close() error {
	e.stop()
	e.judging.Lock()   // a Configure under way ends first
	e.judging.Unlock() //nolint:staticcheck // the next one sees that it is too late
	e.running.Wait()
	outlets, beat := e.told()
	for _, o := range outlets {
		if n := o.status().Pending; n > 0 {
			e.log.Warn("holdfast: alerts were not delivered", "receiver", o.receiver.Name(), "notifications", n)
		}
		o.release()
	}
	if beat != nil {
		beat.client.CloseIdleConnections()
	}
	return nil
}

// Watch has a database looked at under a name, in place of the one that had the name. A
// nil db is one that could not be opened: that is what DBUnreachable says of it. The
// database stays the caller's to close; Unwatch it before.
func (e *Engine) Watch(name string, db *holdfast.DB) {
	var s subject = absent{name}
	if db != nil {
		s = &database{name: name, db: db}
	}
	e.watch(name, s)
}

func (e *Engine) watch(name string, s subject) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.watched[name] = &watched{subject: s}
}

// Unwatch has a database looked at no more. Its alerts end.
func (e *Engine) Unwatch(name string) {
	e.judging.Lock()
	defer e.judging.Unlock()
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.watched, name)
}

// round looks at every database and tells what is new.
func (e *Engine) round(now time.Time) {
	e.judging.Lock()
	defer e.judging.Unlock()
	c := e.config()
	if !c.Alerts.Enabled.Enabled() {
		return
	}
	began := time.Now()
	e.look(now, &c)

	e.mu.Lock()
	changed := e.judge(now, &c)
	tell := e.compose(now, &c, changed)
	e.status.Rounds++
	e.status.LastRound, e.status.TookSeconds = now, time.Since(began).Seconds()
	e.mu.Unlock()

	outlets, beat := e.told()
	works := len(outlets) == 0
	for _, o := range outlets {
		for _, n := range tell {
			o.put(n)
		}
		works = works || o.status().FailingSince.IsZero()
	}
	if beat != nil && works {
		beat.tick(now, c.Alerts.HeartbeatInterval)
	}
}

// look asks all databases at once, and waits for CollectTimeout. A look that doesn't
// come back is not repeated: it goes on, and what it brings counts when it is there.
func (e *Engine) look(now time.Time, c *Config) {
	ctx, cancel := context.WithTimeout(e.ctx, CollectTimeout)
	defer cancel()
	type answer struct{}
	var waits int
	e.mu.Lock()
	back := make(chan answer, len(e.watched))
	for _, w := range e.watched {
		if w.looking {
			continue
		}
		w.looking, w.since = true, now
		waits++
		e.running.Go(func() {
			o, err := w.subject.look(ctx, now, c)
			e.mu.Lock()
			w.looking, w.err, w.seen = false, err, o
			w.available.add(now, err == nil && !o.unopened && o.health.DatabaseAccessible)
			if err == nil {
				w.seenAt = now
			}
			e.mu.Unlock()
			back <- answer{}
		})
	}
	e.mu.Unlock()
	for range waits {
		select {
		case <-back:
		case <-ctx.Done():
			return
		}
	}
}

// judge lets every alert follow what was seen, and returns the databases with alerts that
// began, changed or ended. The caller holds mu.
func (e *Engine) judge(now time.Time, c *Config) (ended map[string][]*state) {
	ended = map[string][]*state{}
	for name, w := range e.watched {
		blind := ""
		switch {
		case w.looking:
			blind = fmt.Sprintf("it has not answered since %s", w.since.UTC().Format(time.TimeOnly))
		case w.err != nil:
			blind = w.err.Error()
		case w.seen != nil:
			for i := range rules {
				if r := &rules[i]; r.check != nil && !r.off(c) {
					e.follow(now, c, r, name, r.check(w.seen, c, 1), r.check(w.seen, c, margin), ended)
				}
			}
		}
		e.follow(now, c, ruleOf(blindRule), name, blindTo(name, blind), nil, ended)
	}
	e.followDeliveries(now, c, ended)
	for k, s := range e.states {
		_, watched := e.watched[k.database]
		if (k.database == "" || watched) && !ruleOf(k.rule).off(c) {
			continue
		}
		if s.alert.State == Firing {
			s.alert.State, s.alert.ResolvedAt = Resolved, now
			e.end(s, c, ended)
		}
		delete(e.states, k)
	}
	return ended
}

// margin is how much better than its threshold a value must be for its alert to end.
const margin = 0.9

const blindRule = "monitoring_blind"

func blindTo(name, why string) []verdict {
	if why == "" {
		return nil
	}
	return []verdict{{severity: Critical, value: 1, summary: Text{
		name + " gives no figures: " + why, name + " liefert keine Zahlen: " + why,
	}}}
}

// followDeliveries looks at the engine's own receivers.
func (e *Engine) followDeliveries(now time.Time, c *Config, ended map[string][]*state) {
	var bad []verdict
	failing := func(kind Text, s ReceiverStatus) {
		if s.FailingSince.IsZero() {
			return
		}
		bad = append(bad, verdict{subject: s.Name, severity: Critical, value: now.Sub(s.FailingSince).Seconds(), summary: Text{
			fmt.Sprintf("%s %s fails since %s: %s", kind.EN, s.Name, s.FailingSince.UTC().Format(time.TimeOnly), s.LastError),
			fmt.Sprintf("%s %s versagt seit %s: %s", kind.DE, s.Name, s.FailingSince.UTC().Format(time.TimeOnly), s.LastError),
		}})
	}
	for _, o := range e.outlets {
		failing(Text{"Delivery by", "Die Zustellung durch"}, o.status())
	}
	if e.beat != nil {
		failing(Text{"The", "Der"}, e.beat.status())
	}
	e.follow(now, c, ruleOf(blindRule), "", bad, bad, ended)
}

// follow lets the alerts of one rule follow what was found of one database.
func (e *Engine) follow(now time.Time, c *Config, r *rule, database string, bad, kept []verdict, ended map[string][]*state) {
	if r.off(c) {
		return
	}
	subjects := map[string]bool{}
	for _, v := range slices.Concat(bad, kept) {
		subjects[v.subject] = true
	}
	for k := range e.states {
		if k.rule == r.id && k.database == database {
			subjects[k.subject] = true
		}
	}
	for subject := range subjects {
		k := key{r.id, database, subject}
		s := e.states[k]
		is, was := find(bad, subject), find(kept, subject)
		if s == nil {
			if is == nil {
				continue // within the margin nothing begins
			}
			s = &state{alert: Alert{
				Rule: r.id, Name: r.name, Database: database, Subject: subject, Since: now, Next: r.next,
				Runbook: c.runbook(r.id), Fingerprint: k.fingerprint(),
			}}
			e.states[k] = s
		}
		s.see(is, was)
		if s.step(now, severityOf(is), severityOf(was), r, c) {
			delete(e.states, k)
			if s.alert.State == Resolved {
				e.end(s, c, ended)
			}
		}
	}
}

// see takes the texts from what was found; what is well keeps those of when it was not.
func (s *state) see(is, was *verdict) {
	v := is
	if v == nil {
		v = was
	}
	if v == nil {
		return
	}
	s.alert.Summary, s.alert.Value = v.summary, v.value
	if v.next != (Text{}) {
		s.alert.Next = v.next
	}
}

func find(list []verdict, subject string) *verdict {
	if i := slices.IndexFunc(list, func(v verdict) bool { return v.subject == subject }); i >= 0 {
		return &list[i]
	}
	return nil
}

func severityOf(v *verdict) Severity {
	if v == nil {
		return ""
	}
	return v.severity
}

// end remembers an alert that is over.
func (e *Engine) end(s *state, c *Config, ended map[string][]*state) {
	ended[s.alert.Database] = append(ended[s.alert.Database], s)
	e.ended = append(e.ended, s.alert)
	if over := len(e.ended) - c.Alerts.Keep; over > 0 {
		e.ended = slices.Delete(e.ended, 0, over)
	}
}

// compose makes the notifications of a round, one for each database of which there is
// something new, or something old to be repeated. The caller holds mu.
func (e *Engine) compose(now time.Time, c *Config, ended map[string][]*state) []*Notification {
	groups := map[string][]*state{}
	due := map[string]bool{}
	for _, s := range e.states {
		s.alert.SilencedBy = e.silences.match(&s.alert, now)
		if s.alert.State != Firing || s.alert.SilencedBy != "" {
			continue
		}
		groups[s.alert.Database] = append(groups[s.alert.Database], s)
		if s.told != s.alert.Severity || s.again || c.Alerts.Repeat > 0 && now.Sub(s.toldAt) >= c.Alerts.Repeat {
			due[s.alert.Database] = true
		}
	}
	for name, list := range ended {
		for _, s := range list {
			if s.told != "" { // of what nobody was told, nobody is told that it is over
				groups[name] = append(groups[name], s)
				due[name] = true
			}
		}
	}
	var out []*Notification
	for _, name := range slices.Sorted(maps.Keys(due)) {
		list := make([]Alert, 0, len(groups[name]))
		for _, s := range groups[name] {
			s.told, s.toldAt, s.again = s.alert.Severity, now, false
			list = append(list, s.alert)
		}
		sortAlerts(list)
		out = append(out, notify(list, name, c, e.host))
	}
	return out
}

// sortAlerts puts what is worst first.
func sortAlerts(list []Alert) {
	rank := func(a *Alert) int {
		switch {
		case a.State == Resolved:
			return 3
		case a.State == Pending:
			return 2
		case a.Severity == Warning:
			return 1
		}
		return 0
	}
	order := func(id string) int { return slices.IndexFunc(rules, func(r rule) bool { return r.id == id }) }
	slices.SortFunc(list, func(a, b Alert) int {
		if d := rank(&a) - rank(&b); d != 0 {
			return d
		}
		if d := order(a.Rule) - order(b.Rule); d != 0 {
			return d
		}
		if d := a.Since.Compare(b.Since); d != 0 {
			return d
		}
		if a.Database+a.Subject < b.Database+b.Subject {
			return -1
		}
		return 1
	})
}

// Active returns the alerts that are pending and firing, the worst first.
func (e *Engine) Active() []Alert {
	e.mu.Lock()
	defer e.mu.Unlock()
	list := make([]Alert, 0, len(e.states))
	for _, s := range e.states {
		list = append(list, s.alert)
	}
	sortAlerts(list)
	return list
}

// History returns the alerts that have ended, the newest first, alerts.keep at most.
func (e *Engine) History() []Alert {
	e.mu.Lock()
	defer e.mu.Unlock()
	list := append([]Alert{}, e.ended...)
	slices.Reverse(list)
	return list
}

// Rules returns the rules with the thresholds in effect.
func (e *Engine) Rules() []Rule { return Rules(e.config()) }

// Status tells how the engine itself is.
func (e *Engine) Status() Status {
	e.mu.Lock()
	s := e.status
	s.Databases = []DatabaseStatus{}
	for _, name := range slices.Sorted(maps.Keys(e.watched)) {
		w := e.watched[name]
		d := DatabaseStatus{Name: name, LastSeen: w.seenAt}
		if w.err != nil {
			d.Error = w.err.Error()
		}
		s.Databases = append(s.Databases, d)
	}
	e.mu.Unlock()
	s.Receivers = []ReceiverStatus{}
	outlets, beat := e.told()
	for _, o := range outlets {
		s.Receivers = append(s.Receivers, o.status())
	}
	if beat != nil {
		b := beat.status()
		s.Heartbeat = &b
	}
	return s
}
