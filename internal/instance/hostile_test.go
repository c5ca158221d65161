package instance_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/instance"
	"github.com/utkarsh698/cloudflow/internal/observe"
)

// A hostile request is bytes on a connection, and the one answer that they may get.
type hostile struct {
	rule   string
	bytes  string
	status int
	code   string // of the problem; "" is net/http's own answer, which is no problem document: the request could not be read
}

// The least that this file must send, how long one answer may take, and how much heap it may take.
const (
	enoughRequests = 300
	answerTime     = 10 * time.Second
	heapLeft       = 24 << 20
	heapMost       = 128 << 20 // at any time, garbage included
)

func TestHostileRequests(t *testing.T) {
	book := &logbook{}
	w := newWorld(t, func(c *instance.Config) { c.Log = observe.NewLogger(book, slog.LevelDebug, nil) })
	w.product("A", 100)
	w.place(request(visa, "A"))
	before := heap()
	cases := hostileRequests()
	if len(cases) < enoughRequests {
		t.Fatalf("%d requests, want %d at least", len(cases), enoughRequests)
	}
	t.Logf("%d requests", len(cases))
	for _, c := range cases {
		w.attack(c)
		if now := live(); now > before+heapMost {
			t.Errorf("%s: the heap grew from %d to %d bytes", c.rule, before, now)
		}
	}
	t.Run("the server is healthy, takes an order, and nothing hostile was stored", func(t *testing.T) {
		w.call("GET", "/health", nil).is(http.StatusOK)
		w.call("GET", "/ready", nil).is(http.StatusOK)
		ended(t, w.place(request(visa, "A")), "CONFIRMED", confirmedLog)
		if report := w.rest(); report.Orders != 2 {
			t.Errorf("%d orders, want the two good ones", report.Orders)
		}
		w.stock("A", 98, 0, 2)
		list := into[apigen.ProductList](w.call("GET", "/products", nil).is(http.StatusOK))
		if len(list.Products) != 1 {
			t.Errorf("products: %+v", list.Products)
		}
	})
	t.Run("memory is given back", func(t *testing.T) {
		if after := heap(); after > before+heapLeft {
			t.Errorf("the heap grew from %d to %d bytes", before, after)
		}
	})
	t.Run("no handler panicked, and nothing was an error of ours", func(t *testing.T) {
		for _, l := range book.lines(t) {
			if l["level"] == "ERROR" {
				t.Errorf("%v", l)
			}
		}
	})
}

// heap is what is live once the garbage is gone.
func heap() uint64 {
	runtime.GC()
	return live()
}

func live() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// attack sends the request and holds the answer against what it may be.
func (w *world) attack(h hostile) {
	w.t.Helper()
	c := w.dial()
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(answerTime))
	// It is sent from a goroutine of its own: a server that refuses early does not read the rest.
	var sender sync.WaitGroup
	sender.Go(func() { _, _ = io.WriteString(c, h.bytes) })
	defer sender.Wait()
	defer c.Close()
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		w.t.Errorf("%s: no answer: %v", h.rule, err)
		return
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20)) // what is cut off shows below
	if resp.StatusCode != h.status {
		w.t.Errorf("%s: answered %d %s, want %d", h.rule, resp.StatusCode, body, h.status)
		return
	}
	if len(resp.Header["Set-Cookie"]) > 0 || resp.Header.Get("X-Injected") != "" {
		w.t.Errorf("%s: it wrote a header of its own: %v", h.rule, resp.Header)
	}
	if h.code == "" {
		if strings.Contains(resp.Header.Get("Content-Type"), "json") {
			w.t.Errorf("%s: answered %s, want net/http's own answer", h.rule, body)
		}
		return
	}
	var p apigen.Problem
	if err := json.Unmarshal(body, &p); err != nil || p.Error != h.code || resp.Header.Get("Content-Type") != "application/problem+json" {
		w.t.Errorf("%s: answered %s, %v, want %s", h.rule, body, err, h.code)
	}
	if len(body) > 2048+2*len(h.bytes) {
		w.t.Errorf("%s: the answer has %d bytes, far more than the request", h.rule, len(body))
	}
}

func TestPipelinedRequestsAreAnsweredInTurn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.dial()
	defer c.Close()
	const rounds = 50
	var all bytes.Buffer
	for range rounds {
		all.WriteString(raw("POST", "/orders", `{"customer_id":`))
		all.WriteString(raw("GET", "/health", ""))
		all.WriteString(raw("GET", "/nothing", ""))
	}
	var sender sync.WaitGroup
	sender.Go(func() { _, _ = c.Write(all.Bytes()) })
	defer sender.Wait()
	answers := bufio.NewReader(c)
	for n := range rounds {
		for _, want := range []int{400, 200, 404} {
			resp, err := http.ReadResponse(answers, nil)
			if err != nil {
				t.Fatalf("round %d: %v", n, err)
			}
			if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != want {
				t.Fatalf("round %d: %d %v, want %d", n, resp.StatusCode, err, want)
			}
			resp.Body.Close()
		}
	}
}

// A request that hides another in its body: what follows the frame of the first is a request of its own, and no more than a caller could
// have sent anyway. What the two headers disagree about, the chunks decide, as RFC 9112, section 6.3 has it.
func TestSmuggledRequestsAreFramedOneWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for rule, bytes := range map[string]string{
		"CL.TE": head("POST", "/orders", "Content-Type: application/json", "Content-Length: 6", "Transfer-Encoding: chunked") + "0\r\n\r\nG",
		"TE.CL": head("POST", "/orders", "Content-Type: application/json", "Transfer-Encoding: chunked", "Content-Length: 3") +
			"2\r\n{}\r\n0\r\n\r\n",
	} {
		c := w.dial()
		_ = c.SetDeadline(time.Now().Add(answerTime))
		_, _ = io.WriteString(c, bytes)
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || resp.StatusCode < 400 || resp.StatusCode > 499 {
			t.Errorf("%s: %v %v", rule, resp, err)
		}
		if err == nil {
			resp.Body.Close()
		}
		c.Close()
	}
}

// Slow callers are let go after their time, and meanwhile nobody else waits for them. It takes as long as the longest limit.
func TestSlowClientsAreLetGo(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes 35 seconds, as long as an answer may")
	}
	t.Parallel()
	w := newWorld(t)
	w.product("A", 100)
	slow := func(name string, limit time.Duration, first, drip string) func() {
		return func() {
			c := w.dial()
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(limit + patience))
			began := time.Now()
			_, _ = io.WriteString(c, first)
			stop := make(chan struct{})
			var dripping sync.WaitGroup
			dripping.Go(func() {
				tick := time.NewTicker(500 * time.Millisecond)
				defer tick.Stop()
				for {
					select {
					case <-stop:
						return
					case <-tick.C:
						if _, err := io.WriteString(c, drip); err != nil {
							return
						}
					}
				}
			})
			_, err := io.Copy(io.Discard, c) // ends when the server closes
			close(stop)
			dripping.Wait()
			if took := time.Since(began); took < limit-time.Second || took > limit+10*time.Second {
				t.Errorf("%s: held for %s, the limit is %s (%v)", name, took, limit, err)
			}
		}
	}
	var all sync.WaitGroup
	all.Go(slow("a header byte by byte", 5*time.Second, "GET /health HTTP/1.1\r\nHost: localhost\r\n", "X"))
	all.Go(slow("silence", 5*time.Second, "", ""))
	all.Go(slow("a body byte by byte", 15*time.Second, head("POST", "/orders", "Content-Type: application/json", "Content-Length: 60000"), " "))
	all.Go(slow("chunks byte by byte", 15*time.Second, head("POST", "/orders", "Content-Type: application/json", "Transfer-Encoding: chunked"), "1\r\n \r\n"))
	all.Go(func() { w.neverReads(t) })
	finished := make(chan struct{})
	go func() { all.Wait(); close(finished) }()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-finished:
			w.rest()
			return
		case <-tick.C:
			began := time.Now()
			w.place(request(visa, "A"))
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("somebody else waited %s", took)
			}
		}
	}
}

// neverReads asks for more than the kernel buffers and reads nothing of it.
func (w *world) neverReads(t *testing.T) {
	const limit = 35 * time.Second
	c := w.dial()
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(limit + patience))
	_ = c.(*net.TCPConn).SetReadBuffer(4 << 10)
	began := time.Now()
	page := []byte(raw("GET", "/docs", ""))
	for time.Since(began) < limit+10*time.Second { // blocks once all buffers are full, and fails when the server has closed
		if _, err := c.Write(page); err != nil {
			break
		}
	}
	if took := time.Since(began); took < limit-time.Second || took > limit+10*time.Second {
		t.Errorf("who never reads was held for %s, the limit is %s", took, limit)
	}
}
