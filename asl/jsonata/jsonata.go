package jsonata

import (
	"slices"

	"github.com/utkarsh698/cloudflow/asl"
)

// Evaluator compiles JSONata. The zero value is ready.
type Evaluator struct{}

var _ asl.Evaluator = Evaluator{}

// Compile parses an expression. The error is an *Error.
func (Evaluator) Compile(source string) (_ asl.Expression, err error) {
	defer recovered(source, &err)
	if len(source) > maxExpression {
		fail(codeLong, 0, details{})
	}
	root := compile(parse(source))
	return &expression{source: source, root: root, variables: freeVariables(root)}, nil
}

type expression struct {
	source    string
	root      *node
	variables []string
}

// Eval evaluates the expression. The error is an *Error.
func (x *expression) Eval(s asl.ExpressionScope) (v any, defined bool, err error) {
	defer recovered(x.source, &err)
	e := &evaluation{scope: s}
	result := e.eval(x.root, undefined, &frame{})
	if isUndefined(result) || isFunction(result) {
		return nil, false, nil
	}
	return e.export(result), true, nil
}

// Variables are the free variables, sorted. What is built in is none.
func (x *expression) Variables() []string { return slices.Clone(x.variables) }

// export makes values as asl has them. What came from outside passes as it is.
func (e *evaluation) export(v any) any {
	if e.plain(v, 0) {
		return v
	}
	return e.rebuilt(v)
}

// plain reports whether asl has such values, at every depth.
func (e *evaluation) plain(v any, depth int) bool {
	if depth > maxNesting {
		fail(codeNesting, 0, details{})
	}
	e.meter.spend(1)
	plain := true
	switch v := v.(type) {
	case float64:
		jsonNumber(v, 0) // fails for what JSON has not
		return false
	case []any, *array:
		_, marked := v.(*array)
		plain = !marked
		list, _ := items(v)
		for _, element := range list {
			plain = e.plain(element, depth+1) && plain
		}
	case map[string]any:
		for _, name := range sortedNames(v) {
			plain = e.plain(v[name], depth+1) && plain
		}
	case undefinedValue, *lambda, *builtin, *matcher:
		return false
	}
	return plain
}

// rebuilt copies a value that plain has walked. A function has no JSON: as a member it is left out, as an element it is null, as with JSON.stringify.
func (e *evaluation) rebuilt(v any) any {
	switch v := v.(type) {
	case float64:
		return jsonNumber(v, 0)
	case []any, *array:
		list, _ := items(v)
		out := make([]any, len(list))
		for i, element := range list {
			out[i] = e.rebuilt(element)
		}
		return out
	case map[string]any:
		e.meter.spend(costOfObject)
		out := make(map[string]any, len(v))
		for name, member := range v {
			if !isUndefined(member) && !isFunction(member) {
				out[name] = e.rebuilt(member)
			}
		}
		return out
	case undefinedValue, *lambda, *builtin, *matcher:
		return nil
	}
	return v
}
