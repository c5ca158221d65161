package jsonata

import "slices"

func count(c *call, args []any) any {
	list, _ := items(args[0])
	return float64(len(list))
}

// callEach calls a function of $map, $filter and so on with as many of the arguments as it takes.
func (c *call) callEach(f any, args ...any) any {
	if !isFunction(f) {
		c.fail("T1006", details{})
	}
	return c.invoke(f, args[:min(max(arity(f), 1), len(args))], c.inner())
}

func mapFunction(c *call, list, args []any) any {
	result := sequenceOf()
	for i, v := range list {
		if mapped := c.callEach(args[1], v, float64(i), args[0]); !isUndefined(mapped) {
			c.meter.spend(1)
			result.items = append(result.items, mapped)
		}
	}
	return result
}

func filterFunction(c *call, list, args []any) any {
	result := sequenceOf()
	for i, v := range list {
		if c.truth(c.callEach(args[1], v, float64(i), args[0]), c.position) {
			result.items = append(result.items, v)
		}
	}
	return result
}

func single(c *call, list, args []any) any {
	result := undefined
	n := 0
	for i, v := range list {
		if isUndefined(args[1]) || c.truth(c.callEach(args[1], v, float64(i), args[0]), c.position) {
			if n++; n > 1 {
				c.fail("D3138", details{})
			}
			result = v
		}
	}
	if n == 0 {
		c.fail("D3139", details{})
	}
	return result
}

func reduce(c *call, list, args []any) any {
	if arity(args[1]) < 2 {
		c.fail("D3050", details{})
	}
	result, start := args[2], 0
	if isUndefined(result) && len(list) > 0 {
		result, start = list[0], 1
	}
	for i := start; i < len(list); i++ {
		result = c.callEach(args[1], result, list[i], float64(i), args[0])
	}
	return result
}

func zip(c *call, args []any) any {
	result := []any{}
	for i := 0; ; i++ {
		var row []any
		for _, arg := range args {
			if list, _ := items(arg); i < len(list) {
				row = append(row, list[i])
			}
		}
		if len(row) < len(args) || len(args) == 0 {
			return &array{items: result}
		}
		c.meter.spend(1 + len(row))
		result = append(result, row)
	}
}

func appendFunction(c *call, args []any) any {
	switch {
	case isUndefined(args[0]):
		return args[1]
	case isUndefined(args[1]):
		return args[0]
	}
	a, b := listOf(args[0]), listOf(args[1])
	c.meter.spend(len(a) + len(b))
	return &array{items: slices.Concat(a, b)}
}

func reverse(c *call, list, args []any) any {
	if len(list) <= 1 {
		return args[0]
	}
	c.meter.spend(len(list))
	list = slices.Clone(list)
	slices.Reverse(list)
	return &array{items: list}
}

func sortFunction(c *call, list, args []any) any {
	if len(list) <= 1 {
		return args[0]
	}
	if !isUndefined(args[1]) {
		return &array{items: c.sorted(list, func(a, b any) bool { return c.truth(c.callEach(args[1], a, b), c.position) })}
	}
	switch {
	case allNumeric(list, c.position):
		return &array{items: c.sorted(list, func(a, b any) bool { c.meter.spend(1); return compareNumbers(a, b) > 0 })}
	case allStrings(list):
		return &array{items: c.sorted(list, func(a, b any) bool { return c.compareStrings(a.(string), b.(string)) > 0 })}
	}
	c.fail("D3070", details{})
	return nil
}

func shuffle(c *call, list, args []any) any {
	if len(list) <= 1 {
		return args[0]
	}
	c.meter.spend(len(list))
	list = slices.Clone(list)
	c.random().Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return &array{items: list}
}

func distinct(c *call, args []any) any {
	list, isArray := items(args[0])
	if !isArray || len(list) <= 1 {
		return args[0]
	}
	result := &array{sequence: isSequence(args[0]), items: []any{}}
	seen := map[string]bool{} // of strings: the common case need not compare each with each
	for _, v := range list {
		if s, ok := v.(string); ok {
			c.meter.spendBytes(len(s))
			if !seen[s] {
				seen[s] = true
				result.items = append(result.items, v)
			}
			continue
		}
		if !slices.ContainsFunc(result.items, func(w any) bool { return c.equal(v, w, c.position) }) {
			result.items = append(result.items, v)
		}
	}
	return result
}
