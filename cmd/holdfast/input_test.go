package main

import (
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/holdfastdb/holdfast"
)

func TestArguments(t *testing.T) {
	t.Parallel()
	b := bindings{null: "nil"}
	args := []string{
		"1", "-7", "9223372036854775807", "9223372036854775808", "1.5", "-1e3", "0", "-0", "0.0",
		"007", "+1", " 1", "1 ", "0x10", "1_000", "Inf", "NaN", "1e999", ".5", "1.", "", "nil", "NULL",
	}
	want := []any{
		int64(1), int64(-7), int64(math.MaxInt64), "9223372036854775808", 1.5, -1000.0, int64(0), "-0", 0.0,
		"007", "+1", " 1", "1 ", "0x10", "1_000", "Inf", "NaN", "1e999", ".5", "1.", "", nil, "NULL",
	}
	if got := b.values(args); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %#v\nwant %#v", got, want)
	}
	b = bindings{text: true}
	if got := b.values([]string{"1", "nil"}); !reflect.DeepEqual(got, []any{"1", "nil"}) {
		t.Errorf("as text: %#v", got)
	}
}

func TestParseBatch(t *testing.T) {
	t.Parallel()
	got, err := parseBatch([]byte(`[["a"], ["b", []], ["c", [null, 1, -1.5, 1e2, "x", true, {"base64": "AP8="}, 9223372036854775807]]]`))
	want := []holdfast.Statement{
		{SQL: "a"},
		{SQL: "b"},
		{SQL: "c", Args: []any{nil, int64(1), -1.5, 100.0, "x", true, []byte{0, 255}, int64(math.MaxInt64)}},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\ngot  %#v\nwant %#v", err, got, want)
	}
	for text, complaint := range map[string]string{
		"":                                 "ends too early",
		"{}":                               "another kind of value",
		`["SELECT 1"]`:                     "another kind of value",
		`[["a"]] [["b"]]`:                  "goes on after its array",
		`[["a"]`:                           "ends too early",
		`[["a"],]`:                         "invalid character",
		`[[]]`:                             "statement 1 of the batch is not of the form",
		`[["a", [], 3]]`:                   "not of the form",
		`[[5]]`:                            "does not begin with its SQL text",
		`[["a", {"name": "s3cr3t"}]]`:      "arguments that are no array",
		`[["a", [["s3cr3t"]]]]`:            "argument 1 that is neither",
		`[["a", [{"base64": "s3cr3t!"}]]]`: "argument 1 that is neither",
		`[["a", [99999999999999999999]]]`:  "too large",
		`[["a", [1e999]]]`:                 "too large",
	} {
		_, err := parseBatch([]byte(text))
		if err == nil || !strings.Contains(err.Error(), complaint) {
			t.Errorf("%s: %v", text, err)
		}
		if err != nil && strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%s: the error tells a value: %v", text, err)
		}
	}
}

func TestNothingIsLostBetweenQueryAndBatch(t *testing.T) {
	t.Parallel()
	if got, err := jsonValue(map[string]any{"base64": ""}); err != nil || len(got.([]byte)) != 0 || got.([]byte) == nil {
		t.Errorf("an empty blob: %#v, %v", got, err)
	}
}
