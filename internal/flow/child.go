package flow

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// A task that starts another execution needs no function: the engine does it, of the machines in Options.Children
// (https://docs.aws.amazon.com/step-functions/latest/dg/connect-stepfunctions.html). The child's start is in the commit that says so in its parent's
// journal, so that there is one child for each attempt, whatever crashes.
//
// With .sync the parent then waits as for a callback. The child's head names its parent and the command that waits for it. When the child has ended its
// parent is told, and reads the child's journal for its answer; one that was not told, because the process died, looks at its children when
// its own journal is read. When the task is closed by something else, a timeout or the failure of a branch beside it, the child is stopped, and
// then the task's row is deleted: a row without a task that is handed out is a child that is still to be stopped.

const (
	startResource = ":states:::states:startExecution"
	attrParent    = "parent"    // of a child's head: the execution that waits for it
	attrParentID  = "parent_id" // and the command that does
	attrDepth     = "depth"     // how many parents it has above it
	maxDepth      = 32          // a machine that starts itself would go on for ever
	taskFailed    = "States.TaskFailed"
)

// A how says what a task that starts an execution waits for.
type how string

const (
	startsOnly   how = ""                  // the result is that it was started
	waitsForText how = ".sync"             // its end, with the output as a JSON text
	waitsForJSON how = ".sync:2"           // its end, with the output as JSON
	startsAndAsk how = ".waitForTaskToken" // whoever gets the token, as any callback
)

// startsExecution reports how a task of that resource starts an execution.
func startsExecution(resource string) (h how, ok bool) {
	arn, rest, ok := strings.Cut(resource, startResource)
	h = how(rest)
	return h, ok && strings.HasPrefix(arn, "arn:aws") && (h == startsOnly || h == waitsForText || h == waitsForJSON || h == startsAndAsk)
}

// function is what does a task, nil if nothing here does.
func (e *Engine) function(r *run, c asl.Command) Task {
	switch t := e.o.Tasks[c.Resource]; {
	case t != nil:
		return t
	case e.startsChild(c.Resource):
		return func(_ context.Context, call Call) (store.Effect, error) {
			return e.startChild(r, call, c.ID)
		}
	case asl.IsCallback(c.Resource):
		return listed
	}
	return nil
}

// does reports whether there is a function for a resource.
func (e *Engine) does(resource string) bool {
	return e.o.Tasks[resource] != nil || asl.IsCallback(resource) || e.startsChild(resource)
}

// startsChild reports whether the engine itself does the task of that resource.
func (e *Engine) startsChild(resource string) bool {
	if len(e.children) == 0 || e.o.Tasks[resource] != nil {
		return false
	}
	_, ok := startsExecution(resource)
	return ok
}

// awaitsChild reports whether the execution waits for the end of what the task starts.
func (e *Engine) awaitsChild(resource string) bool {
	h, _ := startsExecution(resource)
	return (h == waitsForText || h == waitsForJSON) && e.startsChild(resource)
}

// A childStart is what a task asks StartExecution for.
type childStart struct {
	of    *definition
	name  string
	input any
}

// childOf reads what a task asks for. Its errors are Step Functions'.
func (e *Engine) childOf(c Call) (s childStart, err error) {
	given, _ := c.Input.(map[string]any)
	arn, _ := given["StateMachineArn"].(string)
	if s.of = e.children[arn[strings.LastIndexByte(arn, ':')+1:]]; s.of == nil {
		return s, &Failure{Name: "StepFunctions.StateMachineDoesNotExistException", Cause: "State Machine Does Not Exist: '" + arn + "'"}
	}
	if s.input = given["Input"]; s.input == nil {
		s.input = map[string]any{}
	}
	name, named := given["Name"]
	if !named {
		s.name = childName(c)
		return s, nil
	}
	if s.name, _ = name.(string); checkName(s.name) != nil {
		return s, &Failure{Name: "StepFunctions.InvalidNameException", Cause: "Invalid Name: '" + s.name + "'"}
	}
	return s, nil
}

// childName is the name of a child that was given none: one for each attempt, and the same when that runs again.
func childName(c Call) string {
	sum := sha256.Sum256([]byte(c.Attempt))
	suffix := "-" + hex.EncodeToString(sum[:8])
	return c.Execution[:min(len(c.Execution), maxNameBytes-len(suffix))] + suffix
}

// startChild is the task that starts an execution, for a command of the run.
func (e *Engine) startChild(r *run, c Call, command int64) (store.Effect, error) {
	s, err := e.childOf(c)
	if err != nil {
		return store.Effect{}, err
	}
	depth := r.head.Int(attrDepth)
	if depth >= maxDepth {
		return store.Effect{}, &Failure{Name: "States.Runtime", Cause: "Executions have started one another " + strconv.Itoa(maxDepth) + " deep."}
	}
	return store.Effect{
		Stage: func(tx *store.Tx) (any, error) {
			there, err := tx.Get(headKey(s.name))
			if err != nil {
				return nil, err
			}
			if there != nil {
				return nil, alreadyExists(s.name)
			}
			head, err := e.stageStart(tx, s.of, s.name, s.input)
			if err != nil {
				return nil, err
			}
			head = head.With(store.N(attrDepth, depth+1))
			if e.awaitsChild(c.Resource) {
				head = head.With(store.S(attrParent, c.Execution), store.N(attrParentID, command))
			}
			tx.Put(headKey(s.name), head, store.Absent())
			r.begun = append(r.begun, s.name)
			started, err := startOf(s.name, head)
			return map[string]any{"ExecutionArn": started.ID, "StartDate": milliseconds(head, "started_ms")}, err
		},
		Refused: func(*store.Refusal) error { return alreadyExists(s.name) },
	}, nil
}

func alreadyExists(name string) error {
	return &Failure{Name: "StepFunctions.ExecutionAlreadyExistsException", Cause: "Execution Already Exists: '" + name + "'"}
}

// beginChildren begins what the run's latest commit has started, or may have: to begin what is not there does no harm.
func (e *Engine) beginChildren(r *run) {
	for _, name := range r.begun {
		e.Begin(name)
	}
	r.begun = nil
}

func milliseconds(head store.Item, name string) json.Number {
	return json.Number(strconv.FormatInt(head.Int(name), 10))
}

// childIn is the name of the execution whose end a task waits for, by what its start has returned; "" if it waits for none.
func childIn(c asl.Command, response any) string {
	if h, _ := startsExecution(c.Resource); h != waitsForText && h != waitsForJSON {
		return ""
	}
	m, _ := response.(map[string]any)
	arn, _ := m["ExecutionArn"].(string)
	return arn[strings.LastIndexByte(arn, ':')+1:]
}

// toParent tells who waits for the execution that it has ended, if anybody does.
func (e *Engine) toParent(head store.Item) {
	if parent := head.Str(attrParent); parent != "" {
		e.deliver(parent, answer{id: head.Int(attrParentID), child: true})
	}
}

// endedChildren looks at the children of an execution whose journal was just read, and tells it of those that have ended. The others go on.
func (e *Engine) endedChildren(ctx context.Context, r *run) error {
	for _, id := range slices.Sorted(maps.Keys(r.handed)) {
		h := r.handed[id]
		if h.child == "" {
			continue
		}
		head, err := e.o.Store.Get(ctx, headKey(h.child), store.Strong)
		if err != nil {
			return err
		}
		if head.Str("status") == string(running) {
			e.Begin(h.child) // the reply to its start may have been lost
		} else {
			e.tell(r, answer{id: id, child: true})
		}
	}
	return nil
}

// hearChild makes the answer that the run has of the end of a child, of which it only knows that it has come.
func (e *Engine) hearChild(ctx context.Context, r *run) error {
	told := *r.answer
	r.answer = nil
	c, _ := r.x.Open().Command(told.id)
	a, err := e.childEnded(ctx, r.handed[told.id].child, c)
	if err != nil {
		e.tell(r, told) // it is asked again
		return err
	}
	if a != nil {
		a.id, a.state, a.attempt, a.resource, a.child = c.ID, c.State, attemptName(r.name, c), c.Resource, true
		r.answer = a
	}
	return nil
}

// childEnded makes the answer to a task of the end of the child that it waits for: what DescribeExecution says of that. It is nil if the child
// has not ended.
func (e *Engine) childEnded(ctx context.Context, name string, c asl.Command) (*answer, error) {
	head, err := e.o.Store.Get(ctx, headKey(name), store.Strong)
	if err != nil || head.Str("status") == string(running) {
		return nil, err
	}
	d, err := e.Summary(ctx, name)
	if fault.Is(err, fault.NotFound) {
		return &answer{kind: asl.TaskFailed, name: taskFailed, cause: "The execution " + name + " was deleted."}, nil
	}
	if err != nil {
		return nil, err
	}
	started, err := startOf(name, head)
	if err != nil {
		return nil, fault.Wrap(fault.Internal, err, "flow: the head of %s", name)
	}
	shown := func(v any) any { return string(asl.AppendJSON(nil, v)) }
	if h, _ := startsExecution(c.Resource); h == waitsForJSON {
		shown = func(v any) any { return v }
	}
	included := map[string]any{"Included": true}
	result := map[string]any{
		"ExecutionArn": started.ID, "Name": name, "StateMachineArn": started.MachineID, "Status": string(d.Status),
		"Input": shown(d.Input), "InputDetails": included, "StartDate": milliseconds(head, "started_ms"), "StopDate": milliseconds(head, "ended_ms"),
	}
	if d.Status == succeeded {
		result["Output"], result["OutputDetails"] = shown(d.Output), included
		return &answer{kind: asl.TaskSucceeded, effect: store.Effect{Result: result}}, nil
	}
	if d.Error != "" {
		result["Error"] = d.Error
	}
	if d.Cause != "" {
		result["Cause"] = d.Cause
	}
	cause := asl.AppendJSON(nil, result)
	if len(cause) > MaxCauseBytes { // else a Catch could not read it as JSON
		delete(result, "Input")
		result["InputDetails"] = map[string]any{"Included": false}
		cause = asl.AppendJSON(nil, result)
	}
	return &answer{kind: asl.TaskFailed, name: taskFailed, cause: fault.Clip(string(cause), MaxCauseBytes)}, nil
}

// stopChild ends a child for which nobody waits any more, and reports whether it has ended. Who had no reply asks again, which also wakes a child that is
// stopped and does not know it.
func (e *Engine) stopChild(ctx context.Context, name string) bool {
	_, err := e.Stop(ctx, name, "", "")
	if fault.Retryable(err) {
		_, err = e.Stop(ctx, name, "", "")
	}
	if err != nil && !fault.Is(err, fault.NotFound) {
		e.o.Log.LogAttrs(ctx, slog.LevelWarn, "flow: a child runs on for now", slog.String("execution", name), slog.Any("error", err))
		return false
	}
	return true
}
