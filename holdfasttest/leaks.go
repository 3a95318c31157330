package holdfasttest

import (
	"context"
	"fmt"
	"time"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/internal/session"
)

// leaks is what is still out, each with the place that took it.
func leaks(db *holdfast.DB) []string {
	var out []string
	if report, err := db.Locks(context.Background()); err == nil {
		for _, h := range report.Holders {
			out = append(out, describe(h.Kind, h.CallSite, h.Statement))
		}
	}
	if engine, ok := db.Driver().(*session.Engine); ok {
		for _, l := range engine.IdleLeaks(time.Now(), 0) {
			out = append(out, describe(string(l.Kind), l.Site.String(), ""))
		}
	}
	if n := db.DB.Stats().InUse; len(out) == 0 && n > 0 {
		out = append(out, fmt.Sprintf("%d rows, transactions or connections of a database that is closed", n))
	}
	return out
}

func describe(kind, site, sql string) string {
	text := kind
	if site != "" {
		text += ", taken at " + site
	}
	if sql != "" {
		text += ": " + sql
	}
	return text
}
