package simworld

import (
	"context"
	"time"

	"github.com/utkarsh698/cloudflow/internal/payment"
	"github.com/utkarsh698/cloudflow/internal/provider"
)

// An Outage is a time in which the provider is not well. Where several meet the first one rules.
type Outage struct {
	At, For time.Duration  // since the world began
	On, Off time.Duration  // it flaps: is on for On, off for Off, and so on; 0: on all the time
	Fault   provider.Fault // what is wrong with it
	Late    time.Duration  // what it has done is answered so much later, to the operation of Fault.Only alone
}

// on reports whether the outage is on, that long after the world began.
func (o Outage) on(since time.Duration) bool {
	since -= o.At
	if since < 0 || since >= o.For {
		return false
	}
	return o.On == 0 || since%(o.On+o.Off) < o.On
}

// outage is the one that is on; the zero Outage if none is.
func (w *World) outage() Outage {
	for _, o := range w.config.Outages {
		if o.on(time.Since(w.began)) {
			return o
		}
	}
	return Outage{}
}

// A faultyGateway is the provider as the process sees it: each call to it is a point, and meets the outage that is on when it arrives.
type faultyGateway struct {
	payment.Gateway
	w *World
}

// call makes one call: do carries it out.
func (g *faultyGateway) call(ctx context.Context, op string, do func(context.Context) error) error {
	return g.w.plan.at(ctx, "provider "+op, func(ctx context.Context) error {
		o := g.w.outage()
		if o.Fault.Only != "" && o.Fault.Only != op {
			o = Outage{}
		}
		if sim, ok := g.Gateway.(*provider.Simulator); ok {
			if err := sim.SetFault(o.Fault); err != nil {
				g.w.violate("an outage that cannot be: %v", err)
			}
		}
		err := do(ctx)
		if err != nil && o.For > 0 {
			g.w.note("outage failed a " + op)
		}
		if err == nil && o.Late > 0 {
			if err = g.w.sleep(ctx, o.Late); err != nil {
				g.w.note("answered too late to a " + op)
			}
		}
		return err
	})
}

// Open has the provider open the intent.
func (g *faultyGateway) Open(ctx context.Context, in payment.Intent) (id string, err error) {
	err = g.call(ctx, "open", func(ctx context.Context) error {
		id, err = g.Gateway.Open(ctx, in)
		return err
	})
	return id, err
}

// Capture has it move the money.
func (g *faultyGateway) Capture(ctx context.Context, intentID string) (r payment.Receipt, err error) {
	err = g.call(ctx, "capture", func(ctx context.Context) error {
		r, err = g.Gateway.Capture(ctx, intentID)
		return err
	})
	return r, err
}

// Cancel has it end the intent.
func (g *faultyGateway) Cancel(ctx context.Context, intentID string) (c payment.Cancellation, err error) {
	err = g.call(ctx, "cancel", func(ctx context.Context) error {
		c, err = g.Gateway.Cancel(ctx, intentID)
		return err
	})
	return c, err
}

// Refund has it give the money back.
func (g *faultyGateway) Refund(ctx context.Context, intentID string) (r payment.Receipt, err error) {
	err = g.call(ctx, "refund", func(ctx context.Context) error {
		r, err = g.Gateway.Refund(ctx, intentID)
		return err
	})
	return r, err
}
