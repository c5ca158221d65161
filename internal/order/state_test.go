package order

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/eventlog"
	"github.com/utkarsh698/cloudflow/internal/fault"
)

var t0 = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func createdData() map[string]any {
	return Created{CustomerID: "cust-1", Lines: []Line{{"LAPTOP-01", 1, 500}}, TotalCents: 500, Currency: "USD", PaymentMethod: "pm_card_visa"}.data()
}

// nextEvent makes a well-formed event of that type for a log that is so long and has been redriven so often.
func nextEvent(typ string, version, redrives int64) eventlog.Event {
	e := eventlog.Event{Version: version, Type: typ, Timestamp: t0.Add(time.Duration(version) * time.Second)}
	switch typ {
	case OrderCreated:
		e.Data = createdData()
	case StockRejected:
		e.Data = map[string]any{"code": reasonInsufficientStock}
	case PaymentFailed:
		e.Data = map[string]any{"code": reasonPaymentDeclined}
	case SagaRedriven:
		e.Data = map[string]any{"n": number(redrives + 1)}
	}
	return e
}

var allTypes = []string{
	OrderCreated, StockReserved, StockRejected, PaymentCharged, PaymentFailed, PaymentRefunded, StockReleased, CancelRequested,
	OrderConfirmed, OrderFailed, OrderCompensated, OrderCancelled, OrderReview, SagaRedriven,
}

// completeLogs are the logs that may occur, as saga.md lists them, without annotations. cancel says whether CANCEL_REQUESTED is in
// the log: 'y', 'n' or '?' for either.
var completeLogs = func() (logs []struct {
	cancel byte
	types  []string
}) {
	add := func(cancel byte, types string) {
		logs = append(logs, struct {
			cancel byte
			types  []string
		}{cancel, strings.Fields(types)})
	}
	add('n', "ORDER_CREATED STOCK_RESERVED PAYMENT_CHARGED ORDER_CONFIRMED")
	add('?', "ORDER_CREATED STOCK_REJECTED ORDER_FAILED")
	for _, reserved := range []string{"", "STOCK_RESERVED "} {
		add('n', "ORDER_CREATED "+reserved+"STOCK_RELEASED ORDER_COMPENSATED")
		add('?', "ORDER_CREATED "+reserved+"PAYMENT_FAILED STOCK_RELEASED ORDER_COMPENSATED")
		for _, refunded := range []string{"", "PAYMENT_CHARGED PAYMENT_REFUNDED "} {
			add('y', "ORDER_CREATED "+reserved+refunded+"STOCK_RELEASED ORDER_CANCELLED")
		}
	}
	return logs
}()

// mayOccur is the grammar, written another way than State.allows: whether the log is the beginning of one that may occur.
func mayOccur(log []string) bool {
	var bare []string
	cancels, inReview, ended := 0, false, false
	for i, typ := range log {
		switch {
		case typ == OrderReview && i > 0 && !inReview:
			inReview = true
		case typ == SagaRedriven && inReview:
			inReview = false
		case typ == OrderReview || typ == SagaRedriven || inReview:
			return false
		case typ == CancelRequested:
			if cancels++; i == 0 || ended || cancels > 1 {
				return false
			}
		default:
			bare = append(bare, typ)
			ended = terminalTypes[typ]
		}
	}
	for _, c := range completeLogs {
		if len(bare) > len(c.types) || strings.Join(bare, " ") != strings.Join(c.types[:len(bare)], " ") {
			continue
		}
		if c.cancel == '?' || c.cancel == 'y' && (cancels == 1 || len(bare) < len(c.types)) || c.cancel == 'n' && cancels == 0 {
			return true
		}
	}
	return false
}

var terminalTypes = map[string]bool{OrderConfirmed: true, OrderFailed: true, OrderCompensated: true, OrderCancelled: true}

func TestFoldTakesTheLogsThatMayOccurAndNoOthers(t *testing.T) {
	const longest = 11 // the longest log without annotations has 7 events; two pairs of annotations fit in
	terminal, logs := map[string]int{}, 0
	var walk func(log []string, st State)
	walk = func(log []string, st State) {
		logs++
		for _, typ := range allTypes {
			longer := append(log[:len(log):len(log)], typ)
			e := nextEvent(typ, st.Version+1, st.Redrives)
			next, err := st.apply(&e)
			if got, want := err == nil, mayOccur(longer); got != want {
				t.Fatalf("%v: taken %v, may occur %v (%v)", longer, got, want, err)
			}
			if err != nil {
				if !fault.Is(err, fault.OrderState) {
					t.Fatalf("%v: %v, want OrderState", longer, err)
				}
				continue
			}
			if next.Terminal() && !st.Terminal() {
				terminal[next.Status]++
			}
			if len(longer) < longest {
				walk(longer, next)
			}
		}
	}
	walk(nil, State{})
	if len(terminal) != 4 || logs < 1000 {
		t.Fatalf("only %d logs tried, which ended %v", logs, terminal)
	}
}

func foldOf(t *testing.T, types ...string) State {
	t.Helper()
	var events []eventlog.Event
	redrives := int64(0)
	for i, typ := range types {
		events = append(events, nextEvent(typ, int64(i+1), redrives))
		if typ == SagaRedriven {
			redrives++
		}
	}
	st, err := Fold(events)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func TestFold(t *testing.T) {
	for name, c := range map[string]struct {
		log            string
		status, reason string
		review         bool
	}{
		"a new order is pending":                       {"ORDER_CREATED", Pending, "", false},
		"a reserved order is pending":                  {"ORDER_CREATED STOCK_RESERVED", Pending, "", false},
		"a cancel alone changes no status":             {"ORDER_CREATED CANCEL_REQUESTED", Pending, "", false},
		"a confirmed order has no failure":             {"ORDER_CREATED STOCK_RESERVED PAYMENT_CHARGED ORDER_CONFIRMED", Confirmed, "", false},
		"a shortage is why an order failed":            {"ORDER_CREATED STOCK_REJECTED ORDER_FAILED", Failed, "INSUFFICIENT_STOCK", false},
		"a cancelled shortage is a failure":            {"ORDER_CREATED CANCEL_REQUESTED STOCK_REJECTED ORDER_FAILED", Failed, "INSUFFICIENT_STOCK", false},
		"a payment's failure is why it was undone":     {"ORDER_CREATED STOCK_RESERVED PAYMENT_FAILED STOCK_RELEASED ORDER_COMPENSATED", Compensated, "PAYMENT_DECLINED", false},
		"no failure says why: inventory was away":      {"ORDER_CREATED STOCK_RELEASED ORDER_COMPENSATED", Compensated, "INVENTORY_UNAVAILABLE", false},
		"the customer's cancel is why":                 {"ORDER_CREATED CANCEL_REQUESTED STOCK_RELEASED ORDER_CANCELLED", Cancelled, "CANCELLED_BY_CUSTOMER", false},
		"a failed execution needs a person":            {"ORDER_CREATED ORDER_REVIEW", Review, "", true},
		"a redriven order is pending again":            {"ORDER_CREATED ORDER_REVIEW SAGA_REDRIVEN", Pending, "", false},
		"after the end, a review leaves the status":    {"ORDER_CREATED STOCK_REJECTED ORDER_FAILED ORDER_REVIEW", Failed, "INSUFFICIENT_STOCK", true},
		"and so does the redrive":                      {"ORDER_CREATED STOCK_REJECTED ORDER_FAILED ORDER_REVIEW SAGA_REDRIVEN", Failed, "INSUFFICIENT_STOCK", false},
		"a second review needs a person a second time": {"ORDER_CREATED ORDER_REVIEW SAGA_REDRIVEN ORDER_REVIEW", Review, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			st := foldOf(t, strings.Fields(c.log)...)
			if st.Status != c.status || st.FailureReason() != c.reason || st.NeedsReview != c.review {
				t.Fatalf("got %s, %q, review %v", st.Status, st.FailureReason(), st.NeedsReview)
			}
		})
	}

	edit := func(edit func(events []eventlog.Event) []eventlog.Event) error {
		_, err := Fold(edit([]eventlog.Event{nextEvent(OrderCreated, 1, 0), nextEvent(StockReserved, 2, 0), nextEvent(PaymentFailed, 3, 0)}))
		return err
	}
	for name, c := range map[string]struct {
		edit func(e []eventlog.Event) []eventlog.Event
		kind fault.Kind
	}{
		"an empty log":              {func([]eventlog.Event) []eventlog.Event { return nil }, fault.OrderState},
		"a missing version":         {func(e []eventlog.Event) []eventlog.Event { return append(e[:1], e[2]) }, fault.OrderState},
		"a time that falls":         {func(e []eventlog.Event) []eventlog.Event { e[1].Timestamp = t0; return e }, fault.OrderState},
		"an unknown type":           {func(e []eventlog.Event) []eventlog.Event { e[1].Type = "ORDER_LOST"; return e }, fault.OrderState},
		"a code that is none":       {func(e []eventlog.Event) []eventlog.Event { e[2].Data["code"] = "RAIN"; return e }, fault.Internal},
		"no code":                   {func(e []eventlog.Event) []eventlog.Event { e[2].Data = nil; return e }, fault.Internal},
		"no customer":               {func(e []eventlog.Event) []eventlog.Event { delete(e[0].Data, "customer_id"); return e }, fault.Internal},
		"a total that is no number": {func(e []eventlog.Event) []eventlog.Event { e[0].Data["total_cents"] = "500"; return e }, fault.Internal},
		"a fraction of a cent":      {func(e []eventlog.Event) []eventlog.Event { e[0].Data["total_cents"] = json.Number("5.5"); return e }, fault.Internal},
		"no items":                  {func(e []eventlog.Event) []eventlog.Event { e[0].Data["items"] = []any{}; return e }, fault.Internal},
		"an item that is none":      {func(e []eventlog.Event) []eventlog.Event { e[0].Data["items"] = []any{"x"}; return e }, fault.Internal},
	} {
		t.Run(name+" is refused", func(t *testing.T) {
			if err := edit(c.edit); !fault.Is(err, c.kind) {
				t.Fatalf("got %v, want %s", err, c.kind)
			}
		})
	}
	t.Run("redrives are numbered from 1", func(t *testing.T) {
		events := []eventlog.Event{nextEvent(OrderCreated, 1, 0), nextEvent(OrderReview, 2, 0), nextEvent(SagaRedriven, 3, 1)}
		if _, err := Fold(events); !fault.Is(err, fault.Internal) {
			t.Fatalf("got %v", err)
		}
	})
}

func TestHead(t *testing.T) {
	t.Run("what is projected is read back", func(t *testing.T) {
		for _, log := range []string{
			"ORDER_CREATED",
			"ORDER_CREATED STOCK_REJECTED ORDER_FAILED ORDER_REVIEW SAGA_REDRIVEN ORDER_REVIEW",
			"ORDER_CREATED CANCEL_REQUESTED STOCK_RESERVED PAYMENT_CHARGED PAYMENT_REFUNDED STOCK_RELEASED ORDER_CANCELLED",
			"ORDER_CREATED STOCK_RESERVED PAYMENT_FAILED STOCK_RELEASED ORDER_COMPENSATED",
		} {
			st := foldOf(t, strings.Fields(log)...)
			st.Hash = strings.Repeat("a", 64)
			if got, err := DecodeHead(st.item()); err != nil || got != st {
				t.Fatalf("%s:\ngot  %+v, %v\nwant %+v", log, got, err, st)
			}
		}
	})
	t.Run("a head stays small", func(t *testing.T) {
		st := foldOf(t, happyLog...)
		st.Hash, st.CorrelationID = strings.Repeat("a", 64), "corr-01JCQZ8V3W5K7M9N1P3R5T7V9X"
		if n := st.item().Size(); n > 400 {
			t.Fatalf("%d bytes", n)
		}
	})
	t.Run("what is no head is refused", func(t *testing.T) {
		if _, err := DecodeHead(nil); !fault.Is(err, fault.Internal) {
			t.Fatalf("got %v", err)
		}
	})
}

// happyLog is the log of an order that went well.
var happyLog = []string{OrderCreated, StockReserved, PaymentCharged, OrderConfirmed}
