package browsertest

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/instance"
	"github.com/utkarsh698/cloudflow/internal/inventory"
	"github.com/utkarsh698/cloudflow/internal/provider"
	"github.com/utkarsh698/cloudflow/internal/store"
)

func TestTheInvariantsAreCheckedWithAClick(t *testing.T) {
	s := newShop(t)
	s.place("ada", "MOUSE-01", provider.Visa)
	s.place("ada", "MOUSE-01", provider.ChargeDeclined)
	tb := newTab(t, s.url)
	tb.open("/dashboard/operations")
	tb.click("#verify button")
	tb.awaitText("#verify .said-outcome", "Everything holds: 2 orders read, 0 left out")
	tb.withoutScript()
	tb.open("/dashboard/operations")
	tb.click("#verify button")
	tb.awaitText("#verify .said-outcome", "Everything holds")
}

func TestAnOperatorRestocksAndTurnsCircuits(t *testing.T) {
	s := newShop(t)
	tb := newTab(t, s.url)
	tb.open("/dashboard/operations")
	tb.fill(`#shelf form[action$="/MOUSE-01/restock"] input`, "17")
	tb.click(`#shelf form[action$="/MOUSE-01/restock"] button`)
	tb.await("42 are on the shelf", `document.querySelector('[data-available="MOUSE-01"]').textContent === "42"`)
	const state = `[...document.querySelectorAll("#breakers .breaker")].find((b) => b.querySelector("h3").textContent === "payment-refund").querySelector("strong").textContent`
	tb.click(`#breakers form[action$="/payment-refund/trip"] button`)
	tb.await("the circuit is open", state+` === "OPEN"`)
	tb.click(`#breakers form[action$="/payment-refund/reset"] button`)
	tb.await("the circuit is closed", state+` === "CLOSED"`)
	if path := tb.path(); path != "/dashboard/operations" {
		t.Errorf("the page is at %s after it", path)
	}
}

// hostile are texts that try to be more than text.
var hostile = []string{
	`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `{{.}}`, "abc\u202Edcba", "\U0001F980\U0001F4B8", `</textarea><svg onload=alert(1)>`, `javascript:alert(1)`,
	`' onfocus=alert(1) autofocus='`, `&lt;b&gt;&amp;`,
}

// inert requires that nothing but our own elements stand in the page.
func (tb *tab) inert() {
	tb.t.Helper()
	strange := read[[]string](tb, `[
		...document.querySelectorAll('script:not([src="/dashboard/assets/live.js"]), img:not([src="/dashboard/assets/icon.svg"]), iframe, object, embed, base, style'),
		...[...document.querySelectorAll("*")].filter((e) => e.getAttributeNames().some((n) => n.startsWith("on") || e.getAttribute(n).trim().startsWith("javascript:") && n !== "value")),
	].map((e) => e.outerHTML.slice(0, 200))`)
	for _, s := range strange {
		tb.t.Errorf("%s has the element %s", tb.path(), s)
	}
}

func TestAnOperatorRedrivesASagaThatWaitsForAPerson(t *testing.T) {
	s := newShop(t)
	s.product("A", "A", 9)
	// The stock of an order is given back behind its back while its card is charged, so that its saga fails at CommitReservation.
	s.call(http.StatusOK, "PUT", "/admin/faults", apigen.Faults{LatencyMs: ptr[int64](1500)})
	var accepted apigen.OrderAccepted
	request := apigen.OrderRequest{CustomerID: "ada", PaymentMethod: ptr(provider.Visa), Items: []apigen.OrderRequestItem{{ProductID: "A", Quantity: 1}}}
	if err := json.Unmarshal(s.call(http.StatusAccepted, "POST", "/orders", request), &accepted); err != nil {
		t.Fatal(err)
	}
	id := accepted.OrderID
	eventually(t, "the stock is reserved", func() bool {
		return strings.Contains(string(s.call(http.StatusOK, "GET", "/orders/"+id, nil)), "STOCK_RESERVED")
	})
	lines := inventory.Request{OrderID: id, Lines: []inventory.Line{{ProductID: "A", Quantity: 1}}}
	commit := func(e store.Effect, err error) {
		t.Helper()
		if err == nil {
			_, err = store.Commit(t.Context(), s.i.Dir.Store, e)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	commit(s.i.App.Inventory.Release(t.Context(), lines))
	s.call(http.StatusOK, "PUT", "/admin/faults", apigen.Faults{})

	tb := newTab(t, s.url)
	tb.open("/dashboard/operations")
	form := `#review form[action="/dashboard/sagas/` + id + `/redrive"]`
	tb.await("the saga waits for a person", `document.querySelector(`+quote(form)+`)`)
	if said := tb.text("#review .card"); !strings.Contains(said, "CommitReservation") || !strings.Contains(said, "HoldReleased") {
		t.Errorf("the saga is shown as %q", said)
	}
	tb.open("/dashboard/orders/" + id)
	tb.awaitText("#story .said-outcome", "CONFIRMED") // charged, and it stays so
	tb.awaitText("#story .said-outcome", "REVIEW Its saga has failed and waits for a person.")
	tb.open("/dashboard/orders")
	tb.await("the list says so", row(id)+`.closest("tr").textContent.includes("NEEDS A PERSON")`)

	// What was taken is reserved again, by hand.
	if err := s.i.Dir.Store.Update(t.Context(), func(tx *store.Tx) error {
		tx.Delete(store.Key{Table: inventory.ReservationsTable, PK: id, SK: "hold"})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	commit(s.i.App.Inventory.Reserve(t.Context(), lines))
	tb.open("/dashboard/operations")
	reason := strings.Join(hostile, " ")
	tb.fill(form+` input[name="reason"]`, reason)
	tb.click(form + " button")
	tb.await("the order's page is there", `location.pathname === "/dashboard/orders/`+id+`" && document.querySelector("#story")`)
	tb.awaitText("#story .said-outcome", "CONFIRMED")
	tb.await("the saga has come to its end", `!document.querySelector("#story").dataset.poll && !document.querySelector("#story .said-outcome").textContent.includes("REVIEW")`)
	tb.await("the log has the reason", `[...document.querySelectorAll(".log tr")].some((r) => r.textContent.includes("SAGA_REDRIVEN") && r.textContent.includes("onerror"))`)
	tb.inert()
	tb.open("/dashboard/operations")
	if said := tb.text("#review"); !strings.Contains(said, "None.") {
		t.Errorf("after it, what waits is %q", said)
	}
}

func TestAnOperatorPutsDeadLettersBack(t *testing.T) {
	var ahead atomic.Int64 // of the clock
	now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	s := newShop(t, func(c *instance.Config) { c.Now = now })
	reason := strings.Join(hostile, " ")
	s.mail.refusing(fault.New(fault.Transient, "the relay says %s", reason))
	request := apigen.OrderRequest{
		CustomerID: "ada", PaymentMethod: ptr(provider.Visa), Items: []apigen.OrderRequestItem{{ProductID: "MOUSE-01", Quantity: 1}},
		Contact: &apigen.Contact{Email: ptr("ada@example.test")},
	}
	id := s.order(request)
	letters := func() (list apigen.DeadLetterList) {
		t.Helper()
		if err := json.Unmarshal(s.call(http.StatusOK, "GET", "/admin/dlq", nil), &list); err != nil {
			t.Fatal(err)
		}
		return list
	}
	// Each other order wakes the queue, which then finds that the time of the refused message has come.
	eventually(t, "the message dies", func() bool {
		ahead.Add(int64(time.Minute * 6))
		s.place("bob", "MOUSE-01", provider.ChargeDeclined)
		pause(10 * look)
		return len(letters().Letters) == 1
	})
	tb := newTab(t, s.url)
	tb.open("/dashboard/operations")
	if said := tb.text("#letters tbody tr"); !strings.Contains(said, id) || !strings.Contains(said, "the relay says") {
		t.Errorf("the letter is shown as %q", said)
	}
	tb.inert()
	s.mail.refusing(nil)
	tb.click(`#letters input[type="checkbox"]`)
	tb.click("#letters form button")
	tb.awaitText("#letters", "None: every customer was told, or will be.")
	eventually(t, "the customer is told", func() bool { s.mail.mu.Lock(); defer s.mail.mu.Unlock(); return s.mail.taken == 1 })
}
