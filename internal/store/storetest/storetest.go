// Package storetest holds the promises of the store port as tests: an adapter's own test is one call of Run. It asks
// for nothing that DynamoDB does not give, so that a service which passes on one adapter runs on the others.
package storetest

import (
	"context"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// Table is the table of every key that the suite uses: an adapter whose tables have to be made makes this one.
const Table = "storetest"

// patience is how long the suite waits for what has to happen. It is spent only where a promise is broken.
const patience = 30 * time.Second

// Config says how to open the adapter and what it leaves out.
type Config struct {
	// Open returns an empty store and cleans up after the test. Its feed delivers the changes of the items that feed
	// selects; it is nil where the test needs none.
	Open func(t *testing.T, feed func(store.Key) bool) store.Store
	// Lags says that Eventual reads may be stale: the suite then asks them for nothing.
	Lags bool
	// NoFeed, NoReader and NoDump say that the store is no store.Feed, no store.FeedReader, or no store.Dumper: the suite skips those
	// promises. Without them a store that lacks one fails.
	NoFeed, NoReader, NoDump bool
	// Rounds scales the tests with many goroutines; 0 means 1. An emulator may want less than a store on a disk, a
	// nightly run more.
	Rounds float64
}

// Run holds the store to everything that the port promises.
func Run(t *testing.T, c Config) {
	if c.Rounds == 0 {
		c.Rounds = 1
	}
	t.Run("a read gives what was committed", c.testReads)
	t.Run("a range gives a partition in order", c.testRange)
	t.Run("a transaction is applied wholly or not at all", c.testAtomicity)
	t.Run("conditions and floors refuse", c.testRefusals)
	t.Run("what no store takes is an error", c.testLimits)
	t.Run("a changed read runs the function again", c.testConflicts)
	t.Run("a context that has ended stops the call", c.testContext)
	t.Run("every answer is the reference's", c.testReference)
	t.Run("concurrent transactions come out as if one after the other", c.testConcurrency)
	if !c.NoDump {
		t.Run("a dump is one state", c.testDump)
	}
	if !c.NoFeed {
		t.Run("the feed delivers", c.testFeed)
	}
	if !c.NoReader {
		t.Run("the feed is read from a position", c.testFeedReader)
	}
}

// A box is a store under test, with helpers that fail the test rather than return an error.
type box struct {
	store.Store
	t *testing.T
}

func (c Config) open(t *testing.T, feed func(store.Key) bool) box {
	t.Helper()
	return box{c.Open(t, feed), t}
}

// in is the box in a subtest.
func (b box) in(t *testing.T) box { return box{b.Store, t} }

func key(pk, sk string) store.Key { return store.Key{Table: Table, PK: pk, SK: sk} }

func (b box) update(fn func(tx *store.Tx)) {
	b.t.Helper()
	if err := b.try(fn); err != nil {
		b.t.Fatalf("Update: %v", err)
	}
}

func (b box) try(fn func(tx *store.Tx)) error {
	return b.Update(context.Background(), func(tx *store.Tx) error {
		fn(tx)
		return nil
	})
}

func (b box) put(k store.Key, attrs ...store.Attr) {
	b.t.Helper()
	b.update(func(tx *store.Tx) { tx.Put(k, store.Item(attrs)) })
}

func (b box) get(k store.Key) store.Item {
	b.t.Helper()
	it, err := b.Get(context.Background(), k, store.Strong)
	if err != nil {
		b.t.Fatalf("Get %s: %v", k, err)
	}
	return it
}

// is fails the test unless the item at the key is the one wanted, whatever the order of its attributes; nil: none.
func (b box) is(k store.Key, want store.Item) {
	b.t.Helper()
	if got := b.get(k); !got.Equal(want) {
		b.t.Errorf("%s is %v, want %v", k, got, want)
	}
}

// mustGet reads within a function of the test.
func mustGet(t *testing.T, tx *store.Tx, k store.Key) store.Item {
	t.Helper()
	it, err := tx.Get(k)
	if err != nil {
		t.Fatalf("Tx.Get %s: %v", k, err)
	}
	return it
}

// refused returns the refusal, and fails the test if there is none.
func refused(t *testing.T, err error) *store.Refusal {
	t.Helper()
	r := store.RefusalOf(err)
	if r == nil {
		t.Fatalf("Update: %v, want a refusal", err)
	}
	return r
}

func wantKind(t *testing.T, err error, kind fault.Kind) {
	t.Helper()
	if fault.KindOf(err) != kind {
		t.Errorf("error %v is %q, want %q", err, fault.KindOf(err), kind)
	}
}

func wantEqual[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

// seeded is the chance of one test: the seed stands in the log of a failure.
func seeded(t *testing.T, seed uint64) *rand.Rand {
	t.Helper()
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, seed))
}
