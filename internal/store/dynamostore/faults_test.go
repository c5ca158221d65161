package dynamostore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/utkarsh698/cloudflow/internal/awstest"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
)

func key(pk, sk string) store.Key { return store.Key{Table: "t", PK: pk, SK: sk} }

// A scene is a store whose requests go through a proxy, and one on the same table that has no trouble.
type scene struct {
	*Store
	t      *testing.T
	p      *proxy
	direct *Store
}

func newScene(t *testing.T, e *awstest.Emulator, timeout time.Duration) scene {
	t.Helper()
	c := config(t, e.Config(), "t")
	direct := open(t, c)
	p := newProxy(t, e.URL, e.Config())
	c.Client, c.CallTimeout, c.Rand = dynamodb.NewFromConfig(p.account), timeout, impatient
	return scene{open(t, c), t, p, direct}
}

var given atomic.Uint64

// impatient gives what never comes again, and pauses of no length: each of them is a divisor of four seconds.
func impatient() uint64 { return given.Add(1) * uint64(4*time.Second) }

func (s scene) put(k store.Key, attrs ...store.Attr) {
	s.t.Helper()
	if err := s.direct.Update(s.t.Context(), func(tx *store.Tx) error { tx.Put(k, attrs); return nil }); err != nil {
		s.t.Fatal(err)
	}
}

func (s scene) delete(k store.Key) {
	s.t.Helper()
	if err := s.direct.Update(s.t.Context(), func(tx *store.Tx) error { tx.Delete(k); return nil }); err != nil {
		s.t.Fatal(err)
	}
}

func (s scene) item(k store.Key) store.Item {
	s.t.Helper()
	it, err := s.direct.Get(s.t.Context(), k, store.Strong)
	if err != nil {
		s.t.Fatal(err)
	}
	return it
}

// kinds of commits, each on an item k that has n=1 before, or on one that is absent. The Tx of a transaction adds 1 to count.
var kinds = []struct {
	rule   string
	absent bool
	fn     func(tx *store.Tx, k, count store.Key) error
}{
	{"a put over what was read", false, func(tx *store.Tx, k, _ store.Key) error {
		it, err := tx.Get(k)
		tx.Put(k, store.Item{store.N("n", it.Int("n")+1)})
		return err
	}},
	{"a put of what was not there", true, func(tx *store.Tx, k, _ store.Key) error {
		_, err := tx.Get(k)
		tx.Put(k, store.Item{store.N("n", 2)}, store.Absent())
		return err
	}},
	{"a put without a look", false, func(tx *store.Tx, k, _ store.Key) error {
		tx.Put(k, store.Item{store.N("n", 2)})
		return nil
	}},
	{"a put under a condition", false, func(tx *store.Tx, k, _ store.Key) error {
		tx.Put(k, store.Item{store.N("n", 1), store.N("m", 1)}, store.Equal(store.N("n", 1)))
		return nil
	}},
	{"an add", false, func(tx *store.Tx, k, _ store.Key) error {
		tx.Add(k, []store.Delta{store.Inc("n", 1)})
		return nil
	}},
	{"an add to what was read", false, func(tx *store.Tx, k, _ store.Key) error {
		_, err := tx.Get(k)
		tx.Add(k, []store.Delta{store.Take("n", 1)})
		return err
	}},
	{"an add that makes its item", true, func(tx *store.Tx, k, _ store.Key) error {
		tx.Add(k, []store.Delta{store.Inc("n", 1)})
		return nil
	}},
	{"a delete", false, func(tx *store.Tx, k, _ store.Key) error {
		tx.Delete(k, store.Exists())
		return nil
	}},
	{"a delete of what was read", false, func(tx *store.Tx, k, _ store.Key) error {
		_, err := tx.Get(k)
		tx.Delete(k, store.Exists())
		return err
	}},
	{"a transaction", false, func(tx *store.Tx, k, count store.Key) error {
		it, err := tx.Get(k)
		tx.Put(k, store.Item{store.N("n", it.Int("n")+1)})
		tx.Add(count, []store.Delta{store.Inc("n", 1)})
		return err
	}},
	{"a transaction that reads nothing", true, func(tx *store.Tx, k, count store.Key) error {
		tx.Put(k, store.Item{store.N("n", 2)}, store.Absent())
		tx.Add(count, []store.Delta{store.Inc("n", 1)})
		return nil
	}},
	{"a transaction that only reads what others write", false, func(tx *store.Tx, k, count store.Key) error {
		_, err := tx.Get(k)
		tx.Add(count, []store.Delta{store.Inc("n", 1)})
		return err
	}},
}

// TestACommitIsAppliedOnceOrNotAtAll makes random trouble for every kind of commit, while others write the same item, and lets requests arrive that
// nobody waits for any more.
func TestACommitIsAppliedOnceOrNotAtAll(t *testing.T) {
	e := awstest.Start(t)
	for _, kind := range kinds {
		t.Run(kind.rule, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, e, 200*time.Millisecond)
			answers := map[fault.Kind]int{}
			for seed := range uint64(16) {
				rng := rand.New(rand.NewPCG(seed, 7))
				k, count := key(fmt.Sprint("p", seed), "k"), key(fmt.Sprint("p", seed), "count")
				if !kind.absent {
					s.put(k, store.N("n", 1))
				}
				sequence := make([]trouble, 4)
				for i := range sequence {
					sequence[i] = trouble(rng.IntN(int(troubles)))
				}
				others := rng.IntN(3)
				s.p.set(func(n int, op string) trouble {
					if n < len(sequence) && (op != "GetItem" || n%2 == 1) {
						return sequence[n]
					}
					return none
				})
				s.p.between(func() {
					switch others {
					case 1:
						s.put(k, store.N("n", 100))
					case 2:
						s.delete(k)
					}
				})
				err := s.Update(t.Context(), func(tx *store.Tx) error { return kind.fn(tx, k, count) })
				applied := s.p.settle()
				if s.p.count("TransactWriteItems") > 0 {
					applied = int(s.item(count).Int("n")) // DynamoDB says yes to a repetition too
				}
				what := fmt.Sprintf("seed %d, troubles %v, others %d: %d times, answer %v", seed, sequence, others, applied, err)
				switch answers[fault.KindOf(err)]++; {
				case applied > 1:
					t.Errorf("applied more than once: %s", what)
				case err == nil && applied != 1:
					t.Errorf("a success that is none: %s", what)
				case err != nil && !fault.Is(err, fault.Transient) && applied != 0:
					t.Errorf("a failure that is none: %s", what)
				case fault.Is(err, fault.Internal) && store.RefusalOf(err) == nil:
					t.Errorf("not an answer of the port: %s", what)
				}
			}
			t.Logf("answers: %v", answers)
		})
	}
}

func TestALostReplyOfACommit(t *testing.T) {
	e := awstest.Start(t)
	s := newScene(t, e, 20*time.Second)
	k, count := key("p", "k"), key("p", "count")
	first := func(what trouble, of string) {
		done := false
		s.p.set(func(_ int, op string) trouble {
			if done || op != of {
				return none
			}
			done = true
			return what
		})
	}
	add := func(tx *store.Tx) error { tx.Add(k, []store.Delta{store.Inc("n", 1)}); return nil }
	cases := []struct {
		rule    string
		before  store.Item
		what    trouble
		of      string
		fn      func(tx *store.Tx) error
		kind    fault.Kind // of the error; "": none
		n       int64      // of k
		request int        // how many of the kind
		reads   int        // and of GetItem: of what is read first, and of what is looked for afterwards
	}{
		{"a put over what was read is recognised", store.Item{store.N("n", 1)}, dropLate, "PutItem",
			func(tx *store.Tx) error { return kinds[0].fn(tx, k, count) }, "", 2, 2, 1},
		{"a put over what was read is sent again", store.Item{store.N("n", 1)}, drop, "PutItem",
			func(tx *store.Tx) error { return kinds[0].fn(tx, k, count) }, "", 2, 2, 1},
		{"a put of what was absent is found", nil, dropLate, "PutItem",
			func(tx *store.Tx) error { tx.Put(k, store.Item{store.N("n", 2)}, store.Absent()); return nil }, "", 2, 1, 1},
		{"a put of what was absent is not sent again", nil, drop, "PutItem",
			func(tx *store.Tx) error { tx.Put(k, store.Item{store.N("n", 2)}, store.Absent()); return nil }, fault.Transient, 0, 1, 1},
		{"an add is not sent again", store.Item{store.N("n", 1)}, dropLate, "UpdateItem", add, fault.Transient, 2, 1, 1},
		{"an add that made its item is found", nil, dropLate, "UpdateItem", add, "", 1, 1, 1},
		{"an add of 500 may be applied or not", store.Item{store.N("n", 1)}, broken, "UpdateItem", add, fault.Transient, 1, 1, 1},
		{"an add that was throttled was not applied", store.Item{store.N("n", 1)}, slow, "UpdateItem", add, "", 2, 2, 0},
		{"an add that met a transaction was not applied", store.Item{store.N("n", 1)}, conflict, "UpdateItem", add, "", 2, 2, 0},
		{"a delete of what was read is the only one", store.Item{store.N("n", 1)}, drop, "DeleteItem",
			func(tx *store.Tx) error { return kinds[8].fn(tx, k, count) }, "", 0, 2, 1},
		{"a delete of what was read finds nothing, and cannot say whose work that is", store.Item{store.N("n", 1)}, dropLate, "DeleteItem",
			func(tx *store.Tx) error { return kinds[8].fn(tx, k, count) }, fault.Transient, 0, 2, 1},
		{"a transaction is sent again under its token", store.Item{store.N("n", 1)}, dropLate, "TransactWriteItems",
			func(tx *store.Tx) error { return kinds[9].fn(tx, k, count) }, "", 2, 2, 1},
		{"a transaction of 500 too", store.Item{store.N("n", 1)}, brokenLate, "TransactWriteItems",
			func(tx *store.Tx) error { return kinds[9].fn(tx, k, count) }, "", 2, 2, 1},
		{"a transaction that is under way is waited for", store.Item{store.N("n", 1)}, inProgress, "TransactWriteItems",
			func(tx *store.Tx) error { return kinds[9].fn(tx, k, count) }, "", 2, 2, 1},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			s.t = t
			s.delete(k)
			if c.before != nil {
				s.put(k, c.before...)
			}
			first(c.what, c.of)
			err := s.Update(t.Context(), c.fn)
			if fault.KindOf(err) != c.kind {
				t.Errorf("the answer is %v, want %q", err, c.kind)
			}
			if n := s.item(k).Int("n"); n != c.n {
				t.Errorf("n is %d, want %d", n, c.n)
			}
			if n := s.p.count(c.of); n != c.request {
				t.Errorf("%d requests of %s, want %d", n, c.of, c.request)
			}
			if n := s.p.count("GetItem"); n != c.reads {
				t.Errorf("%d requests of GetItem, want %d", n, c.reads)
			}
		})
	}
}

func TestAnswersAfterAMissingOne(t *testing.T) {
	e := awstest.Start(t)
	s := newScene(t, e, 20*time.Second)
	k, out := key("p", "k"), key("p", "out")
	lose := func() { // the reply of the first write, which is not applied; meanwhile another writes
		lostOne := false
		s.p.set(func(_ int, op string) trouble {
			if lostOne || op == "GetItem" {
				return none
			}
			lostOne = true
			s.put(k, store.N("n", 50))
			return drop
		})
	}
	t.Run("a changed read does not run the function again: the first may have been what changed it", func(t *testing.T) {
		s.t = t
		s.put(k, store.N("n", 1))
		lose()
		runs := 0
		err := s.Update(t.Context(), func(tx *store.Tx) error {
			runs++
			it, err := tx.Get(k)
			tx.Put(k, store.Item{store.N("n", it.Int("n")+1)})
			return err
		})
		if !fault.Is(err, fault.Transient) || runs != 1 {
			t.Errorf("%d runs, %v", runs, err)
		}
	})
	t.Run("a refusal is none: the first may arrive yet, when the condition holds", func(t *testing.T) {
		s.t = t
		s.put(k, store.N("n", 1))
		lose()
		err := s.Update(t.Context(), func(tx *store.Tx) error {
			tx.Check(k, store.Below("n", 10))
			tx.Put(out, store.Item{})
			return nil
		})
		if !fault.Is(err, fault.Transient) || store.RefusalOf(err) != nil {
			t.Errorf("the answer is %v", err)
		}
	})
}

func TestAttemptsAreBounded(t *testing.T) {
	e := awstest.Start(t)
	s := newScene(t, e, 20*time.Second)
	s.put(key("p", "k"), store.N("n", 1))
	add := func() error {
		return s.Update(t.Context(), func(tx *store.Tx) error { return kinds[4].fn(tx, key("p", "k"), store.Key{}) })
	}
	transact := func() error {
		return s.Update(t.Context(), func(tx *store.Tx) error { return kinds[10].fn(tx, key("p", "new"), key("p", "count")) })
	}
	get := func() error { _, err := s.Get(t.Context(), key("p", "k"), store.Eventual); return err }
	getMany := func() error {
		_, err := s.GetMany(t.Context(), []store.Key{key("p", "k"), key("p", "k")}, store.Eventual)
		return err
	}
	query := func() error { _, err := s.Range(t.Context(), store.Query{Table: "t", PK: "p"}); return err }
	verify := func() error {
		return s.Update(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Get(key("p", "k"))
			_, err2 := tx.Get(key("p", "none"))
			return errors.Join(err, err2)
		})
	}
	cases := []struct {
		rule string
		what trouble
		op   string
		call func() error
		most int
		kind fault.Kind
	}{
		{"a read that is throttled", slow, "GetItem", get, MaxAttempts, fault.Throttled},
		{"a read that fails", broken, "GetItem", get, MaxFailures, fault.Transient},
		{"a read whose connection ends", drop, "BatchGetItem", getMany, MaxFailures, fault.Transient},
		{"a range that is throttled", throttling, "Query", query, MaxAttempts, fault.Throttled},
		{"reads that are verified and meet a transaction", conflict, "TransactGetItems", verify, MaxAttempts, fault.Transient},
		{"an add that is throttled", throttling, "UpdateItem", add, MaxAttempts, fault.Throttled},
		{"an add that meets transactions", conflict, "UpdateItem", add, MaxAttempts, fault.Transient},
		{"an add that fails", broken, "UpdateItem", add, 1, fault.Transient},
		{"a transaction that meets others", conflict, "TransactWriteItems", transact, MaxAttempts, fault.Transient},
		{"a transaction that is throttled", slow, "TransactWriteItems", transact, MaxAttempts, fault.Throttled},
		{"a transaction that fails", broken, "TransactWriteItems", transact, MaxFailures, fault.Transient},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			s.p.set(func(_ int, op string) trouble {
				if op == c.op {
					return c.what
				}
				return none
			})
			err := c.call()
			if fault.KindOf(err) != c.kind {
				t.Errorf("the answer is %v, want %s", err, c.kind)
			}
			if n := s.p.count(c.op); n != c.most {
				t.Errorf("%d attempts, want %d", n, c.most)
			}
			if s.p.settle() > 0 {
				t.Error("something was written")
			}
		})
	}
	t.Run("an endpoint that is not there", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		_ = l.Close()
		account := e.Config()
		account.BaseEndpoint = aws.String("http://" + l.Addr().String())
		c := s.conf
		c.Client = dynamodb.NewFromConfig(account)
		away := open(t, c)
		err = away.Update(t.Context(), func(tx *store.Tx) error { tx.Put(key("p", "k"), nil); return nil })
		if !fault.Is(err, fault.Transient) {
			t.Error(err)
		}
	})
}

// A countedConn counts what is written at once.
type countedConn struct {
	net.Conn
	writes *atomic.Int64
}

func (c countedConn) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

func TestARequestLeavesInOnePiece(t *testing.T) {
	e := awstest.Start(t)
	c := config(t, e.Config(), "t")
	var writes atomic.Int64
	account := e.Config()
	account.HTTPClient = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		return countedConn{conn, &writes}, err
	}}}
	c.Client = dynamodb.NewFromConfig(account)
	s := open(t, c)
	for n := range int64(20) {
		if err := s.Update(t.Context(), func(tx *store.Tx) error { tx.Put(key("p", "k"), store.Item{store.N("n", n)}); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if n := writes.Load(); n != 20 {
		t.Errorf("20 requests take %d writes", n)
	}
}

// A silence is an HTTP client that waits for its requests' ends.
type silence struct{ requests atomic.Int64 }

func (s *silence) Do(r *http.Request) (*http.Response, error) {
	s.requests.Add(1)
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func TestTimeouts(t *testing.T) {
	e := awstest.Start(t)
	add := func(tx *store.Tx) error { tx.Add(key("p", "k"), []store.Delta{store.Inc("n", 1)}); return nil }
	silent := func(timeout time.Duration) (*Store, *silence) {
		http, account := &silence{}, e.Config()
		account.HTTPClient = http
		return open(t, Config{
			Client: dynamodb.NewFromConfig(account), Tables: map[string]string{"t": "t"}, CallTimeout: timeout, Rand: impatient,
		}), http
	}
	t.Run("a call that hangs is given up, and another one made, as often as the bounds say", func(t *testing.T) {
		s, http := silent(20 * time.Millisecond)
		_, err := s.Get(t.Context(), key("p", "k"), store.Strong)
		var f *fault.Error
		if !errors.As(err, &f) || f.Kind != fault.Transient || http.requests.Load() != MaxFailures {
			t.Errorf("%d requests, %v", http.requests.Load(), err)
		}
	})
	t.Run("the caller's deadline ends a read", func(t *testing.T) {
		s, http := silent(time.Hour)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		_, err := s.Get(ctx, key("p", "k"), store.Strong)
		if !errors.Is(err, context.DeadlineExceeded) || http.requests.Load() != 1 {
			t.Errorf("%d requests, %v", http.requests.Load(), err)
		}
	})
	t.Run("the caller's end is the end of a commit, whose outcome is unknown then", func(t *testing.T) {
		s := newScene(t, e, time.Hour)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		s.p.set(func(int, string) trouble { return hangLate })
		s.p.between(cancel)
		err := s.Update(ctx, add)
		var f *fault.Error
		if !errors.As(err, &f) || f.Kind != fault.Transient || s.p.count("") != 1 {
			t.Errorf("%d requests, %v", s.p.count(""), err)
		}
		if n := s.item(key("p", "k")).Int("n"); n != 1 {
			t.Errorf("n is %d", n)
		}
	})
	t.Run("the caller's deadline ends the pauses too", func(t *testing.T) {
		s := newScene(t, e, time.Hour)
		c := s.conf
		c.Rand = func() uint64 { return uint64(firstPause<<10) - 1 }
		slowly := open(t, c)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		s.p.set(func(n int, _ string) trouble {
			if n == 2 {
				cancel()
			}
			return throttling
		})
		if err := slowly.Update(ctx, add); !fault.Is(err, fault.Transient) {
			t.Error(err)
		}
		if n := s.p.count(""); n != 3 {
			t.Errorf("%d requests after the caller has left with the third", n)
		}
	})
}

func TestAHotCounterIsNeverOversold(t *testing.T) {
	e := awstest.Start(t)
	const buyers, units = 50, 30
	stock := key("mug", "stock")
	for _, c := range []struct {
		rule string
		fn   func(tx *store.Tx, buyer int)
	}{
		{"by adds", func(tx *store.Tx, _ int) {
			tx.Add(stock, []store.Delta{store.Take("available", 1), store.Inc("held", 1)})
		}},
		{"by transactions, some of which conflict", func(tx *store.Tx, buyer int) {
			tx.Put(key(fmt.Sprint("order-", buyer), "hold"), store.Item{}, store.Absent())
			tx.Add(stock, []store.Delta{store.Take("available", 1), store.Inc("held", 1)})
		}},
	} {
		t.Run(c.rule, func(t *testing.T) {
			s := newScene(t, e, 20*time.Second)
			s.put(stock, store.N("available", units), store.N("held", 0))
			s.p.set(func(n int, _ string) trouble {
				if n%3 == 1 {
					return conflict
				}
				return none
			})
			var mu sync.Mutex
			sold, refused := 0, 0
			var wg sync.WaitGroup
			for buyer := range buyers {
				wg.Go(func() {
					err := s.Update(t.Context(), func(tx *store.Tx) error { c.fn(tx, buyer); return nil })
					r := store.RefusalOf(err)
					mu.Lock()
					defer mu.Unlock()
					switch {
					case err == nil:
						sold++
					case r != nil && r.Key == stock && r.Item.Int("available") == 0:
						refused++
					default:
						t.Errorf("buyer %d: %v", buyer, err)
					}
				})
			}
			wg.Wait()
			if it := s.item(stock); sold != units || refused != buyers-units || it.Int("available") != 0 || it.Int("held") != units {
				t.Errorf("%d sold, %d refused, %v is left", sold, refused, it)
			}
		})
	}
}

// TestDecide holds what is made of reasons that come together: the emulator gives only some of them.
func TestDecide(t *testing.T) {
	const none, failed, held, slow, invalid = "None", "ConditionalCheckFailed", "TransactionConflict", "ThrottlingError", "ValidationError"
	read := &store.Read{Exists: true, Version: 7}
	op := &store.Op{Kind: store.OpPut}
	written, readToo, only := entry{op: op}, entry{op: op, read: read}, entry{read: read}
	as := func(version string) attributes {
		return attributes{attrPK: text("p"), attrSK: text("s"), attrVersion: &types.AttributeValueMemberN{Value: version}}
	}
	cases := []struct {
		rule    string
		all     []entry
		codes   []string
		there   []attributes
		refused int // the entry; -1: none
		rerun   bool
		fate    fate
	}{
		{"a failed condition is refused", []entry{written, written}, []string{none, failed}, []attributes{nil, as("3")}, 1, false, answered},
		{"the first of several is named", []entry{written, written}, []string{failed, failed}, []attributes{nil, nil}, 0, false, answered},
		{"a read that changed runs again", []entry{written, only}, []string{none, failed}, []attributes{nil, as("8")}, -1, true, answered},
		{"a read that is gone runs again", []entry{written, only}, []string{none, failed}, []attributes{nil, nil}, -1, true, answered},
		{"a read that changed comes before a refusal", []entry{written, readToo}, []string{failed, failed}, []attributes{nil, as("8")}, -1, true, answered},
		{"a condition on what was read and stands is refused", []entry{readToo}, []string{failed}, []attributes{as("7")}, 0, false, answered},
		{"an item held by another waits", []entry{written, written}, []string{none, held}, make([]attributes, 2), -1, false, busy},
		{"a throttled item waits", []entry{written, written}, []string{slow, none}, make([]attributes, 2), -1, false, busy},
		{"a held item before a refusal waits, as it might be refused first", []entry{written, written}, []string{held, failed}, make([]attributes, 2), -1, false, busy},
		{"a held item behind a refusal does not", []entry{written, written}, []string{failed, held}, make([]attributes, 2), 0, false, answered},
		{"a held read behind a refusal does, as it may have changed", []entry{written, only}, []string{failed, held}, make([]attributes, 2), -1, false, busy},
		{"what DynamoDB does not take is no refusal", []entry{written, written}, []string{failed, invalid}, make([]attributes, 2), -1, false, answered},
		{"reasons that do not fit are none", []entry{written, written}, []string{failed}, make([]attributes, 1), -1, false, answered},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			all := append([]entry(nil), c.all...)
			for i := range all {
				all[i].key = key("p", fmt.Sprint(i))
			}
			canceled := &types.TransactionCanceledException{}
			for i, code := range c.codes {
				canceled.CancellationReasons = append(canceled.CancellationReasons, types.CancellationReason{Code: &code, Item: c.there[i]})
			}
			err := decide(all, canceled)
			if errors.Is(err, errConflict) != c.rerun || fateOf(err) != c.fate {
				t.Errorf("%v, whose fate is %d", err, fateOf(err))
			}
			if r := store.RefusalOf(err); (r != nil) != (c.refused >= 0) || r != nil && r.Key != all[c.refused].key {
				t.Errorf("the refusal is %v", r)
			}
		})
	}
}
