package httpapi_test

import (
	"bytes"
	"net/http"
	"testing"

	"github.com/utkarsh698/cloudflow/internal/httpapi"
)

// A sink takes an answer as cheaply as can be, so that the numbers are the handler's.
type sink struct {
	header http.Header
	status int
}

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) WriteHeader(status int)      { s.status = status }
func (s *sink) Write(b []byte) (int, error) { return len(b), nil }

// A reused body is rewound for each call.
type reused struct{ bytes.Reader }

func (*reused) Close() error { return nil }

func benchmark(b *testing.B, method, path, body string, want int, headers ...string) {
	w := newWorld()
	h := w.handler(func(c *httpapi.Config) { c.NewID = nil })
	r := request(method, path, "", headers...)
	r.Header.Set("Content-Type", "application/json")
	r.ContentLength = int64(len(body))
	rewound := &reused{}
	s := &sink{}
	b.ReportAllocs()
	for b.Loop() {
		rewound.Reset([]byte(body))
		r.Body = rewound
		s.header = make(http.Header, 8)
		h.ServeHTTP(s, r)
		w.placed = w.placed[:0]
	}
	if s.status != want {
		b.Fatalf("answered %d", s.status)
	}
}

func BenchmarkPostOrder(b *testing.B) {
	benchmark(b, "POST", "/orders", oneLine, 202, "Idempotency-Key", "6f1d1c52-6c3e-4f8e-9d6e-0f2f6f0d8c11")
}

func BenchmarkPostOrderAndWait(b *testing.B) {
	benchmark(b, "POST", "/orders", oneLine, 200, "Idempotency-Key", "6f1d1c52-6c3e-4f8e-9d6e-0f2f6f0d8c11", "Prefer", "wait=5")
}

func BenchmarkGetOrder(b *testing.B) {
	benchmark(b, "GET", "/orders/"+orderID, "", 200)
}

func BenchmarkRefusedOrder(b *testing.B) {
	benchmark(b, "POST", "/orders", `{"customer_id":"c","items":[{"product_id":"A","quantity":"1"}]}`, 422)
}
