package alerts

import (
	"context"
	"maps"
	"slices"
	"time"
)

// Notification is what a receiver gets: all alerts of one database that are firing and
// not silenced, and those that have ended. Its JSON is that of Alertmanager's webhook,
// version 4, so whatever takes that takes this.
type Notification struct {
	Version           string            `json:"version"` // "4"
	GroupKey          string            `json:"groupKey"`
	TruncatedAlerts   int               `json:"truncatedAlerts"` // that ended and had no room
	Status            string            `json:"status"`          // "firing", or "resolved" if all are
	Receiver          string            `json:"receiver"`
	GroupLabels       map[string]string `json:"groupLabels"`
	CommonLabels      map[string]string `json:"commonLabels"`
	CommonAnnotations map[string]string `json:"commonAnnotations"`
	ExternalURL       string            `json:"externalURL"`
	Alerts            []Notice          `json:"alerts"` // the worst first
}

// Notice is one alert in a Notification. Labels are alertname, rule, severity, instance (the
// host), and database and subject if there are; annotations summary, description (what to
// do) and runbook_url.
type Notice struct {
	Status       string            `json:"status"` // "firing" or "resolved"
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     time.Time         `json:"startsAt"`
	EndsAt       time.Time         `json:"endsAt"` // zero while it is firing
	GeneratorURL string            `json:"generatorURL"`
	Fingerprint  string            `json:"fingerprint"`
}

// Receiver delivers notifications. Deliver is called by one goroutine at a time, and
// returns soon after ctx has ended. The Notification is its own. An error has it called
// again, so it may deliver the same twice.
type Receiver interface {
	Name() string // short, without anything secret
	Deliver(ctx context.Context, n *Notification) error
}

// notify makes a notification of alerts, the worst first.
func notify(list []Alert, database string, c *Config, host string) *Notification {
	n := &Notification{Version: "4", GroupKey: `{}:{database="` + database + `"}`, GroupLabels: map[string]string{"database": database}, ExternalURL: c.Alerts.ExternalURL}
	for i := range list {
		a := &list[i]
		status, ends := string(Firing), time.Time{}
		if a.State == Resolved {
			status, ends = string(Resolved), a.ResolvedAt.UTC()
		}
		labels := map[string]string{"alertname": alertName(a.Name), "rule": a.Rule, "severity": string(a.Severity), "instance": host}
		for key, value := range map[string]string{"database": a.Database, "subject": a.Subject} {
			if value != "" {
				labels[key] = value
			}
		}
		n.Alerts = append(n.Alerts, Notice{
			Status: status, Labels: labels, StartsAt: a.FiredAt.UTC(), EndsAt: ends, GeneratorURL: c.Alerts.ExternalURL, Fingerprint: a.Fingerprint,
			Annotations: map[string]string{
				"summary": a.Summary.In(c.Alerts.Language), "description": a.Next.In(c.Alerts.Language), "runbook_url": a.Runbook,
			},
		})
	}
	n.settle()
	return n
}

// settle derives what follows from the alerts.
func (n *Notification) settle() {
	n.Status = string(Resolved)
	n.CommonLabels, n.CommonAnnotations = map[string]string{}, map[string]string{}
	for i := range n.Alerts {
		a := &n.Alerts[i]
		if a.Status == string(Firing) {
			n.Status = string(Firing)
		}
		if i == 0 {
			n.CommonLabels, n.CommonAnnotations = maps.Clone(a.Labels), maps.Clone(a.Annotations)
		}
		common := func(all, own map[string]string) {
			maps.DeleteFunc(all, func(k, v string) bool { return own[k] != v })
		}
		common(n.CommonLabels, a.Labels)
		common(n.CommonAnnotations, a.Annotations)
	}
}

// mostEnded bounds the alerts that have ended in a notification that waits.
const mostEnded = 200

// absorb takes over from an older notification of the same database, which was not
// delivered, what n doesn't have: alerts that have ended. What was firing then is in n.
func (n *Notification) absorb(older *Notification) {
	has := func(o *Notice) bool {
		return slices.ContainsFunc(n.Alerts, func(a Notice) bool { return a.Fingerprint == o.Fingerprint && a.StartsAt.Equal(o.StartsAt) })
	}
	n.TruncatedAlerts += older.TruncatedAlerts
	for i := range older.Alerts {
		if o := &older.Alerts[i]; o.Status == string(Resolved) && !has(o) {
			n.Alerts = append(n.Alerts, *o)
		}
	}
	ended := 0
	n.Alerts = slices.DeleteFunc(n.Alerts, func(a Notice) bool { // the newest come first
		if a.Status == string(Resolved) {
			ended++
		}
		return a.Status == string(Resolved) && ended > mostEnded
	})
	n.TruncatedAlerts += max(ended-mostEnded, 0)
	n.settle()
}

// clone is a copy that a receiver may change.
func (n *Notification) clone() *Notification {
	c := *n
	c.GroupLabels, c.CommonLabels, c.CommonAnnotations = maps.Clone(n.GroupLabels), maps.Clone(n.CommonLabels), maps.Clone(n.CommonAnnotations)
	c.Alerts = slices.Clone(n.Alerts)
	for i := range c.Alerts {
		a := &c.Alerts[i]
		a.Labels, a.Annotations = maps.Clone(a.Labels), maps.Clone(a.Annotations)
	}
	return &c
}
