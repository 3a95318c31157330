package dbfile

import (
	"path/filepath"
	"testing"
	"time"
)

func TestVolumeIsLookedAtOnceASecond(t *testing.T) {
	t.Parallel()
	v := Volume{Dir: t.TempDir()}
	now := time.Now()
	first, ok := v.Look(now)
	if !ok {
		t.Skip("the system doesn't tell")
	}
	if first.Free <= 0 || first.Total < first.Free || first.IO != nil && *first.IO != (DeviceIO{}) {
		t.Errorf("%+v", first)
	}
	v.Dir = filepath.Join(v.Dir, "nowhere")
	if again, ok := v.Look(now.Add(lookedFor - 1)); !ok || again.Free != first.Free {
		t.Errorf("%+v, %v", again, ok)
	}
	if s, ok := v.Look(now.Add(lookedFor)); ok {
		t.Errorf("%+v of a directory that is missing", s)
	}
	if s, ok := new(Volume).Look(now); ok {
		t.Errorf("%+v of no directory", s)
	}
}
