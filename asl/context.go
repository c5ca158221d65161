package asl

import (
	"encoding/json"
	"maps"
	"strconv"
)

// context is the context object ($$) as the state in sc sees it, and a bound of its size. It is built when a path asks
// for it: most states never do.
func (x *Execution) context(sc *scope) (any, int) {
	if x.outer == nil {
		x.outer = x.unchanging()
	}
	if x.outerSize == 0 {
		x.outerSize = sizeOf(x.outer, 2*maxPayload)
	}
	if sc.context == nil {
		s := map[string]any{"Name": sc.state.name, "EnteredTime": formatTimestamp(sc.enteredAt)}
		if sc.state.hasResult() {
			s["RetryCount"] = json.Number(strconv.Itoa(sc.attempt))
		}
		sc.context = maps.Clone(x.outer)
		sc.context["State"] = s
		if home := sc.home(); home != nil {
			sc.context["Execution"] = home.execution(sc.context["Execution"])
		}
		if sc.item != nil {
			sc.context["Map"] = map[string]any{"Item": sc.item.object()}
		}
		if sc.state.task != nil && sc.state.task.callback {
			sc.context["Task"] = map[string]any{"Token": sc.token}
		}
	}
	const ofState = len(`,"State":{"EnteredTime":"2006-01-02T15:04:05.000Z","Name":,"RetryCount":99999999}`)
	size := x.outerSize + ofState + stringSize(sc.state.name)
	if home := sc.home(); home != nil {
		size += home.begunSize
	}
	if sc.item != nil {
		size += sc.item.size + len(`,"Map":{"Item":{"Index":99999999,"Key":,"Value":}}`)
	}
	if sc.state.task != nil && sc.state.task.callback {
		size += len(`,"Task":{"Token":}`) + stringSize(sc.token)
	}
	return sc.context, size
}

// unchanging is what of the context object is the same until the execution is redriven.
func (x *Execution) unchanging() map[string]any {
	outer := x.start.Context
	if outer == nil {
		outer = map[string]any{
			"Execution": map[string]any{
				"Id": x.start.ID, "Name": x.start.Name, "RoleArn": x.start.RoleARN, "Input": x.start.Input,
				"StartTime": formatTimestamp(x.start.Time), "RedriveCount": json.Number("0"),
			},
			"StateMachine": map[string]any{"Id": x.start.MachineID, "Name": x.start.Machine},
		}
	}
	execution, ok := outer["Execution"].(map[string]any)
	if x.redrives == 0 || !ok {
		return outer
	}
	outer, execution = maps.Clone(outer), maps.Clone(execution)
	execution["RedriveCount"], execution["RedriveTime"] = json.Number(strconv.Itoa(x.redrives)), formatTimestamp(x.redriven)
	outer["Execution"] = execution
	return outer
}

// execution is $$.Execution as an iteration of a distributed Map sees it: its own input in place of that of the whole.
func (sc *scope) execution(whole any) any {
	m, ok := whole.(map[string]any)
	if !ok {
		return whole
	}
	m = maps.Clone(m)
	m["Input"] = sc.begun
	return m
}
