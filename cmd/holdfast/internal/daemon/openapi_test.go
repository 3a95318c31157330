package daemon

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// document is what the tests read of openapi.json.
type document struct {
	OpenAPI    string
	Paths      map[string]map[string]operation
	Components struct{ Schemas map[string]any }
}

type operation struct {
	OperationID string
	Parameters  []map[string]any
	Security    []map[string]any
	RequestBody struct{ Content map[string]media }
	Responses   map[string]struct {
		Ref     string `json:"$ref"`
		Content map[string]media
	}
}

type media struct {
	Schema   map[string]any
	Examples map[string]struct{ Value any }
}

func readDocument(t *testing.T) *document {
	t.Helper()
	d := &document{}
	if err := json.Unmarshal(openAPI, d); err != nil {
		t.Fatal(err)
	}
	return d
}

// The document has every route and no other, each once.
func TestOpenAPIHasTheRoutes(t *testing.T) {
	d := start(t, one, nil)
	doc := readDocument(t)
	var served, documented []string
	for _, r := range d.all() {
		served = append(served, r.Method+" "+r.Path)
	}
	ids := map[string]bool{}
	for path, methods := range doc.Paths {
		for method, op := range methods {
			documented = append(documented, strings.ToUpper(method)+" "+path)
			if op.OperationID == "" || ids[op.OperationID] {
				t.Errorf("%s %s: the id %q is none of its own", method, path, op.OperationID)
			}
			ids[op.OperationID] = true
			for name := range pathParameters(path) {
				if !strings.Contains(mustJSON(t, op.Parameters), "/"+name+`"`) && !strings.Contains(mustJSON(t, op.Parameters), `"`+name+`"`) {
					t.Errorf("%s %s does not say what {%s} is", method, path, name)
				}
			}
		}
	}
	slices.Sort(served)
	slices.Sort(documented)
	if !slices.Equal(served, documented) {
		t.Errorf("served:\n%s\ndocumented:\n%s", strings.Join(served, "\n"), strings.Join(documented, "\n"))
	}
}

func pathParameters(path string) map[string]bool {
	names := map[string]bool{}
	for part := range strings.SplitSeq(path, "/") {
		if strings.HasPrefix(part, "{") {
			names[strings.Trim(part, "{}")] = true
		}
	}
	return names
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// schemas compiles schemas of the document.
type schemas struct {
	t        *testing.T
	compiler *jsonschema.Compiler
}

func newSchemas(t *testing.T) *schemas {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(openAPI))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	if err := c.AddResource("https://holdfast.test/openapi.json", doc); err != nil {
		t.Fatal(err)
	}
	return &schemas{t, c}
}

// check validates JSON against the schema at a place of the document.
func (s *schemas) check(what string, place []string, text []byte) {
	s.t.Helper()
	pointer := ""
	for _, part := range place {
		pointer += "/" + url.PathEscape(strings.NewReplacer("~", "~0", "/", "~1").Replace(part))
	}
	schema, err := s.compiler.Compile("https://holdfast.test/openapi.json#" + pointer)
	if err != nil {
		s.t.Fatalf("%s: %v", pointer, err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err == nil {
		err = schema.Validate(v)
	}
	if err != nil {
		s.t.Errorf("%s: %v\n%.500s", what, err, text)
	}
}

// Each schema compiles, and every operation that only reads answers as its schema says.
func TestOpenAPIAnswers(t *testing.T) {
	d := start(t, one, nil)
	d.write("/db/execute", "CREATE TABLE t(a)")
	doc, s := readDocument(t), newSchemas(t)
	for name := range doc.Components.Schemas {
		if _, err := s.compiler.Compile("https://holdfast.test/openapi.json#/components/schemas/" + name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for path, methods := range doc.Paths {
		op, ok := methods["get"]
		content := op.Responses["200"].Content
		if !ok || content == nil {
			continue
		}
		target := strings.ReplaceAll(path, "{name}", "main")
		switch {
		case strings.HasSuffix(path, "/query"):
			target += "?timings&q=" + url.QueryEscape("SELECT a, 1, x'00', NULL, 1.5 FROM t")
		case path == "/alerts/objectives":
			target += "?database=main"
		}
		code, text := d.get(target)
		if code != http.StatusOK {
			t.Errorf("%s: %d %s", target, code, text)
		}
		if _, ok := content["application/json"]; ok {
			s.check(target, []string{"paths", path, "get", "responses", "200", "content", "application/json", "schema"}, []byte(text))
		}
	}
	// Each form of an answer, with all that can be asked for.
	for _, query := range []string{"", "?timings&pretty", "?associative&timings", "?blob_array", "?transaction", "?level=strong"} {
		for _, body := range []string{`["SELECT a, x'00ff' AS b, 2.5 AS c FROM t"]`, `["nonsense"]`, `["INSERT INTO t VALUES('x')", "SELECT * FROM t"]`} {
			code, text := d.do(http.MethodPost, "/db/request"+query, body)
			if code != http.StatusOK {
				t.Errorf("%s: %d", query, code)
			}
			s.check(query+" "+body, []string{"components", "schemas", "Answer"}, []byte(text))
		}
	}
	_, text := d.do(http.MethodPost, "/db/execute?queue", `["INSERT INTO t VALUES(1)"]`)
	s.check("queue", []string{"components", "schemas", "Answer"}, []byte(text))
	_, text = d.do(http.MethodPost, "/db/execute", `x`)
	s.check("an error", []string{"components", "schemas", "Error"}, []byte(text))
}

// Each documented example is sent, in the order of its name, and answered as documented.
func TestOpenAPIExamples(t *testing.T) {
	d := start(t, one, nil)
	doc, s := readDocument(t), newSchemas(t)
	sent := 0
	for _, path := range []string{"/db/execute", "/db/query", "/db/request"} {
		op := doc.Paths[path]["post"]
		requests, answers := op.RequestBody.Content["application/json"].Examples, op.Responses["200"].Content["application/json"].Examples
		for _, name := range slices.Sorted(maps.Keys(requests)) {
			body := mustJSON(t, requests[name].Value)
			s.check(path+" "+name, []string{"components", "schemas", "Statements"}, []byte(body))
			code, text := d.do(http.MethodPost, path, body)
			var got any
			if err := json.Unmarshal([]byte(text), &got); err != nil || code != http.StatusOK {
				t.Fatalf("%s %s: %d %s", path, name, code, text)
			}
			if want := mustJSON(t, answers[name].Value); mustJSON(t, got) != want {
				t.Errorf("%s %s:\n got %s\nwant %s", path, name, mustJSON(t, got), want)
			}
			sent++
		}
	}
	if sent < 9 {
		t.Errorf("%d examples were sent: this test looks at nothing", sent)
	}
}
