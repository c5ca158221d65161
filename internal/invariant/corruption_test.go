package invariant_test

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"reflect"
	"slices"
	"sort"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/utkarsh698/cloudflow/internal/app"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/invariant"
	"github.com/utkarsh698/cloudflow/internal/inventory"
	"github.com/utkarsh698/cloudflow/internal/notification"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/pii"
	"github.com/utkarsh698/cloudflow/internal/provider"
	"github.com/utkarsh698/cloudflow/internal/saga"
	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/memstore"
)

// A dump is both stores' books as lists of entries, and the orders in them.
type dump struct {
	ours, theirs []store.Entry
	at           time.Time

	confirmed, compensated, cancelled, failed, review, open string // order ids
}

// healthy is the dump of a system in which an order ended in each way, one waits for a person and one is under way.
func healthy(t *testing.T) (d dump) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newSystem(t)
		s.put("A", 100)
		s.put("LAST", 1)
		d.confirmed = s.place("confirmed", provider.Visa, "A", "LAST")
		d.failed = s.place("failed", provider.Visa, "A", "LAST")
		d.compensated = s.place("compensated", provider.ChargeDeclined, "A")
		d.cancelled = s.place("cancelled", provider.Slow, "A")
		stop := s.run()
		s.pass(time.Second)
		if _, err := s.Orders.Cancel(t.Context(), d.cancelled, order.CancelRequest{CorrelationID: "corr", Actor: "p"}); err != nil {
			t.Fatal(err)
		}
		s.pass(time.Minute)
		s.broken = true
		d.review = s.place("review", provider.Visa, "A")
		s.pass(time.Minute)
		s.broken = false
		stop()
		d.open = s.place("open", provider.Visa, "A")
		d.ours, d.theirs, d.at = entries(t, s.ours), entries(t, s.theirs), time.Now()
		for id, want := range map[string]string{
			d.confirmed: order.Confirmed, d.failed: order.Failed, d.compensated: order.Compensated,
			d.cancelled: order.Cancelled, d.review: order.Review, d.open: order.Pending,
		} {
			if status, _, err := s.Orders.Outcome(t.Context(), id); err != nil || status != want {
				t.Fatalf("an order is %s, %v, want %s", status, err, want)
			}
		}
	})
	return d
}

type system struct {
	*app.App
	t            *testing.T
	ours, theirs *memstore.Store
	broken       bool // no order can be confirmed
}

func newSystem(t *testing.T) *system {
	s := &system{t: t, ours: memstore.New(memstore.Options{}), theirs: memstore.New(memstore.Options{})}
	keys, err := saga.NewKeys("k1", map[string][]byte{"k1": []byte(strings.Repeat("k", 32))})
	if err != nil {
		t.Fatal(err)
	}
	s.App, err = app.New(app.Config{
		Store: s.ours, Provider: s.theirs, SagaKeys: keys, ContactKeys: pii.NewMemoryKeys(),
		Sender: silent{}, NoContact: silent{}, Rand: rand.New(rand.NewPCG(1, 2)), Log: slog.New(slog.DiscardHandler),
		Workers: 1, // in turn, so that the first order gets the last piece
		Task: func(name string, h saga.Handler) saga.Handler {
			return func(ctx context.Context, in saga.TaskInput) (store.Effect, error) {
				if s.broken && name == "order.confirm" {
					return store.Effect{}, fault.New(fault.Internal, "this build cannot confirm")
				}
				return h(ctx, in)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

type silent struct{}

func (silent) Name() string                                   { return "silent" }
func (silent) Send(context.Context, notification.Email) error { return nil }

func (s *system) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Error(err)
		}
	}
}

func (s *system) pass(d time.Duration) {
	timer := time.NewTimer(d)
	<-timer.C
	synctest.Wait()
}

func (s *system) put(product string, pieces int64) {
	s.t.Helper()
	p := inventory.PutProduct{ProductID: product, Name: product, UnitPriceCents: 1000, Stock: &pieces}
	if _, _, err := s.Inventory.Put(s.t.Context(), p); err != nil {
		s.t.Fatal(err)
	}
}

func (s *system) place(key, method string, products ...string) string {
	s.t.Helper()
	return s.placeAs("p", "cust-1", key, method, products...)
}

func (s *system) placeAs(caller, customer, key, method string, products ...string) string {
	s.t.Helper()
	r := order.PlaceRequest{CustomerID: customer, PaymentMethod: method, IdempotencyKey: key, Principal: caller, CorrelationID: "corr", OpenLimit: 10_000}
	for _, id := range products {
		r.Lines = append(r.Lines, order.RequestLine{ProductID: id, Quantity: 1})
	}
	p, err := s.Orders.Place(s.t.Context(), r)
	if err != nil {
		s.t.Fatal(err)
	}
	return p.OrderID
}

func entries(t *testing.T, s *memstore.Store) (all []store.Entry) {
	t.Helper()
	err := s.Dump(t.Context(), func(e store.Entry) error {
		all = append(all, e)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func (d dump) check(everything bool) invariant.Report { return d.checkBy(invariant.New(), everything) }

func (d dump) checkBy(s *invariant.Snapshot, everything bool) invariant.Report {
	for _, e := range d.ours {
		_ = s.Add(e)
	}
	for _, e := range d.theirs {
		_ = s.AddProvider(e)
	}
	return s.Check(d.at, everything)
}

// rules are those that are broken, each once.
func (d dump) rules() string {
	var rules []string
	for _, v := range d.check(false).Violations {
		if !slices.Contains(rules, v.Rule) {
			rules = append(rules, v.Rule)
		}
	}
	return strings.Join(rules, " ")
}

// An edit changes a dump; it fails the test if there is nothing to change.
type edit func(t *testing.T, d *dump)

// find finds the first entry whose partition and sort key begin so.
func (d *dump) find(t *testing.T, book *[]store.Entry, table, pk, sk string) int {
	t.Helper()
	i := slices.IndexFunc(*book, func(e store.Entry) bool {
		return e.Key.Table == table && strings.HasPrefix(e.Key.PK, pk) && strings.HasPrefix(e.Key.SK, sk)
	})
	if i < 0 {
		t.Fatalf("no %s/%s/%s", table, pk, sk)
	}
	return i
}

type pick func(d *dump) string

func confirmed(d *dump) string   { return d.confirmed }
func compensated(d *dump) string { return d.compensated }
func cancelled(d *dump) string   { return d.cancelled }
func failed(d *dump) string      { return d.failed }
func open(d *dump) string        { return d.open }
func review(d *dump) string      { return d.review }
func named(name string) pick     { return func(*dump) string { return name } }

// sets replaces attributes of one of our items.
func sets(table string, of pick, sk string, attrs ...store.Attr) edit {
	return func(t *testing.T, d *dump) {
		e := &d.ours[d.find(t, &d.ours, table, of(d), sk)]
		e.Item = e.Item.With(attrs...)
	}
}

// moves adds to an integer of one of our items.
func moves(table string, of pick, sk, attr string, by int64) edit {
	return func(t *testing.T, d *dump) {
		e := &d.ours[d.find(t, &d.ours, table, of(d), sk)]
		e.Item = e.Item.With(store.N(attr, e.Item.Int(attr)+by))
	}
}

// rewrites replaces a text in an attribute of one of our items.
func rewrites(table string, of pick, sk, attr, from, to string) edit {
	return func(t *testing.T, d *dump) {
		e := &d.ours[d.find(t, &d.ours, table, of(d), sk)]
		text := e.Item.Str(attr)
		if !strings.Contains(text, from) {
			t.Fatalf("no %s in %s", from, text)
		}
		e.Item = e.Item.With(store.S(attr, strings.Replace(text, from, to, 1)))
	}
}

func loses(table string, of pick, sk string) edit {
	return func(t *testing.T, d *dump) {
		i := d.find(t, &d.ours, table, of(d), sk)
		d.ours = slices.Delete(d.ours, i, i+1)
	}
}

// listless takes the order from the list whose partitions begin so.
func listless(table, list string, of pick) edit {
	return func(t *testing.T, d *dump) {
		for i, e := range d.ours {
			if e.Key.Table == table && strings.HasPrefix(e.Key.PK, list) && strings.HasSuffix(e.Key.SK, of(d)) {
				d.ours = slices.Delete(d.ours, i, i+1)
				return
			}
		}
		t.Fatalf("%s is not in %s of %s", of(d), list, table)
	}
}

func gains(table string, pk pick, sk string, it store.Item) edit {
	return func(_ *testing.T, d *dump) {
		d.ours = append(d.ours, store.Entry{Key: store.Key{Table: table, PK: pk(d), SK: sk}, Item: it})
		sorted(d.ours)
	}
}

func sorted(book []store.Entry) {
	sort.SliceStable(book, func(i, j int) bool { return book[i].Key.String() < book[j].Key.String() })
}

// book changes an item of the provider's; nil removes it.
func book(of pick, sk string, change func(store.Item) store.Item) edit {
	return func(t *testing.T, d *dump) {
		i := d.find(t, &d.theirs, provider.Table, of(d), sk)
		if it := change(d.theirs[i].Item); it != nil {
			d.theirs[i].Item = it
		} else {
			d.theirs = slices.Delete(d.theirs, i, i+1)
		}
	}
}

func enters(of pick, sk, kind string, cents int64) edit {
	return func(_ *testing.T, d *dump) {
		key := store.Key{Table: provider.Table, PK: of(d), SK: sk}
		it := store.Item{store.S("type", kind), store.N("amount_cents", cents), store.N("at", 1)}
		d.theirs = append(d.theirs, store.Entry{Key: key, Item: it})
		sorted(d.theirs)
	}
}

func amount(cents int64) func(store.Item) store.Item {
	return func(it store.Item) store.Item { return it.With(store.N("amount_cents", cents)) }
}

func gone(store.Item) store.Item { return nil }

// lost takes a whole order from the table of orders, and leaves what points to it.
func lost(of pick) edit {
	return func(_ *testing.T, d *dump) {
		id := of(d)
		d.ours = slices.DeleteFunc(d.ours, func(e store.Entry) bool { return e.Key.Table == order.Table && e.Key.PK == id })
	}
}

func TestHealthyBooksAreSilent(t *testing.T) {
	d := healthy(t)
	r := d.check(false)
	if len(r.Violations) > 0 || r.Orders != 6 || r.Products != 2 || r.Open != 1 || r.Reviews != 1 {
		t.Errorf("%+v", r)
	}
	t.Run("but not at rest, while an execution is open", func(t *testing.T) {
		if v := d.check(true).Violations; len(v) != 1 || v[0].Rule != "I5" {
			t.Errorf("%v", v)
		}
	})
}

var corruptions = []struct {
	what string
	edit edit
	want string // the rules that are broken, exactly
}{
	{"one piece too many is available", moves("inventory", named("A"), "stock", "available", 1), "I1"},
	{"one piece too many is held", moves("inventory", named("A"), "stock", "held", 1), "I1"},
	{"one piece too many is sold", moves("inventory", named("A"), "stock", "sold", 1), "I1"},
	{"one piece too many came in", moves("inventory", named("A"), "stock", "restocked", 1), "I1"},
	{"stock without its product", loses("inventory", named("A"), "product"), "I1"},
	{"a product without its stock", loses("inventory", named("LAST"), "stock"), "I1"},
	{"a stock item without a counter", sets("inventory", named("A"), "stock", store.S("held", "two")), "I1"},

	{"a hold that has lost a line", rewrites("reservations", confirmed, "hold", "lines", `,{"product_id":"LAST","quantity":1}`, ""), "I1 I2"},
	{"a released hold of other lines", rewrites("reservations", compensated, "hold", "lines", `"quantity":1`, `"quantity":2`), "I2"},
	{"a released hold is gone", loses("reservations", compensated, "hold"), "I2"},
	{"a hold in no known state", sets("reservations", compensated, "hold", store.S("state", "GONE")), "I2"},
	{"an active hold that no expirer finds", listless("reservations", "active#", review), "I2"},
	{"a hold of an order that never was", gains("reservations", named("ord-none"), "hold", store.Item{
		store.S("state", "COMMITTED"), store.S("lines", `[{"product_id":"B","quantity":1}]`)}), "I1 I2"},

	{"the ledger captured more", book(confirmed, "outcome", amount(2001)), "I3"},
	{"the ledger captured less", book(confirmed, "outcome", amount(1999)), "I3"},
	{"the ledger captured nothing", book(confirmed, "outcome", gone), "I3"},
	{"the ledger captured twice", enters(confirmed, "outcome-2", "capture", 2000), "I3"},
	{"the ledger holds a capture in a refund's place", enters(confirmed, "refund", "capture", 2000), "I3"},
	{"the ledger refunded a confirmed order", enters(confirmed, "refund", "refund", 2000), "I3"},
	{"the ledger refunded more than it captured", book(cancelled, "refund", amount(1001)), "I3 I3'"},
	{"the ledger refunded less than it captured", book(cancelled, "refund", amount(999)), "I3 I3'"},
	{"the ledger has no refund of a cancelled order", book(cancelled, "refund", gone), "I3 I3'"},
	{"the ledger captured what was declined", book(compensated, "outcome", func(it store.Item) store.Item {
		return it.With(store.S("type", "capture"), store.N("amount_cents", 1000))
	}), "I3 I3'"},
	{"the ledger captured for an order that never paid", enters(failed, "outcome", "capture", 2000), "I3"},
	{"the ledger has an intent over another amount", book(confirmed, "intent", amount(1)), "I3"},
	{"the ledger has an intent in another currency", book(confirmed, "intent", func(it store.Item) store.Item {
		return it.With(store.S("currency", "EUR"))
	}), "I3"},
	{"the ledger has no intent", book(confirmed, "intent", gone), "I3"},

	{"the payment is unknown", sets("payments", confirmed, "payment", store.S("state", "CAPTURING")), "I4"},
	{"the payment's cancel is unknown", sets("payments", compensated, "payment", store.S("state", "CANCELLING")), "I4"},
	{"the payment says declined, and was captured", sets("payments", confirmed, "payment", store.S("state", "DECLINED")), "I3"},
	{"the payment says refunded, and was not", sets("payments", confirmed, "payment", store.S("state", "REFUNDED")), "I3"},
	{"the payment says captured, and was declined", sets("payments", compensated, "payment", store.S("state", "CAPTURED"), store.N("captured_cents", 1000)), "I3"},
	{"the payment says another amount was captured", sets("payments", confirmed, "payment", store.N("captured_cents", 1)), "I3"},
	{"the payment says another amount was refunded", sets("payments", cancelled, "payment", store.N("refunded_cents", 1)), "I3"},
	{"the payment is over another amount", sets("payments", confirmed, "payment", store.N("amount_cents", 1)), "I3"},
	{"the payment is in no known state", sets("payments", compensated, "payment", store.S("state", "PAID")), "I3"},
	{"the payment of a confirmed order is gone", loses("payments", confirmed, "payment"), "I3"},

	{"a confirmed order whose stock is still held", func(t *testing.T, d *dump) {
		sets("reservations", confirmed, "hold", store.S("state", "ACTIVE"))(t, d)
		for _, id := range []string{"A", "LAST"} {
			moves("inventory", named(id), "stock", "held", 1)(t, d)
			moves("inventory", named(id), "stock", "sold", -1)(t, d)
		}
		gains("reservations", named("active#00"), "0000000000000#"+d.confirmed, store.Item{})(t, d)
	}, "I5"},
	{"a compensated order whose stock is sold", func(t *testing.T, d *dump) {
		sets("reservations", compensated, "hold", store.S("state", "COMMITTED"))(t, d)
		moves("inventory", named("A"), "stock", "available", -1)(t, d)
		moves("inventory", named("A"), "stock", "sold", 1)(t, d)
	}, "I5"},
	{"an execution that ended before its order", sets("flow", open, "head", store.S("status", "SUCCEEDED")), "I5 I7"},

	{"a head in another state", sets("orders", confirmed, "head", store.S("status", order.Compensated)), "I6"},
	{"a head at another version", moves("orders", confirmed, "head", "version", -1), "I6"},
	{"a head with another hash", sets("orders", confirmed, "head", store.S("hash", strings.Repeat("0", 64))), "I6"},
	{"a head over another total", moves("orders", confirmed, "head", "total_cents", 1), "I6"},
	{"a head that cannot be read", sets("orders", confirmed, "head", store.S("hash", "")), "I6"},
	{"no head", loses("orders", confirmed, "head"), "I6"},
	{"the first event is gone", loses("orders", confirmed, "event#0000000001"), "I6"},
	{"an event in the middle is gone", loses("orders", confirmed, "event#0000000002"), "I6"},
	{"the last event is gone", loses("orders", confirmed, "event#0000000004"), "I6"},
	{"an event says something else", rewrites("orders", confirmed, "event#0000000001", "event", `"quantity":1`, `"quantity":9`), "I6"},
	{"an event says the same in other bytes", rewrites("orders", confirmed, "event#0000000001", "event", `"currency":"USD"`, `"currency":"\u0055SD"`), "I6"},
	{"an event says a member twice", rewrites("orders", confirmed, "event#0000000001", "event", `"currency":"USD"`, `"currency":"EUR","currency":"USD"`), "I6"},
	{"an event is no event", sets("orders", confirmed, "event#0000000002", store.S("event", "{}")), "I6"},
	{"an event has another hash", sets("orders", confirmed, "event#0000000002", store.S("hash", strings.Repeat("0", 64))), "I6"},

	{"the execution is gone", loses("flow", confirmed, "head"), "I7"},
	{"an open execution that no recovery finds", listless("flow", "open#", open), "I7"},
	{"an ended execution that is indexed as open", gains("flow", named("open#00"), "ord-ended", store.Item{}), "I7"},
	{"an open execution beside the order's own", func(t *testing.T, d *dump) {
		gains("flow", named(d.open+"-r1"), "head", store.Item{store.S("status", "RUNNING")})(t, d)
		gains("flow", named("open#00"), d.open+"-r1", store.Item{})(t, d)
	}, "I7"},
	{"an open order that no sweep finds", listless("orders", "open#", open), "I7"},
	{"an order in review that no sweep finds", listless("orders", "open#", review), "I7"},
	{"an order in review that no operator finds", listless("orders", "review#", review), "I7"},
	{"an order that is under way and listed as in review", func(t *testing.T, d *dump) {
		gains("orders", named("review#00"), d.open, store.Item{})(t, d)
	}, "I7"},
	{"a caller's counter of open orders is too high", moves("orders", named("holder#p"), "open", "open", 1), "I7"},
	{"a caller's counter of open orders is too low", moves("orders", named("holder#p"), "open", "open", -1), "I7"},
	{"a caller's counter of open orders is gone", loses("orders", named("holder#p"), "open"), "I7"},
	{"an order that its customer does not find", listless("orders", "customer#", confirmed), "I7"},
	{"an order that no export finds", listless("orders", "day#", confirmed), "I7"},
	{"a day whose orders no list of all finds", loses("orders", named("days#all"), ""), "I7"},
	{"a day without an order hides nothing", gains("orders", named("days#all"), "1999-12-31", store.Item{}), ""},
	{"a refused order is lost", lost(failed), "I7"},
	{"an order under way is lost", lost(open), "I7"},
	{"a confirmed order is lost", lost(confirmed), "I2 I3 I7"},

	{"the key of an open order is lost", func(t *testing.T, d *dump) {
		d.ours = slices.DeleteFunc(d.ours, func(e store.Entry) bool { return e.Key.Table == "idempotency" && e.Item.Str("ref") == d.open })
	}, "I8"},
	{"the key of an open order answers with another", func(t *testing.T, d *dump) {
		for i, e := range d.ours {
			if e.Key.Table == "idempotency" && e.Item.Str("ref") == d.open {
				d.ours[i].Item = e.Item.With(store.S("ref", d.confirmed))
			}
		}
	}, "I8"},

	{"the notification is lost", loses("notifications", confirmed, "n#"), "I9"},
	{"the notification was begun, and is nowhere", sets("notifications", confirmed, "n#", store.S("status", "SENDING")), "I9"},
	{"the notification is of another version", moves("notifications", confirmed, "n#", "version", -1), "I9"},
}

func TestEachCorruptionBreaksItsRule(t *testing.T) {
	whole := healthy(t)
	for _, c := range corruptions {
		t.Run(c.what, func(t *testing.T) {
			d := whole
			d.ours, d.theirs = slices.Clone(whole.ours), slices.Clone(whole.theirs)
			c.edit(t, &d)
			if got := d.rules(); got != c.want {
				t.Errorf("broken: %q, want %q\n%v", got, c.want, d.check(false).Violations)
			}
			var memory invariant.Memory
			for _, seen := range []dump{whole, d, whole, d} { // who remembers how it was finds the same, and forgets what is mended
				if got, want := seen.checkBy(memory.New(), false), seen.check(false); !reflect.DeepEqual(got, want) {
					t.Errorf("remembered: %+v, want %+v", got, want)
				}
			}
		})
	}
	if rules := whole.rules(); rules != "" {
		t.Errorf("the healthy dump was changed: %s", rules)
	}
}
