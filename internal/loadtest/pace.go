package loadtest

import (
	"context"
	"math"
	"math/rand/v2"
	"sync"
	"time"
)

// kind is what an order is made for.
type kind uint8

const (
	happy kind = iota
	declined
	short
	cancel
)

// A job is one order to be placed.
type job struct {
	n       int // from 0
	kind    kind
	product string
	due     time.Time // zero in a closed loop: when it is started
}

// deck decides the orders: hundred cards that hold the mix exactly, shuffled anew for every hundred. With independent draws a run of some
// hundred orders would have another mix than the one it was asked for, and two runs could not be compared.
type deck struct {
	cards    [100]kind
	rnd      *rand.Rand
	products []string
	short    string
}

func newDeck(c Config) *deck {
	d := &deck{rnd: rand.New(rand.NewPCG(c.Seed, 0)), products: c.Products, short: c.ShortProduct}
	if c.Hot {
		d.products = c.Products[:1]
	}
	cards := d.cards[:0]
	for k, n := range []int{happy: c.Mix.Happy, declined: c.Mix.Declined, short: c.Mix.Short, cancel: c.Mix.Cancel} {
		for range n {
			cards = append(cards, kind(k))
		}
	}
	return d
}

// draw returns the n-th order; it is called with 0, 1, 2, ...
func (d *deck) draw(n int) job {
	at := n % len(d.cards)
	if at == 0 {
		d.rnd.Shuffle(len(d.cards), func(i, j int) { d.cards[i], d.cards[j] = d.cards[j], d.cards[i] })
	}
	j := job{n: n, kind: d.cards[at], product: d.products[d.rnd.IntN(len(d.products))]}
	if j.kind == short {
		j.product = d.short
	}
	return j
}

// A pacer hands the orders to the workers, each when it is due. There is no queue between them: a worker that is free takes the next order
// and waits for its time, so orders that are due while none is free wait in what is not handed out yet, and nothing grows.
type pacer struct {
	now   func() time.Time
	rate  float64 // 0: an order is due when a worker asks for it
	limit int
	begin time.Time
	end   time.Time // when the last order is started

	mu      sync.Mutex
	deck    *deck
	drawn   int
	started int
	over    time.Time // when it was noticed that no more are to be started; zero before
	stopped bool      // because the context had ended
}

// next waits for the next order. It is false when there is none: all are drawn, the time is over, or ctx has ended.
func (p *pacer) next(ctx context.Context) (job, bool) {
	j, ok := p.draw(ctx)
	if !ok {
		return j, false
	}
	if wait := j.due.Sub(p.now()); p.rate > 0 && wait > 0 {
		rest(ctx, wait)
	}
	return j, p.start(ctx)
}

func (p *pacer) draw(ctx context.Context) (job, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.drawn == p.limit || p.ended(ctx) {
		return job{}, false
	}
	j := p.deck.draw(p.drawn)
	if p.rate > 0 {
		j.due = p.begin.Add(time.Duration(math.Round(float64(p.drawn) / p.rate * float64(time.Second))))
	}
	p.drawn++
	return j, true
}

func (p *pacer) start(ctx context.Context) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended(ctx) {
		return false
	}
	p.started++
	return true
}

// ended is called with the lock held.
func (p *pacer) ended(ctx context.Context) bool {
	if now := p.now(); p.over.IsZero() && (ctx.Err() != nil || !now.Before(p.end)) {
		p.over, p.stopped = now, ctx.Err() != nil && p.started < p.limit
	}
	return !p.over.IsZero()
}

// A pace is how far a pacer is.
type pace struct {
	started int
	behind  int  // due, and not started
	over    bool // no order will be started any more
	stopped bool // before all were
}

func (p *pacer) pace(ctx context.Context) pace {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := pace{started: p.started, over: p.ended(ctx) || p.started == p.limit}
	s.stopped = p.stopped
	if p.rate > 0 {
		now := p.now()
		if !p.over.IsZero() {
			now = p.over // what would have been due after it was never asked for
		}
		due := min(p.limit, int(now.Sub(p.begin).Seconds()*p.rate)+1)
		s.behind = max(0, due-p.started)
	}
	return s
}
