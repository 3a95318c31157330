// Package account has nothing to do with SQLite.
package account

import "strings"

func healthy(err error) bool { return strings.Contains(err.Error(), "locked") }
