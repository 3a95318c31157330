package replicate

import (
	"context"

	"github.com/holdfastdb/holdfast"
)

// Who imports the package has its databases replicated that have a target.
func init() { holdfast.RegisterReplicator(replicator{}) }

type replicator struct{}

func (replicator) Replicate(ctx context.Context, of holdfast.ReplicatedDatabase) (holdfast.Replication, error) {
	return open(ctx, of.Path, of.Config, of.Logger, connections{of.Cool, of.Pause}, stallAfter)
}
