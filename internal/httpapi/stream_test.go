package httpapi_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/utkarsh698/cloudflow/internal/auth"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/httpapi"
)

// A frame is one block of the stream.
type frame struct {
	id, event, data string
	comment         bool
}

// A listener is a client of the live feed.
type listener struct {
	t      *testing.T
	resp   *http.Response
	cancel context.CancelFunc
	lines  *bufio.Scanner
	id     string // the last one, as a browser would send it
}

// listen opens a stream as a caller ("": everybody).
func listen(t *testing.T, c *http.Client, caller string, headers ...string) *listener {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://server/events", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if caller != "" {
		r.Header.Set("Authorization", caller)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := c.Do(r) //nolint:bodyclose // leave does
	if err != nil {
		t.Fatal(err)
	}
	l := &listener{t: t, resp: resp, cancel: cancel, lines: bufio.NewScanner(resp.Body)}
	t.Cleanup(l.leave)
	return l
}

func (l *listener) leave() {
	l.cancel()
	l.resp.Body.Close()
}

// next is the next frame; false at the end of the stream.
func (l *listener) next() (f frame, ok bool) {
	for l.lines.Scan() {
		name, value, _ := strings.Cut(l.lines.Text(), ": ")
		switch {
		case l.lines.Text() == "":
			return f, true
		case name == "":
			f.comment = true
		case name == "id":
			f.id, l.id = value, value
		case name == "event":
			f.event = value
		case name == "data":
			f.data = value
		default:
			l.t.Errorf("the line %q", l.lines.Text())
		}
	}
	return frame{}, false
}

// event is the next frame with an event.
func (l *listener) event() frame {
	l.t.Helper()
	for range 1000 {
		f, ok := l.next()
		if !ok {
			l.t.Fatalf("the stream ends: %v", l.lines.Err())
		}
		if f.event != "" {
			return f
		}
	}
	l.t.Fatal("comments only")
	return frame{}
}

// hears requires the next events: their orders and versions.
func (l *listener) hears(want ...string) {
	l.t.Helper()
	for _, w := range want {
		f := l.event()
		var e struct {
			OrderID string `json:"order_id"`
			Version int64
			Type    string
		}
		if err := json.Unmarshal([]byte(f.data), &e); err != nil || f.id == "" || e.Type != f.event {
			l.t.Errorf("%+v %v", f, err)
		}
		if got := fmt.Sprint(e.OrderID, " ", e.Version); got != w {
			l.t.Fatalf("heard %s, want %s", got, w)
		}
	}
}

func byName(c *httpapi.Config) { c.Principal = callerNamed }

// onStream is onServer with a feed that does not end.
func onStream(t *testing.T, fn func(t *testing.T, w *world, c *http.Client)) {
	t.Helper()
	onServer(t, func(t *testing.T, w *world, c *http.Client) {
		w.newsErr = nil
		fn(t, w, c)
	}, byName)
}

func TestMetricsSayHowFarFollowersAreBehind(t *testing.T) {
	onServer(t, func(t *testing.T, w *world, c *http.Client) {
		w.newsErr = nil
		lag := func(rule, want string) {
			t.Helper()
			synctest.Wait()
			_, text := call(t, c, "GET", "", "/metrics")
			got := "left out"
			for line := range strings.Lines(text) {
				if value, ok := strings.CutPrefix(line, "cloudflow_feed_lag_seconds "); ok {
					got = strings.TrimSpace(value)
				}
			}
			if got != want {
				t.Errorf("%s: the lag is %s, want %s", rule, got, want)
			}
		}
		w.tell("ada", "o-0", 1, "ORDER_CREATED", "PENDING")
		lag("nobody follows", "0")
		keepsUp := listen(t, c, "ada")
		lag("one has just come", "0")
		stuck := listen(t, c, "ada")
		for n := int64(1); n <= 100; n++ { // more than the connection holds
			w.tell("ada", "o-1", n, "STOCK_RESERVED", "PENDING")
			keepsUp.hears(fmt.Sprint("o-1 ", n))
		}
		lag("one takes nothing", "90")
		w.mu.Lock()
		w.newsErr = fault.New(fault.Unavailable, "the store is away")
		w.mu.Unlock()
		lag("the feed cannot be read", "left out")
		w.mu.Lock()
		w.newsErr = nil
		w.mu.Unlock()
		stuck.leave()
		lag("it has gone", "0")
	}, byName, func(c *httpapi.Config) { c.Now = func() time.Time { return start.Add(90 * time.Second) } })
}

func TestTheLiveFeed(t *testing.T) {
	t.Run("an event is a frame with its id, its type and what the contract says", func(t *testing.T) {
		onStream(t, func(t *testing.T, w *world, c *http.Client) {
			l := listen(t, c, "")
			w.tell("ada", orderID, 4, "ORDER_CONFIRMED", "CONFIRMED")
			f := l.event()
			const want = `{"order_id":"` + orderID + `","version":4,"type":"ORDER_CONFIRMED","timestamp":"2026-01-15T10:30:00.000Z","status":"CONFIRMED"}`
			if f.event != "ORDER_CONFIRMED" || f.data != want || f.id == "" {
				t.Errorf("%+v", f)
			}
			var v any
			if err := json.Unmarshal([]byte(f.data), &v); err != nil {
				t.Fatal(err)
			}
			doc, err := document()
			if err != nil {
				t.Fatal(err)
			}
			if err := doc.Components.Schemas["FeedEvent"].Value.VisitJSON(v); err != nil {
				t.Error(err)
			}
			if got := l.resp.Header.Get("Content-Type"); got != "text/event-stream" {
				t.Errorf("it is %q", got)
			}
		})
	})
	t.Run("it begins with what comes", func(t *testing.T) {
		onStream(t, func(t *testing.T, w *world, c *http.Client) {
			w.tell("ada", "o-1", 1, "ORDER_CREATED", "PENDING")
			l := listen(t, c, "ada")
			w.tell("ada", "o-2", 1, "ORDER_CREATED", "PENDING")
			l.hears("o-2 1")
		})
	})
	t.Run("each customer hears of its own orders, and an operator of all", func(t *testing.T) {
		onStream(t, func(t *testing.T, w *world, c *http.Client) {
			ada, bob, operator := listen(t, c, "ada"), listen(t, c, "bob"), listen(t, c, "")
			for n := int64(1); n <= 3; n++ {
				w.tell("ada", "o-a", n, "STOCK_RESERVED", "PENDING")
				w.tell("bob", "o-b", n, "STOCK_RESERVED", "PENDING")
			}
			w.tell("ada", "o-end", 1, "ORDER_CREATED", "PENDING")
			w.tell("bob", "o-end", 1, "ORDER_CREATED", "PENDING")
			ada.hears("o-a 1", "o-a 2", "o-a 3", "o-end 1")
			bob.hears("o-b 1", "o-b 2", "o-b 3", "o-end 1")
			operator.hears("o-a 1", "o-b 1", "o-a 2", "o-b 2", "o-a 3", "o-b 3", "o-end 1", "o-end 1")
		})
	})
	t.Run("a comment every 15 seconds keeps it open for as long as both sides want", func(t *testing.T) {
		onStream(t, func(t *testing.T, w *world, c *http.Client) {
			l := listen(t, c, "ada")
			began := time.Now()
			for n := range 41 {
				f, ok := l.next()
				if !ok || !f.comment || f.event != "" || f.data != "" {
					t.Fatalf("%d: %+v %v", n, f, ok)
				}
				if want := time.Duration(n) * 15 * time.Second; time.Since(began) != want {
					t.Fatalf("comment %d after %s", n, time.Since(began))
				}
			}
			w.tell("ada", "o-1", 1, "ORDER_CREATED", "PENDING")
			l.hears("o-1 1")
		})
	})
	t.Run("an event comes at once after silence, and with those that follow closely", func(t *testing.T) {
		onStream(t, func(t *testing.T, w *world, c *http.Client) {
			l := listen(t, c, "ada")
			if _, ok := l.next(); !ok {
				t.Fatal("the stream ends")
			}
			time.AfterFunc(70*time.Second, func() { w.tell("ada", "o-1", 1, "ORDER_CREATED", "PENDING") })
			time.AfterFunc(70*time.Second+time.Millisecond, func() { w.tell("ada", "o-1", 2, "STOCK_RESERVED", "PENDING") })
			began := time.Now()
			l.hears("o-1 1")
			first := time.Since(began)
			l.hears("o-1 2")
			if second := time.Since(began); first != 70*time.Second || second > first+50*time.Millisecond {
				t.Errorf("after %s and %s", first, second)
			}
		})
	})
	t.Run("HEAD says what it is and ends", func(t *testing.T) {
		onStream(t, func(t *testing.T, _ *world, c *http.Client) {
			if status, body := call(t, c, http.MethodHead, "", "/events"); status != 200 || body != "" {
				t.Errorf("%d %q", status, body)
			}
		})
	})
}

func TestTheLiveFeedIsResumed(t *testing.T) {
	t.Run("behind the last event, or the last comment", func(t *testing.T) {
		onStream(t, func(t *testing.T, w *world, c *http.Client) {
			l := listen(t, c, "ada")
			if f, ok := l.next(); !ok || !f.comment || f.id == "" {
				t.Fatalf("%+v %v", f, ok)
			}
			l.leave()
			for n := int64(1); n <= 300; n++ {
				w.tell("ada", "o-1", n, "STOCK_RESERVED", "PENDING")
			}
			for n := int64(1); n <= 300; n += 100 { // a new connection for each hundred
				l = listen(t, c, "ada", "Last-Event-ID", l.id)
				for i := range int64(100) {
					l.hears(fmt.Sprint("o-1 ", n+i))
				}
				l.leave()
			}
		})
	})
	t.Run("a quiet customer is moved on by comments: others' events are not gone through again", func(t *testing.T) {
		onStream(t, func(t *testing.T, w *world, c *http.Client) {
			l := listen(t, c, "ada")
			for n := range int64(50) {
				w.tell("bob", "o-1", n, "STOCK_RESERVED", "PENDING")
			}
			for range 2 {
				if f, ok := l.next(); !ok || !f.comment {
					t.Fatalf("%+v %v", f, ok)
				}
			}
			l.leave()
			w.forget(50) // so that a place before them would be lost
			l = listen(t, c, "ada", "Last-Event-ID", l.id)
			w.tell("ada", "o-2", 1, "ORDER_CREATED", "PENDING")
			l.hears("o-2 1")
		})
	})
	t.Run("where events are gone: it says reset and begins with the oldest that is left", func(t *testing.T) {
		onStream(t, func(t *testing.T, w *world, c *http.Client) {
			l := listen(t, c, "ada")
			w.tell("ada", "o-1", 1, "ORDER_CREATED", "PENDING")
			l.hears("o-1 1")
			l.leave()
			w.tell("ada", "o-1", 2, "STOCK_RESERVED", "PENDING")
			w.tell("ada", "o-1", 3, "PAYMENT_CHARGED", "PENDING")
			w.forget(2)
			last := l.id
			l = listen(t, c, "ada", "Last-Event-ID", last)
			if f := l.event(); f.event != "reset" || f.data != "{}" || f.id != "" {
				t.Errorf("%+v", f)
			}
			l.hears("o-1 3")
		})
	})
	t.Run("an empty id is none", func(t *testing.T) {
		onStream(t, func(t *testing.T, w *world, c *http.Client) {
			w.tell("ada", "o-1", 1, "ORDER_CREATED", "PENDING")
			l := listen(t, c, "ada", "Last-Event-ID", "")
			w.tell("ada", "o-2", 1, "ORDER_CREATED", "PENDING")
			l.hears("o-2 1")
		})
	})
	t.Run("an id that is torn, another caller's or a list's is refused and named", func(t *testing.T) {
		onStream(t, func(t *testing.T, w *world, c *http.Client) {
			l := listen(t, c, "ada")
			w.tell("ada", "o-1", 1, "ORDER_CREATED", "PENDING")
			l.hears("o-1 1")
			for _, wrong := range []struct{ id, caller string }{
				{l.id, "bob"}, {l.id, ""}, {l.id[:len(l.id)-2], "ada"}, {l.id + "A", "ada"}, {"1", "ada"}, {"null", "ada"}, {strings.Repeat("A", 5000), "ada"},
			} {
				status, body := call(t, c, "GET", "", "/events", "Authorization", wrong.caller, "Last-Event-ID", wrong.id)
				if status != 400 || !strings.Contains(body, `"field":"Last-Event-ID"`) || !strings.Contains(body, `"error":"BAD_REQUEST"`) {
					t.Errorf("%+v: %d %s", wrong, status, body)
				}
			}
		})
	})
}

func TestTheLiveFeedBearsItsClients(t *testing.T) {
	t.Run("a server that stops ends every stream at once, and takes no new one", func(t *testing.T) {
		onStream(t, func(t *testing.T, w *world, c *http.Client) {
			all := []*listener{listen(t, c, "ada"), listen(t, c, "bob"), listen(t, c, "")}
			began := time.Now()
			time.AfterFunc(time.Second, w.drain.Start)
			for _, l := range all {
				rest, err := io.ReadAll(l.resp.Body) // ends as a whole answer does
				if err != nil || strings.Contains(string(rest), "event") || time.Since(began) != time.Second {
					t.Errorf("%q %v after %s", rest, err, time.Since(began))
				}
			}
			if status, body := call(t, c, "GET", "", "/events"); status != 503 || !strings.Contains(body, "about to stop") {
				t.Errorf("%d %s", status, body)
			}
		})
	})
	t.Run("a client that takes nothing holds up nobody and loses its place after ten seconds", func(t *testing.T) {
		onStream(t, func(t *testing.T, w *world, c *http.Client) {
			stuck, quick := listen(t, c, "ada"), listen(t, c, "ada")
			began := time.Now()
			for n := int64(1); n <= 2000; n++ {
				w.tell("ada", "o-1", n, "STOCK_RESERVED", "PENDING")
				quick.hears(fmt.Sprint("o-1 ", n))
			}
			if took := time.Since(began); took > 2000*50*time.Millisecond {
				t.Errorf("the quick one waited %s", took)
			}
			timer := time.NewTimer(11 * time.Second)
			<-timer.C
			synctest.Wait()
			heard := 0
			for range 4000 {
				f, ok := stuck.next()
				if !ok {
					break
				}
				if f.event != "" {
					heard++
				}
			}
			if heard == 2000 {
				t.Errorf("the stuck one heard %d events", heard)
			}
			l := listen(t, c, "ada", "Last-Event-ID", stuck.id) // nothing is lost for it
			for n := heard + 1; n <= 2000; n++ {
				l.hears(fmt.Sprint("o-1 ", n))
			}
		})
	})
	t.Run("nor does it keep the server from stopping", func(t *testing.T) {
		onStream(t, func(t *testing.T, w *world, c *http.Client) {
			stuck := listen(t, c, "ada")
			for n := int64(1); n <= 100; n++ {
				w.tell("ada", "o-1", n, "STOCK_RESERVED", "PENDING")
			}
			synctest.Wait() // the first event is being written
			w.drain.Start()
			timer := time.NewTimer(2 * time.Second)
			<-timer.C
			synctest.Wait()
			for range 1000 { // had it waited, the reader would get the rest now
				f, ok := stuck.next()
				if !ok {
					return
				}
				if f.event != "" {
					t.Fatalf("heard %+v", f)
				}
			}
		})
	})
	t.Run("one caller has 16 streams at most: 429", func(t *testing.T) {
		onStream(t, func(t *testing.T, w *world, c *http.Client) {
			var open []*listener
			for range 16 {
				open = append(open, listen(t, c, "ada"))
			}
			if status, body := call(t, c, "GET", "", "/events", "Authorization", "ada"); status != 429 || !strings.Contains(body, "THROTTLED") {
				t.Errorf("%d %s", status, body)
			}
			if l := listen(t, c, "bob"); l.resp.StatusCode != http.StatusOK {
				t.Errorf("another's is answered %s", l.resp.Status)
			}
			open[0].leave()
			synctest.Wait()
			if l := listen(t, c, "ada"); l.resp.StatusCode != http.StatusOK {
				t.Errorf("after one has left: %s", l.resp.Status)
			}
		})
	})
	t.Run("all together have 512: 503", func(t *testing.T) {
		onStream(t, func(t *testing.T, w *world, c *http.Client) {
			for n := range 512 {
				if l := listen(t, c, fmt.Sprint("caller-", n/16)); l.resp.StatusCode != http.StatusOK {
					t.Fatalf("stream %d: %s", n, l.resp.Status)
				}
			}
			if status, body := call(t, c, "GET", "", "/events", "Authorization", "ada"); status != 503 || !strings.Contains(body, "512") {
				t.Errorf("%d %s", status, body)
			}
		})
	})
	t.Run("a caller whose key was revoked hears nothing more after 15 seconds", func(t *testing.T) {
		var revoked atomic.Bool
		onServer(t, func(t *testing.T, w *world, c *http.Client) {
			w.newsErr = nil
			l := listen(t, c, "ada")
			time.AfterFunc(time.Minute+time.Second, func() { revoked.Store(true) })
			time.AfterFunc(2*time.Minute, func() { w.tell("ada", "o-1", 1, "ORDER_CREATED", "PENDING") })
			began := time.Now()
			rest, err := io.ReadAll(l.resp.Body)
			if took := time.Since(began); err != nil || strings.Contains(string(rest), "event") || took > time.Minute+16*time.Second || took < time.Minute {
				t.Errorf("%q %v after %s", rest, err, took)
			}
			if status, body := call(t, c, "GET", "", "/events"); status != 401 {
				t.Errorf("%d %s", status, body)
			}
		}, func(c *httpapi.Config) {
			c.Principal = func(r *http.Request) (auth.Principal, error) {
				if revoked.Load() {
					return auth.Principal{}, fault.New(fault.Unauthorized, "The key was revoked.")
				}
				return callerNamed(r)
			}
		})
	})
	t.Run("a stream whose feed fails ends, and the log has why", func(t *testing.T) {
		onServer(t, func(t *testing.T, w *world, c *http.Client) {
			l := listen(t, c, "ada")
			if rest, err := io.ReadAll(l.resp.Body); err != nil || !slices.Contains(strings.Split(string(rest), "\n"), ": still here") {
				t.Errorf("%q %v", rest, err)
			}
			synctest.Wait()
			if !strings.Contains(w.log.String(), "the feed ends here") {
				t.Errorf("%s", w.log.String())
			}
		}, byName)
	})
}
