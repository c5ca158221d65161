package browsertest

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/fetch"
	"github.com/chromedp/chromedp"

	"github.com/utkarsh698/cloudflow/internal/auth"
	"github.com/utkarsh698/cloudflow/internal/auth/apikey"
	"github.com/utkarsh698/cloudflow/internal/instance"
	"github.com/utkarsh698/cloudflow/internal/provider"
)

func TestAStrangersPageCannotPlayAScenario(t *testing.T) {
	s := newShop(t)
	stranger := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<!doctype html><title>Win a laptop</title><form method="post" action="%s/dashboard/scenarios/happy-path"><button>Click here</button></form>`, s.url)
	}))
	defer stranger.Close()
	tb := newTab(t, stranger.URL)
	tb.also = []string{s.url}
	tb.expect("403|404") // and a stranger has no icon
	tb.open("/")
	tb.click("button")
	tb.await("the refusal is there", `location.href.startsWith(`+quote(s.url)+`) && document.body.textContent.includes("A page of another origin may not do this.")`)
	status := read[int](tb, `performance.getEntriesByType("navigation")[0].responseStatus`)
	if status != http.StatusForbidden {
		t.Errorf("the answer is %d", status)
	}
	if list := string(s.call(http.StatusOK, "GET", "/orders", nil)); strings.Contains(list, "ord-") {
		t.Errorf("an order was placed: %s", list)
	}
}

// answering gives the browser a password when a server asks for one, as a person does in the window that then opens.
func (tb *tab) answering(password string) {
	tb.t.Helper()
	on := true
	ctx := tb.ctx
	if err := chromedp.Listen(ctx, func(event any) {
		// A listener must not wait for the browser, so what it asks for goes its own way. A tab that closes meanwhile wants no answer.
		switch e := event.(type) {
		case *fetch.EventAuthRequired:
			go func() {
				_, _ = chromedp.Call(ctx, fetch.ContinueWithAuth, fetch.ContinueWithAuthParams{RequestID: e.RequestID, AuthChallengeResponse: &fetch.AuthChallengeResponse{
					Response: "ProvideCredentials", Username: "anyone", Password: password,
				}})
			}()
		case *fetch.EventRequestPaused:
			go func() {
				_, _ = chromedp.Call(ctx, fetch.ContinueRequest, fetch.ContinueRequestParams{RequestID: e.RequestID})
			}()
		}
	}); err != nil {
		tb.t.Fatal(err)
	}
	tb.do("questions for a password are heard", func(ctx context.Context) error {
		_, err := chromedp.Call(ctx, fetch.Enable, fetch.EnableParams{HandleAuthRequests: &on})
		return err
	})
}

func TestWithKeysThePagesWantOneAndWorkWithIt(t *testing.T) {
	s := newShop(t, func(c *instance.Config) { c.Access.Keys = true })
	for _, path := range []string{"/dashboard/operations", "/dashboard/orders", "/dashboard/orders/ord-1"} {
		resp, err := client.Get(s.url + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if challenge := resp.Header.Get("WWW-Authenticate"); resp.StatusCode != http.StatusUnauthorized || !strings.HasPrefix(challenge, "Basic ") {
			t.Errorf("%s without a credential is answered %d, %q", path, resp.StatusCode, challenge)
		}
	}
	_, key, err := s.i.Keys.Create(t.Context(), apikey.Request{Subject: "ops", Scopes: auth.ScopesOf(auth.ScopeAdmin)})
	if err != nil {
		t.Fatal(err)
	}
	s.as = "Bearer " + key
	tb := newTab(t, s.url)
	tb.answering(key)
	tb.open("/")
	tb.await("the first page is the operations'", `location.pathname === "/dashboard/operations" && document.querySelector("h1").textContent === "Operations"`)
	tb.awaitText("#feed-state", "live")
	tb.click("#verify button")
	tb.awaitText("#verify .said-outcome", "Everything holds")
	tb.fill(`#shelf form[action$="/MOUSE-01/restock"] input`, "1")
	tb.click(`#shelf form[action$="/MOUSE-01/restock"] button`)
	tb.await("26 are on the shelf", `document.querySelector('[data-available="MOUSE-01"]').textContent === "26"`)
	tb.open("/dashboard/orders")
	tb.awaitText("#feed-state", "live")
	id := s.place("ada", "MOUSE-01", provider.Visa)
	tb.await("an order comes live", row(id)+`?.closest("tr").textContent.includes("CONFIRMED")`)
	if strings.Contains(tb.text("header"), "See it work") {
		t.Error("scenarios are offered, which only development mode has")
	}
	tb.expect("404")
	tb.open("/dashboard/reset")
	tb.awaitText("[role=alert]", "development mode only")
}

func TestAKeyInTheAddressIsAsGoodAsOneThatWasAskedFor(t *testing.T) {
	s := newShop(t, func(c *instance.Config) { c.Access.Keys = true })
	_, key, err := s.i.Keys.Create(t.Context(), apikey.Request{Subject: "ops", Scopes: auth.ScopesOf(auth.ScopeAdmin)})
	if err != nil {
		t.Fatal(err)
	}
	tb := newTab(t, strings.Replace(s.url, "http://", "http://anyone:"+key+"@", 1))
	tb.also = []string{s.url}
	tb.open("/dashboard/operations")
	tb.awaitText("#feed-state", "live")
	tb.click("#verify button")
	tb.awaitText("#verify .said-outcome", "Everything holds")
	tb.fill(`#shelf form[action$="/MOUSE-01/restock"] input`, "1")
	tb.click(`#shelf form[action$="/MOUSE-01/restock"] button`)
	tb.await("26 are on the shelf", `document.querySelector('[data-available="MOUSE-01"]').textContent === "26"`)
}

func TestAKeyThatIsTooLittleIsToldSo(t *testing.T) {
	s := newShop(t, func(c *instance.Config) { c.Access.Keys = true })
	_, key, err := s.i.Keys.Create(t.Context(), apikey.Request{Subject: "ada", Scopes: auth.ScopesOf(auth.ScopeOrdersRead)})
	if err != nil {
		t.Fatal(err)
	}
	tb := newTab(t, s.url)
	tb.expect("403")
	tb.answering(key)
	tb.open("/dashboard/operations")
	tb.awaitText("[role=alert] .said-outcome", "FORBIDDEN")
	tb.await("no state is shown", `document.querySelector("#shelf, #breakers, #letters") === null`)
}
