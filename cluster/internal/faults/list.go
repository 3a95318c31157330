package faults

import (
	"encoding/json"
	"net/http"
	"strings"
)

// Fault is what happens to one write.
type Fault struct {
	Name    string
	Applied bool // the statements are applied, whatever the answer says
	Taken   bool // false: the answer proves that nobody took them, so they may be sent again
	Final   bool // the answer proves that they are not applied, and asking again is in vain
	Answer  func(*Exchange)
}

func says(status int, body string) func(*Exchange) {
	return func(x *Exchange) { x.Answer(status, body) }
}

// after applies the statements, and says something else.
func after(answer func(x *Exchange, right string)) func(*Exchange) {
	return func(x *Exchange) { answer(x, string(x.Apply())) }
}

// results changes the results of a right answer.
func results(change func([]any) []any) func(*Exchange) {
	return after(func(x *Exchange, right string) {
		var a map[string]any
		if err := json.Unmarshal([]byte(right), &a); err != nil {
			panic(err)
		}
		a["results"] = change(a["results"].([]any))
		b, _ := json.Marshal(a)
		x.Answer(http.StatusOK, string(b))
	})
}

const refusedDial = `{"results":[],"error":"dial tcp 127.0.0.1:4002: connect: connection refused"}`

// List is every fault.
func List() []Fault {
	out := append(answers(), connections()...)
	return append(out, statuses()...)
}

func answers() []Fault {
	return []Fault{
		{Name: "200 with an error and no results: a follower whose leader died", Taken: true, Answer: says(200, refusedDial)},
		{Name: "the same, and the leader had applied it", Applied: true, Taken: true, Answer: after(func(x *Exchange, _ string) {
			x.Answer(200, `{"results":[],"error":"read tcp 127.0.0.1:4002: i/o timeout"}`)
		})},
		{Name: "leadership lost, and not committed", Taken: true, Answer: says(200, `{"results":[],"error":"leadership lost while committing log"}`)},
		{Name: "leadership lost, and committed", Applied: true, Taken: true, Answer: after(func(x *Exchange, _ string) {
			x.Answer(200, `{"results":[],"error":"leadership lost while committing log"}`)
		})},
		{Name: "200 with an error and all results", Applied: true, Taken: true, Answer: after(func(x *Exchange, right string) {
			x.Answer(200, strings.TrimSuffix(right, "}")+`,"error":"raft is already shutdown"}`)
		})},
		{Name: "200 with an error that has no text", Taken: true, Answer: says(200, `{"results":[],"error":""}`)},
		{Name: "not leader any more", Answer: says(200, `{"results":[],"error":"not leader"}`)},
		{Name: "the log was full", Answer: says(200, `{"results":[],"error":"timed out enqueuing operation"}`)},
		{Name: "somebody's BEGIN", Taken: true, Final: true, Answer: says(200, `{"results":[],"error":"cannot start a transaction within a transaction"}`)},
		{Name: "no results", Taken: true, Answer: says(200, `{"results":[]}`)},
		{Name: "no results, and applied", Applied: true, Taken: true, Answer: after(func(x *Exchange, _ string) { x.Answer(200, `{"results":[]}`) })},
		{Name: "nothing in the answer", Taken: true, Answer: says(200, `{}`)},
		{Name: "null", Taken: true, Answer: says(200, `null`)},
		{Name: "results that are none", Taken: true, Answer: says(200, `{"results":true}`)},
		{Name: "the last result is missing", Applied: true, Taken: true, Answer: results(func(r []any) []any { return r[:len(r)-1] })},
		{Name: "a result too many", Applied: true, Taken: true, Answer: results(func(r []any) []any { return append(r, object{}) })},
		{Name: "a result is null", Applied: true, Taken: true, Answer: results(func(r []any) []any { r[len(r)-1] = nil; return r })},
		{Name: "an error in the middle, and results after it", Applied: true, Taken: true, Answer: results(func(r []any) []any {
			if len(r) > 1 {
				r = r[1:]
			}
			return append([]any{object{"error": "no such table: t"}}, r...)
		})},
		{Name: "an error of the statement", Taken: true, Final: true, Answer: says(200, `{"results":[{"error":"no such table: t"}]}`)},
		{Name: "an error without a text", Taken: true, Final: true, Answer: says(200, `{"results":[{"error":""}]}`)},
		{Name: "the leader's disk failed, and the others applied it", Applied: true, Taken: true, Answer: after(func(x *Exchange, _ string) {
			x.Answer(200, `{"results":[{"error":"disk I/O error"}]}`)
		})},
		{Name: "half of the JSON", Applied: true, Taken: true, Answer: after(func(x *Exchange, right string) { x.Answer(200, right[:len(right)/2]) })},
		{Name: "something behind the JSON", Applied: true, Taken: true, Answer: after(func(x *Exchange, right string) { x.Answer(200, right+right) })},
		{Name: "a page of somebody else's", Taken: true, Answer: says(200, "<html>welcome</html>")},
		{Name: "an empty answer", Taken: true, Answer: says(200, "")},
	}
}

func connections() []Fault {
	return []Fault{
		{Name: "reset before it was applied", Taken: true, Answer: func(x *Exchange) { x.Reset(0, "") }},
		{Name: "reset after it was applied", Applied: true, Taken: true, Answer: after(func(x *Exchange, _ string) { x.Reset(0, "") })},
		{Name: "half of the body", Applied: true, Taken: true, Answer: after(func(x *Exchange, right string) { x.Reset(len(right), right[:len(right)/2]) })},
		{Name: "all but the end of the body", Applied: true, Taken: true, Answer: after(func(x *Exchange, right string) { x.Reset(len(right)+1, right) })},
		{Name: "no answer, and not applied", Taken: true, Answer: func(x *Exchange) { x.Hang() }},
		{Name: "no answer, and applied", Applied: true, Taken: true, Answer: after(func(x *Exchange, _ string) { x.Hang() })},
		{Name: "no answer, and applied when the client has gone", Applied: true, Taken: true, Answer: func(x *Exchange) { x.Hang(); x.ApplyLate() }},
		{Name: "reset, and applied afterwards", Applied: true, Taken: true, Answer: func(x *Exchange) { x.ApplyLate(); x.Reset(0, "") }},
	}
}

func statuses() []Fault {
	return []Fault{
		{Name: "redirected to itself", Answer: func(x *Exchange) { x.Redirect("http://" + x.r.Host) }},
		{Name: "redirected to a machine that is dead", Answer: func(x *Exchange) { x.Redirect("http://127.0.0.1:1") }},
		{Name: "redirected to a machine that nobody named", Answer: func(x *Exchange) { x.Redirect("http://thief.invalid:4001") }},
		{Name: "redirected to nowhere", Taken: true, Answer: func(x *Exchange) { x.Redirect("::/") }},
		{Name: "redirected without a place", Answer: says(301, "")},
		{Name: "503, no leader", Answer: says(503, "leader not found\n")},
		{Name: "500, no leader", Answer: says(500, "leader not found\n")},
		{Name: "503 of a proxy, and not applied", Taken: true, Answer: says(503, "upstream connect error")},
		{Name: "503 of a proxy, and applied", Applied: true, Taken: true, Answer: after(func(x *Exchange, _ string) { x.Answer(503, "upstream connect error") })},
		{Name: "502, and applied", Applied: true, Taken: true, Answer: after(func(x *Exchange, _ string) { x.Answer(502, "") })},
		{Name: "504, and applied", Applied: true, Taken: true, Answer: after(func(x *Exchange, _ string) { x.Answer(504, "") })},
		{Name: "500, and applied", Applied: true, Taken: true, Answer: after(func(x *Exchange, _ string) {
			x.Answer(500, "no ExecuteResult, QueryRows, or Error")
		})},
		{Name: "500, before anything was done", Taken: true, Final: true, Answer: says(500, "SQL rewrite: panic during SQL processing")},
		{Name: "204", Taken: true, Answer: says(204, "")},
		{Name: "206 with a right body", Applied: true, Taken: true, Answer: after(func(x *Exchange, right string) { x.Answer(206, right) })},
		{Name: "202 with a right body", Applied: true, Taken: true, Answer: after(func(x *Exchange, right string) { x.Answer(202, right) })},
		{Name: "401", Taken: true, Final: true, Answer: says(401, "")},
		{Name: "400", Taken: true, Final: true, Answer: says(400, "invalid request")},
		{Name: "429", Answer: says(429, "")},
	}
}
