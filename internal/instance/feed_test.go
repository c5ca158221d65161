package instance_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/provider"
)

// A follower is a client of the live feed that keeps what it heard, over as many connections as it takes.
type follower struct {
	t    *testing.T
	last string                     // the id to go on behind
	told map[string][]feedEvent     // by order
	mu   sync.Mutex                 // held while told is changed or read
	body interface{ Close() error } // of the connection
	done chan struct{}              // closed when the connection has ended
}

// A feedEvent is what the feed says of an event.
type feedEvent struct {
	OrderID   string `json:"order_id"`
	Version   int64  `json:"version"`
	Type      string `json:"type"`
	Timestamp string `json:"timestamp"`
	Status    string `json:"status"`
}

// follow connects, and returns once the stream has begun.
func (f *follower) follow(w *world) {
	f.t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, w.url+"/events", http.NoBody)
	if err != nil {
		f.t.Fatal(err)
	}
	for i := 0; i+1 < len(w.who); i += 2 {
		r.Header.Set(w.who[i], w.who[i+1])
	}
	if f.last != "" {
		r.Header.Set("Last-Event-ID", f.last)
	}
	resp, err := (&http.Client{Transport: w.http.Transport}).Do(r) //nolint:bodyclose // the goroutine does
	if err != nil {
		f.t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		f.t.Fatalf("the feed is answered %s", resp.Status)
	}
	f.body, f.done = resp.Body, make(chan struct{})
	go func() {
		defer close(f.done)
		defer resp.Body.Close()
		lines := bufio.NewScanner(resp.Body)
		for lines.Scan() {
			name, value, _ := strings.Cut(lines.Text(), ": ")
			switch name {
			case "id":
				f.last = value
			case "data":
				var e feedEvent
				if err := json.Unmarshal([]byte(value), &e); err != nil {
					f.t.Errorf("%q: %v", value, err)
				}
				f.mu.Lock()
				f.told[e.OrderID] = append(f.told[e.OrderID], e)
				f.mu.Unlock()
			}
		}
	}()
}

// leave drops the connection.
func (f *follower) leave() {
	f.body.Close()
	<-f.done
}

// heard requires that the order's log was told: each event once, in its order, with the status that the order had then.
func (f *follower) heard(w *world, id string) {
	f.t.Helper()
	o := w.outcome(id)
	var all []feedEvent
	eventually(f.t, "the events of "+id+" are told", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		all = f.told[id]
		return len(all) >= len(o.Events)
	})
	if len(all) != len(o.Events) {
		f.t.Fatalf("%s has %d events, heard %+v", id, len(o.Events), all)
	}
	for i, e := range o.Events {
		as := w.call("GET", fmt.Sprintf("/orders/%s?version=%d", id, e.Version), nil).is(http.StatusOK).order()
		want := feedEvent{id, e.Version, string(e.Type), e.Timestamp.Format("2006-01-02T15:04:05.000Z"), string(as.Status)}
		if all[i] != want {
			f.t.Fatalf("heard %+v, want %+v", all[i], want)
		}
	}
}

func newFollower(t *testing.T) *follower { return &follower{t: t, told: map[string][]feedEvent{}} }

// placeMany places orders of several kinds at once and returns their ids.
func placeMany(w *world, n int) []string {
	methods := []string{provider.Visa, provider.ChargeDeclined}
	ids := make([]string, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { ids[i] = w.accepted(request(methods[i%len(methods)], "A")) })
	}
	all.Wait()
	return ids
}

func TestTheLiveFeedMissesNothing(t *testing.T) {
	w := newWorld(t)
	w.product("A", 1000)
	f := newFollower(t)
	f.follow(w)
	t.Run("while a client follows it", func(t *testing.T) {
		for _, id := range placeMany(w, 40) {
			f.heard(w, id)
		}
	})
	t.Run("over a client that was away", func(t *testing.T) {
		f.leave()
		ids := placeMany(w, 40)
		f.follow(w)
		for _, id := range append(ids, placeMany(w, 10)...) {
			f.heard(w, id)
		}
	})
	t.Run("over a restart of the server in the middle of orders, and while nobody follows", func(t *testing.T) {
		ids := placeMany(w, 40)
		w.end()
		<-f.done
		w = openWorld(t, w.dir)
		ids = append(ids, placeMany(w, 10)...)
		f.follow(w)
		for _, id := range append(ids, placeMany(w, 10)...) {
			f.heard(w, id)
		}
	})
	f.leave()
	t.Run("and an id is good for as long as its directory: another server does not know it", func(t *testing.T) {
		other := newWorld(t)
		p := other.call("GET", "/events", nil, "Last-Event-ID", f.last).is(http.StatusBadRequest).problem("BAD_REQUEST")
		if p.Field == nil || *p.Field != "Last-Event-ID" {
			t.Errorf("%+v", p)
		}
	})
}

// A client that reads nothing over a real connection, whose buffers fill up first.
func TestASlowClientHoldsUpNobody(t *testing.T) {
	w := newWorld(t)
	w.product("A", 100_000)
	var dialer net.Dialer
	stuck, err := dialer.DialContext(t.Context(), "tcp", strings.TrimPrefix(w.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer stuck.Close()
	if err := errors.Join(stuck.(*net.TCPConn).SetReadBuffer(1), write(stuck, "GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	f := newFollower(t)
	f.follow(w)
	for range 5 {
		for _, id := range placeMany(w, 40) {
			f.heard(w, id)
		}
	}
	t.Run("and does not keep the server from stopping", func(t *testing.T) {
		began := time.Now()
		w.end()
		<-f.done
		if took := time.Since(began); took > patience/2 {
			t.Errorf("it took %s", took)
		}
	})
}

func write(c net.Conn, text string) error {
	_, err := c.Write([]byte(text))
	return err
}

func TestOrdersAreListedAsTheyStandInTheDirectory(t *testing.T) {
	w := newWorld(t)
	w.product("A", 1000)
	ids := placeMany(w, 30)
	for _, id := range ids {
		w.outcome(id)
	}
	page := into[apigen.OrderList](w.call("GET", "/orders?limit=20&status=CONFIRMED", nil).is(http.StatusOK))
	if len(page.Orders) != 15 || page.NextCursor != nil {
		t.Errorf("%d confirmed orders of 15", len(page.Orders))
	}
	first := into[apigen.OrderList](w.call("GET", "/orders?limit=20", nil).is(http.StatusOK))
	if len(first.Orders) != 20 || first.NextCursor == nil {
		t.Fatalf("%d orders", len(first.Orders))
	}
	t.Run("and a cursor is good over a restart", func(t *testing.T) {
		w.end()
		w = openWorld(t, w.dir)
		rest := into[apigen.OrderList](w.call("GET", "/orders?limit=20&cursor="+*first.NextCursor, nil).is(http.StatusOK))
		seen := map[string]bool{}
		for _, o := range append(first.Orders, rest.Orders...) {
			seen[o.OrderID] = true
		}
		if len(rest.Orders) != 10 || len(seen) != 30 || rest.NextCursor != nil {
			t.Errorf("%d and %d orders, %d different", len(first.Orders), len(rest.Orders), len(seen))
		}
	})
}
