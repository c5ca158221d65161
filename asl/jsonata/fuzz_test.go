package jsonata

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/asl"
)

func FuzzCompile(f *testing.F) {
	for _, c := range readCases(f) {
		f.Add(c.expression)
	}
	f.Fuzz(func(t *testing.T, source string) {
		_, err := Evaluator{}.Compile(source)
		var e *Error
		if err != nil && !errors.As(err, &e) {
			t.Errorf("%T: %v", err, err)
		}
		if e != nil && (e.Message == "" || e.Position < 0 || e.Position > utf16Length(source)) {
			t.Errorf("%+v", e)
		}
	})
}

// FuzzEval holds that an evaluation does not panic, gives what asl can hold, changes nothing of its input, and gives the same again.
func FuzzEval(f *testing.F) {
	for _, c := range readCases(f) {
		f.Add(c.expression, testInput)
	}
	f.Fuzz(func(t *testing.T, source, input string) {
		x, err := Evaluator{}.Compile("$in.(" + source + ")")
		if err != nil {
			return
		}
		in, err := asl.DecodeJSON([]byte(input))
		if err != nil {
			return
		}
		before := asl.AppendJSON(nil, in)
		eval := func() []byte {
			v, defined, err := x.Eval(asl.ExpressionScope{Variable: func(name string) (any, bool) { return in, name == "in" }, Now: time.UnixMilli(1700000000000), Seed: 1})
			if err != nil {
				return []byte(err.Error())
			}
			if !defined {
				return []byte("undefined")
			}
			text := asl.AppendJSON(nil, v)
			if _, err := asl.DecodeJSON(text); err != nil {
				t.Errorf("%s: %v", text, err)
			}
			return text
		}
		first := eval()
		if second := eval(); !bytes.Equal(first, second) {
			t.Errorf("%s, then %s", first, second)
		}
		if after := asl.AppendJSON(nil, in); !bytes.Equal(before, after) {
			t.Errorf("the input %s became %s", before, after)
		}
	})
}
