// Package limit keeps one caller from taking what belongs to all: token buckets for the pace of calls, and a listener
// that bounds the connections. And it keeps all of them together from giving more than can be done: a gate before new work. The numbers and
// their reasons stand in httpapi's limits.go.
//
// It promises: a caller who keeps to its pace is never refused by its own bucket; memory is bounded, whoever calls; nobody can free
// itself, or another, by making the buckets forget; no bound of the gate is passed, however many come at once. It refuses at once and holds
// nobody in a queue.
//
// It keeps nothing: after a restart every bucket is full, and the gate goes by what there is to do then.
package limit

import (
	"hash/maphash"
	"math"
	"slices"
	"sync"
	"time"
)

// A Rate is what a bucket lets through. The zero value is no limit.
type Rate struct {
	PerSecond int // tokens that come back a second
	Burst     int // tokens of a full bucket: calls that may come at once
}

// MaxCallers is how many callers a Buckets remembers one by one, in each of its two generations: 65,536 of 16 bytes are under 3 MiB a
// generation. Those beyond share.
const MaxCallers = 1 << 16

// overflow is in how many cells the callers beyond MaxCallers share. A full table means that tens of thousands of addresses call within
// seconds, which is an attack; by then sharing a bucket with one in a thousand of them is better than having none.
const overflow = 1 << 10

// Buckets is a token bucket for each caller. It is safe for concurrent use.
//
// A bucket is one number, the moment at which it will be full again (the generic cell rate algorithm, ITU-T I.371): a call moves it on by
// a token's time and is refused if it would then lie further ahead than a whole bucket's time. A bucket that is full is the same as one
// that was never there, so it can be forgotten without freeing anyone: buckets live in two generations, which change
// places when a whole bucket's time has passed; whatever the older one still holds has not been touched for that long, and is full. So
// nobody is ever evicted to make room for another. When there is no room a caller that is not remembered gets a cell that it shares with
// others, chosen by a hash whose seed nobody outside knows.
type Buckets[K comparable] struct {
	token time.Duration // that one token takes to come back
	whole time.Duration // that a whole bucket takes
	now   func() time.Time
	seed  maphash.Seed
	max   int

	mu      sync.Mutex
	turned  time.Duration // since epoch: when the generations last changed places
	epoch   time.Time
	current map[uint64]time.Duration // by the caller's hash: when its bucket will be full, since epoch
	older   map[uint64]time.Duration
	shared  []time.Duration
}

// NewBuckets returns the buckets of a rate; nil, which lets everything through, if the rate is no limit.
func NewBuckets[K comparable](r Rate, now func() time.Time) *Buckets[K] {
	if r.PerSecond <= 0 {
		return nil
	}
	token := time.Second / time.Duration(r.PerSecond)
	return &Buckets[K]{
		token: token, whole: token * time.Duration(max(r.Burst, 1)), now: now, seed: maphash.MakeSeed(), max: MaxCallers,
		epoch: now(), current: map[uint64]time.Duration{},
	}
}

// Take takes a token of the caller's. If there is none it says how long until there is one.
func (b *Buckets[K]) Take(caller K) (ok bool, wait time.Duration) {
	if b == nil {
		return true, 0
	}
	// 64 bits of a seeded hash: that two of 65,536 callers share one is less likely than one in four billion, and a subject of any length
	// costs eight bytes.
	h := maphash.Comparable(b.seed, caller)
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now().Sub(b.epoch)
	if now-b.turned >= b.whole {
		b.turn(now)
	}
	full, known := b.current[h]
	if !known {
		full = b.older[h]
		if b.shared != nil { // it may have spent there
			full = max(full, b.shared[h%overflow])
		}
	}
	full = max(full, now) + b.token
	if over := full - now - b.whole; over > 0 {
		return false, over
	}
	switch {
	case known || len(b.current) < b.max:
		b.current[h] = full
	default:
		if b.shared == nil {
			b.shared = make([]time.Duration, overflow)
		}
		b.shared[h%overflow] = full
	}
	return true, 0
}

// turn makes the current generation the older one. If two whole buckets' times have passed, the current one is full too.
func (b *Buckets[K]) turn(now time.Duration) {
	if b.older = b.current; now-b.turned >= 2*b.whole {
		b.older = nil
	}
	b.turned = now
	b.current = map[uint64]time.Duration{} // a new one: an attack that has passed must not leave its memory behind
	if !slices.ContainsFunc(b.shared, func(full time.Duration) bool { return full > now }) {
		b.shared = nil
	}
}

// Seconds is a wait as Retry-After says it: whole, and not too short.
func Seconds(wait time.Duration) int64 { return max(1, int64(math.Ceil(wait.Seconds()))) }
