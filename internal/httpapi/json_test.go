package httpapi

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/utkarsh698/cloudflow/internal/fault"
)

func TestParseKeepsWhatWasSent(t *testing.T) {
	for in, want := range map[string]string{
		`{"b":1,"a":[true,false,null,-0,1.50e+3,""]}`: `{"a":[true,false,null,-0,1.50e+3,""],"b":1}`,
		` { } `: `{}`, "\t[\r\n]": `[]`, `"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00é"`: `"\"\\/\b\f\n\r\té😀é"`,
		`"\u0000"`: `"\u0000"`, `0`: `0`, `-1`: `-1`, `{"":{"":0}}`: `{"":{"":0}}`,
	} {
		v, err := parse(in)
		if got := string(appendCanonical(nil, v)); err != nil || got != want {
			t.Errorf("%s: %s %v, want %s", in, got, err, want)
		}
	}
}

func TestParseRefusesWhatIsNotJSON(t *testing.T) {
	for _, in := range []string{
		"", " ", "{", "}", "[", "[1", "[1,", "[1,]", "[,1]", "[1 2]", `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, `{"a":1,}`, `{"a" 1}`, `{a:1}`, `{'a':1}`, `{1:1}`,
		"tru", "nul", "True", "nan", "-", "+1", "01", "1.", ".5", "1e", "1e+", "-a", "0x1", "1_000", `"`, `"a`, `"\`, `"\u12`, `"\u12g4"`, `"\u+123"`, `"\ud800"`,
		`"\ud800\u0041"`, `"\udc00"`, `"\q"`, "\"\x00\"", "\"\x1f\"", "\xff", "1 1", "[]]", "/**/1", `{"a":1,"a":1}`, `[{"x":1,"\u0078":2}]`,
		strings.Repeat("[", 18) + strings.Repeat("]", 18),
	} {
		if v, err := parse(in); err == nil || !fault.Is(err, fault.BadRequest) {
			t.Errorf("%q: %+v %v", in, v, err)
		}
	}
}

// FuzzParse holds parse against encoding/json: whatever is taken here is JSON there, and its canonical form is one for good.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{`{"a":[1,"x",null]}`, `"\ud83d\ude00"`, `{"a":1,"a":2}`, "[[[[1e9]]]]", "\"\xff\""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		v, err := parse(in)
		if err != nil {
			return
		}
		if !json.Valid([]byte(in)) {
			t.Fatalf("%q was taken", in)
		}
		canonical := string(appendCanonical(nil, v))
		again, err := parse(canonical)
		if err != nil || string(appendCanonical(nil, again)) != canonical {
			t.Fatalf("%q became %q: %v", in, canonical, err)
		}
	})
}
