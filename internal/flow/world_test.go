package flow_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/flow"
	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/memstore"
)

func arn(name string) string { return "arn:aws:lambda:eu-central-1:000000000000:function:" + name }

// steps is a machine of tasks in a row, each with its resource; what its input was goes on.
func steps(names ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `{"StartAt":%q,"States":{`, names[0])
	for i, n := range names {
		if i > 0 {
			b.WriteByte(',')
		}
		next := `"End":true`
		if i+1 < len(names) {
			next = fmt.Sprintf(`"Next":%q`, names[i+1])
		}
		fmt.Fprintf(&b, `%q:{"Type":"Task","Resource":%q,"ResultPath":null,%s}`, n, arn(n), next)
	}
	b.WriteString("}}")
	return b.String()
}

// one is a machine of one task with more members of its state, and with the task "Put back" if they lead there.
func one(members string) string {
	undo := ""
	if strings.Contains(members, "Put back") {
		undo = fmt.Sprintf(`"Put back":{"Type":"Task","Resource":%q,"ResultPath":"$.undone","Next":"Done"},`, arn("undo"))
	}
	return fmt.Sprintf(`{"StartAt":"Work","States":{"Work":{"Type":"Task","Resource":%q,"Next":"Done"%s},%s"Done":{"Type":"Succeed"}}}`,
		arn("work"), members, undo)
}

func engine(t testing.TB, o flow.Options) *flow.Engine {
	t.Helper()
	e, err := flow.New(o)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	return e
}

func start(t testing.TB, e *flow.Engine, s store.Store, name string, input any) {
	t.Helper()
	if err := s.Update(t.Context(), func(tx *store.Tx) error { return e.Stage(tx, name, input) }); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	e.Begin(name)
}

// settle drives the engine until nothing is due any more, sleeping on the bubble's clock.
func settle(t testing.TB, e *flow.Engine) {
	t.Helper()
	for range 10_000 {
		ran, wake, err := e.RunOne(t.Context())
		switch {
		case err != nil:
			t.Fatalf("RunOne: %v", err)
		case ran:
		case wake.IsZero():
			return
		default:
			<-time.After(time.Until(wake))
		}
	}
	t.Fatal("the engine does not come to rest")
}

func describe(t testing.TB, e *flow.Engine, name string) flow.Execution {
	t.Helper()
	d, err := e.Describe(t.Context(), name)
	if err != nil {
		t.Fatalf("Describe %s: %v", name, err)
	}
	return d
}

// counted is a task whose effect adds one to a counter of its execution and state.
func counted(_ context.Context, c flow.Call) (store.Effect, error) {
	return store.Effect{Stage: func(tx *store.Tx) (any, error) {
		tx.Add(effectKey(c.Execution, c.State), []store.Delta{store.Inc("n", 1)})
		return map[string]any{"state": c.State}, nil
	}}, nil
}

func effectKey(execution, state string) store.Key {
	return store.Key{Table: "effects", PK: execution, SK: state}
}

func effects(t testing.TB, s store.Store, execution, state string) int64 {
	t.Helper()
	it, err := s.Get(t.Context(), effectKey(execution, state), store.Strong)
	if err != nil {
		t.Fatal(err)
	}
	return it.Int("n")
}

// always is a task that answers the same.
func always(result any, err error) flow.Task {
	return func(context.Context, flow.Call) (store.Effect, error) { return store.Effect{Result: result}, err }
}

// A crash is what a store under test panics with when the process is to die.
type crash struct{}

func (crash) SimulatedCrash() {}

// A fate is what becomes of an Update.
type fate int

const (
	commits     fate = iota
	crashBefore      // the process dies, nothing is written
	crashAfter       // it is written, then the process dies
	replyLost        // it is written, but the answer is Transient
	notSent          // it is not written, and the answer is Transient
	storeAway        // it is not written, and the answer is Unavailable
)

func (f fate) String() string {
	return [...]string{"commits", "crash before", "crash after", "reply lost", "not sent", "store away"}[f]
}

// unreliable decides over each Update of the store.
type unreliable struct {
	store.Store
	fate    func(n int64) fate // n counts from 1
	updates atomic.Int64
	mu      sync.Mutex
	ops     []int // of each Update that was applied
}

func (u *unreliable) Update(ctx context.Context, fn func(*store.Tx) error) error {
	f := commits
	if n := u.updates.Add(1); u.fate != nil {
		f = u.fate(n)
	}
	switch f {
	case crashBefore:
		panic(crash{})
	case notSent:
		return fault.New(fault.Transient, "lost on the way")
	case storeAway:
		return fault.New(fault.Unavailable, "the store is away")
	}
	ops := 0
	err := u.Store.Update(ctx, func(tx *store.Tx) error {
		err := fn(tx)
		ops = len(tx.Ops())
		return err
	})
	if err == nil {
		u.mu.Lock()
		u.ops = append(u.ops, ops)
		u.mu.Unlock()
	}
	switch {
	case f == crashAfter:
		panic(crash{})
	case f == replyLost && err == nil:
		return fault.New(fault.Transient, "the reply was lost")
	}
	return err
}

// survives calls fn and reports whether it ended without a simulated crash.
func survives(fn func()) (ok bool) {
	defer func() {
		switch v := recover(); v.(type) {
		case nil:
		case crash:
			ok = false
		default:
			panic(v)
		}
	}()
	fn()
	return true
}

func newStore() *memstore.Store { return memstore.New(memstore.Options{}) }

var errBoom = errors.New("boom: a secret")
