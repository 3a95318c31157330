package locks

import (
	"context"
	"runtime/pprof"
	"strings"
)

// Labels are the goroutine labels that runtime/pprof has put into a context, as
// "job=billing, tenant=7"; "" if there are none.
func Labels(ctx context.Context) string {
	if ctx == nil {
		return ""
	}
	var all []string
	pprof.ForLabels(ctx, func(key, value string) bool {
		all = append(all, key+"="+value)
		return true
	})
	return strings.Join(all, ", ")
}
