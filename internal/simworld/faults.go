package simworld

import (
	"context"
	"fmt"
	"time"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/notification"
	"github.com/utkarsh698/cloudflow/internal/payment"
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
)

// Faults are all that can go wrong at a point.
var Faults = []Fault{CrashBefore, CrashAfter, ReplyLost, Refused, Duplicate}

func (f Fault) String() string {
	return [...]string{"none", "crash before", "crash after", "reply lost", "not done", "duplicate"}[f]
}

// crash is the panic of a process that dies. It runs through every recover of the code under test.
type crash struct{ point string }

// SimulatedCrash marks the panic for flow, which recovers all others.
func (crash) SimulatedCrash() {}

// A plan says which fault happens at which point. Points are counted from 1 over the world's whole life, restarts included.
type plan struct {
	faults map[int]Fault
	points int // so far
	fired  int
	trace  func(format string, args ...any)
	again  func() // delivers an earlier task once more
	inside bool   // of such a delivery: it has no faults of its own

	duplicated bool // there was such a delivery
}

// at is called at each point, with what is to happen there.
func (p *plan) at(point string, do func() error) error {
	if p.inside {
		return do()
	}
	p.points++
	f := p.faults[p.points]
	if f != None {
		p.fired++
		p.trace("point %d, %s: %s", p.points, point, f)
	}
	switch f {
	case CrashBefore:
		panic(crash{point})
	case Refused:
		return fault.New(fault.Transient, "simulated: %s was not done", point)
	case Duplicate:
		p.inside, p.duplicated = true, true
		p.again()
		p.inside = false
	case None, CrashAfter, ReplyLost:
	}
	err := do()
	switch {
	case f == CrashAfter:
		panic(crash{point})
	case f == ReplyLost && err == nil:
		return fault.New(fault.Transient, "simulated: the reply to %s was lost", point)
	}
	return err
}

// A faultyStore is our store as the process sees it: its commits are points.
type faultyStore struct {
	store.Store
	plan   *plan
	commit func() // after each commit
}

func (s *faultyStore) Update(ctx context.Context, fn func(*store.Tx) error) error {
	writes := ""
	err := s.plan.at("commit", func() error {
		err := s.Store.Update(ctx, func(tx *store.Tx) error {
			if err := fn(tx); err != nil {
				return err
			}
			writes = describe(tx)
			return nil
		})
		if err == nil {
			s.plan.trace("commit %s", writes)
			s.commit()
		}
		return err
	})
	return err
}

func describe(tx *store.Tx) string {
	text := ""
	for _, op := range tx.Ops() {
		text += fmt.Sprintf("%c%s ", "PDCA"[op.Kind], op.Key)
	}
	return text
}

// A faultyGateway is the provider as the process sees it: each call to it is a point.
type faultyGateway struct {
	payment.Gateway
	plan *plan
}

func (g *faultyGateway) Open(ctx context.Context, in payment.Intent) (id string, err error) {
	err = g.plan.at("provider open", func() error {
		id, err = g.Gateway.Open(ctx, in)
		return err
	})
	return id, err
}

func (g *faultyGateway) Capture(ctx context.Context, intentID string) (r payment.Receipt, err error) {
	err = g.plan.at("provider capture", func() error {
		r, err = g.Gateway.Capture(ctx, intentID)
		return err
	})
	return r, err
}

func (g *faultyGateway) Cancel(ctx context.Context, intentID string) (c payment.Cancellation, err error) {
	err = g.plan.at("provider cancel", func() error {
		c, err = g.Gateway.Cancel(ctx, intentID)
		return err
	})
	return c, err
}

func (g *faultyGateway) Refund(ctx context.Context, intentID string) (r payment.Receipt, err error) {
	err = g.plan.at("provider refund", func() error {
		r, err = g.Gateway.Refund(ctx, intentID)
		return err
	})
	return r, err
}

// A mailbox is the relay that notifications are sent to: it counts what arrives, and each send is a point.
type mailbox struct {
	plan *plan
	sent map[string]int // by Message-ID
}

// Name is the sender's, as the record of a notification has it.
func (m *mailbox) Name() string { return "mailbox" }

// Send takes the e-mail over.
func (m *mailbox) Send(_ context.Context, e notification.Email) error {
	return m.plan.at("send", func() error {
		m.sent[e.MessageID]++
		return nil
	})
}

// sleep is how the provider waits. Where the answer and the caller's deadline fall on the same instant a select would toss a coin
// that no seed decides; here the deadline wins.
func sleep(ctx context.Context, d time.Duration) error {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= d {
		<-ctx.Done()
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// pause waits on the world's clock, which jumps there: nothing else is running.
func pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	<-timer.C
}
