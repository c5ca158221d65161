package asl

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestJSON(t *testing.T) {
	for _, c := range []struct{ sentence, in, want string }{
		{"members are written sorted, without space", " { \"b\" : [ 1 , true ] , \"a\" : null } ", `{"a":null,"b":[1,true]}`},
		{"numbers keep their text", `[1.10,1e2,-0,12345678901234567890]`, `[1.10,1e2,-0,12345678901234567890]`},
		{"of equal names the last one stands", `{"a":1,"a":2}`, `{"a":2}`},
		{"escapes are read, and written only where JSON needs them", `"\u0041\/\b\f\n\r\t\"\\\u00e9\ud83d\ude00\u0001"`, `"A/\u0008\u000c\n\r\t\"\\é😀\u0001"`},
		{"empty composites stay", `[{},[],""]`, `[{},[],""]`},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			v := mustDecode(t, c.in)
			got := string(AppendJSON(nil, v))
			if got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			if n := sizeOf(v, maxPayload); n != len(got) {
				t.Errorf("the size is %d, want %d", n, len(got))
			}
		})
	}
}

func TestDecodeJSONRefuses(t *testing.T) {
	deep := strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1)
	for sentence, text := range map[string]string{
		"nothing": ``, "trailing data": `{} {}`, "an open object": `{"a":1`, "an open array": `[1`, "an open string": `"a`, "a comma too many": `[1,]`,
		"a missing colon": `{"a" 1}`, "a name that is no string": `{a:1}`, "a leading zero": `01`, "a bare minus": `-`, "a bare point": `1.`, "a bare exponent": `1e`,
		"a plus": `+1`, "a word": `nil`, "a control character": "\"\n\"", "one behind an escape": "\"\\n\n\"", "an unknown escape": `"\x"`, "a short escape": `"\u12"`, "an escape's end": `"\`,
		"a lone high surrogate": `"\ud83d"`, "a lone low surrogate": `"\ude00"`, "a high surrogate before a letter": `"\ud83d\u0041"`,
		"invalid UTF-8": "\"\xff\"", "depth over 512": deep,
	} {
		t.Run(sentence, func(t *testing.T) {
			if v, err := DecodeJSON([]byte(text)); err == nil {
				t.Errorf("%q is read as %v", text, v)
			}
		})
	}
	if _, err := DecodeJSON([]byte(deep[1 : len(deep)-1])); err != nil {
		t.Errorf("depth 512: %v", err)
	}
}

func TestAppendJSONWritesValidJSONWhateverItIsGiven(t *testing.T) {
	got := string(AppendJSON(nil, map[string]any{"int": 1, "text": "a\xffb", "refused": func() {}, "struct": struct{ A int }{1}}))
	if got != `{"int":1,"refused":null,"struct":{"A":1},"text":"a`+"\ufffd"+`b"}` || !json.Valid([]byte(got)) {
		t.Error(got)
	}
}

func TestSizeStopsAtTheLimit(t *testing.T) {
	v := make([]any, 1000)
	for i := range v {
		v[i] = map[string]any{"k": strings.Repeat("x", 1000)}
	}
	if n := sizeOf(v, 5000); n <= 5000 || n > 10000 {
		t.Errorf("counted to %d", n)
	}
}

func TestEventsOfAnotherKindAreNotStale(t *testing.T) {
	m, err := Parse([]byte(`{"StartAt":"A","States":{"A":{"Type":"Wait","Seconds":1,"End":true}}}`))
	if err != nil {
		t.Fatal(err)
	}
	x, _ := m.Start(Start{})
	if _, err := x.Step(Event{Kind: "Nonsense", ID: 1}); err == nil || errors.Is(err, ErrStale) {
		t.Errorf("a nonsensical event: %v", err)
	}
}
