package jsonata

import "maps"

func boolean(c *call, args []any) any {
	return c.truth(args[0], c.position)
}

func not(c *call, args []any) any {
	return !c.truth(args[0], c.position)
}

func exists(c *call, args []any) any { return !isUndefined(args[0]) }

func typeOf(c *call, args []any) any {
	switch v := args[0].(type) {
	case undefinedValue:
		return undefined
	case nil:
		return "null"
	case string:
		return "string"
	case bool:
		return "boolean"
	case []any, *array:
		return "array"
	case *lambda, *builtin, *matcher:
		return "function"
	default:
		if numeric(v, c.position) {
			return "number"
		}
		return "object"
	}
}

func errorFunction(c *call, args []any) any {
	message, _ := text(args[0])
	if message == "" {
		message = "$error() function evaluated"
	}
	c.fail("D3137", details{message: message})
	return nil
}

func assert(c *call, args []any) any {
	if holds, _ := args[0].(bool); holds {
		return undefined
	}
	message, _ := text(args[1])
	if message == "" {
		message = "$assert() statement failed"
	}
	c.fail("D3141", details{message: message})
	return nil
}

func keys(c *call, args []any) any {
	names := map[string]any{}
	c.collectKeys(names, args[0], 0)
	result := sequenceOf()
	for _, name := range sortedNames(names) {
		result.items = append(result.items, name)
	}
	return result
}

func (c *call) collectKeys(names map[string]any, v any, depth int) {
	if depth > maxNesting {
		c.fail(codeNesting, details{})
	}
	c.meter.spend(1)
	list, _ := items(v)
	for _, item := range list {
		c.collectKeys(names, item, depth+1)
	}
	m, _ := v.(map[string]any)
	c.meter.spend(len(m))
	for name := range m {
		names[name] = true
	}
}

func lookupFunction(c *call, args []any) any {
	name, _ := text(args[1])
	return c.field(args[0], name)
}

// spread makes of an object an array of objects with one member each.
func spread(c *call, args []any) any {
	_, isArray := items(args[0])
	if _, isObject := args[0].(map[string]any); !isArray && !isObject {
		return args[0]
	}
	result := sequenceOf()
	c.spreadInto(result, args[0], 0)
	result.sequence = !isArray
	return result
}

func (c *call) spreadInto(into *array, v any, depth int) {
	if depth > maxNesting {
		c.fail(codeNesting, details{})
	}
	if list, isArray := items(v); isArray {
		for _, item := range list {
			c.spreadInto(into, item, depth+1)
		}
		return
	}
	m, isObject := v.(map[string]any)
	if !isObject {
		c.meter.spend(1)
		into.items = append(into.items, v)
		return
	}
	for _, name := range sortedNames(m) {
		c.meter.spend(costOfObject)
		into.items = append(into.items, map[string]any{name: m[name]})
	}
}

func merge(c *call, list, args []any) any {
	c.meter.spend(costOfObject)
	result := map[string]any{}
	for _, v := range list {
		m, _ := v.(map[string]any)
		c.meter.spend(1 + len(m))
		maps.Copy(result, m)
	}
	return result
}

func each(c *call, args []any) any {
	m, _ := args[0].(map[string]any)
	result := sequenceOf()
	for _, name := range sortedNames(m) {
		if v := c.callEach(args[1], m[name], name, args[0]); !isUndefined(v) {
			c.meter.spend(1)
			result.items = append(result.items, v)
		}
	}
	return result
}

func sift(c *call, args []any) any {
	m, _ := args[0].(map[string]any)
	c.meter.spend(costOfObject)
	result := map[string]any{}
	for _, name := range sortedNames(m) {
		if c.truth(c.callEach(args[1], m[name], name, args[0]), c.position) {
			result[name] = m[name]
		}
	}
	if len(result) == 0 {
		return undefined
	}
	return result
}

func cloneFunction(c *call, args []any) any {
	copies := cloner{evaluation: c.evaluation, position: c.position, objects: map[uintptr]bool{}}
	return copies.clone(args[0], 0)
}
