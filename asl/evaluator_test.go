package asl

import (
	"errors"
	"fmt"
	"strings"
)

// testEvaluator speaks so little of JSONata that one sees what asl makes of it: "$name.member", JSON, and
// functions that fail or draw.
type testEvaluator struct{}

type testExpression string

func (testEvaluator) Compile(text string) (Expression, error) {
	if strings.HasSuffix(text, "(") {
		return nil, errors.New("S0207: Unexpected end of expression")
	}
	return testExpression(text), nil
}

func (t testExpression) Variables() []string {
	switch t {
	case "$":
		return []string{""}
	case "$$":
		return []string{"$"}
	}
	if name, is := strings.CutPrefix(string(t), "$"); is {
		name, _, _ = strings.Cut(name, ".")
		return []string{name}
	}
	return nil
}

func (t testExpression) Eval(s ExpressionScope) (any, bool, error) {
	switch t {
	case "$fail()":
		return nil, false, errors.New("T2001: it failed")
	case "$endless()":
		return nil, false, errors.New("Expression evaluation timeout: Check for infinite loop")
	case "$random()":
		return fmt.Sprint(s.Seed), true, nil
	case "$now()":
		return formatTimestamp(s.Now), true, nil
	}
	names := strings.Split(string(t), ".")
	if !strings.HasPrefix(names[0], "$") {
		v, err := DecodeJSON([]byte(t))
		return v, true, err
	}
	v, ok := s.Variable(names[0][1:])
	for _, name := range names[1:] {
		m, _ := v.(map[string]any)
		if v, ok = m[name]; !ok {
			break
		}
	}
	return v, ok, nil
}
