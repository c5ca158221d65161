package instance_test

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/instance"
	"github.com/utkarsh698/cloudflow/internal/observe"
)

// A payment card's number is sent in every place where a caller can write: it stands in no log line and in no file, and whatever was
// taken is none the worse.
func TestNoCardNumberIsKeptOrLogged(t *testing.T) {
	t.Parallel()
	book := &logbook{}
	w := newWorld(t, func(c *instance.Config) { c.Log = observe.NewLogger(book, slog.LevelDebug, nil) })
	w.product("A", 100)
	cards := []string{"4111111111111111", "4111 1111 1111 1111", "4111-1111-1111-1111", "378282246310005", "6011111111111117"}
	const good = `{"customer_id":"c","items":[{"product_id":"A","quantity":1}]}`
	for n, card := range cards {
		line := func(members string) string { return strings.TrimSuffix(good, "}") + "," + members + "}" }
		bodies := []string{
			strings.Replace(good, `"c"`, `"`+card+`"`, 1), strings.Replace(good, `"A"`, `"`+card+`"`, 1),
			strings.Replace(good, `"quantity":1`, `"quantity":`+strings.NewReplacer(" ", "", "-", "").Replace(card), 1),
			line(`"payment_method":"pm_` + card + `"`), line(`"currency":"` + card + `"`), line(`"contact":{"email":"` + card + `@example.test"}`),
			line(`"contact":{"phone":"` + card + `"}`), line(`"` + card + `":1`), "{" + card, card, `"` + card + `"`,
		}
		escaped := strings.ReplaceAll(card, " ", "%20")
		type request struct{ method, path, body, headers string }
		var requests []request
		for _, body := range bodies {
			requests = append(requests, request{"POST", "/orders", body, ""})
		}
		for _, header := range []string{
			"Idempotency-Key", "X-Correlation-Id", "Traceparent", "Prefer", "User-Agent", "Authorization", "Cookie", "Accept", "If-Match",
			"Referer", "X-Forwarded-For", "X-" + strings.ReplaceAll(card, " ", "-"),
		} {
			requests = append(requests, request{"POST", "/orders", good, header + ": " + card + "\r\n"})
		}
		for _, path := range []string{
			"/orders/" + escaped, "/orders/" + escaped + "/cancel", "/products/" + escaped, "/products/" + escaped + "/restock", "/" + escaped,
			"/admin/breakers/" + escaped + "/trip", "/admin/sagas/" + escaped + "/redrive", "/admin/payments/" + escaped, "/products?cursor=" + escaped,
			"/products?" + escaped + "=1", "/orders/x?as_of=" + escaped, "/orders/%34" + escaped[1:],
		} {
			for _, method := range []string{"GET", "POST", "PUT", "DELETE"} {
				requests = append(requests, request{method, path, `{"name":"` + card + `","unit_price_cents":1}`, "Idempotency-Key: k\r\n"})
			}
		}
		requests = append(requests,
			request{"PUT", "/products/B", `{"name":"Card ` + card + `","unit_price_cents":1}`, ""},
			request{"POST", "/admin/sagas/ord-x/redrive", `{"reason":"` + card + `"}`, ""},
			request{card, "/orders", good, ""}, // not even HTTP
		)
		for _, r := range requests {
			w.raw(fmt.Sprintf("%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n%s",
				r.method, r.path, r.headers, len(r.body), r.body))
		}
		if n == 0 {
			w.call("POST", "/orders/ord-x/cancel", nil) // a good connection in between
		}
	}
	w.rest()
	w.end()
	for _, card := range cards {
		noFileHolds(t, w.dir, card)
		book.mu.Lock()
		for text := range strings.Lines(book.text.String()) {
			if strings.Contains(text, card) {
				t.Errorf("a card's number in the line %s", text)
			}
		}
		book.mu.Unlock()
	}
}

// raw sends bytes on a connection of its own and returns all that comes back until the server closes it.
func (w *world) raw(bytes string) string {
	w.t.Helper()
	c := w.dial()
	defer c.Close()
	_, _ = io.WriteString(c, bytes) // the server may have closed it already
	text, _ := io.ReadAll(bufio.NewReader(c))
	return string(text)
}

// dial is a connection that ends with the test's patience.
func (w *world) dial() net.Conn {
	w.t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
	if err != nil {
		w.t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(patience))
	return c
}
