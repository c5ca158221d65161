package httpapi_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// FuzzOrderBody throws bodies at POST /orders. Whatever comes, the handler does not panic, and the answer is the 202 of one order that
// was placed, or a problem and no order. (Bounds are the service's own, and the fake has none.)
func FuzzOrderBody(f *testing.F) {
	for _, seed := range []string{
		oneLine,
		`{"customer_id":"c","items":[{"product_id":"A","quantity":1e2}]}`,
		`{"customer_id":"c","items":[{"product_id":"A","quantity":-1}],"contact":{"email":"a@b.c"}}`,
		`{"customer_id":"c","customer_id":"d"}`,
		"\ufeff{}",
	} {
		f.Add([]byte(seed))
	}
	w := newWorld()
	c := newContract(f, w.handler())
	f.Fuzz(func(t *testing.T, body []byte) {
		w.placed, c.t = nil, t
		rec := httptest.NewRecorder()
		c.handler.ServeHTTP(rec, request("POST", "/orders", string(body), "Content-Type", "application/json", "Idempotency-Key", "k"))
		a := answer{rec.Code, rec.Header(), rec.Body.String()}
		switch a.status {
		case http.StatusAccepted:
			if len(w.placed) != 1 || a.body != stored {
				t.Fatalf("%q: %s", body, a.body)
			}
		case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
			if len(w.placed) != 0 {
				t.Fatalf("%q was refused and placed", body)
			}
			c.checkProblem(a)
		default:
			t.Fatalf("%q: %d %s", body, a.status, a.body)
		}
	})
}
