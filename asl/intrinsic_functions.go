package asl

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Limits that AWS sets (Intrinsic functions).
const (
	maxRange = 1000  // elements of ArrayRange
	maxText  = 10000 // characters that Base64Encode, Base64Decode and Hash take
)

// intrinsic is an intrinsic function. kinds are its parameters, of which the last ones may be optional; what is variadic
// takes any values behind them.
type intrinsic struct {
	name     string
	kinds    []valueKind
	optional int
	variadic bool
	text     bool // its value may be a string
	run      func(k *calling) (any, int, *failure)
}

// intrinsics are the functions by name. What they do follows AWS, as far as it is known where that is not what its pages
// say: fractions are cut off, not rounded, but for MathAdd.
var intrinsics = func() map[string]*intrinsic {
	m := make(map[string]*intrinsic)
	for _, f := range []intrinsic{
		{name: "Array", variadic: true, run: func(k *calling) (any, int, *failure) { return k.args, k.bound, nil }},
		{name: "ArrayContains", kinds: []valueKind{arrayValue, anyValue}, run: arrayContains},
		{name: "ArrayGetItem", text: true, kinds: []valueKind{arrayValue, numberValue}, run: arrayGetItem},
		{name: "ArrayLength", kinds: []valueKind{arrayValue}, run: func(k *calling) (any, int, *failure) { return k.made(jsonInt(len(k.args[0].([]any)))) }},
		{name: "ArrayPartition", kinds: []valueKind{arrayValue, numberValue}, run: arrayPartition},
		{name: "ArrayRange", kinds: []valueKind{numberValue, numberValue, numberValue}, run: arrayRange},
		{name: "ArrayUnique", kinds: []valueKind{arrayValue}, run: func(k *calling) (any, int, *failure) { return hashOrder(k.args[0].([]any)), k.bound, nil }},
		{name: "Base64Decode", text: true, kinds: []valueKind{stringValue}, run: base64Decode},
		{name: "Base64Encode", text: true, kinds: []valueKind{stringValue}, run: base64Encode},
		{name: "Format", text: true, kinds: []valueKind{stringValue}, variadic: true, run: format},
		{name: "Hash", text: true, kinds: []valueKind{anyValue, stringValue}, run: hash},
		{name: "JsonMerge", kinds: []valueKind{objectValue, objectValue, anyValue}, run: jsonMerge},
		{name: "JsonToString", text: true, kinds: []valueKind{anyValue}, run: func(k *calling) (any, int, *failure) { return k.made(string(AppendJSON(nil, k.args[0]))) }},
		{name: "MathAdd", kinds: []valueKind{numberValue, numberValue}, run: mathAdd},
		{name: "MathRandom", kinds: []valueKind{numberValue, numberValue, numberValue}, optional: 1, run: mathRandom},
		{name: "StringSplit", kinds: []valueKind{stringValue, stringValue}, run: stringSplit},
		{name: "StringToJson", kinds: []valueKind{stringValue}, run: stringToJSON},
		{name: "UUID", text: true, run: uuid},
	} {
		m[f.name] = &f
	}
	return m
}()

func jsonInt(n int) json.Number { return json.Number(strconv.Itoa(n)) }

// whole is a number without its fraction.
func whole(v any) (int64, bool) {
	text := string(v.(json.Number))
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n, true
	}
	x, _ := strconv.ParseFloat(text, 64)
	return int64(x), math.Abs(x) < 1<<62
}

// arrayContains compares texts, as AWS does: true is "true", and 1 is no 1.0.
func arrayContains(k *calling) (any, int, *failure) {
	want := plain(k.args[1])
	for _, v := range k.args[0].([]any) {
		if plain(v) == want {
			return k.made(true)
		}
	}
	return k.made(false)
}

// arrayGetItem gives null for any index into an empty array, as AWS does.
func arrayGetItem(k *calling) (any, int, *failure) {
	a := k.args[0].([]any)
	if len(a) == 0 {
		return k.made(nil)
	}
	i, ok := whole(k.args[1])
	if !ok || i < 0 || i >= int64(len(a)) {
		return nil, 0, k.invalid()
	}
	return a[i], k.bound, nil
}

func arrayPartition(k *calling) (any, int, *failure) {
	a := k.args[0].([]any)
	size, ok := whole(k.args[1])
	if !ok || size < 1 {
		return nil, 0, k.invalid()
	}
	parts := []any{}
	for len(a) > 0 {
		n := int(min(size, int64(len(a))))
		parts = append(parts, a[:n:n])
		a = a[n:]
	}
	return parts, k.bound + 3*len(parts), nil
}

func arrayRange(k *calling) (any, int, *failure) {
	from, ok1 := whole(k.args[0])
	to, ok2 := whole(k.args[1])
	by, ok3 := whole(k.args[2])
	if !ok1 || !ok2 || !ok3 || by == 0 || max(from, -from, to, -to, by, -by) > 1<<53 {
		return nil, 0, k.invalid()
	}
	a := []any{}
	for i := from; by > 0 && i <= to || by < 0 && i >= to; i += by {
		if len(a) == maxRange {
			return nil, 0, k.invalid()
		}
		a = append(a, json.Number(strconv.FormatInt(i, 10)))
	}
	return k.made(a)
}

func tooLong(s string) bool { return utf8.RuneCountInString(s) > maxText }

func base64Encode(k *calling) (any, int, *failure) {
	s := k.args[0].(string)
	if tooLong(s) {
		return nil, 0, k.invalid()
	}
	return k.made(base64.StdEncoding.EncodeToString([]byte(s)))
}

// base64Decode is as lenient as AWS: it reads both alphabets up to the padding, skips what belongs to neither, and makes
// of bytes that are no UTF-8 the replacement character.
func base64Decode(k *calling) (any, int, *failure) {
	s := k.args[0].(string)
	if tooLong(s) {
		return nil, 0, k.invalid()
	}
	s, _, _ = strings.Cut(s, "=")
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '-':
			return '+'
		case r == '_':
			return '/'
		case r < utf8.RuneSelf && strings.IndexByte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", byte(r)) >= 0:
			return r
		}
		return -1
	}, s)
	if len(s)%4 == 1 { // six bits, no byte
		s = s[:len(s)-1]
	}
	b, _ := base64.RawStdEncoding.DecodeString(s)
	return k.made(strings.ToValidUTF8(string(b), "\ufffd"))
}

// format fills the template's {} with the other arguments.
func format(k *calling) (any, int, *failure) {
	raw := k.args[0].(string)
	if k.call.raw != nil {
		raw = *k.call.raw
	}
	texts, wrong := templateTexts(raw)
	switch {
	case wrong != "":
		return nil, 0, runtimeFailure("Invalid template in States.Format: " + wrong)
	case len(texts) != len(k.args):
		return nil, 0, runtimeFailure("Invalid arguments in States.Format: number of arguments do not match the occurrences of {}.")
	}
	b := []byte(texts[0])
	for i, text := range texts[1:] {
		b = append(appendJava(b, k.args[i+1]), text...)
		if len(b) > maxPayload { // the rest would not make it smaller
			break
		}
	}
	return k.made(string(b))
}

// templateTexts are the texts around each {} of a template. A backslash escapes a quote, a brace and itself.
func templateTexts(raw string) (texts []string, wrong string) {
	text := []byte(nil)
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case c == '\\' && i+1 < len(raw) && strings.IndexByte(`'{}\`, raw[i+1]) >= 0:
			i++
			text = append(text, raw[i])
		case c == '{' && (i+1 == len(raw) || raw[i+1] != '}'):
			return nil, "matching '}' not found for '{'."
		case c == '{':
			i++
			texts, text = append(texts, string(text)), nil
		case c == '}':
			return nil, "matching '{' not found for '}'."
		default:
			text = append(text, c)
		}
	}
	return append(texts, string(text)), ""
}

// hash is the digest of a string, or of the text of another value: AWS takes any.
func hash(k *calling) (any, int, *failure) {
	text := plain(k.args[0])
	if tooLong(text) {
		return nil, 0, k.invalid()
	}
	var sum []byte
	switch k.args[1] {
	case "MD5":
		s := md5.Sum([]byte(text))
		sum = s[:]
	case "SHA-1":
		s := sha1.Sum([]byte(text))
		sum = s[:]
	case "SHA-256":
		s := sha256.Sum256([]byte(text))
		sum = s[:]
	case "SHA-384":
		s := sha512.Sum384([]byte(text))
		sum = s[:]
	case "SHA-512":
		s := sha512.Sum512([]byte(text))
		sum = s[:]
	default:
		return nil, 0, k.invalid()
	}
	return k.made(hex.EncodeToString(sum))
}

// jsonMerge is shallow. AWS refuses true, which asks for the deep merge that it has not, and takes anything else as false.
func jsonMerge(k *calling) (any, int, *failure) {
	if k.args[2] == true {
		return nil, 0, k.invalid()
	}
	m := maps.Clone(k.args[0].(map[string]any))
	maps.Copy(m, k.args[1].(map[string]any))
	return m, k.bound, nil
}

// mathAdd rounds each number to the nearest integer, halves up. Numbers and sum are integers of 32 bits.
func mathAdd(k *calling) (any, int, *failure) {
	sum := 0.0
	for _, v := range k.args {
		x, _ := strconv.ParseFloat(string(v.(json.Number)), 64)
		x = math.Floor(x + 0.5)
		if sum += x; x < math.MinInt32 || x > math.MaxInt32 {
			return nil, 0, k.invalid()
		}
	}
	if sum < math.MinInt32 || sum > math.MaxInt32 {
		return nil, 0, k.invalid()
	}
	return k.made(jsonInt(int(sum)))
}

// mathRandom is an integer from the first number to before the second. Without a seed it comes from the step's; a seed
// gives the same number each time. AWS does not say by which generator: Java's own is the likely one.
func mathRandom(k *calling) (any, int, *failure) {
	from, ok1 := whole(k.args[0])
	to, ok2 := whole(k.args[1])
	if !ok1 || !ok2 || from >= to || from < math.MinInt32 || to > math.MaxInt32 {
		return nil, 0, k.invalid()
	}
	span := to - from
	n := int64(k.e.x.chance() % uint64(span))
	if len(k.args) == 3 {
		seed, ok := whole(k.args[2])
		if !ok {
			return nil, 0, k.invalid()
		}
		n = javaRandom(seed, span)
	}
	return k.made(json.Number(strconv.FormatInt(from+n, 10)))
}

// chance draws from the step's seed: never the same number twice, and the same ones at a replay.
func (x *Execution) chance() uint64 {
	x.chances++
	return mix(mix(x.seed) + x.chances)
}

// uuid is a random UUID (RFC 9562, version 4).
func uuid(k *calling) (any, int, *failure) {
	a, b := k.e.x.chance(), k.e.x.chance()
	a = a&^0xf000 | 0x4000
	b = b&^(3<<62) | 2<<62
	d := fmt.Sprintf("%016x%016x", a, b)
	return k.made(d[:8] + "-" + d[8:12] + "-" + d[12:16] + "-" + d[16:20] + "-" + d[20:])
}

// stringSplit splits at each character of the second string, and leaves the empty parts out.
func stringSplit(k *calling) (any, int, *failure) {
	at := make(map[rune]bool) // a set: to look through a long text of separators for each character would take hours
	for _, r := range k.args[1].(string) {
		at[r] = true
	}
	parts := []any{}
	for part := range strings.FieldsFuncSeq(k.args[0].(string), func(r rune) bool { return at[r] }) {
		parts = append(parts, part)
	}
	return k.made(parts)
}

// stringToJSON reads a blank text as null, as AWS does.
func stringToJSON(k *calling) (any, int, *failure) {
	text := k.args[0].(string)
	if strings.Trim(text, " \t\r\n") == "" {
		return k.made(nil)
	}
	v, err := DecodeJSON([]byte(text))
	if err != nil {
		return nil, 0, k.invalid()
	}
	return k.made(v)
}
