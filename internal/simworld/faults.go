package simworld

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/notification"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// A Fault is what happens at one point: a commit of ours, or a call to the provider.
type Fault uint8

// The faults. At a call to the provider CrashAfter and ReplyLost come after the provider has done what was asked.
const (
	None        Fault = iota
	CrashBefore       // the process dies, nothing was written
	CrashAfter        // it is written, then the process dies before anyone is told
	ReplyLost         // it is written, but the caller hears "unknown"
	Refused           // it is not written, and the caller hears "unknown"
	Duplicate         // before it is done, an earlier task of any order is delivered once more and runs to its end
	Stall             // it is on its way for so long that its task is given up, and arrives all the same
	Meddle            // before it is done, somebody outside calls: the next of Config.Visits
)

// Faults are all that can go wrong at a point, whoever is in the world.
var Faults = []Fault{CrashBefore, CrashAfter, ReplyLost, Refused, Duplicate, Stall}

// stallFor is longer than any task's timeout, and ends at an instant of its own.
const stallFor = 45*time.Second + 7*time.Nanosecond

func (f Fault) String() string {
	return [...]string{"none", "crash before", "crash after", "reply lost", "not done", "duplicate", "stall", "meddle"}[f]
}

// crash is the panic of a process that dies. It runs through every recover of the code under test.
type crash struct{ point string }

// SimulatedCrash marks the panic for flow, which recovers all others.
func (crash) SimulatedCrash() {}

// A plan says which fault happens at which point. Points are counted from 1 over the world's whole life, restarts included.
type plan struct {
	faults map[int]Fault
	note   func(what string)
	trace  func(format string, args ...any)
	pause  func(time.Duration)
	turns  *turns
	again  func() // delivers an earlier task once more
	meddle func() // lets the next visitor call

	mu     sync.Mutex // a task that was given up runs on beside the world
	points int        // so far
	fired  int
	inside bool // of a duplicate
	late   bool // some task may have been done after its order had ended
}

// at is called at each point, with what is to happen there.
func (p *plan) at(ctx context.Context, point string, do func(context.Context) error) error {
	p.turns.take()
	defer p.turns.take()
	f := p.next(point)
	switch f {
	case CrashBefore:
		panic(crash{point})
	case Refused:
		return fault.New(fault.Transient, "simulated: %s was not done", point)
	case Duplicate:
		p.again()
	case Meddle:
		p.meddle()
	case Stall:
		p.pause(stallFor)
		ctx = context.WithoutCancel(ctx)
	case None, CrashAfter, ReplyLost:
	}
	err := do(ctx)
	switch {
	case f == CrashAfter:
		panic(crash{point})
	case f == ReplyLost && err == nil:
		return fault.New(fault.Transient, "simulated: the reply to %s was lost", point)
	}
	return err
}

// next counts the point, unless it is one of a duplicate: these have no faults of their own.
func (p *plan) next(point string) Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.inside {
		return None
	}
	p.points++
	f := p.faults[p.points]
	if f == None {
		return None
	}
	p.fired++
	p.late = p.late || f == Duplicate || f == Stall
	p.note(f.String())
	p.trace("point %d, %s: %s", p.points, point, f)
	return f
}

// enter begins or ends the delivery of a duplicate.
func (p *plan) enter(inside bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.inside = inside
}

// A faultyStore is our store as the process sees it: its commits are points, and meet the disk.
type faultyStore struct {
	store.Store
	w *World
}

func (s *faultyStore) Update(ctx context.Context, fn func(*store.Tx) error) error {
	return s.w.plan.at(ctx, "commit", func(ctx context.Context) error {
		answer := s.w.disk.write()
		switch answer {
		case refused:
			return errDiskFull
		case lost:
			panic(crash{"the disk is full"})
		case written, keptByLuck:
		}
		err := s.commit(ctx, fn)
		if answer == keptByLuck {
			panic(crash{"the disk is full"})
		}
		return err
	})
}

func (s *faultyStore) commit(ctx context.Context, fn func(*store.Tx) error) error {
	writes := ""
	err := s.Store.Update(ctx, func(tx *store.Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		writes = describe(tx)
		return nil
	})
	if err == nil {
		s.w.tracef("commit %s", writes)
		s.w.checkCommit()
	}
	return err
}

func describe(tx *store.Tx) string {
	text := ""
	for _, op := range tx.Ops() {
		text += fmt.Sprintf("%c%s ", "PDCA"[op.Kind], op.Key)
	}
	return text
}

// A mailbox is the relay that notifications are sent to: it counts what arrives, and each send is a point.
type mailbox struct {
	plan *plan
	sent map[string]int // by Message-ID
}

// Name is the sender's, as the record of a notification has it.
func (m *mailbox) Name() string { return "mailbox" }

// Send takes the e-mail over.
func (m *mailbox) Send(ctx context.Context, e notification.Email) error {
	return m.plan.at(ctx, "send", func(context.Context) error {
		m.sent[e.MessageID]++
		return nil
	})
}
