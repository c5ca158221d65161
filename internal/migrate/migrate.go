// Package migrate takes a shop along that has outgrown one machine: everything that it keeps is copied through the store's port, compared, and then each
// open order's saga goes on where it stands.
//
//	COPYING   all but what somebody acts on, table by table; then every item is read back, and every order looked for by the target's own lists
//	COPIED    the two are the same
//	          the source is marked as left: from here on it takes no orders, and there is no way back
//	STARTING  the rows of active holds, waiting messages, dead letters; then each open order: its execution is started, and its row among the open ones follows
//	DONE
//
// The target is awake meanwhile: its expirer gives back holds whose order it does not find, its sweeper starts what is missing of an open order, the
// reader of its change feed starts what a new order's first event asks for. So what they act on comes last, an open order's row comes after its execution,
// and copied events say that they were brought along.
//
// It promises: nothing is started, sent or released before all is there and was compared, nor before the source is left; an execution is started once for an
// order, at the state in which the source has it; what was interrupted anywhere goes on with the next run, and what was done is not done again, but for a
// message whose note was lost with a crash, which is sent twice as queues do.
//
// It refuses: a target that has other orders (ErrTaken), a source that has changed since the first run (ErrChanged), one whose copy is not the same
// (ErrDiffers), tables that it does not know, and to go on where another run, of a copy of the source, has come further. A crash leaves the target as far as it was; the notes in the target say how far that is.
package migrate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/utkarsh698/cloudflow/internal/bus"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/flow"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/pii"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// A Source is the shop that moves. Nothing runs there, and nobody else may write.
type Source struct {
	Ours     store.Dumper
	Provider store.Dumper // the simulated provider's ledger
	Contacts pii.Keys     // under which contacts are sealed; no key is made

	// StartOf is what an order's execution begins with after that many redrives, as order.Service has it.
	StartOf func(ctx context.Context, orderID string, redrives int64) (order.Start, error)
	// Describe says where an execution stands, as flow.Engine does.
	Describe func(ctx context.Context, execution string) (flow.Execution, error)
	Left     bool // an earlier run has marked it as left
	// Leave marks the source as left, durably when it returns nil: it will not be served again. A repeated call does nothing.
	Leave func(ctx context.Context) error
}

// A Target is where the shop moves to.
type Target struct {
	Store    store.Store
	Provider store.Store // the simulated provider's; nil: payments are not simulated there

	Send     func(ctx context.Context, id string, body []byte) error     // into the queue of notifications
	SendDead func(ctx context.Context, letter bus.DeadLetter) error      // among its dead letters
	Start    func(ctx context.Context, s order.Start) error              // once for its name, with what it begins with
	Walk     func(ctx context.Context, fn func(store.Entry) error) error // gives every order's head and events, found by the target's own lists
}

// A Phase is how far a migration has come.
type Phase string

// The phases. "" is none.
const (
	Copying  Phase = "COPYING"
	Copied   Phase = "COPIED"
	Starting Phase = "STARTING"
	Done     Phase = "DONE"
)

var phases = []Phase{Copying, Copied, Starting, Done}

// Kinds of refusals, in the chain of Run's errors.
var (
	ErrTaken   = errors.New("the target has orders that did not come from here")
	ErrChanged = errors.New("the source is not what it was when the migration was begun")
	ErrDiffers = errors.New("the copy is not the same")
	ErrSource  = errors.New("the source cannot be moved as it is")
)

// Config of Run. All of it is required but DryRun, Progress and Rest.
type Config struct {
	Source Source
	Target Target
	DryRun bool // look at both, and write nothing
	Now    func() time.Time

	Progress func(Step)                                 // is told how far the work has come; calls come one at a time
	Rest     func(ctx context.Context, d time.Duration) // lets a pause pass; nil: a timer

	batch int // entries of a transaction, for tests; 0: as many as it takes
}

// A Step is a part of the work under way.
type Step struct {
	Name        string // such as "copy orders"
	Done, Total int    // items
}

// Run migrates, from where an earlier run has stopped, and says what there is and what it did. Its context ends it after the writes that are under way. With
// DryRun it says what would be done, and refuses what would be refused.
func Run(ctx context.Context, c Config) (Report, error) {
	if c.Rest == nil {
		c.Rest = rest
	}
	if c.batch == 0 {
		c.batch = store.MaxOps
	}
	if c.Progress == nil {
		c.Progress = func(Step) {}
	}
	m := &migration{Config: c, began: c.Now().UTC()}
	var err error
	if m.survey, err = look(ctx, c.Source, m.began); err != nil {
		return Report{}, fmt.Errorf("migrate: %w", err)
	}
	err = m.admit(ctx)
	if m.before = m.phase; err == nil && !c.DryRun {
		err = m.run(ctx)
	}
	if err != nil {
		err = fmt.Errorf("migrate: %w", err)
	}
	return m.report(), err
}

// A migration is one run.
type migration struct {
	Config
	survey
	began   time.Time
	before  Phase // when this run began
	phase   Phase
	started int // executions, by this run
}

// run does what is left to do.
func (m *migration) run(ctx context.Context) error {
	if m.phase == "" {
		if err := m.claim(ctx); err != nil {
			return err
		}
	}
	if m.phase == Copying {
		if err := m.copyAll(ctx); err != nil {
			return err
		}
		if err := m.compare(ctx); err != nil {
			return err
		}
		if err := m.enter(ctx, Copied); err != nil {
			return err
		}
	}
	// A copy of the source that was restored from a backup finds the phase beyond this one, and is left as well.
	if err := m.Source.Leave(ctx); err != nil {
		return err
	}
	if m.phase == Copied {
		if err := m.enter(ctx, Starting); err != nil {
			return err
		}
	}
	if m.phase == Done {
		return nil
	}
	if err := m.goOn(ctx); err != nil {
		return err
	}
	return m.enter(ctx, Done)
}

const (
	// atOnce is how many writes are under way at a time: enough to wait for none of them alone, far below what a new table takes.
	atOnce = 8
	// tries and pause are for a store that is busy: some ten seconds together, and then the same command goes on.
	tries = 7
	pause = 100 * time.Millisecond
)

// try repeats what a busy store or queue did not take. All that is tried may be repeated.
func (m *migration) try(ctx context.Context, do func() error) (err error) {
	for n := range tries {
		if err = do(); err == nil || ctx.Err() != nil || !fault.Is(err, fault.Transient) && !fault.Is(err, fault.Throttled) {
			return err
		}
		m.Rest(ctx, pause<<n)
	}
	return err
}

func rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
