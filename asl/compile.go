package asl

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Limits that AWS sets.
const (
	maxDefinition = 1 << 20  // bytes of a definition
	maxName       = 80       // characters of a state's name
	maxSeconds    = 99999999 // of an interval, a timeout, a wait, and the most attempts, iterations and items that a field may say
	maxDelay      = 31622399 // seconds of MaxDelaySeconds
	maxProblems   = 100      // that are reported: a definition made to hurt has one at each byte
)

// compiler turns the decoded definition into a machine and gathers everything that is wrong on the way.
type compiler struct {
	problems []Problem
	states   map[string]*state // of the flow being compiled
	targets  []target          // of the flow being compiled
	partial  bool              // a state could not be compiled: what is reached from it is not known
	patterns int               // instructions of the regular expressions so far

	evaluator   Evaluator         // nil: JSONata is refused
	language    language          // of the machine: that of every state that names none, however deep it stands
	jsonata     bool              // the state being compiled speaks JSONata
	hasResult   bool              // the state being compiled has a $states.result
	distributed bool              // the flow being compiled runs as executions of its own, which may speak another language
	variables   *declared         // of the flow being compiled
	all         map[string]*state // of all flows
	depth       int               // of the flow being compiled
}

// target is a state's name that some field goes to.
type target struct {
	ptr  *pointer
	name string
}

func (c *compiler) problem(ptr *pointer, message string) {
	c.coded(ptr, SchemaValidationFailed, message)
}

// oneLine keeps what a message quotes from breaking its line.
var oneLine = strings.NewReplacer("\r", " ", "\n", " ")

// coded is problem for what AWS has another code for.
func (c *compiler) coded(ptr *pointer, code, message string) {
	if len(c.problems) < maxProblems {
		c.problems = append(c.problems, Problem{Pointer: ptr.String(), Code: code, Message: oneLine.Replace(message)})
	}
}

func compile(definition []byte, options []Option) (*Machine, []Problem) {
	c := &compiler{all: make(map[string]*state)}
	for _, choose := range options {
		choose(c)
	}
	if len(definition) > maxDefinition {
		c.problem(nil, fmt.Sprintf("the definition has %d bytes, more than %d", len(definition), maxDefinition))
		return nil, c.problems
	}
	d := decoder{onDuplicate: func(names []string) {
		var ptr *pointer
		for _, name := range names {
			ptr = ptr.to(name)
		}
		c.problem(ptr, "the field is given twice")
	}}
	v, err := d.decode(definition)
	if err != nil {
		c.coded(nil, InvalidJSONDescription, strings.TrimPrefix(err.Error(), "asl: "))
		return nil, c.problems
	}
	o := c.fields(nil, v)
	if o == nil {
		return nil, c.problems
	}
	o.text("Comment")
	if v := o.text("Version"); o.has("Version") && v != "1.0" {
		o.problem("Version", "only version 1.0 is known")
	}
	var ok bool
	if c.language, ok = c.queryLanguage(o, languageJSONPath); !ok {
		return nil, c.problems
	}
	m := &Machine{definition: v, timeout: time.Duration(o.integer("TimeoutSeconds", 1, maxSeconds, 0)) * time.Second}
	m.flow, m.states = c.flow(o), c.all
	o.done()
	slices.SortStableFunc(c.problems, func(a, b Problem) int { return strings.Compare(a.Pointer, b.Pointer) })
	return m, c.problems
}

// flow compiles StartAt and States.
func (c *compiler) flow(o *fields) *flow {
	f := &flow{states: make(map[string]*state)}
	c.states, c.targets = f.states, nil
	outer := c.variables
	c.variables = &declared{}
	defer func() {
		c.variables.leave(c, outer)
		c.variables = outer
	}()
	startAt := o.target("StartAt", true)
	if !o.has("States") {
		o.missing("States")
		return f
	}
	states := o.object("States")
	if states == nil {
		return f
	}
	if len(states.m) == 0 {
		o.problem("States", "Value cannot be empty")
	}
	for name := range states.m {
		f.states[name] = &state{name: name}
		if c.all[name] != nil {
			states.problem(name, "Duplicate State name: "+name)
		}
		c.all[name] = f.states[name]
	}
	for _, name := range sortedNames(states.m) {
		if n := utf8.RuneCountInString(name); n == 0 || n > maxName {
			states.problem(name, fmt.Sprintf("a state's name has from 1 to %d characters, this one has %d", maxName, n))
		}
		if s := states.object(name); s != nil {
			c.state(f.states[name], s)
		}
	}
	for _, t := range c.targets {
		if f.states[t.name] == nil {
			c.partial = true
			c.coded(t.ptr, MissingTransitionTarget, "Missing '"+t.ptr.name+"' target: "+t.name)
		}
	}
	if f.start = f.states[startAt]; f.start != nil {
		f.walk()
		c.reachable(f, states)
	}
	return f
}

// walk puts the states in the order in which they are reached from the start.
func (f *flow) walk() {
	f.order = []string{f.start.name}
	f.reached = map[string]bool{f.start.name: true}
	for i := 0; i < len(f.order); i++ {
		s := f.states[f.order[i]]
		for _, name := range append(s.targets(), s.catchTargets()...) {
			if !f.reached[name] {
				f.reached[name] = true
				f.order = append(f.order, name)
			}
		}
	}
}

func (c *compiler) reachable(f *flow, o *fields) {
	if c.partial {
		return
	}
	ends := false
	for _, name := range sortedNames(o.m) {
		if !f.reached[name] {
			c.coded(o.at(name), MissingTransitionTarget, "State \""+name+"\" is not reachable.")
		}
		ends = ends || f.states[name].terminal()
	}
	if !ends {
		c.problem(o.ptr, "no state ends the execution")
	}
}

// state compiles one state into s, which others may point to already.
func (c *compiler) state(s *state, o *fields) {
	language, ok := c.queryLanguage(o, c.language)
	if !ok {
		return
	}
	s.kind = kind(o.requiredText("Type"))
	s.jsonata = language == languageJSONata
	defer func(jsonata, hasResult bool) { c.jsonata, c.hasResult = jsonata, hasResult }(c.jsonata, c.hasResult)
	c.jsonata, c.hasResult = s.jsonata, s.hasResult()
	c.speak(o)
	o.text("Comment")
	if s.kind != kindFail {
		s.inputPath = c.selection(o, "InputPath")
		s.outputPath = c.selection(o, "OutputPath")
	}
	switch s.kind {
	case kindTask:
		c.task(s, o)
	case kindChoice:
		c.choice(s, o)
	case kindPass:
		c.pass(s, o)
	case kindWait:
		c.wait(s, o)
	case kindSucceed:
		s.leaving.output = c.value(o, "Output", "")
	case kindFail:
		c.fail(s, o)
	case kindParallel:
		c.parallel(s, o)
	case kindMap:
		c.mapState(s, o)
	default:
		if s.kind != "" {
			o.problem("Type", "the type is not known: "+string(s.kind))
		}
		c.partial = true
		return
	}
	o.done()
}

// next compiles Next and End, of which a state has one.
func (c *compiler) next(o *fields) *state {
	switch end := o.boolean("End"); {
	case end && o.has("Next"):
		o.problem("Next", "Next does not go with End")
		o.ignore("Next")
	case !end && !o.has("Next"):
		c.problem(o.ptr, "Next or End is required")
	case !end:
		return c.states[o.target("Next", true)]
	}
	return nil
}

func (c *compiler) selection(o *fields, name string) selection {
	if v := o.value(name); o.has(name) && v == nil {
		return selection{none: true}
	}
	p := o.path(name, false)
	if p != nil && p.isRoot() {
		p = nil
	}
	return selection{path: p}
}

func (c *compiler) placement(o *fields) placement {
	const name = "ResultPath"
	if v := o.value(name); o.has(name) && v == nil {
		return placement{discard: true}
	}
	p := o.reference(name, false)
	if p == nil || p.isRoot() {
		return placement{}
	}
	if p.context {
		o.problem(name, "a result cannot be put into the context object")
	}
	if p.variable != "" {
		o.problem(name, "a result cannot be put into a variable: Assign does that")
	}
	for _, s := range p.steps {
		if s.kind == indexStep && s.index < 0 {
			o.problem(name, "a Reference Path has no negative index")
		}
	}
	return placement{path: p}
}

// payload compiles a field that is a payload template.
func (c *compiler) payload(o *fields, name string) expr {
	v := o.value(name)
	if !o.has(name) {
		return nil
	}
	return c.template(o.at(name), v)
}

func (c *compiler) pass(s *state, o *fields) {
	s.next = c.next(o)
	s.parameters = c.payload(o, "Parameters")
	s.resultPath = c.placement(o)
	v := o.value("Result")
	s.pass = &pass{o.has("Result"), constant{v, sizeOf(v, maxPayload)}}
	s.leaving = c.leaving(o, "")
}

func (c *compiler) choice(s *state, o *fields) {
	s.choice = &choice{}
	for i, each := range o.objects("Choices", true) {
		at := fmt.Sprintf("Choices[%d]/", i)
		c.speak(each)
		r := topRule{leaving: c.leaving(each, at), next: c.states[each.target("Next", true)]}
		if c.jsonata {
			r.rule = c.condition(each, at)
			each.done()
		} else {
			r.rule = c.rule(each, true)
		}
		s.choice.rules = append(s.choice.rules, r)
	}
	s.choice.fallback = c.states[o.target("Default", false)]
	s.leaving = c.leaving(o, "")
}

func (c *compiler) wait(s *state, o *fields) {
	s.next = c.next(o)
	s.wait = &wait{}
	if o.atMostOne("Seconds", "SecondsPath", "Timestamp", "TimestampPath") == 0 {
		c.problem(o.ptr, "one of Seconds, SecondsPath, Timestamp, TimestampPath is required")
	}
	s.wait.secondsQuery, s.wait.timeQuery = c.queryOf(o, "Seconds"), c.queryOf(o, "Timestamp")
	if o.has("Seconds") && s.wait.secondsQuery == nil {
		n := o.integer("Seconds", 0, maxSeconds, 0)
		s.wait.seconds = &n
	}
	if o.has("Timestamp") && s.wait.timeQuery == nil {
		t, ok := parseTimestamp(o.text("Timestamp"))
		if !ok {
			o.problem("Timestamp", timestampOperand.want())
		}
		s.wait.timestamp = &t
	}
	s.wait.secondsAt = o.reference("SecondsPath", false)
	s.wait.timeAt = o.reference("TimestampPath", false)
	s.leaving = c.leaving(o, "")
}

func (c *compiler) fail(s *state, o *fields) {
	s.fail = &fail{err: c.failText(o, "Error"), cause: c.failText(o, "Cause")}
}

func (c *compiler) failText(o *fields, name string) failText {
	o.atMostOne(name, name+"Path")
	return failText{fixed: text{o.text(name), o.has(name)}, query: c.queryOf(o, name), at: o.dynamic(name + "Path")}
}
