package asl

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"time"
)

// query is one {% %} expression of a definition.
type query struct {
	text       string // without {% and %}
	field      string // where it stands in its state, as AWS names it: Output/total, Items[2], Choices[1]/Condition
	expression Expression
}

func (q *query) eval(e *env) (any, int, *failure) {
	v, defined, err := q.expression.Eval(ExpressionScope{Variable: e.variable, Now: e.x.now, Seed: e.x.chance()})
	switch {
	case err != nil:
		return nil, 0, q.fails(e, "threw an error during evaluation"+separator(err.Error())+err.Error())
	case !defined:
		return nil, 0, q.fails(e, "returned nothing (undefined).")
	}
	return v, sizeOf(v, maxPayload), nil
}

// separator is what AWS puts before an error's text: one with a code is a sentence of its own.
func separator(text string) string {
	if codeOf(text) != "" {
		return ". "
	}
	return ": "
}

// codeOf is the code of JSONata that a text begins with, such as "T2001: ".
func codeOf(text string) string {
	const like = "T2001: "
	if len(text) < len(like) || text[0] < 'A' || text[0] > 'Z' || !isDigits(text[1:5]) || text[5:7] != like[5:] {
		return ""
	}
	return text[:len(like)]
}

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

func (q *query) fails(e *env, how string) *failure {
	return e.x.evaluationFailed(e.scope, q.field, "The JSONata expression '"+q.text+"' specified for the field '"+q.field+"' "+how)
}

// as is the expression's value, which has to be of the type.
func (q *query) as(e *env, want string) (any, *failure) {
	v, _, f := q.eval(e)
	if f == nil && typeName(v) != want {
		f = q.mistyped(e, want, v)
	}
	return v, f
}

func (q *query) mistyped(e *env, want string, v any) *failure {
	return q.fails(e, fmt.Sprintf("returned an unexpected result type. Expected '%s', but was '%s' for value: %s", want, typeName(v), AppendJSON(nil, v)))
}

// number is the expression's value, which has to be a number. A whole one may be written as 2.0 or 2e0.
func (q *query) number(e *env, whole bool) (float64, *failure) {
	v, f := q.as(e, "number")
	if f != nil {
		return 0, f
	}
	number, _ := v.(json.Number)
	n, err := strconv.ParseFloat(string(number), 64)
	if err != nil || whole && n != math.Trunc(n) {
		return 0, q.mistyped(e, "integer", v)
	}
	return n, nil
}

// integer is the expression's value, which has to be an integer from low to high.
func (q *query) integer(e *env, low, high int64) (int64, *failure) {
	n, f := q.number(e, true)
	if f == nil && (n < float64(low) || n > float64(high)) {
		f = q.fails(e, fmt.Sprintf("returned an invalid value. Expected an integer from %d to %d, but was %.0f", low, high, n))
	}
	return int64(n), f
}

// timestamp is the expression's value, which has to be a timestamp.
func (q *query) timestamp(e *env) (time.Time, *failure) {
	v, f := q.as(e, "string")
	if f != nil {
		return time.Time{}, f
	}
	s, _ := v.(string)
	t, ok := parseTimestamp(s)
	if !ok {
		return t, e.x.evaluationFailed(e.scope, q.field, "The "+q.field+" field cannot be parsed as an ISO-8601 extended offset date-time format string: "+s)
	}
	return t, nil
}

// unfit is the failure over a field whose value does not do, in the state's query language.
func (x *Execution) unfit(sc *scope, field, cause string) *failure {
	if sc.state.jsonata {
		return x.evaluationFailed(sc, field, cause)
	}
	return runtimeFailure(cause)
}

// evaluationFailed is States.QueryEvaluationError, with its event in the history. Other than with States.Runtime the cause that a Catch sees is
// the located one, and Retry and Catch take it.
func (x *Execution) evaluationFailed(sc *scope, field, cause string) *failure {
	f := engineFailure(errQuery, fmt.Sprintf(locatedCause, sc.state.name, sc.entered, cause))
	x.event(sc, HistoryEvent{Type: "EvaluationFailed", State: sc.state.name, Location: field, Error: f.err.s, Cause: f.cause.s})
	return f
}

// variable is what an expression reads by the name: $states, or one that Assign has set.
func (e *env) variable(name string) (any, bool) {
	if name == reservedVariable {
		return e.states(), true
	}
	v, ok := e.scope.variable(name)
	return v.value, ok
}

// states is $states. Its input is the state's own, whatever a field makes of it.
func (e *env) states() map[string]any {
	context, _ := e.x.context(e.scope)
	m := map[string]any{"input": e.scope.input, "context": context}
	if e.ended != nil {
		m[e.ended.name] = e.ended.value
	}
	return m
}

// condition is a Choice rule's Condition.
type condition struct{ query *query }

func (c condition) holds(e *env) (bool, *failure) {
	v, f := c.query.as(e, "boolean")
	holds, _ := v.(bool)
	return holds, f
}

// always is a Condition that is a constant.
type always bool

func (a always) holds(*env) (bool, *failure) { return bool(a), nil }
