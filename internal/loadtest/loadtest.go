package loadtest

import (
	"context"
	"sync"
	"time"
)

// every is how often a run is shown.
const every = 250 * time.Millisecond

// Run makes the load that c says and returns what was measured. It calls observe, if there is one, four times a second and once at the end,
// never twice at a time; an observe that is slow gets fewer snapshots and does not hold up the load.
//
// When ctx ends no more orders are started. Those under way are waited for, up to 5 seconds; what was measured until then is the
// Result, and the error is nil. The error is fault.ValidationFailed if c is not a run to make; nothing was sent then. A server that cannot be
// reached is no error but a Result full of them.
func Run(ctx context.Context, c Config, observe func(Snapshot)) (Result, error) {
	c, err := c.complete()
	if err != nil {
		return Result{}, err
	}
	if observe == nil {
		observe = func(Snapshot) {}
	}
	doer := c.HTTP
	if doer == nil {
		client, closeIdle := newHTTP(c.workers())
		defer closeIdle()
		doer = client
	}
	customer, err := newCustomer(c, doer)
	if err != nil {
		return Result{}, err
	}
	r := &run{Config: c, customer: customer, observe: observe}
	if c.Warmup > 0 {
		r.warmUp(ctx)
	}
	return r.measure(ctx), nil
}

type run struct {
	Config
	customer *customer
	observe  func(Snapshot)
}

// warmUp places orders of the good kind in a closed loop. What comes of them is not looked at: if it is bad, the measurement will say so.
func (r *run) warmUp(ctx context.Context) {
	c := r.Config
	c.Mix = Mix{Happy: 100}
	now := r.Now()
	p := &pacer{now: r.Now, limit: r.Warmup, begin: now, end: now.Add(maxWarmupTime), deck: newDeck(c)}
	r.drive(ctx, p, newRecorder(now), func() { r.show(Snapshot{Phase: WarmingUp, Series: []Point{}}) })
}

func (r *run) measure(ctx context.Context) Result {
	now := r.Now()
	p := &pacer{now: r.Now, rate: r.Rate, limit: r.planned(), begin: now, end: now.Add(r.Duration), deck: newDeck(r.Config)}
	rec := newRecorder(now)
	pace := func() pace { return p.pace(ctx) }
	r.drive(ctx, p, rec, func() { r.show(rec.snapshot(r.Now(), pace)) })
	out := rec.result(r.Now(), pace)
	out.Interrupted = pace().stopped || out.Abandoned > 0
	out.MaxInFlight, out.Mix, out.Products, out.Warmup, out.Seed = r.MaxInFlight, r.Mix, len(r.Products), r.Warmup, r.Seed
	if r.Hot {
		out.Products = 1
	}
	out.Snapshot = r.show(out.Snapshot)
	return out
}

// show completes a snapshot, shows it and returns it.
func (r *run) show(s Snapshot) Snapshot {
	s.Concurrency, s.Rate = r.Concurrency, r.Rate
	r.observe(s)
	return s
}

// drive lets the workers place what the pacer hands out until there is no more, and shows how far they are meanwhile.
func (r *run) drive(ctx context.Context, p *pacer, rec *recorder, show func()) {
	// The orders under way outlive ctx by the grace.
	work, abandon := context.WithCancel(context.WithoutCancel(ctx))
	defer abandon()
	var workers sync.WaitGroup
	for range min(r.workers(), p.limit) {
		workers.Go(func() { r.work(ctx, work, p, rec) })
	}
	finished := make(chan struct{})
	go func() {
		workers.Wait()
		close(finished)
	}()
	tick := time.NewTicker(every)
	defer tick.Stop()
	interrupted := ctx.Done()
	var patience <-chan time.Time
	for {
		select {
		case <-finished:
			return
		case <-tick.C:
			show()
		case <-interrupted:
			interrupted = nil
			patience = time.After(grace)
			show() // and the pacer notices
		case <-patience:
			abandon()
		}
	}
}

// work places one order after the other.
func (r *run) work(ctx, work context.Context, p *pacer, rec *recorder) {
	for {
		j, ok := p.next(ctx)
		if !ok {
			return
		}
		began := j.due
		if began.IsZero() {
			began = r.Now()
		}
		a := r.customer.place(work, j)
		if work.Err() != nil && !a.answered {
			rec.abandon()
			return
		}
		now := r.Now()
		rec.record(a, now.Sub(began), now)
		switch {
		case p.rate > 0: // the next one is due when it is due
		case !a.answered:
			rest(ctx, errorPause)
		case a.away > 0:
			rest(ctx, min(a.away, awayPause))
		}
	}
}

// rest waits for d, or until ctx ends.
func rest(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
