package pydesign

import (
	"context"
	"math/rand/v2"
	"strings"
	"time"
)

// lockErrors are the texts by which the design knows a lock conflict.
var lockErrors = []string{
	"database is locked",
	"database is busy",
	"cannot start a transaction within a transaction",
	"disk i/o error",
}

func isLockError(err error) bool {
	text := strings.ToLower(err.Error())
	for _, e := range lockErrors {
		if strings.Contains(text, e) {
			return true
		}
	}
	return false
}

// ExecuteWithRetry runs operation until it succeeds, fails for another reason
// than a lock, or has been tried maxRetries times. The waits between double,
// with up to 0.1 s at random on top.
func (m *DatabaseLockManager) ExecuteWithRetry(ctx context.Context, operation func() error) error {
	var last error
	for attempt := range m.maxRetries {
		last = operation()
		if last == nil {
			m.count(func(s *Statistics) { s.SuccessfulOperations++ })
			return nil
		}
		if !isLockError(last) {
			break
		}
		m.count(func(s *Statistics) { s.LockConflicts++; s.RetryAttempts++ })
		if attempt == m.maxRetries-1 {
			break
		}
		jitter := time.Duration(rand.Float64() * 0.1 * float64(time.Second))
		wait := min(m.baseWaitTime<<attempt+jitter, m.maxWaitTime)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
	m.count(func(s *Statistics) { s.FailedOperations++ })
	return last
}
