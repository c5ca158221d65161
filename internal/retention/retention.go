// Package retention deletes what has been kept long enough: clients' idempotency keys whose time is over, the journals of
// executions that ended long ago, and orders after seven years, with everything that belongs to them.
//
//	keys        client# records whose time is over and whose order, if they made one, is terminal
//	executions  journals and inputs of the sagas of past orders; that they ran, and how they ended, stays
//	orders      the log, head, contact and lists; hold, payment, notification record, executions and key of a past order
//
// It promises: only an order that is past is touched (terminal, its saga at its end, no person asked to look at it), by the time in its
// id; the books agree at every commit. What a deleted hold sold stays sold, as the product's archived counter. An order is deleted in several
// commits under a mark of its own (Deleting), the last of which takes the mark and the rest of the order: a crash leaves the mark, and the
// next run goes on from it. The payment provider's ledger belongs to somebody else and stays; DeletedBefore says up to when a capture of an
// unknown order is no stranger.
//
// It refuses nothing but waits for what is not past: such orders are noted and looked at again by each run. It never holds up orders: it works in
// small commits, and rests after each page for as long as the page took.
package retention

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/flow"
	"github.com/utkarsh698/cloudflow/internal/idempotency"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// How long things are kept.
const (
	// KeepOrders is how long an order is kept, with its events and all that belongs to it: seven years, as tax law asks for.
	KeepOrders = 7 * 365 * 24 * time.Hour
	// DefaultKeepExecutions is how long Step Functions keeps the history of an execution that has ended
	// (https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html).
	DefaultKeepExecutions = 90 * 24 * time.Hour
)

// The pace and the bounds.
const (
	every = time.Hour // between two runs of Loop
	// page is how many orders or records are looked at before a rest.
	page = 100
	// maxCount bounds a dry run: what is over beyond it is "at least" so many.
	maxCount = 100_000
	// minRest is a rest after a page that took no time at all.
	minRest = 5 * time.Millisecond
)

// Config of a Service. All of it is required but KeepExecutions, Rest and Log.
type Config struct {
	Store  store.Store
	Dump   store.Dumper // of the same store
	Engine *flow.Engine
	Now    func() time.Time

	KeepExecutions time.Duration                              // 0: DefaultKeepExecutions
	Rest           func(ctx context.Context, d time.Duration) // lets a pause pass; nil: a timer
	Log            *slog.Logger
}

// A Service deletes what is over. One run is made at a time.
type Service struct {
	c       Config
	running chan struct{} // holds one while a run is made
}

// New returns a Service. Nothing runs before Run or Loop.
func New(c Config) *Service {
	if c.KeepExecutions <= 0 {
		c.KeepExecutions = DefaultKeepExecutions
	}
	if c.Rest == nil {
		c.Rest = rest
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.Log = c.Log.With("service", "retention")
	return &Service{c: c, running: make(chan struct{}, 1)}
}

func rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// A Report counts what is over, or what was deleted.
type Report struct {
	Keys       int64 // clients' idempotency keys
	Executions int64 // whose journals
	Orders     int64
	Waiting    int64 // orders whose time is over, and which are not past: they wait for a person or for their saga
	More       bool  // of a dry run: a count ended at its bound
}

// Loop makes a run each hour until ctx ends. A run that fails is logged and made again an hour later.
func (s *Service) Loop(ctx context.Context) error {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if _, err := s.Run(ctx); err != nil && ctx.Err() == nil && !fault.Is(err, fault.Unavailable) {
			s.c.Log.ErrorContext(ctx, "Retention failed", "error", err.Error())
		}
	}
}

// Run deletes what is over, and returns what it has deleted also if it fails half way. fault.Unavailable: a run is under way. It may be
// ended at any time: the next one goes on.
func (s *Service) Run(ctx context.Context) (r Report, err error) {
	select {
	case s.running <- struct{}{}:
		defer func() { <-s.running }()
	default:
		return Report{}, fault.New(fault.Unavailable, "A run is under way. One is made at a time.").With("retry_after_seconds", 10)
	}
	now := s.c.Now()
	steps := []func(context.Context, time.Time, *Report) error{s.finishDeletions, s.deleteKeys, s.deleteOrders, s.forgetExecutions}
	for _, step := range steps {
		r.Waiting = 0 // those that wait to be deleted wait for their executions' sake as well: the last step counts them
		if err := step(ctx, now, &r); err != nil {
			return r, err
		}
	}
	if r.Keys+r.Executions+r.Orders > 0 {
		s.c.Log.InfoContext(ctx, "Deleted what was kept long enough", "keys", r.Keys, "executions", r.Executions, "orders", r.Orders, "waiting", r.Waiting)
	}
	return r, nil
}

// Look counts what a run would delete, and deletes nothing.
func (s *Service) Look(ctx context.Context) (r Report, err error) {
	now := s.c.Now()
	err = s.c.Dump.DumpTable(ctx, idempotency.Table, "", func(e store.Entry) error {
		if r.Keys == maxCount {
			return errEnough
		}
		if !idempotency.Over(e, now) {
			return nil
		}
		kept, err := order.KeepKey(s.get(ctx))(idempotency.Decode(e.Item))
		if err == nil && !kept {
			r.Keys++
		}
		return err
	})
	switch {
	case errors.Is(err, errEnough):
		r.More = true
	case err != nil:
		return r, err
	}
	if err := s.count(ctx, ordersWalk, now.Add(-KeepOrders), &r, func(order.State) { r.Orders++ }); err != nil {
		return r, err
	}
	r.Waiting = 0 // as in Run
	return r, s.count(ctx, executionsWalk, now.Add(-s.c.KeepExecutions), &r, func(st order.State) { r.Executions += st.Redrives + 1 })
}

// count calls over for each order that the walk would be done with, and counts the others.
func (s *Service) count(ctx context.Context, walk string, cutoff time.Time, r *Report, over func(order.State)) error {
	n := 0
	one := func(head store.Item) error {
		if n++; n > maxCount {
			r.More = true
			return errEnough
		}
		st, err := order.DecodeHead(head)
		switch {
		case err != nil:
			return err
		case st.Terminal() && !st.NeedsReview:
			over(st)
		default:
			r.Waiting++
		}
		return nil
	}
	left, err := s.c.Store.Range(ctx, store.Query{Table: Table, PK: leftPrefix + walk})
	if err != nil {
		return err
	}
	for _, row := range left {
		head, err := s.c.Store.Get(ctx, order.HeadKey(row.Key.SK), store.Strong)
		if err != nil {
			return err
		}
		if head == nil {
			continue
		}
		if err := one(head); err != nil {
			return err
		}
	}
	at, err := s.passed(ctx, walk)
	if err != nil {
		return err
	}
	return s.heads(ctx, at, cutoff, func(_ string, head store.Item) error { return one(head) })
}

// paced calls work for each page until it says that there is no more, and rests after each for as long as it took.
func (s *Service) paced(ctx context.Context, work func() (more bool, err error)) error {
	for {
		began := time.Now()
		more, err := work()
		if err != nil || !more {
			return err
		}
		if s.c.Rest(ctx, max(minRest, time.Since(began))); ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// errEnough ends a dump.
var errEnough = errors.New("enough")

// heads calls fn for the head of each order behind the id whose id was made before the cutoff, in the order of their creation. fn's
// errEnough ends it without an error.
func (s *Service) heads(ctx context.Context, after string, cutoff time.Time, fn func(id string, head store.Item) error) error {
	from := order.IDPrefix
	if after != "" {
		from = after + "\x01" // the least partition behind it
	}
	err := s.c.Dump.DumpTable(ctx, order.Table, from, func(e store.Entry) error {
		switch {
		case !order.IsOrders(e.Key) || !order.MadeAt(e.Key.PK).Before(cutoff):
			return errEnough
		case !order.IsHead(e.Key):
			return nil
		}
		return fn(e.Key.PK, e.Item)
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}
