package jcs_test

import (
	"encoding/json"
	"testing"
	"unicode/utf8"

	"github.com/utkarsh698/cloudflow/internal/jcs"
)

func TestAppend(t *testing.T) {
	cases := []struct {
		rule string
		in   any
		want string
	}{
		{"members are sorted", map[string]any{"b": json.Number("2"), "a": []any{true, nil}}, `{"a":[true,null],"b":2}`},
		{"only what must be is escaped", "\u20ac$\u000f\nA'B\"\\\\\"/<>&", `"€$\u000f\nA'B\"\\\\\"/<>&"`},
		{"names sort by UTF-16 code units (RFC 8785, 3.2.3)", map[string]any{"\ufb33": int64(1), "\U0001f600": int64(2), "\u20ac": int64(3)}, "{\"\u20ac\":3,\"\U0001f600\":2,\"\ufb33\":1}"},
		{"bytes that are no text become the replacement character", "a\xffb", "\"a\uFFFDb\""},
		{"integers beyond 2^53 keep their text", json.Number("9007199254740993"), "9007199254740993"},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			if got := string(jcs.Append(nil, c.in)); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func FuzzAppendString(f *testing.F) {
	f.Add("plain")
	f.Add("\x00\u2028\xc3\x28\"")
	f.Fuzz(func(t *testing.T, s string) {
		var back string
		if err := json.Unmarshal(jcs.AppendString(nil, s), &back); err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		if utf8.ValidString(s) && back != s {
			t.Fatalf("%q came back as %q", s, back)
		}
	})
}
