package jsonata

// function is what a function of the language does with the arguments that its signature has let through.
type function func(c *call, args []any) any

// onArray, onString, onNumber and onValue are functions that give undefined for a first argument that is undefined. Their signatures let nothing else
// through that is not of the type.

func onArray(f func(c *call, list, args []any) any) function {
	return func(c *call, args []any) any {
		list, ok := items(args[0])
		if !ok {
			return undefined
		}
		return f(c, list, args)
	}
}

func onString(f func(c *call, s string, args []any) any) function {
	return func(c *call, args []any) any {
		s, ok := text(args[0])
		if !ok {
			return undefined
		}
		return f(c, s, args)
	}
}

func onNumber(f function) function {
	return func(c *call, args []any) any {
		if !isNumber(args[0]) {
			return undefined
		}
		return f(c, args)
	}
}

func onValue(f function) function {
	return func(c *call, args []any) any {
		if isUndefined(args[0]) {
			return undefined
		}
		return f(c, args)
	}
}

// builtins are the functions of JSONata 2.0.6 but for $eval, which Step Functions does not have, and those that Step Functions adds.
// The arity is what a function that is given to $map and its like is asked for.
var builtins map[string]*builtin

func init() { // an initializer of the variable would depend on itself: functions call functions
	builtins = map[string]*builtin{}
	add := func(arity int, name, signature string, apply function) {
		builtins[name] = &builtin{name: name, arity: arity, signature: parseSignature(signature, 0), apply: apply}
	}

	add(1, "sum", "<a<n>:n>", onArray(sum))
	add(1, "count", "<a:n>", count)
	add(1, "max", "<a<n>:n>", onArray(largest))
	add(1, "min", "<a<n>:n>", onArray(smallest))
	add(1, "average", "<a<n>:n>", onArray(average))

	add(1, "string", "<x-b?:s>", toString)
	add(3, "substring", "<s-nn?:s>", onString(substring))
	add(2, "substringBefore", "<s-s:s>", onString(substringBefore))
	add(2, "substringAfter", "<s-s:s>", onString(substringAfter))
	add(1, "lowercase", "<s-:s>", onString(lowercase))
	add(1, "uppercase", "<s-:s>", onString(uppercase))
	add(1, "length", "<s-:n>", onString(length))
	add(1, "trim", "<s-:s>", onString(trim))
	add(3, "pad", "<s-ns?:s>", onString(pad))
	add(3, "match", "<s-f<s:o>n?:a<o>>", onString(matches))
	add(2, "contains", "<s-(sf):b>", onString(contains))
	add(4, "replace", "<s-(sf)(sf)n?:s>", onString(replace))
	add(3, "split", "<s-(sf)n?:a<s>>", onString(split))
	add(2, "join", "<a<s>s?:s>", onArray(join))
	add(1, "base64encode", "<s-:s>", onString(base64encode))
	add(1, "base64decode", "<s-:s>", onString(base64decode))
	add(1, "encodeUrlComponent", "<s-:s>", encodeURL(unreserved))
	add(1, "encodeUrl", "<s-:s>", encodeURL(unreserved+reserved))
	add(1, "decodeUrlComponent", "<s-:s>", decodeURL(""))
	add(1, "decodeUrl", "<s-:s>", decodeURL(reserved))

	add(3, "formatNumber", "<n-so?:s>", onNumber(formatNumber))
	add(2, "formatBase", "<n-n?:s>", onNumber(formatBase))
	add(2, "formatInteger", "<n-s:s>", onNumber(formatIntegerFunction))
	add(2, "parseInteger", "<s-s:n>", onString(parseIntegerFunction))
	add(1, "number", "<(nsb)-:n>", toNumber)
	add(1, "floor", "<n-:n>", onNumber(floor))
	add(1, "ceil", "<n-:n>", onNumber(ceil))
	add(2, "round", "<n-n?:n>", onNumber(roundFunction))
	add(1, "abs", "<n-:n>", onNumber(abs))
	add(1, "sqrt", "<n-:n>", onNumber(sqrt))
	add(2, "power", "<n-n:n>", onNumber(power))

	add(1, "boolean", "<x-:b>", onValue(boolean))
	add(1, "not", "<x-:b>", onValue(not))
	add(1, "exists", "<x:b>", exists)

	add(2, "map", "<af>", onArray(mapFunction))
	add(2, "filter", "<af>", onArray(filterFunction))
	add(2, "single", "<af?>", onArray(single))
	add(3, "reduce", "<afj?:j>", onArray(reduce))
	add(0, "zip", "<a+>", zip)
	add(2, "append", "<xx:a>", appendFunction)
	add(1, "reverse", "<a:a>", onArray(reverse))
	add(2, "sort", "<af?:a>", onArray(sortFunction))
	add(1, "shuffle", "<a:a>", onArray(shuffle))
	add(1, "distinct", "<x:x>", distinct)

	add(2, "sift", "<o-f?:o>", sift)
	add(1, "keys", "<x-:a<s>>", keys)
	add(2, "lookup", "<x-s:x>", lookupFunction)
	add(1, "spread", "<x-:a<o>>", spread)
	add(1, "merge", "<a<o>:o>", onArray(merge))
	add(2, "each", "<o-f:a>", each)
	add(1, "error", "<s?:x>", errorFunction)
	add(2, "assert", "<bs?:x>", assert)
	add(1, "type", "<x:s>", typeOf)
	add(1, "clone", "<(oa)-:o>", onValue(cloneFunction))

	add(2, "now", "<s?s?:s>", now)
	add(0, "millis", "<:n>", millis)
	add(2, "toMillis", "<s-s?:n>", onString(toMillis))
	add(3, "fromMillis", "<n-s?s?:s>", onNumber(fromMillis))

	add(2, "partition", "<an:a>", onArray(partition))
	add(3, "range", "<nnn?:a>", rangeFunction)
	add(2, "hash", "<s-s?:s>", onString(hash))
	add(1, "random", "<n?:n>", random)
	add(0, "uuid", "<:s>", uuid)
	add(1, "parse", "<s-:x>", onString(parseFunction))
}
