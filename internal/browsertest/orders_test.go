package browsertest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/utkarsh698/cloudflow/internal/provider"
)

// row is the row of an order in the list, as an expression.
func row(id string) string {
	return `document.querySelector('#list a[href="/dashboard/orders/` + id + `"]')`
}

// press presses keys where the focus is.
func (tb *tab) press(keys string) {
	tb.t.Helper()
	tb.do("keys are pressed", func(ctx context.Context) error { return chromedp.Do(ctx, chromedp.KeyEvent(keys)) })
}

func TestTheFreeFormPlacesAnOrderAndItsPageShowsIt(t *testing.T) {
	s := newShop(t)
	tb := newTab(t, s.url)
	tb.open("/")
	tb.fill(`input[name="customer"]`, "ada-7")
	tb.choose(`select[name="product"]`, "MOUSE-01")
	tb.fill(`.own input[name="quantity"]`, "3")
	tb.choose(`select[name="method"]`, "pm_card_visa")
	tb.fill(`input[name="email"]`, "ada@example.test")
	tb.click(`form[action="/dashboard/orders"] button`)
	tb.await("its page is there", `location.pathname.startsWith("/dashboard/orders/ord-") && document.querySelector("#story")`)
	tb.awaitText("#story .said-outcome", "CONFIRMED")
	story := tb.text("#story .panel")
	for _, want := range []string{"3 pieces reserved and sold, 89.97 USD charged", "3 × MOUSE-01 at 29.99", "captured 89.97, refunded 0.00", "unbroken"} {
		if !strings.Contains(story, want) {
			t.Errorf("the order's page says %q, without %q", story, want)
		}
	}
	if crumb := tb.text(".crumb"); !strings.Contains(crumb, "ada-7") {
		t.Errorf("the way to the customer's orders is %q", crumb)
	}
	if strings.Contains(tb.text("body"), "ada@example.test") {
		t.Error("the page shows the customer's address")
	}
	if lines := tb.count("#story .lines tr"); lines < 4 {
		t.Errorf("the page has %d log lines of the order", lines)
	}
	tb.click(".crumb a:last-of-type")
	tb.await("the customer's orders are there", `location.search === "?customer=ada-7" && document.querySelectorAll("#list tbody tr").length === 1`)
}

func TestOrdersAreFoundByStatusCustomerAndIDAndByALink(t *testing.T) {
	s := newShop(t)
	one := s.place("ada", "MOUSE-01", provider.Visa)
	two := s.place("ada", "MOUSE-01", provider.ChargeDeclined)
	three := s.place("bob", "MOUSE-01", provider.ChargeDeclined)
	tb := newTab(t, s.url)
	ids := func(want ...string) {
		t.Helper()
		if is := tb.texts("#list tbody code"); !slices.Equal(is, want) {
			t.Errorf("%s lists %q, want %q", tb.path(), is, want)
		}
	}
	tb.open("/dashboard/orders")
	ids(three, two, one)
	tb.choose(`select[name="status"]`, "COMPENSATED")
	tb.click(".filters button")
	tb.await("the filter is in the address", `location.search.includes("status=COMPENSATED") && document.querySelector("#list")`)
	ids(three, two)
	tb.fill(`.filters input[name="customer"]`, "ada")
	tb.click(".filters button")
	tb.await("both filters are in the address", `location.search.includes("customer=ada") && document.querySelector("#list")`)
	ids(two)
	tb.open("/dashboard/orders?status=CONFIRMED&customer=ada")
	ids(one)
	if status, customer := read[string](tb, `document.querySelector('select[name="status"]').value`), read[string](tb, `document.querySelector('input[name="customer"]').value`); status != "CONFIRMED" || customer != "ada" {
		t.Errorf("the link's filters are shown as %q, %q", status, customer)
	}
	tb.open("/dashboard/orders?status=FAILED")
	if said := tb.text("#list"); !strings.Contains(said, "No order is like that.") {
		t.Errorf("an empty list says %q", said)
	}
	tb.fill(`.filters input[name="id"]`, "  "+three+" ")
	tb.press(kb.Enter)
	tb.await("the order's page is there", `location.pathname === "/dashboard/orders/`+three+`" && document.querySelector("#story")`)
	tb.awaitText("h1", three)

	tb.expect("404")
	tb.open("/dashboard/orders?id=ord-01M82P3TTVDMAKJSH7DFVVZ6KQ")
	tb.awaitText("[role=alert]", "NOT_FOUND")
}

func TestAnOrderThatIsPlacedComesIntoTheOpenList(t *testing.T) {
	s := newShop(t)
	tb := newTab(t, s.url)
	tb.open("/dashboard/orders")
	tb.awaitText("#feed-state", "live")
	read[bool](tb, `window.stays = true`)
	id := s.place("ada", "MOUSE-01", provider.ChargeDeclined)
	tb.await("the order comes with its outcome", row(id)+`?.closest("tr").textContent.includes("COMPENSATED")`)
	if !read[bool](tb, `window.stays === true`) {
		t.Error("the page was loaded again for it")
	}
	tb.open("/dashboard/orders?customer=bob")
	tb.awaitText("#feed-state", "live")
	other := s.place("ada", "MOUSE-01", provider.Visa)
	mine := s.place("bob", "MOUSE-01", provider.Visa)
	tb.await("the customer's order comes", row(mine))
	if read[bool](tb, row(other)+` !== null`) {
		t.Error("another customer's order came, too")
	}
}

func TestAnOrderIsShownAsItWasAtAVersion(t *testing.T) {
	s := newShop(t)
	id := s.place("ada", "LAPTOP-01", provider.Visa)
	tb := newTab(t, s.url)
	tb.open("/dashboard/orders/" + id)
	tb.awaitText(".versions output", "4 of 4")
	read[bool](tb, `(document.querySelector('input[name="version"]').focus(), window.stays = true)`)
	tb.press(kb.Home)
	tb.awaitText("#story .said-outcome", "As it was at version 1 of 4")
	if status := tb.text("#story .said-outcome .status"); status != "PENDING" {
		t.Errorf("at its first version the order is %s", status)
	}
	tb.press(kb.ArrowRight) // the slider has kept the focus
	tb.awaitText("#story .said-outcome", "As it was at version 2 of 4")
	if !read[bool](tb, `window.stays === true`) {
		t.Error("the page was loaded again for it")
	}
	tb.click(`.versions a[href="/dashboard/orders/` + id + `"]`)
	tb.awaitText("#story .said-outcome", "CONFIRMED")

	tb.open("/dashboard/orders/" + id + "?version=3")
	tb.awaitText("#story .said-outcome", "As it was at version 3 of 4")

	tb.withoutScript()
	tb.open("/dashboard/orders/" + id)
	read[bool](tb, `(document.querySelector('input[name="version"]').focus(), true)`)
	tb.press(kb.Home)
	tb.click(".versions button")
	tb.awaitText("#story .said-outcome", "As it was at version 1 of 4")
}

func TestARowOfTheWaterfallOpensWithItsInputAndOutput(t *testing.T) {
	s := newShop(t)
	id := s.place("ada", "LAPTOP-01", provider.ChargeDeclined)
	tb := newTab(t, s.url)
	tb.open("/dashboard/orders/" + id)
	tb.await("the saga has been played", `document.querySelectorAll(".waterfall > li").length === 9 && !document.querySelector(".to-come")`)
	for n, want := range map[int][]string{
		2: {"done by", "inventory service", "input", "output", `"` + id + `"`},
		4: {"done by", "payment service", "error", "PaymentDeclined"},
	} {
		details := fmt.Sprintf(".waterfall > li:nth-child(%d) details", n)
		if read[bool](tb, `document.querySelector(`+quote(details+" dl")+`).checkVisibility()`) {
			t.Errorf("row %d is open", n)
		}
		tb.click(details + " summary")
		tb.await("the row opens", `document.querySelector(`+quote(details)+`).open && document.querySelector(`+quote(details+" dl")+`).checkVisibility()`)
		for _, text := range want {
			if is := tb.text(details + " dl"); !strings.Contains(is, text) {
				t.Errorf("row %d says %q, without %q", n, is, text)
			}
		}
	}
	pause(patience / 10) // what happens meanwhile
	if tb.count(".waterfall details[open]") != 2 {
		t.Error("what was opened has closed by itself")
	}
}
