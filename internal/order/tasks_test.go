package order

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/pii"
	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/memstore"
)

func TestTheSagasPaths(t *testing.T) {
	for name, c := range map[string]struct {
		commands       []command
		log            string
		status, reason string
		message        string
	}{
		"all goes well": {
			[]command{reserve, confirm, notify},
			"ORDER_CREATED STOCK_RESERVED PAYMENT_CHARGED ORDER_CONFIRMED", Confirmed, "", "ORDER_CONFIRMED",
		},
		"a product has run out": {
			[]command{fail, notify},
			"ORDER_CREATED STOCK_REJECTED ORDER_FAILED", Failed, "UNKNOWN_PRODUCT", "ORDER_FAILED",
		},
		"the card is declined": {
			[]command{reserve, decline, compensate, notify},
			"ORDER_CREATED STOCK_RESERVED PAYMENT_FAILED STOCK_RELEASED ORDER_COMPENSATED", Compensated, "PAYMENT_DECLINED", "ORDER_FAILED",
		},
		"inventory is away for good": {
			[]command{compensate, notify},
			"ORDER_CREATED STOCK_RELEASED ORDER_COMPENSATED", Compensated, "INVENTORY_UNAVAILABLE", "ORDER_FAILED",
		},
		"a cancel comes before the charge": {
			[]command{cancel, compensate, notify},
			"ORDER_CREATED CANCEL_REQUESTED STOCK_RELEASED ORDER_CANCELLED", Cancelled, "CANCELLED_BY_CUSTOMER", "ORDER_CANCELLED",
		},
		"a cancel comes after the charge, which is refunded": {
			[]command{reserve, cancel, refunded, notify},
			"ORDER_CREATED STOCK_RESERVED CANCEL_REQUESTED PAYMENT_CHARGED PAYMENT_REFUNDED STOCK_RELEASED ORDER_CANCELLED",
			Cancelled, "CANCELLED_BY_CUSTOMER", "ORDER_CANCELLED",
		},
		"a cancel comes and the card is declined": {
			[]command{reserve, cancel, decline, compensate, notify},
			"ORDER_CREATED STOCK_RESERVED CANCEL_REQUESTED PAYMENT_FAILED STOCK_RELEASED ORDER_COMPENSATED",
			Compensated, "PAYMENT_DECLINED", "ORDER_FAILED",
		},
		"a shortage is cancelled": {
			[]command{cancel, fail, notify},
			"ORDER_CREATED CANCEL_REQUESTED STOCK_REJECTED ORDER_FAILED", Failed, "UNKNOWN_PRODUCT", "ORDER_FAILED",
		},
		"the execution fails and is redriven": {
			[]command{reserve, review, redrive, confirm, notify},
			"ORDER_CREATED STOCK_RESERVED ORDER_REVIEW SAGA_REDRIVEN PAYMENT_CHARGED ORDER_CONFIRMED", Confirmed, "", "ORDER_CONFIRMED",
		},
		"the execution fails after the end": {
			[]command{reserve, confirm, review, redrive, notify},
			"ORDER_CREATED STOCK_RESERVED PAYMENT_CHARGED ORDER_CONFIRMED ORDER_REVIEW SAGA_REDRIVEN", Confirmed, "", "ORDER_CONFIRMED",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, memstore.Options{})
			id := w.place()
			w.do(id, c.commands...)
			w.wantLog(id, c.log)
			v := w.get(id, ViewQuery{})
			if v.Status != c.status || v.FailureReason != c.reason || !v.Terminal() {
				t.Fatalf("got %s, %q", v.Status, v.FailureReason)
			}
			messages := w.messages()
			if len(messages) != 1 || messages[0].Kind != c.message || messages[0].FailureReason != c.reason || messages[0].OrderID != id {
				t.Fatalf("got %+v", messages)
			}
			if e := w.events(id)[messages[0].Version-1]; !terminalTypes[e.Type] {
				t.Fatalf("the message names version %d, which is %s", messages[0].Version, e.Type)
			}
			if n := w.index(openKey(id).PK); n != 0 {
				t.Fatal("the order is still in the index of open orders")
			}
		})
	}
}

func TestTasks(t *testing.T) {
	t.Run("a repeated task answers the same and appends nothing", func(t *testing.T) {
		for _, path := range [][]command{
			{reserve, confirm, notify},
			{fail, notify},
			{reserve, decline, compensate, notify},
			{cancel, compensate, notify},
			{reserve, cancel, refunded, notify},
		} {
			w := newWorld(t, memstore.Options{})
			id := w.place()
			for _, c := range path {
				w.do(id, c)
				n := len(w.events(id))
				w.do(id, c)
				if got := len(w.events(id)); got != n {
					t.Fatalf("%s appended %d events when it was repeated", c.name, got-n)
				}
			}
			for _, c := range path { // once more, after the end
				if c.name == "cancel" {
					continue
				}
				n := len(w.events(id))
				if err := c.do(w, id); err != nil && !fault.Is(err, fault.OrderCancelled) {
					t.Fatalf("%s: %v", c.name, err)
				}
				if got := len(w.events(id)); got != n {
					t.Fatalf("%s appended %d events after the end", c.name, got-n)
				}
			}
		}
	})
	t.Run("what was charged and refunded is told with its payment", func(t *testing.T) {
		w := newWorld(t, memstore.Options{})
		id := w.place()
		w.do(id, reserve, confirm)
		if d := w.events(id)[2].Data; d["payment_id"] != "pay-7" || d["amount_cents"] != json.Number("129900") {
			t.Fatalf("got %v", d)
		}
	})
	t.Run("a payment id that is none is replaced by the derived one", func(t *testing.T) {
		w := newWorld(t, memstore.Options{})
		id := w.place()
		w.do(id, reserve)
		err := w.commit(w.Confirm(t.Context(), Task{OrderID: id, PaymentID: strings.Repeat("x", 1000)}))
		if got := w.events(id)[2].Data["payment_id"]; err != nil || got != "pay-"+strings.TrimPrefix(id, "ord-") {
			t.Fatalf("got %v, %v", got, err)
		}
	})
	t.Run("a refund that nobody cancelled for is not believed", func(t *testing.T) {
		w := newWorld(t, memstore.Options{})
		id := w.place()
		w.do(id, reserve, decline, refunded)
		w.wantLog(id, "ORDER_CREATED STOCK_RESERVED PAYMENT_FAILED STOCK_RELEASED ORDER_COMPENSATED")
	})
	t.Run("an error that is not a decline is the provider's absence", func(t *testing.T) {
		w := newWorld(t, memstore.Options{})
		id := w.place()
		err := w.commit(w.Record(t.Context(), RecordTask{Task: task(id), Event: PaymentFailed, Error: "States.Timeout"}))
		if got := w.events(id)[1].Data["code"]; err != nil || got != "PAYMENT_PROVIDER_UNAVAILABLE" {
			t.Fatalf("got %v, %v", got, err)
		}
	})
	t.Run("an order that is to be cancelled is neither reserved for nor confirmed", func(t *testing.T) {
		w := newWorld(t, memstore.Options{})
		id := w.place()
		w.do(id, cancel)
		wantKind(t, reserve.do(w, id), fault.OrderCancelled)
		wantKind(t, confirm.do(w, id), fault.OrderCancelled)
		w.wantLog(id, "ORDER_CREATED CANCEL_REQUESTED")
	})
	t.Run("a reservation recorded before the cancel is not charged for after it", func(t *testing.T) {
		w := newWorld(t, memstore.Options{})
		id := w.place()
		w.do(id, reserve, cancel)
		wantKind(t, reserve.do(w, id), fault.OrderCancelled)
	})

	for name, c := range map[string]struct {
		before []command
		c      command
	}{
		"a confirmation without a reservation":      {nil, confirm},
		"a confirmation after the order failed":     {[]command{fail}, confirm},
		"a confirmation after a failed payment":     {[]command{reserve, decline}, confirm},
		"a compensation of a confirmed order":       {[]command{reserve, confirm}, compensate},
		"a compensation of a failed order":          {[]command{fail}, compensate},
		"a rejection after the reservation":         {[]command{reserve}, fail},
		"a reservation after the end":               {[]command{compensate}, reserve},
		"a payment that fails after it succeeded":   {[]command{reserve, confirm}, decline},
		"a message about an order that has no end":  {[]command{reserve}, notify},
		"a confirmation of an order in review":      {[]command{reserve, review}, confirm},
		"a compensation of an order in review":      {[]command{review}, compensate},
		"a message about an order in review":        {[]command{review}, notify},
		"a failed payment after everything is back": {[]command{compensate}, decline},
	} {
		t.Run(name+" is refused", func(t *testing.T) {
			w := newWorld(t, memstore.Options{})
			id := w.place()
			w.do(id, c.before...)
			n := len(w.events(id))
			wantKind(t, c.c.do(w, id), fault.OrderState)
			if len(w.events(id)) != n {
				t.Fatal("and yet something was appended")
			}
		})
	}
	t.Run("a task of an unknown order is refused", func(t *testing.T) {
		w := newWorld(t, memstore.Options{})
		for _, c := range []command{reserve, decline, confirm, compensate, fail, notify, cancel, redrive} {
			wantKind(t, c.do(w, "ord-unknown"), fault.NotFound)
		}
	})
	t.Run("an event that no task records is refused", func(t *testing.T) {
		w := newWorld(t, memstore.Options{})
		_, err := w.Record(t.Context(), RecordTask{Task: task("ord-1"), Event: OrderConfirmed})
		wantKind(t, err, fault.Internal)
	})
	t.Run("the contact goes with the message, sealed", func(t *testing.T) {
		w := newWorld(t, memstore.Options{})
		r := request("")
		r.Contact = &Contact{Email: "ada@example.com", Phone: "+4915112345678"}
		p, err := w.Place(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		w.do(p.OrderID, fail, notify)
		sealed := w.messages()[0].SealedContact
		text, err := pii.Open(w.keys, "cust-1", sealed)
		if err != nil || string(text) != `{"email":"ada@example.com","phone":"+4915112345678"}` {
			t.Fatalf("got %s, %v", text, err)
		}
		_ = w.mem.Dump(t.Context(), func(en store.Entry) error {
			if text := fmt.Sprint(en); strings.Contains(text, "ada@") || strings.Contains(text, "+4915") {
				t.Errorf("the contact stands open in %s", en.Key)
			}
			return nil
		})
	})
	t.Run("what was committed is logged, once", func(t *testing.T) {
		w := newWorld(t, memstore.Options{})
		id := w.place()
		w.do(id, reserve, confirm, confirm, notify)
		var got []string
		for line := range strings.Lines(w.logged.String()) {
			var l struct{ Service, Msg, OrderID string }
			if err := json.Unmarshal([]byte(strings.Replace(line, "order_id", "OrderID", 1)), &l); err != nil || l.OrderID != id {
				t.Fatalf("%s, %v", line, err)
			}
			got = append(got, l.Service+": "+l.Msg)
		}
		want := "order_service.handler: Order created|order_service.handler: SAGA execution started|" +
			"order_service.handler: Order confirmed|notification_service: Notification queued"
		if strings.Join(got, "|") != want {
			t.Fatalf("got  %s\nwant %s", strings.Join(got, "|"), want)
		}
	})
}

// Whatever comes in whatever order, and however often: the log is one of those that may occur, the chain verifies and the head
// is the log's fold (checkedLog).
func TestNoSequenceOfCommandsMakesALogThatMayNotOccur(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t, memstore.Options{})
		id := w.place()
		terminal := ""
		for range rapid.IntRange(1, 25).Draw(rt, "commands") {
			c := rapid.SampledFrom(allCommands).Draw(rt, "command")
			if rapid.IntRange(0, 4).Draw(rt, "crash") == 0 {
				w.flaky.crashAt(rapid.IntRange(1, 2).Draw(rt, "at"), rapid.Bool().Draw(rt, "reply lost"))
			} else {
				w.flaky.crashAt(0, false)
			}
			err := c.do(w, id)
			switch fault.KindOf(err) {
			case "", fault.OrderState, fault.OrderCancelled, fault.OrderFinal, fault.InReview, fault.NotFailed, fault.Transient:
			default:
				rt.Fatalf("%s: %v", c.name, err)
			}
			events, err := checkedLog(w.mem, id)
			if err != nil {
				rt.Fatalf("after %s: %v", c.name, err)
			}
			st, _ := Fold(events)
			if st.Terminal() {
				if terminal != "" && terminal != st.Status {
					rt.Fatalf("%s became %s", terminal, st.Status)
				}
				terminal = st.Status
			} else if terminal != "" {
				rt.Fatalf("%s was left again", terminal)
			}
		}
	})
}

func TestCommandsSurviveACrashAtEveryWrite(t *testing.T) {
	for _, path := range [][]command{
		{reserve, confirm, notify},
		{reserve, decline, compensate, notify},
		{fail, notify},
		{reserve, cancel, refunded, notify},
		{reserve, review, redrive, confirm, review, redrive, notify},
	} {
		want := newWorld(t, memstore.Options{})
		wantID := want.place()
		want.do(wantID, path...)
		wantLog := strings.Join(typesOf(want.events(wantID)), " ")
		for _, replyLost := range []bool{false, true} {
			for n := 1; ; n++ {
				w := newWorld(t, memstore.Options{})
				w.flaky.crashAt(n, replyLost)
				id := w.place()
				for _, c := range path {
					if err := c.do(w, id); err != nil {
						wantKind(t, err, fault.Transient)
						w.do(id, c)
					}
				}
				w.wantLog(id, wantLog)
				if len(w.messages()) != 1 {
					t.Fatalf("%d messages", len(w.messages()))
				}
				if !w.flaky.failed { // the run ended before write n: every point is covered
					break
				}
			}
		}
	}
}

// 500 orders, each confirmed by the saga while its customer cancels: one of the two is first, and the rest follows from that.
func TestCancelRacesConfirm(t *testing.T) {
	ended := map[string]int{}
	for range 500 {
		w := newWorld(t, memstore.Options{})
		id := w.place()
		w.do(id, reserve)
		var wg sync.WaitGroup
		var cancelErr, confirmErr error
		wg.Go(func() { cancelErr = cancel.do(w, id) })
		wg.Go(func() { confirmErr = confirm.do(w, id) })
		wg.Wait()
		switch {
		case confirmErr == nil:
			wantKind(t, cancelErr, fault.OrderFinal)
			w.wantLog(id, "ORDER_CREATED STOCK_RESERVED PAYMENT_CHARGED ORDER_CONFIRMED")
		case cancelErr == nil:
			wantKind(t, confirmErr, fault.OrderCancelled)
			w.do(id, refunded)
			w.wantLog(id, "ORDER_CREATED STOCK_RESERVED CANCEL_REQUESTED PAYMENT_CHARGED PAYMENT_REFUNDED STOCK_RELEASED ORDER_CANCELLED")
		default:
			t.Fatalf("both were refused: %v, %v", cancelErr, confirmErr)
		}
		ended[w.get(id, ViewQuery{}).Status]++
	}
	t.Log(ended)
}
