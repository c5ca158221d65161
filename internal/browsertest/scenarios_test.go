package browsertest

import (
	"slices"
	"strings"
	"testing"
)

// A told is what the page of a scenario has to say.
type told struct {
	name, outcome, sentence string
	before, after           string
	rows                    []string // of the waterfall, and the states of the drawing that were visited
	logged                  []string
}

var scenarios = []told{
	{
		name: "happy-path", outcome: "CONFIRMED", sentence: "1 piece reserved and sold, 1,499.00 USD charged.", before: "10", after: "9",
		rows:   []string{"Enter", "ReserveStock", "RecordReservation", "ChargePayment", "ConfirmOrder", "CommitReservation", "NotifyCustomer", "Done"},
		logged: []string{"ORDER_CREATED", "STOCK_RESERVED", "PAYMENT_CHARGED", "ORDER_CONFIRMED"},
	},
	{
		name: "payment-failure", outcome: "COMPENSATED", sentence: "the card was declined, so the reserved stock went back to the shelf and nothing is charged.", before: "25", after: "25",
		rows:   []string{"Enter", "ReserveStock", "RecordReservation", "ChargePayment", "RecordPaymentFailure", "ReleaseStock", "CompensateOrder", "NotifyCustomer", "Done"},
		logged: []string{"ORDER_CREATED", "STOCK_RESERVED", "PAYMENT_FAILED", "STOCK_RELEASED", "ORDER_COMPENSATED"},
	},
	{name: "circuit-breaker", outcome: "PAYMENT_PROVIDER_UNAVAILABLE", sentence: "Nothing was stored, reserved or charged.", before: "8", after: "8"},
	{name: "oversell", outcome: "INSUFFICIENT_STOCK", sentence: "9 of KEYBD-01 asked for, 8 available", before: "8", after: "8"},
}

// is requires that the page tells the scenario.
func (s told) is(tb *tab) {
	tb.t.Helper()
	tb.await("the outcome is "+s.outcome, `document.querySelector("#run .said-outcome .status")?.textContent === `+quote(s.outcome))
	if said := tb.text("#run .said-outcome"); !strings.Contains(said, s.sentence) {
		tb.t.Errorf("the outcome is told as %q, without %q", said, s.sentence)
	}
	facts := read[map[string]string](tb, `Object.fromEntries([...document.querySelectorAll("#run .facts > div")].map((d) => [d.querySelector("dt").textContent, d.querySelector("dd").textContent]))`)
	if facts["stock before"] != s.before || facts["stock after"] != s.after {
		tb.t.Errorf("stock is told as %q before and %q after, want %s and %s", facts["stock before"], facts["stock after"], s.before, s.after)
	}
	if s.rows == nil {
		if n := tb.count("#run .saga-graph"); n != 0 || !strings.Contains(tb.text("#run"), "no saga to draw") {
			tb.t.Errorf("what was refused has %d drawings", n)
		}
		return
	}
	tb.await("the saga has come to its end", `document.querySelector("#run").dataset.poll === undefined`)
	if rows := tb.texts("#run .waterfall > li .name"); !slices.Equal(rows, s.rows) {
		tb.t.Errorf("the waterfall has the rows %q, want %q", rows, s.rows)
	}
	visited := read[[]string](tb, `[...document.querySelectorAll("#run .saga-graph [data-state].visited")].map((e) => e.dataset.state)`)
	if !slices.Equal(slices.Sorted(slices.Values(visited)), slices.Sorted(slices.Values(s.rows))) {
		tb.t.Errorf("the drawing shows %q as visited, want %q", visited, s.rows)
	}
	if logged := tb.texts("#run .events .type"); !slices.Equal(logged, s.logged) {
		tb.t.Errorf("the log has %q, want %q", logged, s.logged)
	}
}

func TestAScenarioIsAClickAndItsOutcomeStandsOnThePage(t *testing.T) {
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			tb := newTab(t, newShop(t).url)
			tb.open("/")
			tb.click("#play-" + s.name)
			s.is(tb)
			if strings.HasPrefix(tb.path(), "/?run=") {
				tb.open(tb.path()) // where it can be found again
				s.is(tb)
			} else {
				t.Errorf("the page is at %s after the scenario", tb.path())
			}
		})
	}
}

func TestAScenarioNeedsNoJavaScript(t *testing.T) {
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			tb := newTab(t, newShop(t).url)
			tb.withoutScript()
			tb.open("/")
			tb.click("#play-" + s.name)
			tb.await("the page of the run is there", `location.search.startsWith("?run=") && document.readyState === "complete"`)
			if s.rows != nil { // it may have been asked for before the saga ended, and nothing asks again by itself
				eventually(t, "the page loaded again shows the end of the saga", func() bool {
					tb.open(tb.path())
					return tb.count("#run[data-poll]") == 0
				})
			}
			s.is(tb)
			if read[bool](tb, `document.querySelector(".feed").checkVisibility()`) {
				t.Errorf("without scripts there is no feed, but its state is shown: .feed { display: flex } wins over the attribute hidden")
			}
		})
	}
}

func TestTheCircuitIsSeenOpenAndIsClosedByItsButton(t *testing.T) {
	tb := newTab(t, newShop(t).url)
	tb.open("/")
	tb.click("#play-circuit-breaker")
	scenarios[2].is(tb)
	const state = `[...document.querySelectorAll("#breakers .breaker")].find((b) => b.querySelector("h3").textContent === "payment-charge").querySelector("strong").textContent`
	tb.await("the circuit is shown open", state+` === "OPEN"`)
	first := read[int](tb, `Number(document.querySelector("#breakers [data-countdown]").textContent)`)
	tb.await("the seconds count down", `Number(document.querySelector("#breakers [data-countdown]").textContent) < `+quoteInt(first))
	tb.click(`#breakers form[action$="/payment-charge/reset"] button`)
	tb.await("the circuit is shown closed", state+` === "CLOSED"`)
	tb.click("#play-happy-path")
	scenarios[0].is(tb)
}

func TestAScenarioTakesItsStockAndSaysSoWhenItHadToRestock(t *testing.T) {
	tb := newTab(t, newShop(t).url)
	tb.open("/")
	tb.click("#play-happy-path")
	scenarios[0].is(tb)
	tb.await("the shelf says 9", `document.querySelector('#shelf [data-available="LAPTOP-01"]').textContent === "9"`)
	tb.fill(`#shelf form[action$="/KEYBD-01/restock"] input`, "3")
	tb.click(`#shelf form[action$="/KEYBD-01/restock"] button`)
	tb.await("the shelf says 11", `document.querySelector('#shelf [data-available="KEYBD-01"]').textContent === "11"`)
	tb.click(`main a[href="/dashboard/reset"]`)
	tb.await("the reset asks first", `document.querySelector('form[action="/dashboard/reset"]') !== null`)
	tb.click(`form[action="/dashboard/reset"] button`)
	tb.await("the shelf is as at the beginning", `document.querySelector('#shelf [data-available="LAPTOP-01"]')?.textContent === "10"`)
}
