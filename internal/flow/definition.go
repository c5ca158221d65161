package flow

import (
	"context"
	"maps"
	"slices"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// A definition is a machine that executions run.
type definition struct {
	name     string
	text     []byte
	machine  *asl.Machine
	handsOut bool // it has a task that is handed out
}

// define reads a definition. Its errors are fault.Internal: the program is wired wrongly.
func define(name string, text []byte, parse func([]byte) (*asl.Machine, error)) (*definition, error) {
	if n := len(text); n > store.MaxItemBytes-1000 {
		return nil, fault.New(fault.Internal, "flow: the definition of %s does not fit into one item: %d bytes", name, n)
	}
	m, err := parse(text)
	if err != nil {
		return nil, fault.Wrap(fault.Internal, err, "flow: the definition of %s", name)
	}
	d := &definition{name: name, text: text, machine: m}
	eachTask(m, func(s asl.StateInfo) { d.handsOut = d.handsOut || asl.IsCallback(s.Resource) })
	return d, nil
}

// definitions are the engine's own, and those of the children by name.
func (e *Engine) definitions() []*definition {
	all := []*definition{e.own}
	for _, name := range slices.Sorted(maps.Keys(e.children)) {
		all = append(all, e.children[name])
	}
	return all
}

func (e *Engine) missingTasks() (missing []string) {
	for _, d := range e.definitions() {
		eachTask(d.machine, func(s asl.StateInfo) {
			if !e.does(s.Resource) {
				missing = append(missing, s.Resource+" (state "+s.Name+")")
			}
		})
	}
	return missing
}

// eachTask visits the Task states of a machine, wherever they are.
func eachTask(m *asl.Machine, visit func(asl.StateInfo)) {
	var look func(states []string)
	look = func(states []string) {
		for _, name := range states {
			s, _ := m.State(name)
			if s.Type == "Task" {
				visit(s)
			}
			for _, inside := range s.Flows {
				look(inside)
			}
		}
	}
	look(m.States())
}

// machine returns the machine of that hash: the current one, or an older one from the store.
func (e *Engine) machine(ctx context.Context, hash string) (*asl.Machine, error) {
	if hash == e.own.machine.Hash() {
		return e.own.machine, nil
	}
	e.mu.Lock()
	m := e.machines[hash]
	e.mu.Unlock()
	if m != nil {
		return m, nil
	}
	it, err := e.o.Store.Get(ctx, definitionKey(hash), store.Strong)
	if err != nil {
		return nil, err
	}
	if it == nil {
		return nil, fault.New(fault.Internal, "flow: the definition %s is not in the store", hash)
	}
	m, err = e.o.Parse(it.Bytes("definition"))
	if err != nil {
		return nil, fault.Wrap(fault.Internal, err, "flow: the definition %s", hash)
	}
	e.mu.Lock()
	e.machines[hash] = m
	e.mu.Unlock()
	return m, nil
}

func (d *definition) stage(tx *store.Tx) {
	tx.Put(definitionKey(d.machine.Hash()), store.Item{store.B("definition", d.text)})
}

func (e *Engine) storeDefinitions(ctx context.Context) error {
	if e.stored.Load() {
		return nil
	}
	for _, d := range e.definitions() {
		err := e.o.Store.Update(ctx, func(tx *store.Tx) error {
			d.stage(tx)
			return nil
		})
		if err != nil {
			return err
		}
	}
	e.stored.Store(true)
	return nil
}
