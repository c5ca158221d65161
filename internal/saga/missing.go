package saga

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/utkarsh698/cloudflow/asl"
)

// Missing says which tasks of a machine this program cannot do, one text for each state, in the order of the names; none: it can do all. It
// looks at the Resource and at the name of the task in the Parameters (or Arguments), in branches and iterations too. A name that is only
// known when the state runs passes, and so does a task that waits for an answer from outside (.waitForTaskToken). The machine is one that asl has parsed.
func Missing(definition []byte, r Resources) ([]string, error) {
	var m flow
	if err := json.Unmarshal(definition, &m); err != nil {
		return nil, fmt.Errorf("saga: %w", err)
	}
	l := lookup{resources: r, table: NewTable(nil, nil, nil, nil)} // for its names
	l.flow(m)
	return l.missing, nil
}

// flow is what of a machine, or of a branch of it, is looked at.
type flow struct {
	States map[string]struct {
		Type, Resource          string
		Parameters, Arguments   json.RawMessage
		Branches                []flow
		Iterator, ItemProcessor *flow
	}
}

type lookup struct {
	resources Resources
	table     Table
	missing   []string
}

func (l *lookup) flow(f flow) {
	for _, name := range slices.Sorted(maps.Keys(f.States)) {
		s := f.States[name]
		if s.Type == "Task" {
			if text := l.task(s.Resource, s.Parameters, s.Arguments); text != "" {
				l.missing = append(l.missing, text+" (state "+name+")")
			}
		}
		for _, b := range s.Branches {
			l.flow(b)
		}
		for _, inner := range []*flow{s.Iterator, s.ItemProcessor} {
			if inner != nil {
				l.flow(*inner)
			}
		}
	}
}

// task says what is missing for a task; "": nothing.
func (l *lookup) task(resource string, parameters ...json.RawMessage) string {
	r := l.resources
	if asl.IsCallback(resource) { // nobody here does it: it is listed, and answered over the API
		return ""
	}
	if !slices.Contains([]string{r.Inventory, r.Order, r.Payment}, resource) {
		return "resource " + resource
	}
	for _, text := range parameters {
		var given struct {
			Task *string `json:"task"`
			Late any     `json:"task.$"`
		}
		if text == nil {
			continue
		}
		if json.Unmarshal(text, &given) != nil || given.Late != nil { // one text that makes all, or a name of another type: it is known when it runs
			return ""
		}
		switch {
		case given.Task == nil:
			return "the name of a task in its Parameters"
		case len(*given.Task) > 1 && (*given.Task)[0] == '{': // a JSONata expression
			return ""
		case l.table[*given.Task] == nil:
			return "task " + *given.Task
		}
		return ""
	}
	return "Parameters that name a task"
}
