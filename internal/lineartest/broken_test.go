package lineartest

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/utkarsh698/cloudflow/internal/app"
)

// A fault stands between the clients and the server, and does its harm while it is armed.
type fault struct {
	armed atomic.Bool
	harm  func(to http.Handler, rw http.ResponseWriter, r *http.Request)
}

func (f *fault) between(to http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if f.armed.Load() {
			f.harm(to, rw, r)
			return
		}
		to.ServeHTTP(rw, r)
	})
}

// twice has the server do the call two times, the first time under another key.
func twice(to http.Handler, rw http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	again := r.Clone(r.Context())
	again.Body = io.NopCloser(bytes.NewReader(body))
	again.Header.Set("Idempotency-Key", "another-"+r.Header.Get("Idempotency-Key"))
	to.ServeHTTP(httptest.NewRecorder(), again)
	r.Body = io.NopCloser(bytes.NewReader(body))
	to.ServeHTTP(rw, r)
}

// without drops a header.
func without(header string) func(http.Handler, http.ResponseWriter, *http.Request) {
	return func(to http.Handler, rw http.ResponseWriter, r *http.Request) {
		r.Header.Del(header)
		to.ServeHTTP(rw, r)
	}
}

// resetting resets a breaker that was to be tripped.
func resetting(to http.Handler, rw http.ResponseWriter, r *http.Request) {
	r.URL.Path = strings.Replace(r.URL.Path, "/trip", "/reset", 1)
	to.ServeHTTP(rw, r)
}

// fromThePast answers every read with what the first one was answered.
func fromThePast() func(http.Handler, http.ResponseWriter, *http.Request) {
	var kept *httptest.ResponseRecorder
	return func(to http.Handler, rw http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			to.ServeHTTP(rw, r)
			return
		}
		if kept == nil {
			kept = httptest.NewRecorder()
			to.ServeHTTP(kept, r)
		}
		rw.WriteHeader(kept.Code)
		_, _ = rw.Write(kept.Body.Bytes())
	}
}

// A test of the test: a random history, and then one client that sees a server do one thing wrong. There must be no explanation, and
// there must be one for the same calls to the same server without its fault.
func TestABrokenServerHasNoExplanation(t *testing.T) {
	t.Parallel()
	// many is more than all those orders of the history together whose callers were cut off: they explain what nobody was told of.
	const many = 50
	onProduct := func(script func(p *product, arm func())) func(*world, func()) []part {
		return func(w *world, arm func()) []part {
			return recordProduct(w, 0, func(p *product) {
				p.create(0, firstStock, 0)
				p.restock(0, spareDelivery, 2*many, 0)
				script(p, arm)
				w.idle()
				p.look(0)
			})
		}
	}
	for _, c := range []struct {
		what   string
		harm   func(http.Handler, http.ResponseWriter, *http.Request)
		record func(w *world, arm func()) []part
	}{
		{"a read is answered from the past", fromThePast(), onProduct(func(p *product, arm func()) {
			arm()
			p.write(0, firstPrice-1, p.look(0).Version, 0)
		})},
		{"a delivery is counted twice", twice, onProduct(func(p *product, arm func()) {
			arm()
			p.restock(0, spareDelivery+1, many, 0)
		})},
		{"an order is placed twice", twice, onProduct(func(p *product, arm func()) {
			arm()
			p.order(0, many, visa, rand.New(rand.NewPCG(0, 0)))
		})},
		{"an update is lost", without("If-Match"), onProduct(func(p *product, arm func()) {
			version := p.look(0).Version
			p.write(0, firstPrice-1, version, 0)
			arm()
			p.write(1, firstPrice-2, version, 0)
		})},
		{"a key is forgotten", without("Idempotency-Key"), func(w *world, arm func()) []part {
			return recordKeys(w, 0, func(k *keyring) {
				k.place(0, 0, 1, false, 0)
				arm()
				k.place(0, 0, 1, false, 0)
			})
		}},
		{"a breaker is not tripped", resetting, func(w *world, arm func()) []part {
			return recordBreakers(w, 0, func(p *panel) {
				arm()
				p.turn(0, app.ChargeBreaker, true, 0)
			})
		}},
	} {
		t.Run(c.what, func(t *testing.T) {
			for _, broken := range []bool{false, true} {
				f := &fault{harm: c.harm}
				problems := []string{}
				for _, p := range c.record(serve(t, inMemory(t), f.between), func() { f.armed.Store(broken) }) {
					if problem := p.check(); problem != "" {
						problems = append(problems, problem)
					}
				}
				if broken && len(problems) == 0 {
					t.Error("an explanation was found for a broken server")
				}
				if !broken && len(problems) > 0 {
					t.Errorf("no explanation was found for a server without a fault: %s", strings.Join(problems, "\n"))
				}
			}
		})
	}
}
