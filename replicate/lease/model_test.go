package lease

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// The protocol with every interleaving of its steps, in a world of few writes: machines
// read and write the manifest, commit, upload, crash and begin again in any order. A step
// may be put off for as long as the others like, which is a pause; a watcher may
// take over whenever it likes, which is any clock there is; and an upload may arrive at any time
// after it was sent, also when its sender is gone.

// rules are what can be left out, to see what it is for.
type rules struct {
	ackBeforeUpload bool // the manifest is read, and then the upload is waited for
	ackWithoutRead  bool // an upload that has ended is enough
	listBeforeTake  bool // what the old epoch has is looked at, and then the next one written
	onePath         bool // all epochs ship to one place
	samePath        bool // who begins again goes on in the epoch that was its own
	blindWrites     bool // the manifest is written whatever it has
}

// bounds keep a world small enough to go through all of it.
type bounds struct{ machines, writes, crashes uint8 }

const (
	machines = 3 // at most
	epochs   = 4
	inFlight = 2 // uploads
)

// model is a protocol in a world.
type model struct {
	rules
	bounds
}

type phase uint8

const (
	watching phase = iota
	read           // the manifest
	taken          // the next epoch was written, and the ones before were not looked at
	owning
	fenced
)

// machine is one of them. A crash leaves its file, and what it notes beside it.
type machine struct {
	phase   phase
	version uint8 // of the manifest as it was read
	epoch   uint8 // of its own
	file    uint8 // the writes in it, a bit each
	noted   uint8 // the epoch that the file is the owner's of; 0: of none

	listed, listedSeq uint8 // what was found at the target, where that comes first

	seq       uint8 // the last transaction at its path, as it knows
	sent      uint8 // the writes in the upload that is under way
	uploading bool
	arrived   bool // and has ended
	confirmed bool // the manifest was read, and has named this session
}

// upload is on its way.
type upload struct {
	there     bool
	from      uint8 // machine
	waited    bool  // it is still waited for
	path, seq uint8
	holds     uint8
}

// place is what is restored from a path: the state of its last transaction.
type place struct{ seq, holds uint8 }

// world is all there is. It is compared as a whole.
type world struct {
	version, epoch, owner uint8 // the manifest
	paths                 [epochs + 1]place
	machines              [machines]machine
	flying                [inFlight]upload
	written, acked        uint8
	ackers                [epochs + 1]uint8 // who has acknowledged in an epoch, a bit each
	crashes               uint8
}

// adder takes a step that can be made.
type adder[W any] func(next W, format string, args ...any)

// steps are all that can happen next.
func (r model) steps(w world, add adder[world]) {
	for i := range w.flying {
		if u := w.flying[i]; u.there {
			add(w.land(i), "an upload of machine %d arrives: epoch %d, transaction %d, writes %03b", u.from, u.path, u.seq, u.holds)
		}
	}
	for i := range r.machines {
		m := w.machines[i]
		switch m.phase {
		case watching:
			next := w
			n := &next.machines[i]
			n.phase, n.version, n.epoch = read, w.version, w.epoch
			n.listed, n.listedSeq = r.list(w, w.epoch)
			add(next, "machine %d reads the manifest: epoch %d", i, w.epoch)
		case read:
			r.take(w, i, add)
		case taken:
			next := w
			n := &next.machines[i]
			if !r.listBeforeTake {
				n.listed, n.listedSeq = r.list(w, m.epoch-1)
			}
			n.begin(n.listed, n.listedSeq, r)
			add(next, "machine %d restores what it finds, writes %03b, and opens", i, n.file)
		case owning:
			r.own(w, i, add)
		case fenced:
		}
		if m.phase != watching && w.crashes < r.crashes {
			next := w
			next.crashes++
			next.crash(i)
			add(next, "machine %d crashes", i)
		}
	}
}

// begin makes it the owner of its epoch, with these writes in its file.
func (m *machine) begin(holds, seq uint8, r model) {
	m.phase, m.file, m.noted, m.seq = owning, holds, m.epoch, 0
	if r.onePath {
		m.seq = seq
	}
	m.listed, m.listedSeq = 0, 0
}

// take is a conditional write of the next epoch. Nobody is asked whether the owner is
// there: all safety has to be in the condition.
func (r model) take(w world, i uint8, add adder[world]) {
	m := w.machines[i]
	next := w
	n := &next.machines[i]
	switch {
	case m.version != w.version && !r.blindWrites:
		*n = machine{file: m.file, noted: m.noted}
		add(next, "machine %d is refused the next epoch", i)
		return
	case r.samePath && m.noted == m.epoch && m.epoch > 0:
		next.version++
		next.owner = i
		_, n.seq = r.list(w, m.epoch)
		n.phase, n.listed, n.listedSeq = owning, 0, 0
		add(next, "machine %d goes on in epoch %d", i, m.epoch)
		return
	case m.epoch == epochs:
		return // the end of this world
	}
	n.epoch++
	next.version++
	next.epoch, next.owner = n.epoch, i
	n.phase = taken
	if m.noted == m.epoch && m.epoch > 0 { // its own file has all of that epoch
		_, seq := r.list(w, m.epoch)
		n.begin(m.file, seq, r)
	}
	add(next, "machine %d takes epoch %d", i, n.epoch)
}

// list is the newest state at the target, of this epoch or an earlier one.
func (r model) list(w world, epoch uint8) (holds, seq uint8) {
	if r.onePath {
		return w.paths[0].holds, w.paths[0].seq
	}
	for e := epoch; e > 0; e-- {
		if w.paths[e].seq > 0 {
			return w.paths[e].holds, w.paths[e].seq
		}
	}
	return 0, 0
}

// own is what an owner does, or believes to be.
func (r model) own(w world, i uint8, add adder[world]) {
	m := w.machines[i]
	if w.written < 1<<r.writes-1 {
		next := w
		next.written = w.written<<1 | 1
		next.machines[i].file |= next.written &^ w.written
		add(next, "machine %d commits write %03b", i, next.written&^w.written)
	}
	if !m.uploading {
		r.send(w, i, add)
		return
	}
	if !m.confirmed && (m.arrived || r.ackBeforeUpload) {
		next := w
		n := &next.machines[i]
		switch {
		case r.ackWithoutRead:
			n.confirmed = true
			add(next, "machine %d looks at nothing", i)
		case w.epoch == m.epoch && w.owner == i:
			n.confirmed = true
			add(next, "machine %d finds its epoch in the manifest", i)
		default:
			n.phase = fenced
			add(next, "machine %d finds another epoch, and is fenced", i)
		}
	}
	if m.confirmed && m.arrived {
		next := w
		n := &next.machines[i]
		next.acked |= m.sent
		next.ackers[m.epoch] |= 1 << i
		n.uploading, n.arrived, n.confirmed, n.sent = false, false, false, 0
		n.seq++
		add(next, "machine %d acknowledges writes %03b", i, m.sent)
	}
}

// send begins an upload of all that is committed. The first one of an epoch has everything.
func (r model) send(w world, i uint8, add adder[world]) {
	m := w.machines[i]
	path := m.epoch
	if r.onePath {
		path = 0
	}
	free := slices.IndexFunc(w.flying[:], func(u upload) bool { return !u.there })
	if free < 0 || m.seq > 0 && w.paths[path].seq == m.seq && w.paths[path].holds == m.file {
		return // nothing to ship
	}
	next := w
	n := &next.machines[i]
	n.uploading, n.sent = true, m.file
	next.flying[free] = upload{there: true, from: i, waited: true, path: path, seq: m.seq + 1, holds: m.file}
	next.sort()
	add(next, "machine %d sends writes %03b to epoch %d as transaction %d", i, m.file, path, m.seq+1)
}

// land puts a transaction in its place: over the one that has its number. One below the
// last there changes nothing, as the last state is what is restored.
func (w world) land(i int) world {
	u := w.flying[i]
	w.flying[i] = upload{}
	w.sort()
	if at := &w.paths[u.path]; u.seq >= at.seq {
		*at = place{u.seq, u.holds}
	}
	if u.waited {
		w.machines[u.from].arrived = true
	}
	return w
}

// crash leaves the file, and what is on its way.
func (w *world) crash(i uint8) {
	w.machines[i] = machine{file: w.machines[i].file, noted: w.machines[i].noted}
	for k := range w.flying {
		if w.flying[k].from == i {
			w.flying[k].waited = false
		}
	}
	w.sort()
}

// sort keeps one order of what is on its way, so that worlds which differ in nothing else are one.
func (w *world) sort() {
	slices.SortFunc(w.flying[:], func(a, b upload) int { return int(a.rank()) - int(b.rank()) })
}

func (u upload) rank() (n uint32) {
	if u.there {
		n |= 1 << 17
	}
	if u.waited {
		n |= 1 << 16
	}
	return n | uint32(u.from)<<12 | uint32(u.path)<<8 | uint32(u.seq)<<4 | uint32(u.holds)
}

// wrong says what must not be.
func (w world) wrong() string {
	for e, who := range w.ackers {
		if who&(who-1) != 0 && e > 0 {
			return fmt.Sprintf("two machines have acknowledged in epoch %d", e)
		}
	}
	for i, m := range w.machines {
		if m.phase == owning && m.epoch == w.epoch && w.owner == uint8(i) && w.acked&^m.file != 0 {
			return fmt.Sprintf("machine %d owns epoch %d, and lacks writes %03b that were acknowledged", i, m.epoch, w.acked&^m.file)
		}
	}
	return ""
}

// explore goes through all worlds there are, and returns how many, and the shortest way to one that must not be.
func explore[W comparable](start W, steps func(W, adder[W]), judge func(W) string) (worlds int, wrong string, way []string) {
	type origin struct {
		from   int
		format string
		args   []any
	}
	seen := map[W]struct{}{start: {}}
	all, origins := []W{start}, []origin{{from: -1}}
	for at := 0; at < len(all); at++ {
		if wrong = judge(all[at]); wrong != "" {
			for ; origins[at].from >= 0; at = origins[at].from {
				way = append(way, fmt.Sprintf(origins[at].format, origins[at].args...))
			}
			slices.Reverse(way)
			return len(all), wrong, way
		}
		steps(all[at], func(next W, format string, args ...any) {
			if _, known := seen[next]; !known {
				seen[next] = struct{}{}
				all, origins = append(all, next), append(origins, origin{at, format, args})
			}
		})
	}
	return len(all), "", nil
}

// No write that was acknowledged is lost, and an epoch has one who acknowledges.
func TestNothingAcknowledgedIsLost(t *testing.T) {
	sizes := []bounds{{machines: 2, writes: 2, crashes: 1}}
	if !testing.Short() {
		sizes = append(sizes, bounds{machines: 2, writes: 2, crashes: 2}, bounds{machines: 3, writes: 1, crashes: 1})
	}
	if os.Getenv("HOLDFAST_LEASE_MODEL") != "" { // some minutes, and some GB
		sizes = append(sizes, bounds{machines: 2, writes: 3, crashes: 2}, bounds{machines: 3, writes: 2, crashes: 1})
	}
	for _, b := range sizes {
		m := model{bounds: b}
		worlds, wrong, way := explore(world{}, m.steps, world.wrong)
		if wrong != "" {
			t.Errorf("%s:\n%s", wrong, strings.Join(way, "\n"))
		}
		t.Logf("%+v: %d worlds", b, worlds)
	}
}

// Each rule is needed: without it the model finds what goes wrong.
func TestEachRuleIsNeeded(t *testing.T) {
	for name, r := range map[string]rules{
		"the manifest is read before the upload has ended":    {ackBeforeUpload: true},
		"the manifest is not read before an acknowledgement":  {ackWithoutRead: true},
		"the old epoch is looked at before the next is taken": {listBeforeTake: true},
		"all epochs have one path":                            {onePath: true},
		"who begins again goes on in its epoch":               {samePath: true},
		"the manifest is written without a condition":         {blindWrites: true},
	} {
		t.Run(name, func(t *testing.T) {
			m := model{r, bounds{machines: 2, writes: 2, crashes: 2}}
			worlds, wrong, way := explore(world{}, m.steps, world.wrong)
			if wrong == "" {
				t.Errorf("nothing goes wrong in %d worlds", worlds)
			}
			t.Logf("%d worlds, then %s:\n%s", worlds, wrong, strings.Join(way, "\n"))
		})
	}
}
