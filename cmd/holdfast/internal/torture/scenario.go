package torture

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
)

// Tier is how much time there is.
type Tier int

// The tiers: 3 minutes, 20 minutes, hours. The zero value is Quick.
const (
	Quick Tier = iota
	CI
	Soak
)

var tierNames = [...]string{Quick: "quick", CI: "ci", Soak: "soak"}

func (t Tier) String() string { return tierNames[t] }

// ParseTier reads the name of a tier.
func ParseTier(name string) (Tier, error) {
	for t, n := range tierNames {
		if n == name {
			return Tier(t), nil
		}
	}
	return 0, fmt.Errorf("there is no tier %q: choose quick, ci or soak", name)
}

// Scenario is one way to be cruel, and what has to hold in spite of it.
type Scenario struct {
	Name  string // "kill-writers"
	About string // one sentence, printed by --list
	Tier  Tier   // the least tier that it runs in; a scenario that is asked for by name runs in any
	Needs []Need // what the machine must have; the scenario is skipped without
	// Sabotage lists the modes that must turn the scenario red. A scenario that
	// does not list a mode is left out when it is asked for.
	Sabotage []string
	// Run tortures. An error is the failure, in a sentence that says what was
	// promised and what was seen; the figures go to t.Count. It must end soon
	// after ctx; children that are left over are killed.
	Run func(ctx context.Context, t *Trial) error
}

// Scenarios lists every scenario, in the order in which they run.
func Scenarios() []Scenario {
	return []Scenario{
		crowd(),
		crashStates(),
		nthFaults(),
		killWriters(),
		waitBehindKilled(),
		killMigration(),
		stopHolders(),
		moveUnderLoad(),
		linksAndModes(),
		takeTheLog(),
		damageTheLog(),
		scribbleOnTheShm(),
		carelessOpens(),
		strangers(),
		diskFull(),
		killBackups(),
		killReplication(),
		killDaemon(),
		slowSync(),
		linearizableRegisters(),
		clockJumps(),
		powerCuts(),
		hostileSQL(),
		hostileFiles(),
		soak(),
	}
}

// Need looks for something that a scenario can't do without. It returns "", or
// what is missing and how to get it.
type Need func(ctx context.Context) (lack string)

// Root needs the superuser.
func Root(context.Context) string {
	if os.Geteuid() != 0 {
		return "needs root: run it with sudo, or in a container"
	}
	return ""
}

// Linux needs Linux.
func Linux(context.Context) string {
	if runtime.GOOS != "linux" {
		return "needs Linux"
	}
	return ""
}

// Signals needs processes that can be stopped and continued.
func Signals(context.Context) string {
	if !canStop {
		return "needs SIGSTOP, which this system does not have"
	}
	return ""
}

// SQLite3 needs the sqlite3 command.
func SQLite3(context.Context) string {
	if _, err := exec.LookPath("sqlite3"); err != nil {
		return "needs the sqlite3 command: install the package sqlite3"
	}
	return ""
}

// Python needs python3 with its sqlite3 module.
func Python(ctx context.Context) string {
	if exec.CommandContext(ctx, "python3", "-c", "import sqlite3").Run() != nil {
		return "needs python3 with the module sqlite3"
	}
	return ""
}
