package flow

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// Of a sweep.
const (
	// namePeriod is how long a name stays taken, from the end of its execution, whenever the journal was deleted: as on Step Functions.
	namePeriod = 90 * 24 * time.Hour

	sweepReads = 2_000       // entries that a page looks through: some milliseconds
	sweepDue   = 100         // executions that it deletes something of
	sweepPause = time.Second // between two pages: a million entries, of a hundred thousand executions, are looked at in ten minutes. Where much is due: as long as the page took
	sweepEvery = time.Hour   // from the end of one walk to the next
)

// Swept says what a page of a sweep did.
type Swept struct {
	Looked    int64 // at so many executions
	Forgotten int64 // journals deleted
	Freed     int64 // names
}

// Sweep deletes what is kept no longer (Options.Keep) of up to a hundred executions beyond the name after, and returns where to go on, "" at the end: the
// journals of those that ended so long ago, and the heads of those whose names are free again. It looks at the heads as List does, with
// no index, and commits as ForgetJournal does, a bounded batch at a time. It touches no open execution. What a crash leaves of a journal goes
// with the next walk. Run does it by itself; more than one engine may.
func (e *Engine) Sweep(ctx context.Context, after string) (done Swept, next string, err error) {
	if e.o.Keep <= 0 {
		return Swept{}, "", nil
	}
	due, next, done, err := e.due(ctx, after)
	if err != nil {
		return done, after, err
	}
	for _, name := range due {
		err := e.sweep(ctx, name, &done)
		switch {
		case err == nil || fault.Is(err, fault.OrderState): // it was redriven meanwhile
		case ctx.Err() != nil || fault.Retryable(err):
			return done, after, err
		default: // one execution must not keep all others
			e.o.Log.LogAttrs(ctx, slog.LevelError, "flow: cannot delete an execution", slog.String("execution", name), slog.Any("error", err))
		}
	}
	return done, next, nil
}

// sweep deletes what is kept no longer of one execution, if that is so still.
func (e *Engine) sweep(ctx context.Context, name string, done *Swept) error {
	marked, err := e.forgetJournal(ctx, name, func(s Stored) bool { return e.now().Sub(s.Ended) >= e.o.Keep })
	if err != nil {
		return err
	}
	if marked {
		done.Forgotten++
	}
	freed := false
	err = e.o.Store.Update(ctx, func(tx *store.Tx) error {
		freed = false
		head, err := tx.Get(headKey(name))
		if err != nil || head == nil || !head.Bool(attrForgotten) || !e.isFree(storedOf(name, head), e.now()) {
			return err
		}
		freed = true
		tx.Delete(headKey(name))
		return nil
	})
	if err == nil && freed {
		done.Freed++
	}
	return err
}

// due looks through a page for executions of which something is to be deleted. One that is forgotten and has a journal was being deleted when the
// process died.
func (e *Engine) due(ctx context.Context, after string) (due []string, next string, done Swept, err error) {
	from, read, now := "", 0, e.now()
	if after != "" {
		from = after + "\x01" // the least partition behind it: names have no such byte
	}
	forgotten := "" // the execution whose journal should be gone
	err = e.o.Dump.DumpTable(ctx, Table, from, func(en store.Entry) error {
		s, head := Decode(en)
		switch {
		case !head && forgotten != "" && en.Key.PK == forgotten:
			due, forgotten = append(due, forgotten), ""
			return nil
		case read >= sweepReads || len(due) >= sweepDue:
			if next = after; !head {
				next = en.Key.PK // the rest of it is no head
			}
			return errPageFull
		}
		read, after = read+1, en.Key.PK
		if !head {
			return nil
		}
		done.Looked++
		forgotten = ""
		switch {
		case s.Open || now.Sub(s.Ended) < e.o.Keep:
		case !en.Item.Bool(attrForgotten) || e.isFree(s, now):
			due = append(due, s.Name)
		default:
			forgotten = s.Name
		}
		return nil
	})
	if errors.Is(err, errPageFull) {
		err = nil
	}
	return due, next, done, err
}

// isFree reports whether the name of an execution may be used again.
func (e *Engine) isFree(s Stored, now time.Time) bool {
	return now.Sub(s.Ended) >= max(e.o.Keep, namePeriod)
}

// keepSweeping walks through all executions, a page at a time, again and again until ctx ends.
func (e *Engine) keepSweeping(ctx context.Context) {
	timer := time.NewTimer(sweepPause)
	defer timer.Stop()
	var whole Swept
	for after, tries := "", 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		began := e.o.Now()
		done, next, err := e.Sweep(ctx, after)
		whole = Swept{whole.Looked + done.Looked, whole.Forgotten + done.Forgotten, whole.Freed + done.Freed}
		after = next
		switch {
		case err != nil: // from the same place: what is done is done
			if ctx.Err() == nil {
				e.o.Log.LogAttrs(ctx, levelOf(err), "flow: cannot sweep yet", slog.Any("error", err))
			}
			timer.Reset(sweepPause + backoff(tries, e.o.Seed()))
			tries++
		case next != "":
			tries = 0
			pause := sweepPause
			if done.Forgotten+done.Freed > 0 { // else what ends faster than this would never be caught up with
				pause = min(max(e.o.Now().Sub(began), 0), sweepPause)
			}
			timer.Reset(pause)
		default:
			e.o.Log.LogAttrs(ctx, slog.LevelInfo, "flow: swept", slog.Int64("executions", whole.Looked),
				slog.Int64("journals", whole.Forgotten), slog.Int64("names", whole.Freed))
			tries, whole = 0, Swept{}
			timer.Reset(sweepEvery)
		}
	}
}
