//go:build !cgo

package rival

import (
	"context"
	"database/sql"
	"errors"

	"github.com/holdfastdb/holdfast/bench/internal/work"
)

const noCgo = "it needs cgo, and this program was built without"

func mattnMissing(context.Context) string { return noCgo }

func openMattn(work.Settings, setup, bool) (*sql.DB, error) { return nil, errors.New(noCgo) }
