package httpapi_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/utkarsh698/cloudflow/internal/httpapi"
)

// The server as it runs, with its deadlines, over connections in memory and on the bubble's clock.
func TestCallsThatTakeLong(t *testing.T) {
	t.Run("an outcome is waited for as long as was preferred, though the time for reading a request is shorter", func(t *testing.T) {
		onServer(t, func(t *testing.T, w *world, c *http.Client) {
			w.done = make(chan struct{}) // no outcome
			for range 2 {                // the second on a connection that was used
				began := time.Now()
				status, body := call(t, c, "POST", oneLine, "/orders", "Prefer", "wait=20")
				if took := time.Since(began); status != 202 || body != stored || took != 20*time.Second {
					t.Errorf("%d %s after %s", status, body, took)
				}
			}
		})
	})
	t.Run("an order that ends in the last second is answered as it ended", func(t *testing.T) {
		onServer(t, func(t *testing.T, w *world, c *http.Client) {
			w.done = make(chan struct{})
			time.AfterFunc(19*time.Second, func() { close(w.done) })
			if status, body := call(t, c, "POST", oneLine, "/orders", "Prefer", "wait=20"); status != 200 || !strings.Contains(body, "CONFIRMED") {
				t.Errorf("%d %s", status, body)
			}
		})
	})
	t.Run("a check of a large store is answered when it is done", func(t *testing.T) {
		onServer(t, func(t *testing.T, w *world, c *http.Client) {
			w.verifyTime = 5 * time.Minute
			if status, body := call(t, c, "GET", "", "/admin/verify"); status != 200 || !strings.Contains(body, `"ok":true`) {
				t.Errorf("%d %s", status, body)
			}
		})
	})
	t.Run("of checks that are asked for at once, one runs at a time and each is answered", func(t *testing.T) {
		onServer(t, func(t *testing.T, w *world, c *http.Client) {
			w.verifyTime = time.Minute
			began := time.Now()
			var all sync.WaitGroup
			for range 4 {
				all.Go(func() {
					if status, body := call(t, c, "GET", "", "/admin/verify"); status != 200 {
						t.Errorf("%d %s", status, body)
					}
				})
			}
			all.Wait()
			if took := time.Since(began); took != 4*time.Minute {
				t.Errorf("took %s", took)
			}
		})
	})
	t.Run("a server that stops does not wait for a check", func(t *testing.T) {
		onServer(t, func(t *testing.T, w *world, c *http.Client) {
			w.verifyTime = time.Minute
			time.AfterFunc(time.Second, w.drain.Start)
			began := time.Now()
			status, body := call(t, c, "GET", "", "/admin/verify")
			if took := time.Since(began); status != 503 || !strings.Contains(body, "about to stop") || took != time.Second {
				t.Errorf("%d %s after %s", status, body, took)
			}
		})
	})
	t.Run("a caller that has gone does not keep its check", func(t *testing.T) {
		onServer(t, func(t *testing.T, w *world, c *http.Client) {
			w.verifyTime = time.Hour
			ctx, leave := context.WithTimeout(t.Context(), time.Second)
			defer leave()
			r, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://server/admin/verify", http.NoBody)
			if resp, err := c.Do(r); err == nil {
				resp.Body.Close()
				t.Errorf("%s", resp.Status)
			}
			synctest.Wait()
			if n := w.verifying.Load(); n != 0 {
				t.Errorf("%d checks under way", n)
			}
		})
	})
}

func TestEveryMethodOfTheWholeServerIsAnswered(t *testing.T) {
	onServer(t, func(t *testing.T, _ *world, c *http.Client) {
		resp, err := c.Do(&http.Request{Method: http.MethodOptions, URL: &url.URL{Scheme: "http", Host: "server", Opaque: "*"}})
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusNotFound || resp.Header.Get("X-Correlation-Id") == "" || resp.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %v", resp.Status, resp.Header)
		}
	})
}

// onServer runs fn in a bubble with a client of a server.
func onServer(t *testing.T, fn func(t *testing.T, w *world, c *http.Client), change ...func(*httpapi.Config)) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.drain = httpapi.NewDrain()
		srv := httpapi.NewServer("server", w.handler(change...), slog.New(slog.DiscardHandler))
		l := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
		served := make(chan error, 1)
		go func() { served <- srv.Serve(l) }()
		transport := &http.Transport{DialContext: l.dial}
		fn(t, w, &http.Client{Transport: transport})
		transport.CloseIdleConnections()
		srv.Close()
		<-served
	})
}

func call(t *testing.T, c *http.Client, method, body, path string, headers ...string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://server"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := c.Do(r)
	if err != nil {
		t.Errorf("%s %s: %v", method, path, err)
		return 0, ""
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Errorf("%s %s: %v", method, path, err)
	}
	return resp.StatusCode, string(text)
}

// pipes is a listener whose connections stay in memory.
type pipes struct {
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (p *pipes) dial(context.Context, string, string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case p.conns <- far:
		return near, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }
