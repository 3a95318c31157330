package interop

import (
	"errors"
	"reflect"
	"testing"
	"time"
)

// errUndo is what the tests return to make a client roll back.
var errUndo = errors.New("undo this")

// must ends the test on an error.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// equal reports a difference and carries on.
func equal(t testing.TB, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: got %v (%T), want %v (%T)", what, got, got, want, want)
	}
}

// sameInstant compares times as points in time, to the nanosecond, whatever
// zone they are told in.
func sameInstant(t testing.TB, what string, got, want time.Time) {
	t.Helper()
	if !got.Equal(want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// Two moments that lose something in careless hands: nanoseconds, and an
// offset that is no whole hour.
var (
	utcMoment   = time.Date(2024, time.February, 29, 23, 59, 58, 123456789, time.UTC)
	zonedMoment = time.Date(2031, time.July, 1, 4, 5, 6, 700000000, time.FixedZone("", 5*3600+45*60))
)
