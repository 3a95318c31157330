package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfastdb/holdfast/alerts"
)

func TestAlertsOfADaemon(t *testing.T) {
	t.Parallel()
	got := make(chan string, 8)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var n alerts.Notification
		if err := json.NewDecoder(r.Body).Decode(&n); err == nil {
			got <- n.Alerts[0].Labels["alertname"]
		}
	}))
	defer hook.Close()
	url, stop := daemonOf(t, filepath.Join(t.TempDir(), "app.db"), "HOLDFAST_WRITE_TOKEN=0123456789abcdef", "HOLDFAST_ALERTS_WEBHOOK="+hook.URL)
	ask := func(token string, args ...string) (out string, code int) {
		cmd := exec.Command("holdfast", args...)
		cmd.Env = append(os.Environ(), "HOLDFAST_TOKEN="+token)
		text, err := cmd.Output()
		if err != nil && cmd.ProcessState == nil {
			t.Fatal(err)
		}
		return string(text), cmd.ProcessState.ExitCode()
	}
	const token = "0123456789abcdef"
	if out, code := ask(token, "alerts", "test", "--url", url); code != 0 || !strings.Contains(out, "webhook 127.0.0.1") || <-got != "HoldfastTest" {
		t.Errorf("%d: %s", code, out)
	}
	var answer alerts.Answer
	if out, code := ask(token, "alerts", "list", "--url", url, "--json"); code != 0 || json.Unmarshal([]byte(out), &answer) != nil || answer.Schema != "holdfast.alerts/v1" || len(answer.Status.Receivers) != 2 {
		t.Errorf("%d: %s", code, out)
	}
	if out, code := ask(token, "alerts", "list", "--url", url, "--history"); code != 0 || !strings.Contains(out, "until") {
		t.Errorf("%d: %s", code, out)
	}
	var made silencesAnswer
	if out, code := ask(token, "alerts", "silence", "add", "--url", url, "--database", "main", "--reason", "night", "--until", "2100-01-01T00:00:00Z", "--json"); code != 0 || json.Unmarshal([]byte(out), &made) != nil || len(made.Silences) != 1 || made.Silences[0].Reason != "night" {
		t.Fatalf("%d: %s", code, out)
	}
	id := made.Silences[0].ID
	if out, code := ask(token, "alerts", "silence", "list", "--url", url); code != 0 || !strings.Contains(out, id) {
		t.Errorf("%d: %s", code, out)
	}
	for i, want := range []int{0, 66} {
		if out, code := ask(token, "alerts", "silence", "end", id, "--url", url); code != want {
			t.Errorf("ended %d times: %d: %s", i+1, code, out)
		}
	}
	if out, code := ask(token, "alerts", "silence", "add", "--url", url, "--rule", "none", "--reason", "x", "--for", "1h"); code != 64 {
		t.Errorf("no such rule: %d: %s", code, out)
	}
	if _, code := ask("wrong", "alerts", "silence", "add", "--url", url, "--reason", "x", "--for", "1h"); code != 77 {
		t.Errorf("a wrong token: %d", code)
	}
	hook.Close()
	if out, code := ask(token, "alerts", "test", "--url", url); code != 1 || !strings.Contains(out, "refused") {
		t.Errorf("the receiver is gone: %d: %s", code, out)
	}
	if _, code := ask("wrong", "alerts", "test", "--url", url); code != 77 {
		t.Errorf("a wrong token: %d", code)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	if _, code := ask(token, "alerts", "list", "--url", url); code != 69 {
		t.Errorf("nobody is there: %d", code)
	}
}

func TestVerdictOfAlerts(t *testing.T) {
	warn, crit := alerts.Alert{State: alerts.Firing, Severity: alerts.Warning}, alerts.Alert{State: alerts.Firing, Severity: alerts.Critical}
	silenced, pending := crit, crit
	silenced.SilencedBy, pending.State = "x", alerts.Pending
	for want, list := range [][]alerts.Alert{{silenced, pending}, {silenced, warn, pending}, {warn, crit}} {
		if got := verdictOf(list); got != want {
			t.Errorf("%d, not %d: %+v", got, want, list)
		}
	}
}
