// Package engine runs state machines of the Amazon States Language in a program of your own, durably: their tasks are Go functions,
// and an execution that has begun comes to its end, whatever crashes in between. No server and no network: a directory is all.
//
//	s, err := engine.Open("./data")
//	e, err := engine.New(engine.Options{Store: s, Definition: machine, Tasks: map[string]engine.Task{"charge": charge, "ship": ship}})
//	go e.Run(ctx)
//	_, err = e.Start(ctx, "order-7", input)
//
// It is the door to CloudFlow's engine and names what such a program needs; the methods are documented where they are made, in the packages that
// the names lead to. What the engine promises, and what a task has to bear, is in Engine's package: a task is called at least once for each attempt, and
// what its Effect stages takes place exactly once, for it is committed together with the entry in the execution's journal.
//
// examples/embed is a whole program.
package engine

import (
	"github.com/utkarsh698/cloudflow/internal/aslrun"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/flow"
	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/pebblestore"
)

// The engine. Run it, Start executions, look at them (Head, Describe, List), Stop and Redrive them, answer tasks that were handed out
// (SendTaskSuccess, SendTaskFailure, SendTaskHeartbeat).
type (
	Engine    = flow.Engine
	Options   = flow.Options
	Stored    = flow.Stored    // an execution in short: Start and Head return it
	Execution = flow.Execution // and with its history: Describe
	Ended     = flow.Ended     // what OnFailed and OnEnded are told
	HandedOut = flow.HandedOut // a task that waits for who has its token
)

// A Task is a function that makes one attempt at a task. It returns its result, or what is to be committed with it.
type (
	Task    = flow.Task
	Call    = flow.Call
	Effect  = store.Effect
	Failure = flow.Failure // an error that the machine sees with this name and cause
)

// What an Effect's Stage works on: keys and items, read and written in one transaction.
type (
	Tx    = store.Tx
	Key   = store.Key
	Item  = store.Item
	Attr  = store.Attr
	Cond  = store.Cond
	Delta = store.Delta
	Query = store.Query
)

// The attributes of an item, the conditions on it, and what adds to it.
var (
	String = store.S
	Int    = store.N
	Bytes  = store.B
	Bool   = store.Bool

	Exists  = store.Exists
	Absent  = store.Absent
	Equal   = store.Equal
	AtLeast = store.AtLeast
	Below   = store.Below

	Inc  = store.Inc  // moves a number
	Take = store.Take // moves a number down, never below zero
)

// RedrivePeriod is Step Functions' time for a redrive, from the end of an execution: for Options.RedriveWithin.
const RedrivePeriod = flow.RedrivePeriod

// Store is a data directory: the executions, and whatever your tasks keep. One process has it open at a time.
type Store = pebblestore.Store

// Open opens a data directory, and makes it if there is none. Close it when Run has returned. Whatever was answered is on the disk.
func Open(dir string) (*Store, error) { return pebblestore.Open(dir, pebblestore.Options{}) }

// New makes an engine of a store and a machine. A machine may speak JSONPath or JSONata.
func New(o Options) (*Engine, error) {
	if o.Parse == nil {
		o.Parse = aslrun.Parse
	}
	return flow.New(o)
}

// IsNotFound reports whether an error says that there is no such execution.
func IsNotFound(err error) bool { return fault.Is(err, fault.NotFound) }
