package cluster_test

import (
	"strings"
	"testing"

	"github.com/holdfastdb/holdfast"
	"github.com/holdfastdb/holdfast/cluster/internal/faults"
	"github.com/holdfastdb/holdfast/internal/conformance"
)

func conform(t *testing.T, address string) {
	conformance.Suite{
		Open: func(t *testing.T) *holdfast.DB {
			t.Helper()
			db, err := holdfast.Open(t.Context(), address)
			if err != nil {
				t.Fatal(err)
			}
			return db
		},
		Not: map[string]string{
			"blobs without a type": "the server sends a blob of a column that is not declared BLOB as text, and what is no UTF-8 is damaged: an error says so, see TestValues",
		},
	}.Run(t)
}

func TestConformance(t *testing.T) { conform(t, faults.New(t, 3).Address("")) }

func TestConformanceOfTheRealEngine(t *testing.T) {
	conform(t, "rqlite://"+strings.Join(startReal(t).http, ","))
}
