package browsertest

import (
	"net/http"
	"strings"
	"testing"

	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/provider"
)

func TestTheFeedComesBackAfterARestart(t *testing.T) {
	s := newShop(t)
	tb := newTab(t, s.url)
	tb.expect(`ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED_ENCODING|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE|503`) // while it is away
	tb.open("/dashboard/orders")
	tb.awaitText("#feed-state", "live")
	read[bool](tb, `window.stays = true`)
	s.stop()
	tb.awaitText("#feed-state", "reconnecting")
	s.start(strings.TrimPrefix(s.url, "http://"))
	tb.awaitText("#feed-state", "live")
	id := s.place("ada", "MOUSE-01", provider.Visa)
	tb.await("an order placed after the restart comes", row(id))
	if !read[bool](tb, `window.stays === true`) {
		t.Error("the page was loaded again for it")
	}
}

func TestTheFeedPausesAndResumes(t *testing.T) {
	s := newShop(t)
	tb := newTab(t, s.url)
	tb.open("/dashboard/orders")
	tb.awaitText("#feed-state", "live")
	tb.click("#feed-pause")
	tb.awaitText("#feed-state", "paused")
	tb.awaitText("#feed-pause", "Resume")
	id := s.place("ada", "MOUSE-01", provider.Visa)
	pause(patience / 10) // three times the pace of the page
	if read[bool](tb, row(id)+` !== null`) {
		t.Error("a paused page shows what happened meanwhile")
	}
	tb.click("#feed-pause")
	tb.awaitText("#feed-state", "live")
	tb.await("what was missed comes", row(id))
	next := s.place("ada", "MOUSE-01", provider.Visa)
	tb.await("what happens then comes", row(next))
}

func TestAPartThatComesAnewKeepsTheFocus(t *testing.T) {
	s := newShop(t)
	for key, focused := range map[string]string{"1": `#shelf form[action$="/MOUSE-01/restock"] button`, "2": `#breakers form[action$="/payment-refund/trip"] button`} {
		tb := newTab(t, s.url)
		tb.open("/dashboard/operations")
		tb.awaitText("#feed-state", "live")
		read[bool](tb, `(document.querySelector(`+quote(focused)+`).focus({ preventScroll: true }), window.was = document.activeElement, true)`)
		s.call(http.StatusOK, "POST", "/admin/breakers/payment-charge/trip", nil)
		s.call(http.StatusOK, "POST", "/products/MOUSE-01/restock", apigen.RestockRequest{Quantity: 1}, "Idempotency-Key", key)
		s.call(http.StatusOK, "POST", "/admin/breakers/payment-charge/reset", nil)
		s.place("ada", "MOUSE-01", provider.Visa)
		tb.await("the part is another", `!window.was.isConnected`)
		if !read[bool](tb, `document.activeElement === document.querySelector(`+quote(focused)+`)`) {
			t.Errorf("%s had the focus, and lost it to %s", focused, read[string](tb, `document.activeElement.outerHTML.slice(0, 100)`))
		}
	}
}
