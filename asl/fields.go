package asl

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// fields reads one JSON object of a definition. Each getter checks shape and range, writes down what is wrong and
// remembers the field; whatever is never asked for is unknown, which done reports.
type fields struct {
	c    *compiler
	ptr  *pointer
	m    map[string]any
	seen map[string]bool
}

func (c *compiler) fields(ptr *pointer, v any) *fields {
	m, ok := v.(map[string]any)
	if !ok {
		c.problem(ptr, "an object is expected, not "+typeName(v))
		return nil
	}
	return &fields{c, ptr, m, make(map[string]bool, len(m))}
}

func (o *fields) at(name string) *pointer { return o.ptr.to(name) }

// pointer is where in the definition something stands. It is written out only for a problem: a definition may have
// long names and many fields below them.
type pointer struct {
	parent *pointer // nil: the definition as a whole
	name   string
}

func (p *pointer) to(name string) *pointer { return &pointer{p, name} }

func (p *pointer) index(i int) *pointer { return p.to(strconv.Itoa(i)) }

// String is the JSON pointer (RFC 6901), but "/" for the whole, as AWS writes it.
func (p *pointer) String() string {
	var names []string
	for ; p != nil; p = p.parent {
		names = append(names, escapePointer(p.name))
	}
	slices.Reverse(names)
	return "/" + strings.Join(names, "/")
}

func escapePointer(name string) string {
	if !strings.ContainsAny(name, "~/") {
		return name
	}
	return strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1")
}

func (o *fields) problem(name, message string) { o.c.problem(o.at(name), message) }

func (o *fields) missing(name string) {
	o.problem(name, "The field '"+name+"' is required but was missing")
}

func (o *fields) has(name string) bool {
	_, ok := o.m[name]
	return ok
}

func (o *fields) value(name string) any {
	o.seen[name] = true
	return o.m[name]
}

func (o *fields) ignore(names ...string) {
	for _, name := range names {
		o.seen[name] = true
	}
}

// done reports the fields that nobody asked for.
func (o *fields) done() {
	for _, name := range sortedNames(o.m) {
		if !o.seen[name] {
			o.problem(name, "Field is not supported")
		}
	}
}

func (o *fields) forbid(name, why string) {
	if o.has(name) {
		o.seen[name] = true
		o.problem(name, why)
	}
}

// atMostOne refuses fields that exclude one another, and reports how many there are.
func (o *fields) atMostOne(names ...string) (n int) {
	for _, name := range names {
		if o.has(name) {
			if n++; n > 1 {
				o.problem(name, "only one of "+strings.Join(names, ", ")+" may be given")
			}
		}
	}
	return n
}

func (o *fields) text(name string) string {
	v := o.value(name)
	if !o.has(name) {
		return ""
	}
	s, ok := v.(string)
	if !ok {
		o.problem(name, "a string is expected, not "+typeName(v))
	}
	return s
}

func (o *fields) requiredText(name string) string {
	if !o.has(name) {
		o.seen[name] = true
		o.missing(name)
		return ""
	}
	s := o.text(name)
	if _, isText := o.m[name].(string); isText && s == "" {
		o.problem(name, "the value cannot be empty")
	}
	return s
}

// choice reads a text that is one of some.
func (o *fields) choice(name string, texts ...string) string {
	s := o.text(name)
	if !o.has(name) || slices.Contains(texts, s) {
		return s
	}
	o.problem(name, strings.Join(texts, " or ")+" is expected")
	return ""
}

func (o *fields) boolean(name string) bool {
	v := o.value(name)
	b, ok := v.(bool)
	if o.has(name) && !ok {
		o.problem(name, "a boolean is expected, not "+typeName(v))
	}
	return b
}

// integer reads an integer from low to high; absent is def.
func (o *fields) integer(name string, low, high, def int64) int64 {
	v := o.value(name)
	if !o.has(name) {
		return def
	}
	number, ok := v.(json.Number)
	n, err := strconv.ParseInt(string(number), 10, 64)
	if !ok || err != nil || n < low || n > high {
		o.problem(name, "an integer from "+strconv.FormatInt(low, 10)+" to "+strconv.FormatInt(high, 10)+" is expected")
		return def
	}
	return n
}

// number reads a number that is at least low; absent is def.
func (o *fields) number(name string, low, def float64) float64 {
	v := o.value(name)
	if !o.has(name) {
		return def
	}
	number, ok := v.(json.Number)
	f, err := strconv.ParseFloat(string(number), 64)
	if !ok || err != nil || f < low {
		o.problem(name, "a number of at least "+strconv.FormatFloat(low, 'g', -1, 64)+" is expected")
		return def
	}
	return f
}

// path reads a JSONPath; absent is nil.
func (o *fields) path(name string, required bool) *path {
	v := o.value(name)
	if !o.has(name) {
		if required {
			o.missing(name)
		}
		return nil
	}
	text, ok := v.(string)
	if !ok {
		o.problem(name, "a JSONPath is expected, not "+typeName(v))
		return nil
	}
	p, err := compilePath(text, &o.c.patterns)
	if err != nil {
		o.problem(name, "Value must be a valid JSONPath. "+err.Error())
		return nil
	}
	return p
}

// reference reads a Reference Path, which names one node; absent is nil. The words are AWS's.
func (o *fields) reference(name string, required bool) *path {
	if s, ok := o.m[name].(string); ok && !strings.HasPrefix(s, "$") {
		o.seen[name] = true
		o.problem(name, "Value is not a Reference Path: Reference path didn't start with '$'")
		return nil
	}
	p := o.path(name, required)
	if p != nil && p.shape != oneNode {
		o.problem(name, "Value is not a Reference Path: "+p.text+" may name more than one node")
		return nil
	}
	return p
}

// dynamic is a string that a field has as an expression: a path, or a call of an intrinsic function that gives a string
// (AWS, Fail state).
type dynamic struct {
	field, text string
	expr        expr // nil: the field is absent
}

func (o *fields) dynamic(name string) dynamic {
	v := o.value(name)
	if !o.has(name) {
		return dynamic{}
	}
	text, _ := v.(string)
	d := dynamic{name, text, o.c.pathOrCall(o.at(name), name, v)}
	if x, ok := d.expr.(*intrinsicExpr); ok && !x.call.of.text {
		o.problem(name, "States."+x.call.of.name+" does not give a string")
	}
	return d
}

// target reads the name of a state to go to. It is resolved when all states are known.
func (o *fields) target(name string, required bool) string {
	if !o.has(name) && !required {
		return ""
	}
	s := o.requiredText(name)
	if s != "" {
		o.c.targets = append(o.c.targets, target{o.at(name), s})
	}
	return s
}

func (o *fields) object(name string) *fields {
	return o.c.fields(o.at(name), o.value(name))
}

// objects reads an array of objects.
func (o *fields) objects(name string, filled bool) []*fields {
	v := o.value(name)
	if !o.has(name) {
		if filled {
			o.missing(name)
		}
		return nil
	}
	a, ok := v.([]any)
	if !ok {
		o.problem(name, "an array is expected, not "+typeName(v))
		return nil
	}
	if filled && len(a) == 0 {
		o.problem(name, "Value cannot be empty")
	}
	list := make([]*fields, 0, len(a))
	for i, each := range a {
		if f := o.c.fields(o.at(name).index(i), each); f != nil {
			list = append(list, f)
		}
	}
	return list
}
