package jsonata

import (
	"cmp"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/utkarsh698/cloudflow/asl"
)

// Within an evaluation a value is nil, bool, string, []any or map[string]any as asl has them; a number is a json.Number that still has its text, or
// the float64 that arithmetic made of it; and there are arrays with marks, functions, and undefined.

// undefinedValue is the type of undefined, the value of an expression that has none.
type undefinedValue struct{}

var undefined any = undefinedValue{}

func isUndefined(v any) bool {
	_, is := v.(undefinedValue)
	return is
}

// array is an array that evaluation made, with the marks that the JSONata reference puts on a JavaScript array.
type array struct {
	items         []any
	sequence      bool // a result of selection: one item stands for itself, none for undefined
	keepSingleton bool // a sequence that stays an array with one item, for the sake of []
	cons          bool // made by an array constructor within a path: a step does not flatten it
	tuples        bool // its items are tuples
}

// tuple is an item on its way through a path with @, # or %: the item under "@", and what was bound to it by name.
type tuple map[string]any

func sequenceOf(items ...any) *array { return &array{items: items, sequence: true} }

// items are the elements of v, if it is an array.
func items(v any) ([]any, bool) {
	switch v := v.(type) {
	case []any:
		return v, true
	case *array:
		return v.items, true
	}
	return nil, false
}

func isSequence(v any) bool {
	a, ok := v.(*array)
	return ok && a.sequence
}

func isTuples(v any) bool {
	a, ok := v.(*array)
	return ok && a.tuples
}

// listOf takes a lone value for an array of one.
func listOf(v any) []any {
	if list, ok := items(v); ok {
		return list
	}
	return []any{v}
}

func isFunction(v any) bool {
	switch v.(type) {
	case *lambda, *builtin, *matcher:
		return true
	}
	return false
}

// isNumber reports what JavaScript calls a number, NaN and the infinities included.
func isNumber(v any) bool {
	switch v.(type) {
	case float64, json.Number:
		return true
	}
	return false
}

// float is the number v, which isNumber.
func float(v any) float64 {
	switch v := v.(type) {
	case float64:
		return v
	case json.Number:
		f, _ := strconv.ParseFloat(string(v), 64) // out of range: an infinity, as in JavaScript
		return f
	}
	return math.NaN()
}

// numeric reports whether v is a number to calculate with. An infinity ends the evaluation.
func numeric(v any, position int) bool {
	if !isNumber(v) {
		return false
	}
	f := float(v)
	if math.IsInf(f, 0) {
		fail("D1001", position, details{value: nil})
	}
	return !math.IsNaN(f)
}

func allNumeric(list []any, position int) bool {
	for _, v := range list {
		if !numeric(v, position) {
			return false
		}
	}
	return true
}

func allStrings(list []any) bool {
	for _, v := range list {
		if _, ok := v.(string); !ok {
			return false
		}
	}
	return true
}

// integerText is the text of a number that came as an integer and was not calculated with.
func integerText(v any) (string, bool) {
	n, ok := v.(json.Number)
	return string(n), ok && !strings.ContainsAny(string(n), ".eE")
}

// compareNumbers compares as float64, but numbers that still have their text as asl does: integers exactly, which JavaScript does not.
func compareNumbers(a, b any) int {
	s, sText := a.(json.Number)
	t, tText := b.(json.Number)
	if sText && tText {
		return asl.CompareNumbers(s, t)
	}
	return cmp.Compare(float(a), float(b))
}

// compareStrings orders as JavaScript does, by UTF-16 units: beyond U+FFFF that is not the order of the code points.
func (e *evaluation) compareStrings(a, b string) int {
	e.meter.spendBytes(min(len(a), len(b)))
	for i := 0; i < len(a) && i < len(b); i++ {
		if a[i] == b[i] {
			continue
		}
		// In UTF-8 the first byte that differs decides, except between U+E000..U+FFFF (from 0xEE) and what has surrogates (from 0xF0).
		aSurrogate, bSurrogate := a[i] >= 0xF0, b[i] >= 0xF0
		if aSurrogate != bSurrogate && a[i] >= 0xEE && b[i] >= 0xEE {
			if aSurrogate {
				return -1
			}
			return 1
		}
		return cmp.Compare(a[i], b[i])
	}
	return cmp.Compare(len(a), len(b))
}

// sortedNames are the names of an object's members, in the order in which every function here sees them.
func sortedNames(m map[string]any) []string {
	return slices.Sorted(maps.Keys(m))
}

// formatFloat writes as JavaScript's Number.prototype.toString does.
func formatFloat(f float64) string {
	switch {
	case f == 0:
		return "0"
	case math.IsNaN(f):
		return "NaN"
	case math.IsInf(f, 0):
		return strings.Replace(strconv.FormatFloat(f, 'g', -1, 64), "+", "", 1) + "inity"
	}
	if abs := math.Abs(f); abs >= 1e21 || abs < 1e-6 {
		s := strconv.FormatFloat(f, 'e', -1, 64)
		mantissa, exponent, _ := strings.Cut(s, "e")
		return mantissa + "e" + exponent[:1] + strings.TrimLeft(exponent[1:], "0")
	}
	return strconv.FormatFloat(f, 'f', -1, 64)
}

// formatPrecise rounds to 15 digits first, as $string does so that 0.1 + 0.2 reads 0.3. An integer keeps the text it came with.
func formatPrecise(v any) string {
	if s, ok := integerText(v); ok && s != "-0" {
		return s
	}
	f, _ := strconv.ParseFloat(strconv.FormatFloat(float(v), 'e', 14, 64), 64)
	return formatFloat(f)
}

// jsonNumber is a number as it leaves the evaluation.
func jsonNumber(f float64, position int) json.Number {
	if math.IsInf(f, 0) || math.IsNaN(f) {
		fail("D1001", position, details{value: nil})
	}
	return json.Number(formatFloat(f))
}
