package asl

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// maxCalls is how many calls of intrinsic functions one field may hold (AWS, Intrinsic functions).
const maxCalls = 10

// intrinsicExpr is a field whose value is a call of an intrinsic function.
type intrinsicExpr struct {
	text string
	call *call
}

// eval is the function's value. AWS fails it with States.Runtime, not with the States.IntrinsicFailure of the language's
// specification, and names the whole expression whichever call in it failed.
func (x *intrinsicExpr) eval(e *env) (any, int, *failure) {
	v, bound, f := x.call.eval(e)
	if f != nil && f.err.s == errRuntime {
		f = runtimeFailure("The function '" + x.text + "' had the following error: " + f.cause.s)
	}
	return v, bound, f
}

// call is one call of an intrinsic function, with its arguments.
type call struct {
	of   *intrinsic
	args []expr
	raw  *string // of States.Format: a literal template as it is written
}

// argumentPath is a path as an argument.
type argumentPath struct{ path *path }

func (a argumentPath) eval(e *env) (any, int, *failure) {
	v, bound, found, f := a.path.find(e)
	if f == nil && !found {
		root, _, _ := e.root(a.path)
		if why := a.path.missing(root); root != nil && strings.HasPrefix(why, "Filter: ") {
			return nil, 0, runtimeFailure(why) // AWS shows its library's words for an index into what is no array
		}
		f = runtimeFailure(fmt.Sprintf("The JsonPath argument for the field '%s' could not be found in the input '%s'", a.path.text, AppendJSON(nil, root)))
	}
	return v, bound, f
}

// eval calls the function. Each call's value is held to the payload's limit: an argument given a thousand times to calls
// within calls would else be a value that no memory holds once it is written out.
func (c *call) eval(e *env) (any, int, *failure) {
	args, total := make([]any, len(c.args)), 0
	for i, arg := range c.args {
		v, bound, f := arg.eval(e)
		if f != nil {
			return nil, 0, f
		}
		args[i], total = v, total+bound
	}
	k := &calling{e: e, call: c, args: args, bound: total + len(args) + 2}
	if !c.of.takes(args) {
		return nil, 0, k.invalid()
	}
	if !e.spend(1 + min(k.bound, maxPayload)/64) { // what it looks at counts, however small the value that it gives
		return nil, 0, tooMuchWork()
	}
	v, bound, f := c.of.run(k)
	if f == nil && !e.spend(0) { // what it has made
		f = tooMuchWork()
	}
	if f != nil {
		return nil, 0, f
	}
	bound, f = e.x.payloadSize(e.scope, v, bound)
	return v, bound, f
}

// calling is a call at its evaluation.
type calling struct {
	e     *env
	call  *call
	args  []any
	bound int // of an array of the arguments
}

func (k *calling) invalid() *failure {
	return runtimeFailure("Invalid arguments in States." + k.call.of.name)
}

// made is a value that the function built, with its size.
func (k *calling) made(v any) (any, int, *failure) {
	size := sizeOf(v, maxPayload)
	k.e.work += size / 4
	return v, size, nil
}

// compileIntrinsic compiles a whole text. patterns is compilePath's.
func compileIntrinsic(text string, patterns *int) (*intrinsicExpr, error) {
	p := &intrinsicParser{s: text, patterns: patterns}
	if !strings.HasPrefix(text, "States.") {
		return nil, errors.New("it must begin with '$' or with 'States.'")
	}
	c, err := p.call()
	if err != nil {
		return nil, err
	}
	if p.i < len(p.s) {
		return nil, fmt.Errorf("nothing is expected after the call, not %q", p.s[p.i:])
	}
	return &intrinsicExpr{text, c}, nil
}

// intrinsicParser reads calls. Its recursion is bounded by maxCalls.
type intrinsicParser struct {
	s     string
	i     int
	calls int

	patterns *int
}

func (p *intrinsicParser) space() {
	for p.i < len(p.s) && strings.IndexByte(" \t\r\n", p.s[p.i]) >= 0 {
		p.i++
	}
}

func (p *intrinsicParser) at(c byte) bool { return p.i < len(p.s) && p.s[p.i] == c }

func (p *intrinsicParser) call() (*call, error) {
	name, _, isCall := strings.Cut(p.s[p.i:], "(")
	bare, _ := strings.CutPrefix(name, "States.")
	of := intrinsics[bare]
	switch p.calls++; {
	case !isCall || of == nil:
		return nil, fmt.Errorf("the intrinsic function %q is not known", name)
	case p.calls > maxCalls:
		return nil, fmt.Errorf("a field has at most %d intrinsic functions", maxCalls)
	}
	p.i += len(name) + 1
	c := &call{of: of}
	for p.space(); !p.at(')'); p.space() {
		if len(c.args) > 0 {
			if !p.at(',') {
				return nil, errors.New("',' or ')' is expected after an argument of " + name)
			}
			p.i++
			p.space()
		}
		arg, err := p.argument(c)
		if err != nil {
			return nil, err
		}
		c.args = append(c.args, arg)
	}
	p.i++
	return c, nil
}

// argument reads one argument of c. A literal that the function can never take is refused. AWS would create the machine
// and fail each execution that comes here; but the validators of the field refuse it, and so does whoever reads it.
func (p *intrinsicParser) argument(c *call) (expr, error) {
	if p.i == len(p.s) {
		return nil, errors.New("the text ends where an argument is expected")
	}
	var v any
	switch ch := p.s[p.i]; {
	case ch == '$':
		inner := &pathParser{s: p.s, i: p.i, arg: true, patterns: p.patterns}
		compiled, err := inner.path()
		p.i = inner.i
		if p.at('(') {
			err = errors.New("a JSONPath has no functions with arguments")
		}
		return argumentPath{compiled}, err
	case ch == '\'':
		raw, text, err := p.literal()
		if err != nil {
			return nil, err
		}
		if len(c.args) == 0 {
			c.raw = &raw
		}
		v = text
	case ch == '-' || '0' <= ch && ch <= '9' || ch == 't' || ch == 'f' || ch == 'n':
		d := decoder{s: p.s, i: p.i}
		var err error
		if v, err = d.value(); err != nil {
			return nil, fmt.Errorf("an argument is expected before %q", p.s[p.i:])
		}
		p.i = d.i
	case strings.HasPrefix(p.s[p.i:], "States."):
		return p.call()
	default:
		return nil, fmt.Errorf("an argument is expected before %q", p.s[p.i:])
	}
	if i := len(c.args); i < len(c.of.kinds) && !c.of.kinds[i].has(v) {
		return nil, fmt.Errorf("argument %d of States.%s cannot be a %s", i+1, c.of.name, typeName(v))
	}
	return &constant{v, sizeOf(v, maxPayload)}, nil
}

// literal reads a string in single quotes: as it is written, and as it is meant. A backslash escapes a quote, a brace or
// itself; AWS refuses one before anything else.
func (p *intrinsicParser) literal() (raw, text string, err error) {
	start, meant := p.i+1, []byte(nil)
	for p.i++; p.i < len(p.s); p.i++ {
		switch c := p.s[p.i]; c {
		case '\'':
			p.i++
			return p.s[start : p.i-1], string(meant), nil
		case '\\':
			p.i++
			if p.i == len(p.s) || strings.IndexByte(`'{}\`, p.s[p.i]) < 0 {
				return "", "", errors.New(`a backslash must stand before one of ', {, } and \`)
			}
			meant = append(meant, p.s[p.i])
		default:
			meant = append(meant, c)
		}
	}
	return "", "", errors.New("the closing quote of a string is missing")
}

// valueKind is what a function takes at one place.
type valueKind byte

const (
	anyValue    valueKind = '*'
	arrayValue  valueKind = '['
	objectValue valueKind = '{'
	stringValue valueKind = '\''
	numberValue valueKind = '0'
)

func (k valueKind) has(v any) (ok bool) {
	switch k {
	case arrayValue:
		_, ok = v.([]any)
	case objectValue:
		_, ok = v.(map[string]any)
	case stringValue:
		_, ok = v.(string)
	case numberValue:
		_, ok = v.(json.Number)
	case anyValue:
		ok = true
	}
	return ok
}

// takes reports whether the function takes these arguments. A wrong number of them is found here, at the evaluation, as
// on AWS: a definition with one is created there.
func (f *intrinsic) takes(args []any) bool {
	if len(args) < len(f.kinds)-f.optional || len(args) > len(f.kinds) && !f.variadic {
		return false
	}
	for i, kind := range f.kinds {
		if i < len(args) && !kind.has(args[i]) {
			return false
		}
	}
	return true
}
