package asl

import (
	"cmp"
	"encoding/json"
	"math"
	"math/bits"
	"slices"
	"strconv"
	"unicode/utf16"
)

// Here stands what of Java can be seen through AWS: the order of a HashSet, the text of a Map, and the numbers of a Random.

// hashOrder is the array without repeated values, in the order in which a Java HashSet of them lists them: by its hash in
// the set's table, then as they came. ArrayUnique gives [true,false] as [false,true].
func hashOrder(a []any) []any {
	type entry struct {
		v      any
		bucket uint32
	}
	size := uint32(16)
	if n := max(uint32(float64(len(a))/0.75)+1, 16); n > 16 {
		size = 1 << bits.Len32(n-1)
	}
	entries, seen := make([]entry, 0, len(a)), make(map[string]bool, len(a))
	for _, v := range a {
		key := string(appendKey(nil, v))
		if seen[key] {
			continue
		}
		seen[key] = true
		h := uint32(javaHash(v))
		entries = append(entries, entry{v, (h ^ h>>16) & (size - 1)})
	}
	slices.SortStableFunc(entries, func(x, y entry) int { return cmp.Compare(x.bucket, y.bucket) })
	unique := make([]any, len(entries))
	for i := range entries {
		unique[i] = entries[i].v
	}
	return unique
}

// appendKey appends v as JSON with each number in one form for all that Java holds equal: 1.0 and 1e0, not 1 and 1.0.
func appendKey(b []byte, v any) []byte {
	switch v := v.(type) {
	case json.Number:
		if !isInteger(string(v)) {
			x, _ := strconv.ParseFloat(string(v), 64)
			return strconv.AppendFloat(b, x, 'e', -1, 64)
		}
	case []any:
		b = append(b, '[')
		for _, each := range v {
			b = append(appendKey(b, each), ',')
		}
		return append(b, ']')
	case map[string]any:
		b = append(b, '{')
		for _, name := range sortedNames(v) {
			b = append(appendString(b, name), ':')
			b = append(appendKey(b, v[name]), ',')
		}
		return append(b, '}')
	}
	return AppendJSON(b, v)
}

// javaHash is hashCode of the value as Java holds it: a String, an Integer, a Long or a Double, a List, a Map.
func javaHash(v any) int32 {
	switch v := v.(type) {
	case bool:
		if v {
			return 1231
		}
		return 1237
	case string:
		h := int32(0)
		for _, c := range utf16.Encode([]rune(v)) {
			h = 31*h + int32(c)
		}
		return h
	case json.Number:
		if n, err := strconv.ParseInt(string(v), 10, 64); err == nil {
			if int64(int32(n)) == n {
				return int32(n)
			}
			return int32(n ^ int64(uint64(n)>>32))
		}
		x, _ := strconv.ParseFloat(string(v), 64)
		n := math.Float64bits(x)
		return int32(n ^ n>>32)
	case []any:
		h := int32(1)
		for _, each := range v {
			h = 31*h + javaHash(each)
		}
		return h
	case map[string]any:
		h := int32(0)
		for name, each := range v {
			h += javaHash(name) ^ javaHash(each)
		}
		return h
	}
	return 0
}

// appendJava appends a value as Java's toString writes a map or a list: {a=1, b=[x, null]}. That is what AWS fills in.
func appendJava(b []byte, v any) []byte {
	switch v := v.(type) {
	case string:
		return append(b, v...)
	case []any:
		b = append(b, '[')
		for i, each := range v {
			if i > 0 {
				b = append(b, ", "...)
			}
			b = appendJava(b, each)
		}
		return append(b, ']')
	case map[string]any:
		b = append(b, '{')
		for i, name := range sortedNames(v) {
			if i > 0 {
				b = append(b, ", "...)
			}
			b = appendJava(append(append(b, name...), '='), v[name])
		}
		return append(b, '}')
	}
	return AppendJSON(b, v)
}

// javaRandom is new Random(seed).nextInt(span), for a span of up to 2^32-1: beyond 2^31-1 nextLong gives the number.
func javaRandom(seed, span int64) int64 {
	state := (uint64(seed) ^ 0x5deece66d) & (1<<48 - 1)
	next := func(n int) int32 {
		state = (state*0x5deece66d + 0xb) & (1<<48 - 1)
		return int32(state >> (48 - n))
	}
	if span > math.MaxInt32 {
		high := int64(next(32)) << 32
		return int64(uint64(high+int64(next(32))) % uint64(span))
	}
	bound := int32(span)
	u := next(31)
	if bound&(bound-1) == 0 {
		return int64(bound) * int64(u) >> 31
	}
	for u-u%bound+(bound-1) < 0 { // the last, incomplete span: it overflows
		u = next(31)
	}
	return int64(u % bound)
}
