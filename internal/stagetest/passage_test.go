package stagetest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/utkarsh698/cloudflow/internal/eventlog"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/flow"
	"github.com/utkarsh698/cloudflow/internal/inventory"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/payment"
	"github.com/utkarsh698/cloudflow/internal/provider"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// A passage is an order's way through the saga, and what came of it.
type passage struct {
	states []string // that its executions have entered, each with the errors of its task's attempts, if there were any
	ends   []string // of its executions
	deaths int      // of the processes that were at a task
	status string
	reason string
	events []string
	books  []string // of the order's money and stock
}

// A library is where the books of one engine's orders are.
type library struct {
	ours, theirs store.Store
	describe     func(ctx context.Context, execution string) (flow.Execution, error)
}

// passage reads that of an order. In the state in which something happened meanwhile it is chance how often the task found the store away.
func (l library) passage(t *testing.T, orderID string, products []string, meanwhile string) passage {
	t.Helper()
	head := l.head(t, orderID)
	p := passage{status: head.Status, reason: head.FailureReason(), events: l.events(t, orderID)}
	for _, execution := range l.executions(t, orderID) {
		l.readExecution(t, &p, execution, meanwhile)
	}
	p.books = append(p.books, fmt.Sprintf("the total is %d cents, needs review: %t", head.TotalCents, head.NeedsReview))
	l.readBooks(t, &p, orderID, products)
	return p
}

// readExecution adds the states of an execution, and its end.
func (l library) readExecution(t *testing.T, p *passage, execution, meanwhile string) {
	t.Helper()
	x, err := l.describe(t.Context(), execution)
	if err != nil {
		t.Fatal(err)
	}
	failed := map[string]int{}
	left := func() {
		if last := len(p.states) - 1; last >= 0 {
			p.states[last] += timesOf(failed)
		}
		clear(failed)
	}
	for _, e := range x.History {
		switch {
		case strings.HasSuffix(e.Type, "StateEntered"):
			left()
			p.states = append(p.states, e.State)
		case isAttempt(e.Type) && e.Error == diedInIt:
			p.deaths++
		case isAttempt(e.Type) && e.Error != "" && (e.State != meanwhile || e.Error != string(fault.Transient)):
			failed[e.Error]++
		}
	}
	left()
	p.ends = append(p.ends, strings.TrimSpace(string(x.Status)+" "+x.Error))
}

// diedInIt is the error of a function whose process died. On flow there is none: the next process begins the same attempt again.
const diedInIt = "Runtime.ExitError"

// isAttempt reports whether the event is of a task's attempt. Step Functions calls them after the function, the emulator after any task.
func isAttempt(event string) bool {
	return strings.HasPrefix(event, "LambdaFunction") || strings.HasPrefix(event, "Task") && !strings.HasPrefix(event, "TaskState")
}

// timesOf writes the errors down, each with how often it was: " (2 Transient)".
func timesOf(failed map[string]int) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(failed)) {
		all = append(all, fmt.Sprintf("%d %s", failed[name], name))
	}
	if all == nil {
		return ""
	}
	return " (" + strings.Join(all, ", ") + ")"
}

// readBooks adds what the order holds, what was paid for it by our row and by the provider's ledger, and what is left.
func (l library) readBooks(t *testing.T, p *passage, orderID string, products []string) {
	t.Helper()
	note := func(format string, args ...any) { p.books = append(p.books, fmt.Sprintf(format, args...)) }
	note("the hold is %q", l.item(t, inventory.ReservationsTable, orderID, "hold").Str("state"))
	key := payment.Key(orderID)
	row := l.item(t, key.Table, key.PK, key.SK)
	note("the payment is %q, %d cents captured, %d refunded", row.Str("state"), row.Int("captured_cents"), row.Int("refunded_cents"))
	ledger, err := provider.New(provider.Config{Store: l.theirs}).Ledger(t.Context(), orderID)
	if err != nil {
		t.Fatal(err)
	}
	note("the provider has captured %d cents and refunded %d", ledger.CapturedCents, ledger.RefundedCents)
	for i, product := range products {
		st, err := inventory.DecodeStock(l.item(t, inventory.Table, product, "stock"))
		if err != nil {
			t.Fatal(err)
		}
		note("of product %d are %d available, %d held, %d sold", i, st.Available, st.Held, st.Sold)
	}
}

func (l library) head(t *testing.T, orderID string) order.State {
	t.Helper()
	head, err := order.DecodeHead(l.item(t, order.Table, orderID, "head"))
	if err != nil {
		t.Fatal(err)
	}
	return head
}

// executions are the names of an order's executions.
func (l library) executions(t *testing.T, orderID string) []string {
	t.Helper()
	names := make([]string, l.head(t, orderID).Redrives+1)
	for n := range names {
		names[n] = order.ExecutionName(orderID, int64(n))
	}
	return names
}

// events are the types of an order's events.
func (l library) events(t *testing.T, orderID string) (types []string) {
	t.Helper()
	entries, err := l.ours.Range(t.Context(), store.Query{Table: order.Table, PK: orderID, Prefix: "event#"})
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		e, err := eventlog.DecodeExact(entry)
		if err != nil {
			t.Fatal(err)
		}
		types = append(types, e.Type)
	}
	return types
}

func (l library) item(t *testing.T, table, pk, sk string) store.Item {
	t.Helper()
	item, err := l.ours.Get(t.Context(), store.Key{Table: table, PK: pk, SK: sk}, store.Strong)
	if err != nil {
		t.Fatal(err)
	}
	return item
}

// order is the order's status and why it failed.
func (p passage) order() string { return strings.TrimSpace(p.status + " " + p.reason) }

// same requires that flow has gone the same way.
func (p passage) same(t *testing.T, local passage) {
	t.Helper()
	for _, part := range []struct {
		what       string
		aws, local []string
	}{
		{"states", p.states, local.states},
		{"ends", p.ends, local.ends},
		{"deaths", []string{strconv.Itoa(p.deaths)}, []string{strconv.Itoa(local.deaths)}},
		{"order", []string{p.order()}, []string{local.order()}},
		{"events", p.events, local.events},
		{"books", p.books, local.books},
	} {
		if !slices.Equal(part.aws, part.local) {
			t.Errorf("%s on Step Functions and on flow:\n%s\n%s", part.what, strings.Join(part.aws, ", "), strings.Join(part.local, ", "))
		}
	}
}
