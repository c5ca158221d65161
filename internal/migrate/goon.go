package migrate

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/bus"
	"github.com/utkarsh698/cloudflow/internal/bus/storebus"
	"github.com/utkarsh698/cloudflow/internal/flow"
	"github.com/utkarsh698/cloudflow/internal/inventory"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/saga"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// A resume is how an order goes on that has not come to its end: its execution is started, or it goes on waiting for a person.
type resume struct {
	start   order.Start
	goesOn  bool // at start.Resume; else it begins as it began here
	review  bool
	failure order.Kept // of an order in review
}

// plan says how each order goes on that stands in a list that somebody acts on.
func (s *survey) plan(ctx context.Context, source Source) ([]resume, error) {
	all := make([]resume, 0, len(s.rows))
	for _, id := range slices.Sorted(maps.Keys(s.rows)) {
		f, known := s.orders[id]
		if !known {
			return nil, fmt.Errorf("%w: %s is listed as open, and is not there", ErrSource, id)
		}
		x, err := source.Describe(ctx, order.ExecutionName(id, f.redrives))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", id, err)
		}
		r := resume{review: f.review}
		if r.start, err = source.StartOf(ctx, id, f.redrives); err != nil {
			return nil, fmt.Errorf("%s: %w", id, err)
		}
		at, tasks, err := standing(x)
		switch {
		case err != nil:
			return nil, fmt.Errorf("%s: %w", id, err)
		case f.review: // where it stands at no task, a resume goes on there all the same, and fails as it would here
			r.failure = order.Kept{Failure: at, Started: x.Started, Ended: x.Ended}
		case tasks > 1 && !saga.Resumable(at.State): // a state of a machine of the shop's own, which the target does not run
			return nil, fmt.Errorf("%w: %s stands at %s, which is no state of the saga that the target runs", ErrSource, id, at.State)
		case tasks > 1 || x.Status != asl.StatusRunning && saga.Resumable(at.State):
			r.goesOn, r.start.Resume = true, &at
		case x.Status != asl.StatusRunning:
			return nil, fmt.Errorf("%w: %s is open, and its execution %s at %q, where none can go on", ErrSource, id, x.Status, x.State)
		} // else it begins as it began here: it is at its first task, or not there yet
		all = append(all, r)
	}
	return all, nil
}

// standing is where an execution stands, as what a resume goes on from: the task that it is at or, where it is at none, the last one that it was at. A
// repeated task knows itself. tasks is to how many it has come.
func standing(x flow.Execution) (at order.Failure, tasks int, err error) {
	at = order.Failure{Status: string(x.Status), State: x.State, Error: x.Error, Cause: x.Cause}
	input := x.StateInput
	for _, h := range slices.Backward(x.History) {
		if h.Type != "TaskStateEntered" {
			continue
		}
		if tasks++; tasks == 1 && !saga.Resumable(at.State) {
			at.State, input = h.State, h.Input
		}
	}
	if _, object := input.(map[string]any); !object && tasks > 0 { // said now, and not when half of the orders are started
		return at, tasks, fmt.Errorf("%w: the input of %s at %s is no object", ErrSource, x.Name, at.State)
	}
	at.Input, err = json.Marshal(input)
	return at, tasks, err
}

// goOn lets the shop go on at the target. The rows of active holds come before the first start: a saga that ends its hold takes its row away, and one that came
// later would stay for ever.
func (m *migration) goOn(ctx context.Context) error {
	err := m.carry(ctx, pass{
		name: "aging", label: "list holds", total: m.aging, to: m.Target.Store, batch: m.batch / 2, // each reads its hold, too
		each: func(ctx context.Context, from string, fn func(store.Entry) error) error {
			return m.Source.Ours.DumpTable(ctx, inventory.ReservationsTable, from, func(e store.Entry) error {
				if _, ok := inventory.ActiveHold(e.Key); !ok {
					return nil
				}
				return fn(e)
			})
		},
		stage: inventory.StageAging,
	})
	if err != nil {
		return fmt.Errorf("the rows of active holds: %w", err)
	}
	if err := m.send(ctx); err != nil {
		return fmt.Errorf("messages: %w", err)
	}
	return m.startAll(ctx)
}

// send sends what waits in the queue, and its dead letters. Each message is noted once it was sent.
func (m *migration) send(ctx context.Context) error {
	g, of := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	done := 0
	err := m.Source.Ours.DumpTable(of, storebus.Table, "", func(e store.Entry) error {
		message, ok := storebus.Decode(e)
		if !ok {
			return nil
		}
		done++
		m.Progress(Step{"send messages", done, m.waiting + m.dead})
		note := noteKey("sent#" + e.Key.PK + "#" + e.Key.SK)
		g.Go(func() error {
			if sent, err := m.noted(of, note); err != nil || sent {
				return err
			}
			err := m.try(of, func() error {
				if message.Place == storebus.Dead {
					return m.Target.SendDead(of, bus.DeadLetter{ID: message.ID, Body: message.Body, SentAt: message.SentAt})
				}
				return m.Target.Send(of, message.ID, message.Body)
			})
			if err != nil {
				return err
			}
			return m.put(of, note, store.Item{})
		})
		return of.Err()
	})
	if sending := g.Wait(); sending != nil {
		return sending
	}
	return err
}

func (m *migration) noted(ctx context.Context, note store.Key) (bool, error) {
	it, err := m.Target.Store.Get(ctx, note, store.Strong)
	return it != nil, err
}

// startAll lets each open order go on.
func (m *migration) startAll(ctx context.Context) error {
	g, of := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	var mu sync.Mutex
	for i, r := range m.resumes {
		if of.Err() != nil {
			break
		}
		m.Progress(Step{"start executions", i + 1, len(m.resumes)})
		g.Go(func() error {
			started, err := m.resume(of, r)
			if err != nil {
				return fmt.Errorf("%s: %w", r.start.OrderID, err)
			}
			mu.Lock()
			defer mu.Unlock()
			if started {
				m.started++
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

// resume starts the order's execution and lists the order then, so that the sweeper finds it running. The rows come with their note, once: the saga may
// have taken them away since, and given the holder's place back. If it has ended before its row came, the sweeper finds that, and closes it.
func (m *migration) resume(ctx context.Context, r resume) (started bool, err error) {
	id := r.start.OrderID
	note := noteKey("order#" + id)
	if there, err := m.noted(ctx, note); err != nil || there {
		return false, err
	}
	if !r.review {
		if err := m.try(ctx, func() error { return m.Target.Start(ctx, r.start) }); err != nil {
			return false, err
		}
	}
	err = m.try(ctx, func() error {
		return m.Target.Store.Update(ctx, func(tx *store.Tx) error {
			tx.Put(note, store.Item{}, store.Absent())
			for _, row := range m.rows[id] {
				tx.Put(row.Key, row.Item)
			}
			if r.review {
				order.StageFailure(tx, id, r.start.Execution, r.failure)
			}
			return nil
		})
	})
	if refusal := store.RefusalOf(err); refusal != nil && refusal.Key == note {
		err = nil // the note was written, and its reply lost
	}
	return err == nil && !r.review, err
}
