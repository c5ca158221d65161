package httpapi

import (
	"net/http"
	"net/netip"
	"time"

	"github.com/utkarsh698/cloudflow/internal/auth"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/limit"
)

// This file is the one place for what a caller can make the server do, keep and wait for: each number with its reason. The bounds of what
// an order may say are the order service's own (order.MaxLines and those beside it), those of products the inventory's.

// What one request may be.
const (
	// An order of 50 lines is under 8 KiB; the rest is room for long names.
	maxBody = 64 << 10 // bytes
	// An order's body is 3 deep. The parser is recursive: this bounds its stack.
	maxDepth = 16
	// An order of 50 lines has about 200 values. Without a bound 64 KiB of "[[],[],..." would become megabytes.
	maxValues = 1024
	// Cookies of other applications on the same host are what fills headers; ours need under 1 KiB. net/http answers 431 beyond it.
	maxHeaderBytes = 16 << 10
	// A page of a list: 100 products are about 15 KiB.
	defaultLimit, maxLimit = 50, 100
)

// How long one request may take.
const (
	// A header is one packet or two: who needs longer sends it byte by byte to keep the connection.
	readHeaderTimeout = 5 * time.Second
	// 64 KiB even over a bad mobile line, from the connection's first byte.
	readTimeout = 15 * time.Second
	// The longest that a caller can have an order waited for: an outcome takes well under a second or, with a provider in trouble,
	// about ten.
	maxWait = 20 * time.Second
	// From the end of the header to the end of the answer: maxWait, and the commit before and the answer after it. A route that takes
	// longer lifts it for itself (exchange.outlast).
	writeTimeout = maxWait + 15*time.Second
	// A check of a store of very many orders. A caller that has enough hangs up.
	maxVerify = 10 * time.Minute
	// What net/http/pprof takes of a processor's profile if it is not told otherwise: the rest of a longer one says the same.
	maxProfile = 30 * time.Second
	// Longer than the usual 60 s of load balancers, which must be the ones to close: else they send into a connection that just went.
	idleTimeout = 2 * time.Minute
)

// Limits are what callers may do together and over time, as an operator sets it. The rates and the cap on open orders hold where callers
// are told apart: in development mode (Config.Principal is nil) everybody is one caller on loopback, and both are off. All that stands
// above holds always, and so do the bounds of work.
type Limits struct {
	PerKey      limit.Rate // of one principal's calls
	PerAddress  limit.Rate // of one address's calls, the refused ones included
	OpenOrders  int        // of one principal; 0: any number
	Connections int        // open at once; 0: any number

	// Work is how much the engine may have to do before new orders are refused, whoever's: 503 OVERLOADED. The order service asks, not this
	// package, so that a replay comes first.
	Work limit.Bounds
}

// DefaultLimits are sized for the two cores that the README's figures are from, which take about 3,400 orders a second.
var DefaultLimits = Limits{
	// A customer at a keyboard makes a few calls a second, a shop's backend some dozens; 100 are 3 % of the machine, so that thirty
	// callers at their limit still leave each other alone.
	PerKey: RateOf(100),
	// Twice that, since an address may be an office, or a carrier's NAT. It is what guessing credentials costs: refused calls count.
	PerAddress: RateOf(200),
	// An order is open for about a second, so this is more than a principal at its rate has under way; and with 10,000 pieces of 50
	// products to an order it bounds what somebody can hold who makes a provider slow, or never pays.
	OpenOrders: 200,
	// 16 KiB of header, 64 KiB of body and about 20 KiB of net/http's own for each are 400 MiB at the very worst, and 80 MiB while idle.
	Connections: 4096,
	Work: limit.Bounds{
		// Only orders whose provider is away for long become so many. They sleep, with 270 bytes each, which are 67 MB; were all of them
		// at work at once, with 2.9 KB, it would be 730 MB.
		Open: 250_000,
		// What the two cores work off in three seconds: with all of that before it an order is still decided within its caller's wait.
		Ready: 10_000,
		// Where the queue moves more slowly, half of the longest wait for an outcome: who joins it behind an order that has waited for so
		// long would most likely be answered without one.
		Wait: maxWait / 2,
	},
}

// RateOf is the rate of n calls a second: its burst is what comes in two seconds, so that a page that loads twenty things at once, or a
// backend that was paused by its garbage collector, is not refused. 0 is no limit.
func RateOf(n int) limit.Rate { return limit.Rate{PerSecond: n, Burst: 2 * n} }

// PerAddressConnections is how many of the connections one address may have: a quarter, so that none alone can shut the others out. A
// proxy in front is one address, and needs that many.
func (l Limits) PerAddressConnections() int { return max(1, l.Connections/4) }

// The buckets of the callers, nil where there is no limit.
type pace struct {
	keys      *limit.Buckets[string]
	addresses *limit.Buckets[netip.Prefix]
}

func newPace(l Limits, now func() time.Time) pace {
	return pace{keys: limit.NewBuckets[string](l.PerKey, now), addresses: limit.NewBuckets[netip.Prefix](l.PerAddress, now)}
}

// ofAddress takes a token of the address that the connection comes from: fault.Throttled. What a header says of an address is not
// believed, since anybody can write one; behind a proxy all calls come from it, and the rate per address is to be switched off.
func (p pace) ofAddress(r *http.Request) error {
	if p.addresses == nil {
		return nil
	}
	ok, wait := p.addresses.Take(limit.Address(r.RemoteAddr))
	return throttled(ok, wait, "address")
}

// ofKey takes a token of the principal's: fault.Throttled.
func (p pace) ofKey(who auth.Principal) error {
	ok, wait := p.keys.Take(who.Subject)
	return throttled(ok, wait, "key")
}

func throttled(ok bool, wait time.Duration, whose string) error {
	if ok {
		return nil
	}
	seconds := limit.Seconds(wait)
	return fault.New(fault.Throttled, "Too many calls from this %s. Try again in %d s.", whose, seconds).
		With("retry_after_seconds", seconds)
}

// openOrders is how many orders the principal may have open at once; 0: any number. An operator acts for many customers.
func (s *server) openOrders(who auth.Principal) int {
	if who.Scopes.Has(auth.ScopeAdmin) {
		return 0
	}
	return s.limits.OpenOrders
}
