package browsertest

import (
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/provider"
)

func TestAHostileProductNameIsText(t *testing.T) {
	s := newShop(t)
	var shown []string
	for n, name := range hostile {
		put := apigen.ProductPut{Name: name, UnitPriceCents: 1, Stock: ptr[int64](2)}
		status, answer, err := s.try("PUT", fmt.Sprintf("/products/H-%d", n), put)
		switch {
		case err != nil:
			t.Fatal(err)
		case status == http.StatusCreated:
			shown = append(shown, name)
		case status != http.StatusUnprocessableEntity:
			t.Errorf("the name %q is answered with %d %s", name, status, answer)
		}
	}
	t.Logf("taken as names are %q", shown)
	s.call(http.StatusUnprocessableEntity, "PUT", "/products/NUL", apigen.ProductPut{Name: "a\x00b", UnitPriceCents: 1})
	tb := newTab(t, s.url)
	for _, path := range []string{"/", "/dashboard/operations"} {
		tb.open(path)
		names := read[[]string](tb, `[...document.querySelectorAll("#shelf h3")].map((e) => e.textContent)`)
		for _, want := range shown {
			if !slices.Contains(names, want) {
				t.Errorf("%s shows no %q among %q", path, want, names)
			}
		}
		tb.inert()
		// And what is put in by the script: a part that is asked for again.
		tb.awaitText("#feed-state", "live")
		read[bool](tb, `(window.was = document.querySelector("#shelf"), true)`)
		s.place("ada", "MOUSE-01", provider.Visa)
		tb.await("the shelf comes anew", `!window.was.isConnected`)
		tb.inert()
	}
	if options := tb.count(`select[name="product"] option`); options != 0 {
		t.Errorf("the operations' page has %d products to order", options)
	}
}

func TestAHostileCustomerIsRefusedAndSaidSo(t *testing.T) {
	s := newShop(t)
	for _, script := range []bool{true, false} {
		t.Run(fmt.Sprintf("with scripts %v", script), func(t *testing.T) {
			tb := newTab(t, s.url)
			tb.expect("422|400")
			if !script {
				tb.withoutScript()
			}
			for _, customer := range append([]string{"a\x00b"}, hostile...) {
				tb.open("/")
				read[bool](tb, `(document.querySelector('input[name="customer"]').value = `+quote(customer)+`, true)`)
				tb.click(".own button")
				pause(5 * look)
				if tb.path() != "/" {
					t.Errorf("the browser sent %q", customer)
				}
				read[bool](tb, `(document.querySelector(".own").noValidate = true)`)
				tb.click(".own button")
				tb.await("the refusal is there", `document.querySelector("[role=alert] .said-outcome")`)
				if said := tb.text("[role=alert] .said-outcome"); !strings.Contains(said, "VALIDATION_FAILED") || !strings.Contains(said, "customer_id") {
					t.Errorf("the refusal of %q says %q", customer, said)
				}
				tb.inert()
			}
		})
	}
}

func TestHostileFiltersAndSearchesAreText(t *testing.T) {
	s := newShop(t)
	s.place("ada", "MOUSE-01", provider.Visa)
	tb := newTab(t, s.url)
	tb.expect("4(00|04|22)")
	for _, text := range hostile {
		tb.open("/dashboard/orders")
		tb.fill(`.filters input[name="customer"]`, text)
		tb.click(".filters button")
		tb.await("the answer is there", `location.search !== "" && document.querySelector("[role=alert], #list") && document.readyState === "complete"`)
		tb.inert()
		if tb.count("#list tbody a") != 0 {
			t.Errorf("the customer %q has orders", text)
		}
		tb.open("/dashboard/orders")
		tb.fill(`.filters input[name="id"]`, text)
		tb.click(".filters button")
		tb.await("the refusal is there", `location.pathname !== "/dashboard/orders" && document.querySelector("[role=alert] .said-outcome")`)
		tb.inert()
	}
	for _, path := range []string{"/dashboard/orders?status=%3Cscript%3E", "/dashboard/orders?cursor=%22%3E%3Cimg%20src=x%3E", "/dashboard/%3Cscript%3Ealert(1)%3C/script%3E", "/?run=%3Cscript%3E", "/dashboard/orders?customer=a%00b"} {
		tb.open(path)
		tb.inert()
	}
}

func TestHostileLogLinesAreText(t *testing.T) {
	s := newShop(t)
	id := s.place("ada", "MOUSE-01", provider.Visa)
	for _, text := range hostile {
		s.log.Warn(text, slog.String("order_id", id), slog.String(text, text), slog.String("service", text))
	}
	tb := newTab(t, s.url)
	tb.open("/dashboard/orders/" + id)
	tb.inert()
	lines := read[[]string](tb, `[...document.querySelectorAll(".lines tr")].map((e) => e.textContent)`)
	for _, text := range hostile {
		if !slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, text) }) {
			t.Errorf("no log line shows %q", text)
		}
	}
}
