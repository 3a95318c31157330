package rival

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"

	"github.com/holdfastdb/holdfast/bench/internal/work"
)

func specInPython(s Sources) Contestant {
	return Contestant{
		Name: "spec-python", Title: "the Python design itself, on python3's sqlite3 module, with threads",
		Does: []work.Operation{
			work.Get, work.Scan, work.Insert, work.Bulk, work.Mix, work.Open, work.Lease,
		},
		Missing: func(ctx context.Context) string {
			out, err := exec.CommandContext(ctx, "python3", "-c", "import sqlite3").CombinedOutput()
			if err != nil {
				return strings.TrimSpace(fmt.Sprintf("python3 with its sqlite3 module is needed: %v %s", err, out))
			}
			return ""
		},
		Command: func(ctx context.Context, j work.Job) (*exec.Cmd, error) {
			text, err := json.Marshal(j)
			if err != nil {
				return nil, err
			}
			cmd := exec.CommandContext(ctx, "python3", s.Python, string(text))
			cmd.Dir = s.Dir
			return cmd, nil
		},
	}
}
