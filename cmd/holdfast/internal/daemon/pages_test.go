package daemon

import (
	"net/url"
	"regexp"
	"strings"
	"testing"
)

var formToken = regexp.MustCompile(`(?s)action="([^"]*act/checkpoint)".*?name="token" value="([^"]+)"`)

// Buttons that do something are for those who may write, and only where the configuration
// offers them.
func TestActionsOfTheDashboard(t *testing.T) {
	env := map[string]string{"HOLDFAST_READ_TOKEN": "0123456789abcdef-read", "HOLDFAST_WRITE_TOKEN": "0123456789abcdef-write"}
	d := start(t, `{"database": {"path": "DIR/app.db"}, "serve": {"listen": "127.0.0.1:0", "actions": true}}`, env)
	press := func(token string) (int, string) {
		d.token = token
		_, page := d.get("/d/main/actions")
		found := formToken.FindStringSubmatch(page)
		if found == nil {
			t.Fatalf("no button on %s", page)
		}
		return d.do("POST", "/d/main/act/checkpoint", url.Values{"token": {found[2]}, "mode": {"PASSIVE"}}.Encode(), "Content-Type", "application/x-www-form-urlencoded", "Origin", d.URL())
	}
	if code, text := press("0123456789abcdef-read"); code != 403 {
		t.Errorf("with a token to read: %d %.200s", code, text)
	}
	if code, text := press("0123456789abcdef-write"); code >= 400 {
		t.Errorf("with a token to write: %d %.200s", code, text)
	}
	if log := d.log.String(); !strings.Contains(log, "checkpoint") || strings.Contains(log, "0123456789abcdef") {
		t.Errorf("the log: %s", log)
	}
	d.token = "0123456789abcdef-read"
	d.want(200, "", "GET", "/d/main/alerts", "")

	without := start(t, one, env)
	without.token = "0123456789abcdef-write"
	if _, page := without.get("/d/main/actions"); formToken.MatchString(page) {
		t.Error("there are buttons without serve.actions")
	}
}
