package breaker

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/utkarsh698/cloudflow/internal/store"
)

// State of a circuit.
type State string

// The states.
const (
	Closed   State = "CLOSED"    // calls pass
	Open     State = "OPEN"      // calls are refused
	HalfOpen State = "HALF_OPEN" // one call at a time passes, to find out
)

// Table holds one item a circuit: its name is the partition key.
const Table = "circuit-breakers"

const sortKey = "breaker"

// closingSuccesses is how many probes in a row close the circuit: one may have been luck.
const closingSuccesses = 2

// A record is the circuit as it is stored. Its methods are the state machine: they return the record after the move, and
// false if the move is not to be made. Times are Unix milliseconds.
type record struct {
	State      State
	Generation int64
	Failures   int64
	OpenUntil  int64
	Attempt    int64
	Permits    []grant
	Successes  int64
}

// A grant is a permit that was given out.
type grant struct {
	Token string `json:"token"`
	Lease int64  `json:"lease"` // until when
}

// opened is the record of the circuit opening at now; the time that it stays open is still to be added to OpenUntil.
func (r record) opened(now, attempt int64) record {
	return record{State: Open, Generation: r.Generation + 1, OpenUntil: now, Attempt: attempt}
}

func (r record) closed() record {
	return record{State: Closed, Generation: r.Generation + 1}
}

// probe gives out the permit, for lease milliseconds, if the circuit has been open long enough, or is half open with no permit that lives.
func (r record) probe(now int64, token string, lease int64) (record, bool) {
	switch r.State {
	case Open:
		if now < r.OpenUntil {
			return r, false
		}
		r = record{State: HalfOpen, Generation: r.Generation + 1, Attempt: r.Attempt}
	case HalfOpen:
		if _, out := r.permitOut(now, lease); out {
			return r, false
		}
	default:
		return r, false
	}
	r.Permits = []grant{{token, now + lease}}
	return r, true
}

// holds reports whether the permit is still the one that was given out. A lease that is over but was not given to
// another call changes nothing: a late answer is an answer.
func (r record) holds(generation int64, token string) bool {
	return r.State == HalfOpen && r.Generation == generation &&
		slices.ContainsFunc(r.Permits, func(g grant) bool { return g.Token == token })
}

func (r record) probeSucceeded(generation int64, token string) (record, bool) {
	if !r.holds(generation, token) {
		return r, false
	}
	r.Permits = nil
	r.Successes++
	if r.Successes >= closingSuccesses {
		return r.closed(), true
	}
	return r, true
}

func (r record) probeFailed(generation int64, token string, now int64) (record, bool) {
	if !r.holds(generation, token) {
		return r, false
	}
	return r.opened(now, r.Attempt+1), true
}

func (r record) abandoned(generation int64, token string) (record, bool) {
	if !r.holds(generation, token) {
		return r, false
	}
	r.Permits = nil
	return r, true
}

// permitOut reports whether a permit lives, and until when. One that would live for more than two leases has seen the clock set back by more than the
// clocks of two machines differ, and its holder may be dead.
func (r record) permitOut(now, lease int64) (until int64, out bool) {
	for _, g := range r.Permits {
		if now < g.Lease && g.Lease-now <= 2*lease {
			return g.Lease, true
		}
	}
	return 0, false
}

func newToken(r *rand.Rand) string {
	return strconv.FormatUint(r.Uint64(), 36) + strconv.FormatUint(r.Uint64(), 36)
}

func (r record) item() store.Item {
	permits := []byte("[]")
	if len(r.Permits) > 0 {
		permits, _ = json.Marshal(r.Permits) // strings and integers: it cannot fail
	}
	return store.Item{
		store.S("state", string(r.State)),
		store.N("generation", r.Generation),
		store.N("failures", r.Failures),
		store.N("open_until", r.OpenUntil),
		store.N("attempt", r.Attempt),
		store.S("permits", string(permits)),
		store.N("successes", r.Successes),
	}
}

// decode reads a stored record; without one the circuit is closed, in generation 0.
func decode(it store.Item) (record, error) {
	if it == nil {
		return record{State: Closed}, nil
	}
	r := record{
		State:      State(it.Str("state")),
		Generation: it.Int("generation"),
		Failures:   it.Int("failures"),
		OpenUntil:  it.Int("open_until"),
		Attempt:    it.Int("attempt"),
		Successes:  it.Int("successes"),
	}
	switch r.State {
	case Closed, Open, HalfOpen:
	default:
		return record{}, fmt.Errorf("breaker: state %q is none of a circuit's", r.State)
	}
	if p := it.Str("permits"); p != "" && p != "[]" {
		if err := json.Unmarshal([]byte(p), &r.Permits); err != nil {
			return record{}, fmt.Errorf("breaker: permits: %w", err)
		}
	}
	return r, nil
}

// A Stored is a circuit as the table holds it: what it was when it last changed.
type Stored struct {
	Name      string
	State     State
	OpenUntil time.Time // of one that is OPEN
}

// Decode reads an entry of Table, for who looks at a directory in which nothing runs.
func Decode(e store.Entry) (Stored, error) {
	r, err := decode(e.Item)
	if err != nil {
		return Stored{}, err
	}
	return Stored{Name: e.Key.PK, State: r.State, OpenUntil: time.UnixMilli(r.OpenUntil).UTC()}, nil
}
