package asl

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// path is a compiled JSONPath that names at most one node: members and array indexes, from the input ($) or from the
// context object ($$).
type path struct {
	text    string
	context bool
	steps   []step
	names   int // bytes that set adds at most beside the value: names, braces and punctuation
}

type step struct {
	name    string
	index   int // a negative one counts from the array's end
	isIndex bool
}

// compilePath compiles text. What JSONPath allows and this package does not is refused by its name.
func compilePath(text string) (*path, error) {
	rest, ok := strings.CutPrefix(text, "$")
	if !ok {
		return nil, errors.New("a JSONPath must begin with '$'")
	}
	p := &path{text: text}
	if rest, p.context = strings.CutPrefix(rest, "$"); !p.context && rest != "" && rest[0] != '.' && rest[0] != '[' {
		return nil, fmt.Errorf("variables are not supported yet: %s", text)
	}
	for rest != "" {
		var s step
		var err error
		switch rest[0] {
		case '.':
			s, rest, err = dotStep(rest[1:])
		case '[':
			s, rest, err = bracketStep(rest[1:])
		default:
			err = fmt.Errorf("'.' or '[' is expected before %q", rest)
		}
		if err != nil {
			return nil, err
		}
		p.steps = append(p.steps, s)
		p.names += stringSize(s.name) + len("{:,}")
	}
	return p, nil
}

func dotStep(rest string) (step, string, error) {
	switch {
	case strings.HasPrefix(rest, "."):
		return step{}, "", errors.New("the descendant operator '..' is not supported yet")
	case strings.HasPrefix(rest, "*"):
		return step{}, "", errors.New("the wildcard '*' is not supported yet")
	}
	end := strings.IndexAny(rest, ".[")
	if end < 0 {
		end = len(rest)
	}
	name := rest[:end]
	switch {
	case name == "":
		return step{}, "", errors.New("a name is expected after '.'")
	case strings.HasSuffix(name, ")"):
		return step{}, "", fmt.Errorf("the JSONPath function %s is not supported", name)
	case strings.ContainsAny(name, " \t\r\n()]'\"*?@,:"):
		return step{}, "", fmt.Errorf("the name %q must be written in brackets and quotes", name)
	}
	return step{name: name}, rest[end:], nil
}

func bracketStep(rest string) (step, string, error) {
	if rest != "" && (rest[0] == '\'' || rest[0] == '"') {
		return quotedStep(rest)
	}
	in, after, closed := strings.Cut(rest, "]")
	in = strings.TrimSpace(in)
	switch {
	case strings.HasPrefix(in, "?"):
		return step{}, "", errors.New("the filter '?()' is not supported yet")
	case !closed:
		return step{}, "", errors.New("']' is missing")
	case in == "*":
		return step{}, "", errors.New("the wildcard '[*]' is not supported yet")
	case strings.Contains(in, ":"):
		return step{}, "", fmt.Errorf("the slice '[%s]' is not supported yet", in)
	case strings.Contains(in, ","):
		return step{}, "", fmt.Errorf("the union '[%s]' is not supported yet", in)
	}
	n, err := strconv.ParseInt(in, 10, 32)
	if err != nil || in[0] == '+' {
		return step{}, "", fmt.Errorf("'[%s]' is neither an index nor a quoted name", in)
	}
	return step{index: int(n), isIndex: true}, after, nil
}

// quotedStep reads ['name'] or ["name"]. A backslash escapes the quote and itself, before anything else it stands for
// itself, as AWS reads it.
func quotedStep(rest string) (step, string, error) {
	quote, name := rest[0], []byte(nil)
	for i := 1; i < len(rest); i++ {
		switch c := rest[i]; {
		case c == '\\' && i+1 < len(rest) && (rest[i+1] == quote || rest[i+1] == '\\'):
			i++
			name = append(name, rest[i])
		case c == quote:
			after := strings.TrimLeft(rest[i+1:], " ")
			switch {
			case strings.HasPrefix(after, "]"):
				return step{name: string(name)}, after[1:], nil
			case strings.HasPrefix(after, ","):
				return step{}, "", errors.New("the union of names is not supported yet")
			}
			return step{}, "", errors.New("']' is expected after a quoted name")
		default:
			name = append(name, c)
		}
	}
	return step{}, "", errors.New("the closing quote of a name is missing")
}

// isRoot reports whether the path is "$": the whole input.
func (p *path) isRoot() bool { return len(p.steps) == 0 && !p.context }

// get is the node that the path names below root, and how many steps led to it: all of them, if it exists.
func (p *path) get(root any) (v any, steps int) {
	v = root
	for i := range p.steps {
		s := &p.steps[i]
		if !s.isIndex {
			m, ok := v.(map[string]any)
			if !ok {
				return v, i
			}
			if v, ok = m[s.name]; !ok {
				return m, i
			}
			continue
		}
		a, ok := v.([]any)
		n := s.index
		if n < 0 {
			n += len(a)
		}
		if !ok || n < 0 || n >= len(a) {
			return v, i
		}
		v = a[n]
	}
	return v, len(p.steps)
}

// missing says in the words of AWS (of Jayway's JsonPath, that is) why get stopped at v after so many steps.
func (p *path) missing(v any, steps int) string {
	s := p.steps[steps]
	_, object := v.(map[string]any)
	array, isArray := v.([]any)
	switch {
	case s.isIndex && !isArray:
		return fmt.Sprintf("Filter: %s can only be applied to arrays. Current context is: %s", s, AppendJSON(nil, v))
	case s.isIndex && steps == len(p.steps)-1:
		return "No results for path: " + p.normal(steps+1)
	case s.isIndex:
		return fmt.Sprintf("Index out of bounds when evaluating path %s: length %d", p.normal(steps+1), len(array))
	case !object:
		return fmt.Sprintf("Expected to find an object with property %s in path %s but found '%s'", s, p.normal(steps), typeName(v))
	case steps == len(p.steps)-1:
		return "No results for path: " + p.normal(steps+1)
	}
	return "Missing property in path " + p.normal(steps+1)
}

// normal writes the first n steps in bracket form.
func (p *path) normal(n int) string {
	b := []byte("$")
	for _, s := range p.steps[:n] {
		b = append(b, s.String()...)
	}
	return string(b)
}

func (s step) String() string {
	if s.isIndex {
		return "[" + strconv.Itoa(s.index) + "]"
	}
	return "['" + s.name + "']"
}

// set is root with v at the path. Only the objects and arrays on the way are copied; members on the way are made. It
// fails where a step meets something that is there and is of another shape.
func (p *path) set(root, v any) (any, bool) { return setStep(root, p.steps, v) }

func setStep(at any, steps []step, v any) (any, bool) {
	if len(steps) == 0 {
		return v, true
	}
	s := &steps[0]
	if s.isIndex {
		a, ok := at.([]any)
		if !ok || s.index < 0 || s.index >= len(a) {
			return nil, false
		}
		if v, ok = setStep(a[s.index], steps[1:], v); !ok {
			return nil, false
		}
		a = slices.Clone(a)
		a[s.index] = v
		return a, true
	}
	m, ok := at.(map[string]any)
	if !ok {
		return nil, false
	}
	below, there := m[s.name]
	if !there && len(steps) > 1 {
		below = map[string]any{}
	}
	if v, ok = setStep(below, steps[1:], v); !ok {
		return nil, false
	}
	m = maps.Clone(m)
	m[s.name] = v
	return m, true
}

func typeName(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case string:
		return "string"
	case json.Number:
		return "number"
	case []any:
		return "array"
	}
	return "object"
}
