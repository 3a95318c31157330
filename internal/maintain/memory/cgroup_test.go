package memory

import (
	"reflect"
	"testing"
	"testing/fstest"
)

func files(m map[string]string) fstest.MapFS {
	f := fstest.MapFS{}
	for name, text := range m {
		f[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return f
}

const statV2 = "anon 1000\nfile 900\nkernel 100\ninactive_file 300\nactive_file 200\nslab_reclaimable 50\nslab_unreclaimable 7\nworkingset_activate_file 99999\n"

func TestCgroups(t *testing.T) {
	for name, tc := range map[string]struct {
		files map[string]string
		want  []Reserve
	}{
		"version 2, in a slice with a limit of its own": {map[string]string{
			"proc/self/cgroup":                                "0::/user.slice/app.service\n",
			"sys/fs/cgroup/memory.current":                    "99999999\n",
			"sys/fs/cgroup/user.slice/memory.max":             "100000\n",
			"sys/fs/cgroup/user.slice/memory.high":            "80000\n",
			"sys/fs/cgroup/user.slice/memory.current":         "70000\n",
			"sys/fs/cgroup/user.slice/app.service/memory.max": "20000\n", "sys/fs/cgroup/user.slice/app.service/memory.high": "max\n",
			"sys/fs/cgroup/user.slice/app.service/memory.current":  "2000\n",
			"sys/fs/cgroup/user.slice/app.service/memory.stat":     statV2,
			"sys/fs/cgroup/user.slice/app.service/memory.pressure": "some avg10=12.50 avg60=3.00 avg300=0.10 total=12345\nfull avg10=99.00 avg60=0.00 avg300=0.00 total=0\n",
		}, []Reserve{{"cgroup memory.max", 20000, 1450, true}, {"cgroup memory.high", 80000, 70000, false}}},
		"version 2, in a container that sees the path of the host": {map[string]string{
			"proc/self/cgroup":             "0::/docker/0123456789abcdef\n",
			"sys/fs/cgroup/memory.max":     "512000000\n",
			"sys/fs/cgroup/memory.current": "100\n",
		}, []Reserve{{"cgroup memory.max", 512000000, 100, false}}},
		"version 1": {map[string]string{
			"proc/self/cgroup": "12:cpu,cpuacct:/\n5:memory:/docker/abc\n1:name=systemd:/docker/abc\n0::/system.slice\n",
			"sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes": "1000\n",
			"sys/fs/cgroup/memory/docker/abc/memory.usage_in_bytes": "900\n",
			"sys/fs/cgroup/memory/docker/abc/memory.stat":           "cache 5\ninactive_file 1\ntotal_inactive_file 100\ntotal_active_file 50\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes":            "9223372036854771712\n",
			"sys/fs/cgroup/memory/memory.usage_in_bytes":            "900\n",
		}, []Reserve{{"cgroup memory.limit_in_bytes", 1000, 750, false}}},
		"no limit":         {map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n", "sys/fs/cgroup/memory.current": "5\n"}, nil},
		"no groups":        {map[string]string{}, nil},
		"nonsense":         {map[string]string{"proc/self/cgroup": "\x00::\n:::\n0:/\n", "sys/fs/cgroup/memory.max": "-5"}, nil},
		"a path upwards":   {map[string]string{"proc/self/cgroup": "0::/../../..\n", "sys/fs/cgroup/memory.max": "7\n", "sys/fs/cgroup/memory.current": "5\n"}, []Reserve{{"cgroup memory.max", 7, 5, false}}},
		"numbers that lie": {map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "7\n", "sys/fs/cgroup/memory.current": "5\n", "sys/fs/cgroup/memory.stat": "inactive_file 9223372036854775807\nactive_file 9\n"}, []Reserve{{"cgroup memory.max", 7, 0, false}}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Cgroups(files(tc.files)); !reflect.DeepEqual(got, tc.want) {
				t.Errorf("%+v\nwant %+v", got, tc.want)
			}
		})
	}
}

func FuzzCgroups(f *testing.F) {
	f.Add([]byte("0::/a\n"), []byte("max\n"), []byte(statV2), []byte("some avg10=1.00 avg60=0.00 avg300=0.00 total=0\n"))
	f.Add([]byte("3:memory:/a\n"), []byte("4096"), []byte("total_inactive_file 4"), []byte(""))
	f.Fuzz(func(t *testing.T, groups, number, stat, pressure []byte) {
		m := fstest.MapFS{"proc/self/cgroup": &fstest.MapFile{Data: groups}}
		for _, dir := range []string{"sys/fs/cgroup", "sys/fs/cgroup/a", "sys/fs/cgroup/memory/a"} {
			for name, data := range map[string][]byte{"memory.max": number, "memory.current": number, "memory.limit_in_bytes": number, "memory.usage_in_bytes": number, "memory.stat": stat, "memory.pressure": pressure} {
				m[dir+"/"+name] = &fstest.MapFile{Data: data}
			}
		}
		for _, r := range Cgroups(m) {
			if r.Limit <= 0 || r.Used < 0 || r.Name == "" {
				t.Errorf("%+v", r)
			}
		}
		if p := parsePressure(pressure); p < 0 || p > 100 {
			t.Error(p)
		}
	})
}

// The process's own groups and its GOMEMLIMIT, whatever they are.
func TestSystem(t *testing.T) {
	for _, r := range System() {
		if r.Limit <= 0 || r.Used < 0 || r.Used > 1<<50 || r.Name == "" {
			t.Errorf("%+v", r)
		}
	}
}
