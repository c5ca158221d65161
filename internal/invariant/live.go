package invariant

import (
	"context"
	"slices"
	"time"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/bus"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/provider"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// Live holds the invariants against a shop of which no snapshot can be had, and which may be taking orders: by a Walk, and by what its engine and its queue say.
//
// What it reports was so each time it looked, up to three times: what was of two moments only goes with the second look. It promises to find what a
// check of a dump finds, of what a Walk reaches and with these exceptions:
//
//   - An order whose saga is open, or that changed while it was read, is not asked how its hold and its money stand (Report.Open). Its log and its places in the lists
//     are judged while its saga is open, if it did not change.
//   - A product is not held against its holds while such an order has a line of it, or when its stock moved (Report.MovedProducts): what is on sale at all hours is
//     compared on a quiet one. That its pieces add up is always asked.
//   - An execution is only missed while its order waits for it: one that ended is gone from Step Functions after 90 days. What a sweeper would still
//     start, close or hand to a person is left to it for five minutes.
//   - A notification is not missed while messages wait, which cannot be listed, nor for five minutes after the order's end (Report.MayWait).
//   - A caller's counter is not held against its open orders while one of these comes or goes.
//   - Where the provider's book cannot be read, our own rows are believed.
//
// It changes nothing. Dead letters cannot be looked at without being hidden from others for a moment, so they are only looked at where a notification is
// missed.
type Live struct {
	Ours     store.Store
	Provider store.Store // the simulated provider's book; nil: there is none to be read
	Sagas    Sagas
	Messages Messages
	Now      func() time.Time
	Pause    time.Duration  // before it looks again, so that a commit that was under way is over
	Orders   func(read int) // is told how many orders the walk has read, from the beginning each time it looks; nil: nobody is
}

// Sagas are the executions, where they are not in the store.
type Sagas interface {
	// Names lists the executions of a status, up to limit at a time, from the token's place on; "" begins, and is next at the end.
	Names(ctx context.Context, status asl.Status, token string, limit int) (names []string, next string, err error)
	// Status says how an execution stands, and since when it has ended: fault.NotFound.
	Status(ctx context.Context, execution string) (status asl.Status, ended time.Time, err error)
}

// Messages are the notifications that are not delivered yet. Counts may lag behind by a minute.
type Messages interface {
	CountWaiting(ctx context.Context) (int64, error)
	CountDead(ctx context.Context) (int64, error)
	// List lists the dead ones, as bus.DeadLetters has it; it may end before all are listed.
	List(ctx context.Context, cursor string, limit int) (letters []bus.DeadLetter, next string, err error)
}

const (
	maxLooks = 3
	// settle is what is left to those whose work it is: the sweeper comes once a minute to orders that are a minute old, a failed execution is told of
	// within seconds, SQS's counts are right after a minute.
	settle = 5 * time.Minute
	// perList is how many names are asked for at a time.
	perList = 1000
)

// Check looks, and looks again at what it found broken.
func (l Live) Check(ctx context.Context) (Report, error) {
	type suspect struct{ rule, subject string }
	var suspects map[suspect]bool
	for look := 1; ; look++ {
		r, err := l.look(ctx)
		if err != nil {
			return Report{}, err
		}
		if look > 1 {
			r.Violations = slices.DeleteFunc(r.Violations, func(v Violation) bool { return !suspects[suspect{v.Rule, v.Subject}] })
		}
		if len(r.Violations) == 0 || look == maxLooks {
			return r, nil
		}
		suspects = map[suspect]bool{}
		for _, v := range r.Violations {
			suspects[suspect{v.Rule, v.Subject}] = true
		}
		pause := time.NewTimer(l.Pause)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return Report{}, ctx.Err()
		}
	}
}

// look reads everything once and judges it.
func (l Live) look(ctx context.Context) (Report, error) {
	begun := l.Now()
	s := New()
	s.walked = &walked{absent: map[string]bool{}, bookless: l.Provider == nil}
	running, err := l.running(ctx)
	if err != nil {
		return Report{}, err
	}
	w := Walk{Ours: l.Ours, Provider: l.Provider, Each: s.take, Orders: l.Orders, Begun: begun}
	for _, name := range running {
		w.Also = append(w.Also, order.OfExecution(name))
	}
	if s.walked.Moved, err = w.Run(ctx); err != nil {
		return Report{}, err
	}
	if err := l.executions(ctx, s, running, begun); err != nil {
		return Report{}, err
	}
	if err := l.messages(ctx, s); err != nil {
		return Report{}, err
	}
	return s.Check(begun, false), nil
}

// running are the names of the executions that are open.
func (l Live) running(ctx context.Context) (all []string, err error) {
	for token := ""; ; {
		names, next, err := l.Sagas.Names(ctx, asl.StatusRunning, token, perList)
		if err != nil {
			return nil, err
		}
		all = append(all, names...)
		if next == "" {
			return all, nil
		}
		token = next
	}
}

// executions says of the snapshot's orders which have an open execution. It asks for those of the orders that wait for one, and for those that are
// listed as open and nobody waits for: the list lags behind.
func (l Live) executions(ctx context.Context, s *Snapshot, running []string, begun time.Time) error {
	asked := map[string]bool{}
	for _, name := range running {
		if o := s.orders[order.OfExecution(name)]; o != nil && o.execution == name {
			s.runs(name)
		} else {
			asked[name] = true
		}
	}
	for id, o := range s.orders {
		switch {
		case !s.waits(o) || s.running[o.execution]:
		case begun.Sub(o.state.UpdatedAt) < settle:
			s.walked.Orders[id] = true
		default:
			asked[o.execution] = true
		}
	}
	type answer struct {
		name   string
		status asl.Status
		ended  time.Time
	}
	return inTurn(ctx, sortedKeys(asked), func(ctx context.Context, name string) (answer, error) {
		status, ended, err := l.Sagas.Status(ctx, name)
		if fault.Is(err, fault.NotFound) {
			return answer{name: name}, nil
		}
		return answer{name, status, ended}, err
	}, func(a answer) error {
		switch {
		case a.status == "":
			s.walked.absent[a.name] = true
		case a.status == asl.StatusRunning:
			s.runs(a.name)
		case begun.Sub(a.ended) < settle:
			s.walked.Orders[order.OfExecution(a.name)] = true
		}
		return nil
	})
}

// messages says of the snapshot which notifications are dead letters, and whether others may wait. Where all are delivered nobody is asked: a look at dead letters
// hides them.
func (l Live) messages(ctx context.Context, s *Snapshot) error {
	if !s.undelivered() {
		return nil
	}
	waiting, err := l.Messages.CountWaiting(ctx)
	if err != nil {
		return err
	}
	dead, err := l.Messages.CountDead(ctx)
	if err != nil {
		return err
	}
	if dead > 0 {
		for cursor := ""; ; {
			letters, next, err := l.Messages.List(ctx, cursor, bus.MaxListed)
			if err != nil {
				return err
			}
			for _, letter := range letters {
				s.dead[letter.ID] = true
			}
			if next == "" {
				break
			}
			cursor = next
		}
	}
	s.walked.waiting = waiting > 0 || int64(len(s.dead)) < dead
	return nil
}

// A walked is what has to be known of a snapshot that was read by a walk, whose items are of many moments.
type walked struct {
	Moved
	absent   map[string]bool // executions that were asked for, and do not exist
	waiting  bool            // there are messages that nobody has listed
	bookless bool            // nothing was read of the provider's book
}

// take takes an entry of a walk, ours or the provider's.
func (s *Snapshot) take(e store.Entry) error {
	if e.Key.Table == provider.Table {
		return s.AddProvider(e)
	}
	return s.Add(e)
}

// runs notes an open execution. Its engine needs no index to find it again.
func (s *Snapshot) runs(name string) {
	s.executions[name], s.running[name], s.indexed[name] = true, true, true
	s.open[order.OfExecution(name)] = true
}

// waits reports whether something is to come for the order from its current execution.
func (s *Snapshot) waits(o *orderFacts) bool {
	return o.version != 0 && !o.needsReview && !s.moved(o.id) && (!o.terminal || s.places[place{openList, o.id}])
}

// undelivered reports whether there is an order at rest of whose notification no record says that it was delivered.
func (s *Snapshot) undelivered() bool {
	for id, o := range s.orders {
		if o.terminal && !o.needsReview && !s.unsettled(id) && !s.notified[o.message()] {
			return true
		}
	}
	return false
}

func (s *Snapshot) bookless() bool { return s.walked != nil && s.walked.bookless }

// moved reports whether the order's items may be of several moments.
func (s *Snapshot) moved(orderID string) bool { return s.walked != nil && s.walked.Orders[orderID] }

// unsettled reports whether the order's hold and its money may be of another moment than its log.
func (s *Snapshot) unsettled(orderID string) bool {
	return s.moved(orderID) || s.walked != nil && s.open[orderID]
}

func (s *Snapshot) holderMoved(caller string) bool {
	return s.walked != nil && s.walked.Holders[caller]
}

// movedProducts are those whose counters may be of another moment than the holds.
func (s *Snapshot) movedProducts() map[string]bool {
	if s.walked == nil {
		return nil
	}
	moved := map[string]bool{}
	for id := range s.walked.Products {
		moved[id] = true
	}
	for id, o := range s.orders {
		if !s.unsettled(id) {
			continue
		}
		for _, lines := range []map[string]int64{o.lines, s.holds[id].lines} {
			for product := range lines {
				moved[product] = true
			}
		}
	}
	return moved
}

// exists reports whether an execution exists. Of those that are elsewhere it is only known of whom was asked for.
func (s *Snapshot) exists(execution string) bool {
	if s.walked != nil {
		return !s.walked.absent[execution]
	}
	return s.executions[execution]
}

// mayWait reports whether the order's notification may be a message that nobody has listed.
func (s *Snapshot) mayWait(o *orderFacts, now time.Time) bool {
	return s.walked != nil && (s.walked.waiting || now.Sub(o.state.UpdatedAt) < settle)
}
