package jcs_test

import (
	"encoding/json"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/utkarsh698/cloudflow/internal/jcs"
)

func TestDecode(t *testing.T) {
	for rule, v := range map[string]any{
		"null":            nil,
		"the booleans":    []any{true, false},
		"the empty":       map[string]any{"a": []any{}, "o": map[string]any{}, "s": ""},
		"numbers as text": []any{json.Number("0"), json.Number("-1"), json.Number("9007199254740993"), json.Number("-0.50e+7"), json.Number("1E2")},
		"every escape":    "\"\\\b\f\n\r\t\x00\x1f/",
		"text":            "é€😀\u2028",
		"what is nested":  map[string]any{"a": []any{map[string]any{"b": []any{nil, "x\n", json.Number("1")}}}, "\n": "y"},
	} {
		t.Run(rule+" comes back as it was written", func(t *testing.T) {
			text := string(jcs.Append(nil, v))
			if got, ok := jcs.Decode(text); !ok || !reflect.DeepEqual(got, v) {
				t.Errorf("%s is %#v, %v", text, got, ok)
			}
		})
	}
	for _, text := range []string{
		"", " ", "nul", "nullx", "tru", "{", "[", `"`, "}", "{}{}", "1 ", "[1, 2]", `{"a": 1}`, `{"a":1,}`, "[1,]", `{"a"}`, "{1:2}", `{a:1}`,
		"-", "01", "1.", ".5", "1e", "+1", "NaN", "\"\n\"", `"\x"`, `"\u00"`, `"\`, "\"\xff\"", strings.Repeat("[", 1000),
	} {
		t.Run("refuses "+text[:min(len(text), 12)], func(t *testing.T) {
			if v, ok := jcs.Decode(text); ok {
				t.Errorf("%q is %#v", text, v)
			}
		})
	}
}

// FuzzDecode holds Decode to encoding/json: what the one takes, the other reads as the same value.
func FuzzDecode(f *testing.F) {
	f.Add(`{"a":[1,-2.5e3,"x\n\u00e9",true,null],"b":{}}`)
	f.Add(`"\ud83d\ude00"`)
	f.Fuzz(func(t *testing.T, text string) {
		got, ok := jcs.Decode(text)
		if !ok {
			return
		}
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		var want any
		if err := d.Decode(&want); err != nil {
			t.Fatalf("%q is %#v, but: %v", text, got, err)
		}
		if _, err := d.Token(); err != io.EOF {
			t.Fatalf("%q is %#v, but goes on", text, got)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%q is %#v, not %#v", text, got, want)
		}
	})
}
