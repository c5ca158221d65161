package httpapi_test

import (
	"net/http"
	"testing"
)

// FuzzOrderBody throws bodies at POST /orders. Whatever comes, the handler does not panic, the answer is one that the contract declares,
// and only a body that the contract allows becomes an order. (A bound that is the service's own passes here: the fake has none.)
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
	f.Fuzz(func(t *testing.T, body []byte) {
		w := newWorld()
		a := w.handlerAnswer("POST", "/orders", string(body), "Content-Type", "application/json", "Idempotency-Key", "k")
		switch a.status {
		case http.StatusAccepted:
			if len(w.placed) != 1 || a.body != stored {
				t.Fatalf("%q: %s", body, a.body)
			}
		case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
			if len(w.placed) != 0 {
				t.Fatalf("%q was refused and placed", body)
			}
			newContract(t, nil).checkProblem(a)
		default:
			t.Fatalf("%q: %d %s", body, a.status, a.body)
		}
	})
}
