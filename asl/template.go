package asl

import (
	"fmt"
	"slices"
	"strings"
)

// expr is what a definition says about a value: compiled once, evaluated at each entry. A payload template is one, and so
// is an expression of JSONata.
type expr interface {
	// eval is the value, and a bound of its size as JSON in bytes: never less than the size.
	eval(e *env) (v any, bound int, f *failure)
}

// env is what an expression sees. The context object is built only when an expression asks for it.
type env struct {
	x     *Execution
	scope *scope
	input any
	bound int     // of input
	work  int     // that paths and intrinsic functions have spent so far
	ended *ending // what $states has beside input and context; nil: nothing
}

// ending is $states.result or $states.errorOutput. It stands apart to keep an env small: most are never asked for it.
type ending struct {
	name  string
	value any
}

// constant is a part of a template without paths. Its value is shared by all executions.
type constant struct {
	value any
	size  int
}

func (c *constant) eval(*env) (any, int, *failure) { return c.value, c.size, nil }

// memberPath is a template's member whose name ends in ".$", when its value is a path.
type memberPath struct {
	field string // with its ".$", as AWS's error names it
	path  *path
}

func (r *memberPath) eval(e *env) (any, int, *failure) {
	v, bound, found, f := r.path.find(e)
	if f != nil || found {
		return v, bound, f
	}
	if root, _, _ := e.root(r.path); root == nil {
		return nil, 0, nullInput()
	}
	return nil, 0, runtimeFailure(fmt.Sprintf("The JSONPath '%s' specified for the field '%s' could not be found in the input '%s'",
		r.path.text, r.field, AppendJSON(nil, e.input)))
}

type objectTemplate struct {
	members []memberTemplate // by name, so that of two bad paths the same one is named each time
	size    int              // of names and punctuation
}

type memberTemplate struct {
	name  string
	value expr
}

func (t *objectTemplate) eval(e *env) (any, int, *failure) {
	m, bound := make(map[string]any, len(t.members)), t.size
	for i := range t.members {
		v, n, f := t.members[i].value.eval(e)
		if f != nil {
			return nil, 0, f
		}
		m[t.members[i].name] = v
		bound += n
	}
	return m, bound, nil
}

type arrayTemplate []expr

func (t arrayTemplate) eval(e *env) (any, int, *failure) {
	a, bound := make([]any, len(t)), len(t)+2
	for i, element := range t {
		v, n, f := element.eval(e)
		if f != nil {
			return nil, 0, f
		}
		a[i] = v
		bound += n
	}
	return a, bound, nil
}

// template compiles a payload template, such as Parameters.
func (c *compiler) template(ptr *pointer, v any) expr {
	switch v := v.(type) {
	case map[string]any:
		return c.objectTemplate(ptr, v)
	case []any:
		t, static := make(arrayTemplate, len(v)), true
		for i, element := range v {
			t[i] = c.template(ptr.index(i), element)
			_, isConstant := t[i].(*constant)
			static = static && isConstant
		}
		if !static {
			return t
		}
	}
	return &constant{v, sizeOf(v, maxPayload)}
}

func (c *compiler) objectTemplate(ptr *pointer, m map[string]any) expr {
	t := c.memberTemplates(ptr, m)
	if t.static() {
		return &constant{m, sizeOf(m, maxPayload)}
	}
	return t
}

func (c *compiler) memberTemplates(ptr *pointer, m map[string]any) *objectTemplate {
	t := &objectTemplate{size: 2}
	for _, name := range sortedNames(m) {
		at := ptr.to(name)
		bare, dynamic := strings.CutSuffix(name, ".$")
		if !dynamic {
			t.add(name, c.template(at, m[name]))
			continue
		}
		if _, twice := m[bare]; twice {
			c.problem(at, "the field '"+bare+"' is given twice: with and without '.$'")
		}
		if value := c.pathOrCall(at, name, m[name]); value != nil {
			t.add(bare, value)
		}
	}
	return t
}

func (t *objectTemplate) add(name string, value expr) {
	t.members = append(t.members, memberTemplate{name, value})
	t.size += stringSize(name) + 2
}

// static reports whether all members are constants.
func (t *objectTemplate) static() bool {
	return !slices.ContainsFunc(t.members, func(m memberTemplate) bool {
		_, isConstant := m.value.(*constant)
		return !isConstant
	})
}

// pathOrCall compiles the value of a field that ends in ".$" or in "Path": a path of any kind, or a call of an intrinsic function.
func (c *compiler) pathOrCall(ptr *pointer, field string, v any) expr {
	text, ok := v.(string)
	if !ok {
		c.problem(ptr, "The value for the field '"+field+"' must be a STRING that contains a JSONPath but was "+typeName(v))
		return nil
	}
	invalid := func(err error) expr {
		c.problem(ptr, "The value for the field '"+field+"' must be a valid JSONPath or a valid intrinsic function call: "+err.Error())
		return nil
	}
	if !strings.HasPrefix(text, "$") {
		call, err := compileIntrinsic(text, &c.patterns)
		if err != nil {
			return invalid(err)
		}
		return call
	}
	p, err := compilePath(text, &c.patterns)
	if err != nil {
		return invalid(err)
	}
	return &memberPath{field, p}
}

func sortedNames(m map[string]any) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
