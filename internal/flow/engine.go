package flow

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// The limits; doc.go says why each is what it is.
const (
	DefaultWorkers = 512
	DefaultGrace   = 15 * time.Second

	maxNameBytes  = 80        // of an execution's name, as on Step Functions
	maxValueBytes = 256 << 10 // of an execution's input and of a task's result, as on Step Functions
)

// A Call is one attempt at a task.
type Call struct {
	Execution string // its name
	State     string // the Task state
	Resource  string // its Resource, for a function that serves several
	Entered   int64  // the number that its entry has in the execution's history: the same for all attempts
	Retry     int    // how many attempts of this entry came before
	Attempt   string // names this attempt: the same when it is run again after a crash ("<execution>/<command id>.<n>")
	Input     any    // an asl value, after InputPath and Parameters; shared, not to be changed
	// Token is what SendTaskSuccess and its like take for this attempt, if the task's resource ends in .waitForTaskToken: the function hands it
	// out and returns, and what its effect returns is the response in the history, not the task's result.
	Token string
}

// A Task does one attempt up to its last commit, which it returns as a value: flow makes that commit together with the journal
// entry. It is called at least once for each attempt, and its effect takes place at most once.
type Task func(ctx context.Context, c Call) (store.Effect, error)

// Ended tells how an execution ended.
type Ended struct {
	Execution    string
	Machine      string     // the name of the machine that it ran
	Status       asl.Status // SUCCEEDED, FAILED, TIMED_OUT or ABORTED
	Error, Cause string
	State        string // in which it ended
	At           time.Time
}

// Options of an Engine. Store, Definition and Tasks are required.
type Options struct {
	Store      store.Store
	Definition []byte          // what new executions run; stored, so that they go on with it when it has changed
	Tasks      map[string]Task // by Resource; one that ends in .waitForTaskToken needs none: then its tasks are in HandedOut, and nobody is told
	Name       string          // of the machine, as $$.StateMachine.Name shows it; "cloudflow" if empty
	// Children are machines, by name, that tasks of arn:aws:states:::states:startExecution, .sync, .sync:2 or .waitForTaskToken may start, in
	// executions of this engine. The last part of the task's StateMachineArn is the name. Their tasks are among Tasks.
	Children map[string][]byte
	// Region and Account are what the ARNs of $$ have in them, for a machine that makes others of these; "local" and twelve zeros if empty. An
	// execution keeps those, and the name, that it was started with.
	Region, Account string

	Workers int // executions being advanced and tasks being run at once; 0 means DefaultWorkers
	// PerExecution is how many tasks of one execution may run at once; 0 means a quarter of Workers, at least one.
	PerExecution int
	Grace        time.Duration // what tasks in flight get when Run's context ends; 0 means DefaultGrace

	Now  func() time.Time // time.Now if nil; timers are waited for on the runtime's clock
	Seed func() uint64    // chance; safe for concurrent use; math/rand/v2 if nil
	Log  *slog.Logger     // discarded if nil

	// StagedOnly says of a call that its task acts by its Effect's Stage alone: its function reads nothing, waits for nothing and calls
	// nobody. Such a task is run without a timeout, and is committed together with what comes before it wherever that can be. nil: no
	// task is like that.
	StagedOnly func(Call) bool

	// Follow, if not nil, is asked of each execution whose journal is read, to be advanced, whether somebody follows it; nil: nobody does.
	Follow func(start asl.Start) Follower

	// OnFailed stages what must be committed together with an execution's end that is not SUCCEEDED, unless another execution waits for that
	// end. It may run several times and touches nothing but tx. An error leaves the execution open, to be tried again, so it must pass.
	OnFailed func(tx *store.Tx, e Ended) error

	// OnEnded is told of each execution that has ended, once that is durable, and is quick. It is for those who count: a crash, or a commit
	// whose reply was lost, may leave one out.
	OnEnded func(e Ended)

	// RedriveWithin is how long after its end an execution may be redriven, RedrivePeriod as on Step Functions. 0: never. So it is for who resumes a
	// machine in a way of his own, as the orders' saga is: what OnFailed has written must not be overtaken by a second life.
	RedriveWithin time.Duration

	// Keep is how long an execution stays when it has ended. Then Run deletes its journal and its input, and 90 days after the end, or with them if that
	// is later, its head: from then on the name is free. 0: for ever, or until its owner calls ForgetJournal. Dump, the store again, is required with it.
	Keep time.Duration
	Dump store.Dumper

	// Parse compiles a definition, of today or of the store. nil: asl.Parse, which refuses a machine that speaks JSONata.
	Parse func(definition []byte) (*asl.Machine, error)
}

// An Engine runs executions of one machine (and, until they have ended, of the machines that came before it) over one
// store. Its methods are safe for concurrent use, except RunOne. One engine either Runs or is driven by RunOne.
type Engine struct {
	o      Options
	stored atomic.Bool // the definition is known to stand in the store

	draining atomic.Bool
	active   sync.WaitGroup      // workers and the tasks that they have started
	late     atomic.Int64        // tasks that outlived their timeout and have not returned yet
	crashed  atomic.Pointer[any] // a simulated crash of one of them

	recovered bool          // of RunOne
	tookUp    chan struct{} // closed when Run has begun all that was open

	mu       sync.Mutex
	machines map[string]*asl.Machine // by hash, without the current one
	agenda   *agenda
	work     context.Context // of the workers, while Run runs
	workers  int             // that have been started and have not ended
	idle     []*worker       // those of them that wait for a run, the last to come at the end
	kick     chan struct{}   // wakes the timers

	own      *definition
	children map[string]*definition // by name

	callbacks  map[*run][]answer // to tasks that are handed out, not committed yet
	returned   chan struct{}     // closed when Run returns
	chosenSeed bool              // all chance comes from Options.Seed
}

// New checks the options. It neither reads nor writes the store. Its errors are fault.Internal: the program is wired wrongly.
func New(o Options) (*Engine, error) {
	if o.Store == nil {
		return nil, fault.New(fault.Internal, "flow: a store is required")
	}
	if o.Keep > 0 && o.Dump == nil {
		return nil, fault.New(fault.Internal, "flow: who keeps executions for a time needs a dump of the store")
	}
	if o.Parse == nil {
		o.Parse = func(definition []byte) (*asl.Machine, error) { return asl.Parse(definition) }
	}
	if o.Name == "" {
		o.Name = "cloudflow"
	}
	own, err := define(o.Name, o.Definition, o.Parse)
	if err != nil {
		return nil, err
	}
	if o.Region == "" {
		o.Region = localRegion
	}
	if o.Account == "" {
		o.Account = localAccount
	}
	if o.Workers <= 0 {
		o.Workers = DefaultWorkers
	}
	if o.PerExecution <= 0 {
		o.PerExecution = max(o.Workers/4, 1)
	}
	if o.Grace <= 0 {
		o.Grace = DefaultGrace
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	chosenSeed := o.Seed != nil
	if !chosenSeed {
		o.Seed = rand.Uint64
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	e := &Engine{
		o: o, own: own, children: make(map[string]*definition), machines: make(map[string]*asl.Machine), agenda: newAgenda(o.Now),
		callbacks: make(map[*run][]answer), returned: make(chan struct{}), tookUp: make(chan struct{}), chosenSeed: chosenSeed,
	}
	for name, text := range o.Children {
		if e.children[name], err = define(name, text, o.Parse); err != nil {
			return nil, err
		}
	}
	if missing := e.missingTasks(); len(missing) > 0 {
		return nil, fault.New(fault.Internal, "flow: no task for %s", strings.Join(missing, ", "))
	}
	return e, nil
}

// Machine is what new executions run.
func (e *Engine) Machine() *asl.Machine { return e.own.machine }

// Stage stages the start of an execution into the caller's commit: the head and its entry in the index of open executions,
// two operations (three until Run has stored the definition). If an execution of that name exists already the commit is refused;
// what a repeated start means is the caller's business. input is what json.Marshal takes.
//
// fault.BadRequest: no possible name; fault.PayloadTooLarge: an input over 256 KiB.
func (e *Engine) Stage(tx *store.Tx, name string, input any) error {
	if err := checkName(name); err != nil {
		return err
	}
	head, err := e.stageStart(tx, e.own, name, input)
	if err == nil {
		tx.Put(headKey(name), head, store.Absent())
	}
	return err
}

// stageStart stages the start of an execution, but for the head, which it returns.
func (e *Engine) stageStart(tx *store.Tx, of *definition, name string, input any) (head store.Item, err error) {
	_, text, err := encode(input)
	if err != nil {
		return nil, fault.Wrap(fault.BadRequest, err, "flow: the input is no JSON value")
	}
	if len(text) > maxValueBytes {
		return nil, fault.New(fault.PayloadTooLarge, "an execution's input of %d bytes, at most %d", len(text), maxValueBytes)
	}
	if !e.stored.Load() {
		of.stage(tx)
	}
	now := e.now()
	tx.Put(openKey(name), store.Item{store.N("started_ms", now.UnixMilli())})
	return e.newHead(of, text, now, e.o.Seed()), nil
}

// Begin tells the engine that an execution's start was committed. It is cheap and never blocks, and a repeated call does nothing. An
// execution whose Begin was lost is found by the recovery at the next start.
func (e *Engine) Begin(name string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.draining.Load() || !e.agenda.add(name) {
		return
	}
	e.spawn()
}

// Open is the number of open executions that the engine knows.
func (e *Engine) Open() int { return int(e.agenda.gauge.open.Load()) }

// now has the journal's precision, so that a replay sees the same times.
func (e *Engine) now() time.Time { return e.o.Now().UTC().Truncate(time.Millisecond) }

// checkName refuses what Step Functions would refuse, and what would collide with flow's own partitions.
func checkName(name string) error {
	if name == "" || len(name) > maxNameBytes {
		return fault.New(fault.BadRequest, "an execution's name has 1 to %d bytes", maxNameBytes)
	}
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`<>{}[]?*"#%\^|~`+"`$&,;:/", c) >= 0 {
			return fault.New(fault.BadRequest, "an execution's name may not hold %q", c)
		}
	}
	return nil
}
