package aslrun

import (
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"github.com/utkarsh698/cloudflow/asl"
)

// Where the default ARNs are: the account of AWS's examples.
const (
	stateARN = "arn:aws:states:us-east-1:123456789012:"
	roleARN  = "arn:aws:iam::123456789012:role/"
)

const timestamp = "2006-01-02T15:04:05.000Z"

// start is what the execution begins with: the default context object with the patch upon it.
func (r Run) start() (asl.Start, error) {
	now := r.Now.UTC().Truncate(time.Millisecond)
	execution := map[string]any{
		"Id": stateARN + "execution:" + r.Name + ":" + r.Execution, "Name": r.Execution, "Input": r.Input, "RoleArn": roleARN + r.Name,
		"StartTime": now.Format(timestamp), "RedriveCount": json.Number("0"),
	}
	machine := map[string]any{"Id": stateARN + "stateMachine:" + r.Name, "Name": r.Name}
	outer := map[string]any{"Execution": execution, "StateMachine": machine}
	if r.Context != nil {
		patch, ok := r.Context.(map[string]any)
		if !ok {
			return asl.Start{}, fmt.Errorf("the context is no JSON object")
		}
		for name, v := range patch {
			switch name {
			case "Execution", "StateMachine":
				outer = mergePatch(outer, map[string]any{name: v}).(map[string]any)
			case "State", "Map", "Task": // of a context that was copied whole: the engine sets them
			default:
				return asl.Start{}, fmt.Errorf("the context has a member %q; only Execution and StateMachine can be given", name)
			}
		}
	}
	start := asl.Start{Input: r.Input, Time: now, Context: outer}
	execution, _ = outer["Execution"].(map[string]any)
	machine, _ = outer["StateMachine"].(map[string]any)
	start.ID, start.Name, start.RoleARN = text(execution["Id"]), text(execution["Name"]), text(execution["RoleArn"])
	start.MachineID, start.Machine = text(machine["Id"]), text(machine["Name"])
	if v, given := execution["StartTime"]; given {
		t, err := time.Parse(time.RFC3339Nano, text(v))
		if err != nil {
			return asl.Start{}, fmt.Errorf("the context's Execution.StartTime is no RFC 3339 timestamp: %s", asl.AppendJSON(nil, v))
		}
		start.Time = t
	}
	return start, nil
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

// mergePatch is RFC 7386: members of the patch win, null removes one, and what is no object replaces the whole. Nothing given is changed.
func mergePatch(target, patch any) any {
	p, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	t, ok := target.(map[string]any)
	if !ok {
		t = map[string]any{}
	}
	out := maps.Clone(t)
	for name, v := range p {
		if v == nil {
			delete(out, name)
		} else {
			out[name] = mergePatch(out[name], v)
		}
	}
	return out
}
