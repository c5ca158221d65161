package asl

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"
)

// Machine is a compiled definition. It is immutable and safe for concurrent use; any number of executions share it.
type Machine struct {
	definition any // as it was decoded

	hash    string
	flow    *flow
	states  map[string]*state // of all flows: a name stands for one state in the whole machine
	timeout time.Duration     // of the whole execution; 0: none
}

// flow is a set of states with a start: the machine's own, that of each branch and each Map's processor.
type flow struct {
	start   *state
	states  map[string]*state
	order   []string // as reached from the start
	reached map[string]bool
}

// kind is a state's Type.
type kind string

const (
	kindTask     kind = "Task"
	kindChoice   kind = "Choice"
	kindPass     kind = "Pass"
	kindWait     kind = "Wait"
	kindSucceed  kind = "Succeed"
	kindFail     kind = "Fail"
	kindParallel kind = "Parallel"
	kindMap      kind = "Map"
)

// state is one compiled state. What only one type has stands behind that type's pointer.
type state struct {
	name string
	kind kind
	next *state // nil: the flow ends here

	jsonata bool
	leaving leaving // what the state says of its end; a Choice rule and a Catcher have their own

	inputPath  selection
	outputPath selection
	parameters expr // or Arguments; nil: the input as it is
	selector   expr // ResultSelector; nil: the result as it is
	resultPath placement
	retry      []retrier
	catch      []catcher

	task        *task
	credentials expr    // nil: none
	branches    []*flow // Parallel
	mapping     *mapping
	choice      *choice
	wait        *wait
	pass        *pass
	fail        *fail
}

// selection is InputPath or OutputPath: absent (the whole), null (an empty object) or a path.
type selection struct {
	none bool
	path *path // nil: the whole
}

// placement is ResultPath: absent or "$" (the result alone), null (the input alone) or a path.
type placement struct {
	discard bool
	path    *path // nil: the result alone
}

type task struct {
	resource  string
	short     string // how AWS names the resource in DataLimitExceeded
	prefix    string // of its history events: Task, LambdaFunction or Activity
	timeout   seconds
	heartbeat seconds
	callback  bool // .waitForTaskToken or .sync: it has a token
	job       bool // .sync: it is answered when it is done, by whoever does it
}

// seconds is a duration given in seconds, or the path to one. Zero: none.
type seconds struct {
	fixed time.Duration
	field string
	path  *path
	query *query
}

type pass struct {
	hasResult bool
	result    constant
}

type wait struct {
	seconds   *int64
	timestamp *time.Time
	secondsAt *path
	timeAt    *path

	secondsQuery, timeQuery *query
}

type fail struct{ err, cause failText }

// failText is Error or Cause: a constant, a JSONata expression, or what ErrorPath or CausePath says.
type failText struct {
	fixed text
	query *query
	at    dynamic
}

// text is a string that may be absent: the history of AWS tells the two apart.
type text struct {
	s     string
	given bool
}

// Problem is one thing wrong with a definition.
type Problem struct {
	Pointer string `json:"pointer"` // a JSON pointer such as /States/X/Next, "/" for the definition as a whole, as AWS writes it
	Code    string `json:"code"`    // one of those below
	Message string `json:"message"` // one line
}

// The codes of problems, as AWS's ValidateStateMachineDefinition has them.
const (
	SchemaValidationFailed  = "SCHEMA_VALIDATION_FAILED"  // a field is missing, not known here, or has a value that it cannot have
	InvalidJSONDescription  = "INVALID_JSON_DESCRIPTION"  // the text is not JSON
	MissingTransitionTarget = "MISSING_TRANSITION_TARGET" // a field goes to a state that is not there, or no field goes to a state that is

	InvalidJSONata        = "INVALID_JSONATA_EXPRESSION"     // the expression cannot be parsed
	UnsupportedJSONata    = "UNSUPPORTED_JSONATA_EXPRESSION" // it reads what is not there where it stands
	DuplicateVariableName = "DUPLICATE_VARIABLE_NAME"        // Assign sets a variable that a scope around sets
)

// InvalidError refuses a definition with all its problems.
type InvalidError struct{ Problems []Problem }

func (e *InvalidError) Error() string {
	var b strings.Builder
	b.WriteString("asl: invalid definition: ")
	for i, p := range e.Problems {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(p.Pointer + ": " + p.Message)
	}
	return b.String()
}

// Parse compiles a definition: no path, no template and no expression is parsed again after it. The error is an
// *InvalidError with all problems. A definition that speaks JSONata is refused by name without WithEvaluator.
func Parse(definition []byte, options ...Option) (*Machine, error) {
	m, problems := compile(definition, options)
	if len(problems) > 0 {
		return nil, &InvalidError{problems}
	}
	sum := sha256.Sum256(definition)
	m.hash = hex.EncodeToString(sum[:])
	return m, nil
}

// Validate returns all problems of a definition at once, none if Parse accepts it.
func Validate(definition []byte, options ...Option) []Problem {
	_, problems := compile(definition, options)
	return problems
}

// Hash is the hex SHA-256 of the definition's bytes. An execution must go on with the definition it started with.
func (m *Machine) Hash() string { return m.hash }

// Definition is the definition as compact JSON, with the members of each object by name: Parse makes the same machine of it.
func (m *Machine) Definition() []byte { return AppendJSON(nil, m.definition) }

// States are the names of the states, the start first, the others as they are reached from it. What is within a Parallel or a Map state is not
// among them: State tells of that.
func (m *Machine) States() []string { return append([]string(nil), m.flow.order...) }

// StateInfo describes a state to whoever draws the machine.
type StateInfo struct {
	Name     string
	Type     string
	Resource string     // Task
	Next     []string   // where it goes when all is well: Next, or each choice and the Default
	Catch    []string   // where its catchers go
	End      bool       // the execution ends with it, or the branch or iteration
	Flows    [][]string // Parallel and Map: the states of each branch, or of the iterations, as Machine.States has the machine's
}

// State describes the named state, wherever in the machine it is; ok is false if there is none.
func (m *Machine) State(name string) (info StateInfo, ok bool) {
	s := m.states[name]
	if s == nil {
		return StateInfo{}, false
	}
	info = StateInfo{Name: s.name, Type: string(s.kind), Next: s.targets(), End: s.terminal()}
	if s.task != nil {
		info.Resource = s.task.resource
	}
	info.Catch = s.catchTargets()
	for _, f := range s.flows() {
		info.Flows = append(info.Flows, append([]string(nil), f.order...))
	}
	return info, true
}

func (s *state) targets() (names []string) {
	switch {
	case s.next != nil:
		names = append(names, s.next.name)
	case s.choice != nil:
		for _, r := range s.choice.rules {
			names = appendOnce(names, r.next)
		}
		names = appendOnce(names, s.choice.fallback)
	}
	return names
}

func (s *state) catchTargets() (names []string) {
	for _, c := range s.catch {
		names = appendOnce(names, c.next)
	}
	return names
}

// flows are the flows that a Parallel or a Map state is made of.
func (s *state) flows() []*flow {
	if s.mapping != nil {
		return []*flow{s.mapping.processor}
	}
	return s.branches
}

func (s *state) terminal() bool { return s.next == nil && s.kind != kindChoice }

func appendOnce(names []string, s *state) []string {
	if s == nil {
		return names
	}
	for _, name := range names {
		if name == s.name {
			return names
		}
	}
	return append(names, s.name)
}
