package instance_test

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/app"
	"github.com/utkarsh698/cloudflow/internal/eventlog"
	"github.com/utkarsh698/cloudflow/internal/flow"
	"github.com/utkarsh698/cloudflow/internal/httpapi"
	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/instance"
	"github.com/utkarsh698/cloudflow/internal/limit"
	"github.com/utkarsh698/cloudflow/internal/observe"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/provider"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// The two threat tables of the specification, a row each.
func TestThreats(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name string
		test func(*testing.T)
	}{
		{"STRIDE: spoofing, a forged customer_id", forgedCustomer},
		{"STRIDE: tampering, a changed total in the saga's input", tamperedInput},
		{"STRIDE: repudiation, a customer who denies an order", deniedOrder},
		{"STRIDE: information disclosure, personal data in logs", loggedPersons},
		{"STRIDE: denial of service, a flood of orders", floodedOrders},
		{"STRIDE: elevation of privilege, a service in another's table", tablesOfOthers},
		{"duplicate requests", duplicateRequests},
		{"slow or failed payment API", failedPayments},
		{"stock oversell", oversoldStock},
		{"partial saga failure", func(t *testing.T) { crashesAtEveryPoint(t, "ORDER-1", time.Minute) }},
		{"forged or tampered order", forgedOrder},
		{"cross-service data access", tablesOfOthers},
	} {
		t.Run(row.name, row.test)
	}
}

func forgedCustomer(t *testing.T) {
	t.Parallel()
	w := keyed(t)
	w.product("A", 10)
	mallory := w.as("mallory")
	p := mallory.call("POST", "/orders", orderOf("ada")).is(http.StatusForbidden).problem("FORBIDDEN")
	if p.Field == nil || *p.Field != "customer_id" {
		t.Errorf("%+v", p)
	}
	for _, header := range []string{"X-Customer-Id", "X-User", "X-Forwarded-User", "X-Principal"} { // a name that is claimed and not proved
		mallory.call("POST", "/orders", orderOf("ada"), header, "ada").is(http.StatusForbidden)
	}
	if r := w.rest(); r.Orders != 0 {
		t.Errorf("%d orders are stored", r.Orders)
	}
}

// tamperedInput changes what the saga's execution starts with, in the store, before its first step: another amount, other stock, another
// order's, none of which is carried out.
func tamperedInput(t *testing.T) {
	for what, edit := range map[string][2]string{
		"a lower total":   {`"total_cents":1000`, `"total_cents":1`},
		"a higher total":  {`"total_cents":1000`, `"total_cents":999999`},
		"more pieces":     {`"quantity":1`, `"quantity":9`},
		"another product": {`"product_id":"A"`, `"product_id":"B"`},
		"another method":  {`"payment_method":"` + visa + `"`, `"payment_method":"` + provider.Slow + `"`},
	} {
		t.Run(what, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bubble) {
				b.product("A", 10)
				b.product("B", 10)
				id := b.accepted(request(visa, "A"))
				if n := b.edit(flow.Table, edit[0], edit[1]); n == 0 {
					t.Fatalf("the store has no %s", edit[0])
				}
				stop := b.start()
				wait(time.Hour)
				stop()
				l, err := b.Provider.Ledger(t.Context(), id)
				if err != nil || len(l.Entries) != 0 {
					t.Errorf("the provider was asked for money: %+v, %v", l, err)
				}
				b.stock("A", 10, 0, 0)
				b.stock("B", 10, 0, 0)
				o := b.call("GET", "/orders/"+id, nil).is(http.StatusOK).order()
				if o.Status == "CONFIRMED" || o.Status == "COMPENSATED" {
					t.Errorf("the order is %s", o.Status)
				}
			})
		})
	}
}

// edit replaces a text in every item of a table, behind everybody's back, and says in how many.
func (b *bubble) edit(table, from, to string) (edited int) {
	b.t.Helper()
	var entries []store.Entry
	err := b.ours.Dump(b.t.Context(), func(e store.Entry) error {
		if e.Key.Table == table {
			entries = append(entries, e)
		}
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, e := range entries {
		changed := false
		it := slices.Clone(e.Item)
		for i, a := range it {
			text := a.Value.Text()
			if kind := a.Value.Kind(); kind != store.KindBytes && kind != store.KindString || !strings.Contains(text, from) {
				continue
			}
			text, changed = strings.ReplaceAll(text, from, to), true
			if it[i] = store.S(a.Name, text); a.Value.Kind() == store.KindBytes {
				it[i] = store.B(a.Name, []byte(text))
			}
		}
		if !changed {
			continue
		}
		edited++
		if err := b.ours.Update(b.t.Context(), func(tx *store.Tx) error { tx.Put(e.Key, it); return nil }); err != nil {
			b.t.Fatal(err)
		}
	}
	return edited
}

// deniedOrder shows what there is in hand: who placed the order, when, under which key and in which call, in a log in which nothing can be
// changed, taken away or put between without showing.
func deniedOrder(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		stop := b.start()
		b.product("A", 10)
		id := b.accepted(request(visa, "A"), "Idempotency-Key", "k-1", "X-Correlation-Id", "corr-of-the-call")
		ended(t, b.outcome(id), "CONFIRMED", confirmedLog)
		b.rest()
		stop()
		read := func() []eventlog.Event {
			events, err := eventlog.Read(t.Context(), b.ours, order.Table, id, 0, 0, store.Strong)
			if err != nil {
				t.Fatal(err)
			}
			return events
		}
		created := read()[0]
		if created.CorrelationID != "corr-of-the-call" || created.Data["customer_id"] != "cust-1" || created.Timestamp.IsZero() {
			t.Errorf("the first event is %+v", created)
		}
		if err := eventlog.Verify(read()); err != nil {
			t.Fatal(err)
		}
		if b.edit(order.Table, `"customer_id":"cust-1"`, `"customer_id":"cust-2"`) == 0 {
			t.Fatal("nothing to edit")
		}
		if eventlog.Verify(read()) == nil {
			t.Error("another customer in the log does not show")
		}
	})
}

// loggedPersons: what a log line says of a person is an id. (TestNoContactInAnyLogLine and TestNoCardNumberIsKeptOrLogged go through all that
// can happen to an order.)
func loggedPersons(t *testing.T) {
	t.Parallel()
	book := &logbook{}
	w := keyed(t, func(c *instance.Config) { c.Log = observe.NewLogger(book, slog.LevelDebug, nil) })
	w.product("A", 10)
	r := orderOf("ada")
	r.Contact = &contact
	key := w.as("ada")
	key.place(r)
	w.rest()
	lines := book.lines(t)
	if len(lines) < 5 {
		t.Fatalf("%d lines", len(lines))
	}
	book.mu.Lock()
	defer book.mu.Unlock()
	text := book.text.String()
	for _, secret := range []string{*contact.Email, *contact.Phone, visa, strings.TrimPrefix(key.who[1], "Bearer ")} {
		if strings.Contains(text, secret) {
			t.Errorf("the log has %q", secret)
		}
	}
}

func floodedOrders(t *testing.T) {
	t.Parallel()
	w := keyed(t, func(c *instance.Config) {
		c.Limits = &httpapi.Limits{PerKey: limit.Rate{PerSecond: 5, Burst: 10}, Connections: 512}
	})
	w.product("A", 1000)
	flooder, ada := w.as("flooder"), w.as("ada")
	taken, refused := 0, 0
	for range 100 {
		switch a := flooder.call("POST", "/orders", orderOf("flooder")); a.status {
		case http.StatusAccepted:
			taken++
		default:
			a.is(http.StatusTooManyRequests).problem("THROTTLED")
			refused++
		}
	}
	if refused < 50 {
		t.Errorf("%d were taken, %d refused", taken, refused)
	}
	ended(t, ada.place(orderOf("ada")), "CONFIRMED", confirmedLog)
	if r := w.rest(); r.Orders != int64(taken)+1 {
		t.Errorf("%d orders are stored, %d were taken", r.Orders, taken+1)
	}
}

// tablesOfOthers reads the code of the services: none names another's table, or imports who does. In one process that is the wall; on AWS
// it is each function's role.
func tablesOfOthers(t *testing.T) {
	t.Parallel()
	owned := map[string][]string{
		"inventory": {"inventory", "reservations"}, "payment": {"payments"}, "notification": {"notifications"}, "order": {"orders", "erasures"},
		"provider": {"provider-intents"},
	}
	for service := range owned {
		files := 0
		err := filepath.WalkDir(filepath.Join("..", service), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			files++
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			for other, tables := range owned {
				if other == service {
					continue
				}
				for _, i := range f.Imports {
					// The simulated provider is an adapter: payment's port is what it is made to.
					if service != "provider" && strings.HasSuffix(i.Path.Value, "/internal/"+other+`"`) {
						err = errors.Join(err, errors.New(path+" imports "+other))
					}
				}
				ast.Inspect(f, func(n ast.Node) bool {
					if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING {
						if text, _ := strconv.Unquote(l.Value); slices.Contains(tables, text) {
							err = errors.Join(err, errors.New(path+" names the table "+text))
						}
					}
					return true
				})
			}
			return err
		})
		if err != nil || files == 0 {
			t.Errorf("%s: %d files, %v", service, files, err)
		}
	}
}

func duplicateRequests(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.product("A", 10)
	id := w.accepted(request(visa, "A"), "Idempotency-Key", "k")
	for range 10 {
		if again := w.call("POST", "/orders", request(visa, "A"), "Idempotency-Key", "k"); into[apigen.OrderAccepted](again).OrderID != id {
			t.Errorf("answered %s", again.body)
		}
	}
	ended(t, w.outcome(id), "CONFIRMED", confirmedLog)
	w.call("POST", "/orders", request(declined, "A"), "Idempotency-Key", "k").is(http.StatusUnprocessableEntity)
	if r := w.rest(); r.Orders != 1 {
		t.Errorf("%d orders", r.Orders)
	}
	w.stock("A", 9, 0, 1)
	w.ledger(id, 1000, 0)
}

func failedPayments(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *instance.Config) { c.BreakerFailures = 3 })
	w.product("A", 100)
	w.i.App.Provider.SetFault(provider.Fault{Down: true})
	for range 3 {
		w.accepted(request(visa, "A"))
	}
	eventually(t, "the circuit opens", func() bool {
		s, err := w.i.App.Breakers[app.ChargeBreaker].State(t.Context())
		return err == nil && s.State == "OPEN"
	})
	asked := w.i.App.Provider.Attempts()
	began := time.Now()
	for range 20 {
		w.call("POST", "/orders", request(visa, "A")).is(http.StatusServiceUnavailable).problem("PAYMENT_PROVIDER_UNAVAILABLE")
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("20 refusals took %s", took)
	}
	if now := w.i.App.Provider.Attempts(); now.Open != asked.Open {
		t.Errorf("the provider was asked for new orders: %+v, then %+v", asked, now)
	}
}

func oversoldStock(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	scarce(t, w, "LAST", 40, 1)
}

func forgedOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.product("A", 10)
	cheap := request(visa, "A")
	cheap.Items[0].UnitPriceCents = ptr[int64](1)
	w.call("POST", "/orders", cheap).is(http.StatusConflict).problem("PRICE_CHANGED")
	for _, quantity := range []int64{-1, 0} {
		r := request(visa, "A")
		r.Items[0].Quantity = quantity
		w.call("POST", "/orders", r).is(http.StatusUnprocessableEntity).problem("VALIDATION_FAILED")
	}
	w.call("POST", "/orders", map[string]any{
		"customer_id": "c", "total_cents": 1, "items": []any{map[string]any{"product_id": "A", "quantity": 1}},
	}).is(http.StatusBadRequest)
	w.call("POST", "/orders", apigen.OrderRequest{CustomerID: "c"}).is(http.StatusUnprocessableEntity)
	if r := w.rest(); r.Orders != 0 {
		t.Errorf("%d orders are stored", r.Orders)
	}
	o := w.place(request(visa, "A"))
	w.ledger(o.OrderID, 1000, 0) // what the shop's price says, and nothing that was sent
	w.rest()
}
