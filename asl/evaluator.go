package asl

import "time"

// Evaluator compiles the expressions of a query language that this package does not evaluate by itself: JSONata (https://docs.jsonata.org), as
// asl/jsonata has it. A machine that needs one is refused by name where none is given. It is safe for concurrent use.
type Evaluator interface {
	// Compile parses an expression, without the {% and %} around it. The error says what is wrong with it, and where.
	Compile(expression string) (Expression, error)
}

// Expression is a compiled expression. It is immutable, and safe for concurrent use.
type Expression interface {
	// Eval evaluates the expression: a pure function of the scope, bounded in time and memory. defined is false if the expression has no value,
	// as a path that leads nowhere. Values are JSON values as DecodeJSON makes them, in and out. The error's text is the one that AWS shows behind
	// the expression, where it is known.
	Eval(s ExpressionScope) (v any, defined bool, err error)
	// Variables are the names of the variables that are read and not bound within the expression, without their "$": "states", "order". A
	// reference to the context by "$" alone is "", one by "$$" is "$".
	Variables() []string
}

// ExpressionScope is what an expression sees.
type ExpressionScope struct {
	Variable func(name string) (v any, defined bool) // by its name without "$", such as "states"
	Now      time.Time                               // of $now and $millis
	Seed     uint64                                  // of all chance: $random, $uuid, $shuffle
}

// Option is a choice that Parse and Validate leave to their caller.
type Option func(*compiler)

// WithEvaluator lets a machine speak JSONata. A nil one is none.
func WithEvaluator(e Evaluator) Option {
	return func(c *compiler) { c.evaluator = e }
}
