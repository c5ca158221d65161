package jsonata

// builtins are the functions of JSONata 2.0.6 but for $eval, which Step Functions does not have, and those that Step Functions adds.
// The arity is what a function that is given to $map and its like is asked for.
var builtins map[string]*builtin

func init() { // an initializer of the variable would depend on itself: functions call functions
	builtins = map[string]*builtin{}
	add := func(arity int, name, signature string, apply func(c *call, args []any) any) {
		builtins[name] = &builtin{name: name, arity: arity, signature: parseSignature(signature, 0), apply: apply}
	}

	add(1, "sum", "<a<n>:n>", sum)
	add(1, "count", "<a:n>", count)
	add(1, "max", "<a<n>:n>", largest)
	add(1, "min", "<a<n>:n>", smallest)
	add(1, "average", "<a<n>:n>", average)

	add(1, "string", "<x-b?:s>", toString)
	add(3, "substring", "<s-nn?:s>", substring)
	add(2, "substringBefore", "<s-s:s>", substringBefore)
	add(2, "substringAfter", "<s-s:s>", substringAfter)
	add(1, "lowercase", "<s-:s>", lowercase)
	add(1, "uppercase", "<s-:s>", uppercase)
	add(1, "length", "<s-:n>", length)
	add(1, "trim", "<s-:s>", trim)
	add(3, "pad", "<s-ns?:s>", pad)
	add(3, "match", "<s-f<s:o>n?:a<o>>", matches)
	add(2, "contains", "<s-(sf):b>", contains)
	add(4, "replace", "<s-(sf)(sf)n?:s>", replace)
	add(3, "split", "<s-(sf)n?:a<s>>", split)
	add(2, "join", "<a<s>s?:s>", join)
	add(1, "base64encode", "<s-:s>", base64encode)
	add(1, "base64decode", "<s-:s>", base64decode)
	add(1, "encodeUrlComponent", "<s-:s>", encodeURL(unreserved))
	add(1, "encodeUrl", "<s-:s>", encodeURL(unreserved+reserved))
	add(1, "decodeUrlComponent", "<s-:s>", decodeURL(""))
	add(1, "decodeUrl", "<s-:s>", decodeURL(reserved))

	add(3, "formatNumber", "<n-so?:s>", formatNumber)
	add(2, "formatBase", "<n-n?:s>", formatBase)
	add(2, "formatInteger", "<n-s:s>", formatIntegerFunction)
	add(2, "parseInteger", "<s-s:n>", parseIntegerFunction)
	add(1, "number", "<(nsb)-:n>", toNumber)
	add(1, "floor", "<n-:n>", floor)
	add(1, "ceil", "<n-:n>", ceil)
	add(2, "round", "<n-n?:n>", roundFunction)
	add(1, "abs", "<n-:n>", abs)
	add(1, "sqrt", "<n-:n>", sqrt)
	add(2, "power", "<n-n:n>", power)

	add(1, "boolean", "<x-:b>", boolean)
	add(1, "not", "<x-:b>", not)
	add(1, "exists", "<x:b>", exists)

	add(2, "map", "<af>", mapFunction)
	add(2, "filter", "<af>", filterFunction)
	add(2, "single", "<af?>", single)
	add(3, "reduce", "<afj?:j>", reduce)
	add(0, "zip", "<a+>", zip)
	add(2, "append", "<xx:a>", appendFunction)
	add(1, "reverse", "<a:a>", reverse)
	add(2, "sort", "<af?:a>", sortFunction)
	add(1, "shuffle", "<a:a>", shuffle)
	add(1, "distinct", "<x:x>", distinct)

	add(2, "sift", "<o-f?:o>", sift)
	add(1, "keys", "<x-:a<s>>", keys)
	add(2, "lookup", "<x-s:x>", lookupFunction)
	add(1, "spread", "<x-:a<o>>", spread)
	add(1, "merge", "<a<o>:o>", merge)
	add(2, "each", "<o-f:a>", each)
	add(1, "error", "<s?:x>", errorFunction)
	add(2, "assert", "<bs?:x>", assert)
	add(1, "type", "<x:s>", typeOf)
	add(1, "clone", "<(oa)-:o>", cloneFunction)

	add(2, "now", "<s?s?:s>", now)
	add(0, "millis", "<:n>", millis)
	add(2, "toMillis", "<s-s?:n>", toMillis)
	add(3, "fromMillis", "<n-s?s?:s>", fromMillis)

	add(2, "partition", "<an:a>", partition)
	add(3, "range", "<nnn?:a>", rangeFunction)
	add(2, "hash", "<s-s?:s>", hash)
	add(1, "random", "<n?:n>", random)
	add(0, "uuid", "<:s>", uuid)
	add(1, "parse", "<s-:x>", parseFunction)
}
