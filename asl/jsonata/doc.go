// Package jsonata evaluates JSONata (https://docs.jsonata.org) as AWS Step Functions runs it: the language of version 2.0.6 without $eval, and with
// the functions that Step Functions adds, $partition, $range, $hash, $random with a seed, $uuid and $parse
// (https://docs.aws.amazon.com/step-functions/latest/dg/transforming-data.html). It is an asl.Evaluator.
//
//	text ──lexer──> tokens ──parser──> tree ──compile──> paths of steps ──Eval(scope)──> value
//
// # What it promises
//
// An evaluation is a pure function of the expression and the scope: time and chance come from there, members of objects are visited in the order of their
// names, and what bounds an evaluation is counted and not timed (limits.go says what, and why that much). Regular expressions are Go's, linear in the text;
// what JavaScript has and RE2 has not (lookahead, lookbehind, backreferences) is refused by Compile, by name. Nothing panics over an expression or a value.
// What goes in is shared and never changed: a transformation works on a copy.
//
// # Values
//
// Within an expression a number is what JavaScript has, a float64, but an integer that is only handed on, compared, sorted or written as text keeps
// its digits, whatever their count. Results are written as JSON.stringify writes them (1e+21, and 0 for -0). Infinity and NaN are no results: they are D1001
// where JSON.stringify would write null.
//
// There is no context outside of a path, a predicate or a function's argument: $ and $$ are undefined at the top, as on AWS, and data comes in as variables,
// such as $states.input. A variable of the state machine goes before a built-in function of its name.
//
// # What is otherwise than in the reference
//
//   - Objects have no order of insertion: $keys, $each, $spread, $sift, *, ** and $string see the members by name. No recorded case tells the two apart.
//   - Integers beyond 2^53 compare exactly and keep their digits in $string; JavaScript rounds both.
//   - A timestamp's negative offset with minutes is read right (-0530), and $formatNumber puts no grouping separators before the first digit.
//   - Pictures of numbers and dates have 300 bytes at most.
//   - A transformation changes what its pattern finds in the copy of its argument. What the pattern finds elsewhere, as in a variable, stays as it is.
//   - A message's position is that of the innermost call, and not of the outermost.
//   - Codes that start with U are this package's: limits, regular expressions that are refused, arguments for which the reference has no code.
//
// The text of an Error is the code and the reference's message. What AWS puts behind "threw an error during evaluation" was not recorded.
package jsonata
