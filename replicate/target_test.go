package replicate

import (
	"errors"
	"strings"
	"testing"

	"github.com/holdfastdb/holdfast"
)

// A target with something secret in it is refused, and nobody quotes it.
func TestSecretsInTargets(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"s3://user:hunter2@bucket/app",
		"s3://bucket/app?access-key-id=A&secret-access-key=hunter2",
		"s3://bucket/app?session-token=hunter2",
		"s3://bucket/app?endpoint=https://user:hunter2@host&region=r",
		"s3://bucket/app?endpoint=user:hunter2@host",
		"s3://bucket:hunter2/app",
		"sftp://user:hunter2@host/app",
	} {
		at, err := parseTarget(text)
		if !errors.Is(err, holdfast.ErrRefused) || at.name != "" || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %q %v", text, at.name, err)
		}
	}
	at, err := parseTarget("s3://bucket/app?endpoint=https://host&region=r&force-path-style=true")
	if err != nil || at.name != "s3://bucket/app?endpoint=https%3A%2F%2Fhost&force-path-style=true&region=r" {
		t.Error(at.name, err)
	}
}
