package asl

import (
	"fmt"
	"strings"
	"time"
)

// language is a QueryLanguage.
type language string

const (
	languageJSONPath language = "JSONPath"
	languageJSONata  language = "JSONata"
)

// onlyJSONPath and onlyJSONata are the fields that one language has and the other has not.
var (
	onlyJSONPath = []string{
		"CausePath", "ErrorPath", "HeartbeatSecondsPath", "InputPath", "ItemsPath", "MaxConcurrencyPath", "MaxInputBytesPerBatchPath",
		"MaxItemsPath", "MaxItemsPerBatchPath", "OutputPath", "Parameters", "Result", "ResultPath", "ResultSelector", "SecondsPath",
		"TimeoutSecondsPath", "TimestampPath", "ToleratedFailureCountPath", "ToleratedFailurePercentagePath", "Variable",
	}
	onlyJSONata = []string{"Arguments", "Condition", "Items", "Output"}
)

// queryLanguage reads QueryLanguage. What speaks JSONata is not looked at without an Evaluator: ok is false.
func (c *compiler) queryLanguage(o *fields, inherited language) (l language, ok bool) {
	const name = "QueryLanguage"
	l, ok = inherited, true
	if o.has(name) {
		l = language(o.text(name))
	}
	switch {
	case l != languageJSONPath && l != languageJSONata:
		o.problem(name, "Value should be one of the following: [JSONPath, JSONata]")
		ok = false
	case l == languageJSONata && c.evaluator == nil:
		if o.has(name) {
			o.problem(name, "JSONata is not supported without an Evaluator")
		}
		ok = false
	case l == languageJSONPath && inherited == languageJSONata && !c.distributed:
		c.problem(o.ptr, "'QueryLanguage' can not be 'JSONPath' if set to 'JSONata' for whole state machine")
		ok = false
	}
	c.partial = c.partial || !ok
	return l, ok
}

// speak refuses the fields of the other query language.
func (c *compiler) speak(o *fields) {
	mine, other, foreign := languageJSONPath, languageJSONata, onlyJSONata
	if c.jsonata {
		mine, other, foreign = other, mine, onlyJSONPath
	}
	for _, name := range foreign {
		if o.has(name) {
			o.ignore(name)
			delete(o.m, name)
			c.problem(o.ptr, fmt.Sprintf("The QueryLanguage is set to '%s', but field '%s' is only supported for the '%s' QueryLanguage", mine, name, other))
		}
	}
}

// leaving compiles what a way out says: Assign, and Output, which only JSONata has. at is where o stands in its state.
func (c *compiler) leaving(o *fields, at string) leaving {
	return leaving{assign: c.assignment(o, at), output: c.value(o, "Output", at)}
}

// arguments compiles the field whose value a task or the branches get.
func (c *compiler) arguments(o *fields, at string) expr {
	if c.jsonata {
		return c.value(o, "Arguments", at)
	}
	return c.payload(o, "Parameters")
}

// value compiles a field that is a payload template in JSONPath and may hold expressions in JSONata.
func (c *compiler) value(o *fields, name, at string) expr {
	if !c.jsonata {
		return c.payload(o, name)
	}
	v := o.value(name)
	if !o.has(name) {
		return nil
	}
	return c.queryTemplate(o.at(name), at+name, v)
}

// isExpression reports whether a value is written between {% and %}.
func isExpression(v any) bool {
	s, ok := v.(string)
	return ok && len(s) >= len("{%%}") && strings.HasPrefix(s, "{%") && strings.HasSuffix(s, "%}")
}

// queryTemplate compiles a value whose strings may be expressions, however deep they stand.
func (c *compiler) queryTemplate(ptr *pointer, field string, v any) expr {
	switch v := v.(type) {
	case string:
		if isExpression(v) {
			return c.query(ptr, field, v)
		}
		if strings.HasPrefix(v, "{%") != strings.HasSuffix(v, "%}") { // with spaces around both it is a constant, as AWS has it
			c.problem(ptr, "A JSONata expression begins with '{%' and ends with '%}'")
		}
	case []any:
		t, static := make(arrayTemplate, len(v)), true
		for i, element := range v {
			t[i] = c.queryTemplate(ptr.index(i), fmt.Sprintf("%s[%d]", field, i), element)
			_, isConstant := t[i].(*constant)
			static = static && isConstant
		}
		if !static {
			return t
		}
	case map[string]any:
		t := c.queryMembers(ptr, field, v)
		if !t.static() {
			return t
		}
	}
	return &constant{v, sizeOf(v, maxPayload)}
}

func (c *compiler) queryMembers(ptr *pointer, field string, m map[string]any) *objectTemplate {
	t := &objectTemplate{size: 2}
	for _, name := range sortedNames(m) {
		t.add(name, c.queryTemplate(ptr.to(name), field+"/"+name, m[name]))
	}
	return t
}

// query compiles an expression. One with a problem has no Expression, and no machine keeps it.
func (c *compiler) query(ptr *pointer, field, text string) *query {
	q := &query{text: strings.TrimSpace(text[2 : len(text)-2]), field: field}
	var err error
	if q.expression, err = c.evaluator.Compile(q.text); err != nil {
		c.coded(ptr, InvalidJSONata, strings.TrimPrefix(err.Error(), codeOf(err.Error())))
		return q
	}
	for _, name := range q.expression.Variables() {
		switch name {
		case "":
			c.coded(ptr, UnsupportedJSONata, "Reference to '$' at the top level is not supported.")
		case "$":
			c.coded(ptr, UnsupportedJSONata, "Reference to '$$' is not supported.")
		case reservedVariable:
			c.statesMembers(ptr, q)
		}
	}
	return q
}

// statesMembers refuses a member of $states that the field has not. Only what follows $states at once can be told.
func (c *compiler) statesMembers(ptr *pointer, q *query) {
	for _, member := range membersOf(q.text, "$"+reservedVariable) {
		top, _, inCatch := strings.Cut(q.field, "/")
		if inCatch = inCatch && strings.HasPrefix(top, "Catch["); inCatch {
			_, top, _ = strings.Cut(q.field, "/")
			top, _, _ = strings.Cut(top, "/")
		}
		isEnd := top == "Assign" || top == "Output"
		switch {
		case member == "input", member == "context":
		case member == "result" && isEnd && !inCatch && c.hasResult:
		case member == "errorOutput" && isEnd && inCatch:
		default:
			c.coded(ptr, UnsupportedJSONata, "Field '$states."+member+"' does not exist.")
		}
	}
}

// membersOf are the names that follow the variable and a dot, outside of strings and comments.
func membersOf(text, variable string) (members []string) {
	for i := 0; i < len(text); {
		switch rest := text[i:]; {
		case rest[0] == '"' || rest[0] == '\'' || rest[0] == '`':
			i += quotedLen(rest)
		case strings.HasPrefix(rest, "/*"):
			end := strings.Index(rest, "*/")
			if end < 0 {
				return members
			}
			i += end + 2
		case strings.HasPrefix(rest, variable+"."):
			name := rest[len(variable)+1:]
			end := strings.IndexFunc(name, func(r rune) bool {
				return r != '_' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
			})
			if end < 0 {
				end = len(name)
			}
			if end > 0 && (i == 0 || text[i-1] != '$') {
				members = append(members, name[:end])
			}
			i += len(variable) + 1 + end
		default:
			i++
		}
	}
	return members
}

// quotedLen is the length of the quoted text that s begins with.
func quotedLen(s string) int {
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\' && s[0] != '`':
			i++
		case s[i] == s[0]:
			return i + 1
		}
	}
	return len(s)
}

// queryOf compiles the field if it is an expression, as a state that speaks JSONata may have it; nil: it is not.
func (c *compiler) queryOf(o *fields, name string) *query {
	if v, ok := o.m[name].(string); ok && c.jsonata && isExpression(v) {
		o.ignore(name)
		return c.query(o.at(name), name, v)
	}
	return nil
}

// seconds compiles a duration of whole seconds.
func (c *compiler) seconds(o *fields, name string) seconds {
	if q := c.queryOf(o, name); q != nil {
		return seconds{query: q}
	}
	o.atMostOne(name, name+"Path")
	return seconds{
		fixed: time.Duration(o.integer(name, 1, maxSeconds, 0)) * time.Second,
		field: name + "Path",
		path:  o.reference(name+"Path", false),
	}
}

// condition compiles a Choice rule that speaks JSONata.
func (c *compiler) condition(o *fields, at string) rule {
	const name = "Condition"
	o.text("Comment")
	switch v := o.value(name).(type) {
	case bool:
		return always(v)
	case string:
		if isExpression(v) {
			return condition{c.query(o.at(name), at+name, v)}
		}
	}
	if !o.has(name) {
		o.missing(name)
	} else {
		o.problem(name, "a JSONata expression is expected")
	}
	return nil
}

// credentials compiles Credentials: the role that a task is called with. AWS wants a RoleArn where it is AWS that is called.
func (c *compiler) credentials(o *fields, resource string) expr {
	const name = "Credentials"
	if !o.has(name) {
		return nil
	}
	v := o.value(name)
	m, ok := v.(map[string]any)
	if !ok {
		o.problem(name, "an object is expected, not "+typeName(v))
		return nil
	}
	_, given := m["RoleArn"]
	_, byPath := m["RoleArn.$"]
	onAWS := strings.HasPrefix(resource, "arn:") && (strings.Contains(resource, ":states:") || strings.Contains(resource, ":lambda:"))
	if len(m) == 0 || onAWS && !given && (c.jsonata || !byPath) {
		o.problem(name, "The field 'RoleArn' is required but was missing")
	}
	if c.jsonata {
		return c.queryTemplate(o.at(name), name, v)
	}
	return c.template(o.at(name), v)
}
