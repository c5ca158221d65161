package stagetest

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/awsstage"
	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/inventory"
	"github.com/utkarsh698/cloudflow/internal/notification"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/payment"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// What the log of an order is, by its outcome.
var (
	confirmedLog    = []string{order.OrderCreated, order.StockReserved, order.PaymentCharged, order.OrderConfirmed}
	declinedLog     = []string{order.OrderCreated, order.StockReserved, order.PaymentFailed, order.StockReleased, order.OrderCompensated}
	failedLog       = []string{order.OrderCreated, order.StockRejected, order.OrderFailed}
	confirmedStates = []string{"Enter", "ReserveStock", "RecordReservation", "ChargePayment", "ConfirmOrder", "CommitReservation", "NotifyCustomer", "Done"}
)

// An end is what an order has to have come to. What is empty is not asked.
type end struct {
	status string
	reason string
	log    []string // the types of its events; those of CANCEL_REQUESTED are left out
	states []string // that its executions have entered, one execution after the other
	hold   string   // the state of its hold
	paid   payment.State
}

// ended holds an order against what it has to have come to: by what the interface says, in the tables, and in its executions.
func (s *stage) ended(t *testing.T, o apigen.Order, want end) {
	t.Helper()
	reason := ""
	if o.FailureReason != nil {
		reason = string(*o.FailureReason)
	}
	if string(o.Status) != want.status || reason != want.reason {
		t.Fatalf("order %s is %s %s, want %s %s: %v", o.OrderID, o.Status, reason, want.status, want.reason, typesOf(o))
	}
	if stored := s.log(t, o.OrderID); !slices.Equal(stored, typesOf(o)) {
		t.Errorf("the table has the events %v, the interface shows %v", stored, typesOf(o))
	}
	if log := slices.DeleteFunc(typesOf(o), func(e string) bool { return e == order.CancelRequested }); want.log != nil && !slices.Equal(log, want.log) {
		t.Errorf("the events are %v, want %v", log, want.log)
	}
	eventually(t, "the executions of "+o.OrderID+" have come to their end", func() bool {
		x, err := s.Machine.Summary(t.Context(), s.executions(t, o.OrderID)[len(s.executions(t, o.OrderID))-1])
		return err == nil && x.Status == asl.StatusSucceeded
	})
	if states := s.states(t, o.OrderID); want.states != nil && !slices.Equal(states, want.states) {
		t.Errorf("the states are %v, want %v", states, want.states)
	}
	if hold := s.item(t, inventory.ReservationsTable, o.OrderID, "hold").Str("state"); want.hold != "" && hold != want.hold {
		t.Errorf("the hold is %q, want %q", hold, want.hold)
	}
	if want.paid != "" {
		row, err := payment.DecodeRow(s.entry(t, payment.Table, o.OrderID))
		if err != nil || row.State != want.paid {
			t.Errorf("the payment is %q, want %q (%v)", row.State, want.paid, err)
		}
	}
}

func typesOf(o apigen.Order) (types []string) {
	for _, e := range o.Events {
		types = append(types, string(e.Type))
	}
	return types
}

// log are the types of the events that the table has of an order.
func (s *stage) log(t *testing.T, orderID string) []string {
	t.Helper()
	return s.books().events(t, orderID)
}

// executions are the names of an order's executions.
func (s *stage) executions(t *testing.T, orderID string) []string {
	t.Helper()
	return s.books().executions(t, orderID)
}

// states are those that the order's executions have entered.
func (s *stage) states(t *testing.T, orderID string) (names []string) {
	t.Helper()
	for _, execution := range s.executions(t, orderID) {
		x, err := s.Machine.Describe(t.Context(), execution)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range x.History {
			if strings.HasSuffix(e.Type, "StateEntered") {
				names = append(names, e.State)
			}
		}
	}
	return names
}

func (s *stage) item(t *testing.T, table, pk, sk string) store.Item {
	t.Helper()
	return s.books().item(t, table, pk, sk)
}

// entry is the one item of a partition.
func (s *stage) entry(t *testing.T, table, pk string) store.Entry {
	t.Helper()
	entries, err := s.Store.Range(t.Context(), store.Query{Table: table, PK: pk})
	if err != nil || len(entries) != 1 {
		t.Fatalf("%s has %d items of %s, want one (%v)", table, len(entries), pk, err)
	}
	return entries[0]
}

// stock requires where a product's pieces are.
func (s *stage) stock(t *testing.T, productID string, available, held, sold int64) {
	t.Helper()
	st, err := inventory.DecodeStock(s.item(t, inventory.Table, productID, "stock"))
	if err != nil || st.Available != available || st.Held != held || st.Sold != sold {
		t.Errorf("%s has %d available, %d held, %d sold; want %d, %d, %d (%v)", productID, st.Available, st.Held, st.Sold, available, held, sold, err)
	}
}

// ledger requires what the provider's own book says of an order, and that ours says the same.
func (s *stage) ledger(t *testing.T, orderID string, captured, refunded int64) {
	t.Helper()
	var p struct {
		Captured int64 `json:"captured_cents"`
		Refunded int64 `json:"refunded_cents"`
		Provider struct {
			Captured int64 `json:"captured_cents"`
			Refunded int64 `json:"refunded_cents"`
		} `json:"provider"`
	}
	a := s.call(t, "GET", "/admin/payments/"+orderID, nil).is(http.StatusOK)
	a.as(&p)
	if p.Captured != captured || p.Refunded != refunded || p.Provider.Captured != captured || p.Provider.Refunded != refunded {
		t.Errorf("captured are to be %d and refunded %d: %s", captured, refunded, a.body)
	}
}

// quiet waits until the queue of notifications is empty.
func (s *stage) quiet(t *testing.T) {
	t.Helper()
	eventually(t, "every notification is handled", func() bool {
		n, err := s.Queue.CountWaiting(t.Context())
		return err == nil && n == 0
	})
}

// table is what a table is called in the account.
func (s *stage) table(name string) string { return awsstage.Name(s.name, name) }

// told requires that the customer was told of the end, once.
func (s *stage) told(t *testing.T, o apigen.Order) {
	t.Helper()
	eventually(t, "the customer of "+o.OrderID+" is told", func() bool {
		entries, err := s.Store.Range(t.Context(), store.Query{Table: notification.Table, PK: o.OrderID})
		return err == nil && len(entries) == 1 && notification.DecodeRecord(entries[0]).Delivered()
	})
}
