package replicate

import (
	"context"
	"fmt"

	"github.com/holdfastdb/holdfast"
)

// Who imports the package has its databases replicated that have a target.
func init() { holdfast.RegisterReplicator(replicator{}) }

type replicator struct{}

func (replicator) Replicate(ctx context.Context, of holdfast.ReplicatedDatabase) (holdfast.Replication, error) {
	if s := of.Database.Synchronous; of.Config.Lease > 0 && s != "FULL" && s != "EXTRA" {
		return nil, fmt.Errorf("%w: replication.lease needs database.synchronous FULL: after a power cut this file would lack what it has acknowledged, and go on without it", holdfast.ErrRefused)
	}
	return open(ctx, of.Path, of.Config, of.Logger, connections{of.Cool, of.Pause}, stallAfter)
}
