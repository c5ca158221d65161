package jsonata

// found is a match in a text, at byte positions.
type found struct {
	start, end int
	index      int   // start in UTF-16 units, as JavaScript counts
	groups     []any // strings; undefined for a group that took no part
	next       func() *found
}

// firstMatch asks a matcher: a regular expression, or a function of the user that answers as one.
func (c *call) firstMatch(f any, s string) *found {
	if m, ok := f.(*matcher); ok {
		return c.matchFrom(m, s, 0, 0)
	}
	return c.foundBy(c.invoke(f, []any{s}, c.inner()), s)
}

// inner is the call of a function that an argument gave: it has no context.
func (c *call) inner() *call {
	return &call{evaluation: c.evaluation, name: c.name, position: c.position}
}

// matchFrom is the first match at or behind the byte from, which is the UTF-16 unit index. Counted from match to match, the positions of all take no
// longer than one walk along the text.
func (c *call) matchFrom(m *matcher, s string, from, index int) *found {
	bounds := m.regex.find(s, from, &c.meter)
	if bounds == nil {
		return nil
	}
	f := &found{start: bounds[0], end: bounds[1], index: index + utf16Length(s[from:bounds[0]]), groups: []any{}}
	for i := 2; i < len(bounds); i += 2 {
		group := undefined
		if bounds[i] >= 0 {
			group = s[bounds[i]:bounds[i+1]]
		}
		f.groups = append(f.groups, group)
	}
	f.next = func() *found {
		if f.end >= len(s) {
			return nil
		}
		next := c.matchFrom(m, s, f.end, f.index+utf16Length(s[f.start:f.end]))
		if next != nil && next.start == next.end {
			fail("D1004", m.pos, details{}) // it would match there for ever
		}
		return next
	}
	return f
}

// foundBy reads the object that a matcher gave.
func (c *call) foundBy(v any, s string) *found {
	if isUndefined(v) || v == nil {
		return nil
	}
	object, ok := v.(map[string]any)
	text, hasText := object["match"].(string)
	groups, hasGroups := items(object["groups"])
	if !ok || !hasText || !isNumber(object["start"]) || !isNumber(object["end"]) || !hasGroups || !isFunction(object["next"]) {
		c.fail("T1010", details{})
	}
	c.meter.spendBytes(len(s))
	start := byteOffset(s, whole(object["start"]))
	f := &found{start: start, end: min(start+len(text), len(s)), index: utf16Length(s[:start]), groups: groups}
	f.next = func() *found { return c.foundBy(c.invoke(object["next"], nil, c.inner()), s) }
	return f
}

// matchObject is what a regular expression gives that is called as a function.
func (c *call) matchObject(m *matcher, arg any) any {
	s, ok := text(arg)
	if !ok {
		return undefined
	}
	return c.objectOf(c.matchFrom(m, s, 0, 0), s)
}

func (c *call) objectOf(f *found, s string) any {
	if f == nil {
		return undefined
	}
	c.meter.spend(costOfObject + len(f.groups))
	match := s[f.start:f.end]
	return map[string]any{
		"match": match, "start": float64(f.index), "end": float64(f.index + utf16Length(match)), "groups": &array{items: f.groups},
		"next": &builtin{name: "next", apply: func(*call, []any) any { return c.objectOf(f.next(), s) }},
	}
}

// byteOffset turns a position in UTF-16 units into one in bytes.
func byteOffset(s string, units int) int {
	for i, r := range s {
		if units <= 0 {
			return i
		}
		units--
		if r > 0xFFFF {
			units--
		}
	}
	return len(s)
}
