package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
)

func TestOrderList(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir(), "--demo")
	s.cli("product", "put", "PEN", "--name", "Pen", "--price", "100", "--stock", "1000").exits(0)
	var ids []string
	for n := range 105 {
		r := s.cli("order", "place", "--customer", fmt.Sprint("cust-", n%2), "--item", "PEN=1", "--json").exits(0)
		ids = append(ids, one[apigen.OrderAccepted](r).OrderID)
	}
	declined := s.place("--item", "KEYBD-01=1", "--payment-method", "pm_card_chargeDeclined")
	t.Run("the newest are on top, in a table", func(t *testing.T) {
		r := s.cli("order", "list", "--limit", "2").exits(0).prints("order ", "COMPENSATED PAYMENT_DECLINED", "89.99 USD", ids[104])
		r.hints("there are more; --limit 2 lists the newest 2 only")
		if lines := strings.Split(r.out, "\n"); len(lines) != 4 || !strings.HasPrefix(lines[1], declined.OrderID) {
			t.Errorf("%q", lines)
		}
	})
	t.Run("as many as are asked for, over several pages, each once", func(t *testing.T) {
		r := s.cli("order", "list", "--limit", "1000", "--json").exits(0)
		list := one[apigen.OrderList](r)
		if len(list.Orders) != 106 || list.NextCursor != nil || r.err != "" {
			t.Fatalf("%d orders, %q", len(list.Orders), r.err)
		}
		for i, o := range list.Orders[1:] {
			if o.OrderID != ids[104-i] {
				t.Fatalf("row %d is %s, want %s", i, o.OrderID, ids[104-i])
			}
		}
	})
	t.Run("of one customer, and by status", func(t *testing.T) {
		if list := one[apigen.OrderList](s.cli("order", "list", "--customer", "cust-1", "--json", "--limit", "100").exits(0)); len(list.Orders) != 53 {
			t.Errorf("%d orders", len(list.Orders)) // and the one that was declined
		}
		if list := one[apigen.OrderList](s.cli("order", "list", "--status", "COMPENSATED", "--json").exits(0)); len(list.Orders) != 1 {
			t.Errorf("%+v", list)
		}
		if list := one[apigen.OrderList](s.cli("order", "list", "--customer", "nobody", "--json").exits(0)); len(list.Orders) != 0 {
			t.Errorf("%+v", list)
		}
	})
	t.Run("a wrong word is told", func(t *testing.T) {
		s.cli("order", "list", "--status", "done").exits(1).hints("BAD_REQUEST (400): status must be one of PENDING")
		s.cli("order", "list", "--limit", "0").exits(2).hints("--limit 0")
		s.cli("order", "list", "ord-1").exits(2)
	})
}

func TestEvents(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir(), "--demo")
	o := s.place("--item", "KEYBD-01=1", "--payment-method", "pm_card_chargeDeclined")
	t.Run("the log is shown and its chain holds", func(t *testing.T) {
		r := s.cli("events", o.OrderID).exits(0).prints("1  ORDER_CREATED", `"customer_id":"cust-1"`, "5  ORDER_COMPENSATED")
		r.hints("the chain of 5 events holds; its last hash is ")
	})
	t.Run("with --json it is one object, as it came", func(t *testing.T) {
		log := one[apigen.OrderLog](s.cli("events", o.OrderID, "--json").exits(0))
		if log.OrderID != o.OrderID || len(log.Events) != 5 || *log.Events[1].PreviousHash != log.Events[0].Hash {
			t.Errorf("%+v", log)
		}
	})
	t.Run("an order that there is not is an error", func(t *testing.T) {
		s.cli("events", "ord-none").exits(1).hints("NOT_FOUND (404)")
		s.cli("events").exits(2).hints("wants an order id")
	})
	whole := s.cli("events", o.OrderID, "--json").exits(0).out
	for _, c := range []struct{ rule, from, to, says string }{
		{"an amount that was edited", `"total_cents":8999`, `"total_cents":9000`, "version 1: its hash is not that of its content"},
		{"a type that was edited", `"PAYMENT_FAILED"`, `"PAYMENT_CHARGED"`, "version 3: its hash"},
		{"an event that was left out", `"version":2,`, `"version":7,`, "version 2: version 7 stands in its place"},
		{"a time in another form", `"timestamp":"2`, `"timestamp":"x2`, "version 1: \"x2"},
		{"a link that was cut", `"previous_hash":"`, `"previous_hash":"0`, "version 2: it is not chained to the event before it"},
		{"no event at all", whole, `{"order_id":"ord-1","events":[]}`, "there is no event"},
	} {
		t.Run(c.rule+" breaks the chain: exit 1", func(t *testing.T) {
			edited := strings.Replace(whole, c.from, c.to, 1)
			if edited == whole {
				t.Fatalf("no %s in %s", c.from, whole)
			}
			liar := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, edited) }))
			defer liar.Close()
			invoke(t, []string{"CLOUDFLOW_URL=" + liar.URL}, "events", o.OrderID).exits(1).hints("the chain is broken: " + c.says)
		})
	}
}

// A watching is a `cloudflow order watch` that runs.
type watching struct {
	t        *testing.T
	out, err *serveLog
	stop     context.CancelFunc
	ended    chan int
}

func (s *service) watch(args ...string) *watching {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	w := &watching{s.t, newServeLog(), newServeLog(), cancel, make(chan int, 1)}
	args = append([]string{"order", "watch"}, args...)
	go func() {
		w.ended <- run(ctx, args, strings.NewReader(""), w.out, w.err, []string{"CLOUDFLOW_URL=" + s.url})
	}()
	s.t.Cleanup(cancel)
	return w
}

// events are what it has printed with --json.
func (w *watching) events() (all []feedEvent) {
	d := json.NewDecoder(bytes.NewReader([]byte(w.out.String())))
	for {
		var e feedEvent
		if d.Decode(&e) != nil {
			return all
		}
		all = append(all, e)
	}
}

// exit waits for the end.
func (w *watching) exit() (code int) {
	w.t.Helper()
	eventually(w.t, "the watch ends: "+w.err.String(), func() bool {
		select {
		case code = <-w.ended:
			return true
		default:
			return false
		}
	})
	return code
}

func TestOrderWatch(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	s := serve(t, data, "--demo")
	t.Run("an order is watched until it has ended", func(t *testing.T) {
		placed := one[apigen.OrderAccepted](s.cli("order", "place", "--customer", "cust-1", "--item", "MOUSE-01=1",
			"--payment-method", "pm_sim_slow", "--json").exits(0))
		w := s.watch(placed.OrderID, "--json")
		if code := w.exit(); code != 0 || w.err.String() != "" {
			t.Errorf("exit %d, %s", code, w.err)
		}
		all := w.events()
		if len(all) < 2 || all[len(all)-1].Status != "CONFIRMED" || all[len(all)-1].Type != "ORDER_CONFIRMED" {
			t.Errorf("%+v", all)
		}
		for i, e := range all[1:] {
			if e.Version != all[i].Version+1 || e.OrderID != placed.OrderID {
				t.Errorf("%+v comes after %+v", e, all[i])
			}
		}
	})
	t.Run("one that has ended already is shown as it is", func(t *testing.T) {
		o := s.place("--item", "MOUSE-01=1", "--payment-method", "pm_card_chargeDeclined")
		w := s.watch(o.OrderID)
		if code := w.exit(); code != 0 || !strings.Contains(w.out.String(), " 5  ORDER_COMPENSATED  COMPENSATED\n") {
			t.Errorf("exit %d, %s", code, w.out)
		}
	})
	t.Run("one that there is not is an error", func(t *testing.T) {
		s.cli("order", "watch", "ord-none").exits(1).hints("NOT_FOUND (404)")
	})
	t.Run("nor can one watch where nothing listens", func(t *testing.T) {
		invoke(t, []string{"CLOUDFLOW_URL=http://127.0.0.1:1"}, "order", "watch").exits(1).hints("nothing listens")
		s.cli("order", "watch", "a", "b").exits(2)
	})
	t.Run("all are watched over a restart of the server, and no event is missed or told twice", func(t *testing.T) {
		w := s.watch("--json")
		count := func(id string) (n int64) {
			for _, e := range w.events() {
				if e.OrderID == id {
					if n++; e.Version != n {
						t.Fatalf("%+v where version %d comes", e, n)
					}
				}
			}
			return n
		}
		eventually(t, "the watch has begun", func() bool { // it hears of an order from its first event on
			id := s.place("--item", "KEYBD-01=1", "--payment-method", "pm_card_chargeDeclined").OrderID
			for range 20 {
				if strings.Contains(w.out.String(), id) {
					return true
				}
				wait(10 * time.Millisecond)
			}
			return false
		})
		last := s.place("--item", "KEYBD-01=1", "--payment-method", "pm_card_chargeDeclined").OrderID
		s.end()
		again := serve(t, data, "--addr", strings.TrimPrefix(s.url, "http://"))
		id := again.place("--item", "LAPTOP-01=1").OrderID
		eventually(t, "both are told in full", func() bool { return count(last) == 5 && count(id) == 4 })
		if said := w.err.String(); !strings.Contains(said, "connecting again") {
			t.Errorf("it says %q", said)
		}
		w.stop()
		if code := w.exit(); code != 0 {
			t.Errorf("exit %d", code)
		}
	})
}
