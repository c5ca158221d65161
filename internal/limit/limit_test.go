package limit

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// A clock goes where it is told.
type clock struct{ at time.Time }

func (c *clock) now() time.Time       { return c.at }
func (c *clock) pass(d time.Duration) { c.at = c.at.Add(d) }

func newBuckets(r Rate) (*Buckets[string], *clock) {
	c := &clock{time.Date(2026, 1, 15, 10, 30, 0, 0, time.UTC)}
	return NewBuckets[string](r, c.now), c
}

// spend takes tokens until there are none, and returns how many there were.
func spend(b *Buckets[string], caller string) int {
	for n := range 10_000 {
		if ok, _ := b.Take(caller); !ok {
			return n
		}
	}
	return 10_000
}

func TestBuckets(t *testing.T) {
	rate := Rate{PerSecond: 10, Burst: 20}
	t.Run("a burst comes through, and no more", func(t *testing.T) {
		b, _ := newBuckets(rate)
		if n := spend(b, "ada"); n != 20 {
			t.Errorf("%d calls", n)
		}
	})
	t.Run("a token comes back after its time, and the wait says when", func(t *testing.T) {
		b, c := newBuckets(rate)
		spend(b, "ada")
		_, wait := b.Take("ada")
		if wait != 100*time.Millisecond || Seconds(wait) != 1 {
			t.Errorf("wait %s", wait)
		}
		c.pass(wait - 1)
		if ok, _ := b.Take("ada"); ok {
			t.Error("it came early")
		}
		c.pass(1)
		if n := spend(b, "ada"); n != 1 {
			t.Errorf("%d calls", n)
		}
	})
	t.Run("a refused call costs nothing", func(t *testing.T) {
		b, c := newBuckets(rate)
		spend(b, "ada")
		for range 1000 {
			b.Take("ada")
		}
		c.pass(time.Second)
		if n := spend(b, "ada"); n != 10 {
			t.Errorf("%d calls", n)
		}
	})
	t.Run("a bucket holds no more than its burst, however long nobody calls", func(t *testing.T) {
		b, c := newBuckets(rate)
		spend(b, "ada")
		for _, d := range []time.Duration{2 * time.Second, 3 * time.Second, time.Hour} {
			c.pass(d)
			if n := spend(b, "ada"); n != 20 {
				t.Errorf("after %s: %d calls", d, n)
			}
		}
	})
	t.Run("one caller's calls are not another's", func(t *testing.T) {
		b, _ := newBuckets(rate)
		spend(b, "ada")
		if n := spend(b, "bob"); n != 20 {
			t.Errorf("%d calls", n)
		}
	})
	t.Run("who calls at the pace is never refused, at whatever moments the generations change", func(t *testing.T) {
		for _, pace := range []time.Duration{100 * time.Millisecond, 130 * time.Millisecond, time.Second, 1999 * time.Millisecond} {
			b, c := newBuckets(rate)
			for n := range 500 {
				if ok, _ := b.Take("ada"); !ok {
					t.Fatalf("every %s: the call %d was refused", pace, n)
				}
				c.pass(pace)
			}
		}
	})
	t.Run("over any time nobody gets more than the burst and the pace, at whatever moments the generations change", func(t *testing.T) {
		b, c := newBuckets(rate)
		const step = 37 * time.Millisecond
		got := 0
		for range 1000 {
			got += spend(b, "ada")
			c.pass(step)
		}
		if most := 20 + int(1000*step/(100*time.Millisecond)); got > most || got < most-1 {
			t.Errorf("%d calls, the most is %d", got, most)
		}
	})
	t.Run("no rate is no limit", func(t *testing.T) {
		b, _ := newBuckets(Rate{})
		if n := spend(b, "ada"); n != 10_000 {
			t.Errorf("%d calls", n)
		}
	})
}

func TestManyCallers(t *testing.T) {
	flood := func(b *Buckets[string], from, n int) {
		for i := range n {
			b.Take(fmt.Sprintf("attacker-%d", from+i))
		}
	}
	t.Run("a flood of callers does not free the one that has spent its tokens", func(t *testing.T) {
		b, c := newBuckets(Rate{PerSecond: 10, Burst: 20})
		b.max = 100
		spend(b, "ada")
		got := 0
		for round := range 50 {
			flood(b, round*1000, 1000)
			c.pass(100 * time.Millisecond)
			got += spend(b, "ada")
		}
		if got > 50 { // a token a round
			t.Errorf("%d calls in 5 s", got)
		}
	})
	t.Run("nor does it take the tokens of one that was there before", func(t *testing.T) {
		b, _ := newBuckets(Rate{PerSecond: 10, Burst: 20})
		b.max = 100
		b.Take("ada")
		flood(b, 0, 10_000)
		if n := spend(b, "ada"); n != 19 {
			t.Errorf("%d calls", n)
		}
	})
	t.Run("memory has a bound while it lasts, and is given back when it is over", func(t *testing.T) {
		b, c := newBuckets(Rate{PerSecond: 10, Burst: 20})
		b.max = 100
		for round := range 20 {
			flood(b, round*1000, 1000)
			c.pass(500 * time.Millisecond)
			if len(b.current) > 100 || len(b.older) > 100 || len(b.shared) > overflow {
				t.Fatalf("%d, %d and %d callers are remembered", len(b.current), len(b.older), len(b.shared))
			}
		}
		for range 2 {
			c.pass(2 * time.Second)
			b.Take("ada")
		}
		if len(b.current)+len(b.older) > 2 || b.shared != nil {
			t.Errorf("%d callers are remembered", len(b.current)+len(b.older))
		}
	})
	t.Run("callers beyond the bound share, and are limited too", func(t *testing.T) {
		b, _ := newBuckets(Rate{PerSecond: 10, Burst: 20})
		b.max = 0
		if n := spend(b, "ada"); n != 20 {
			t.Errorf("%d calls", n)
		}
		b.max = 100 // room: what was spent stays spent
		if n := spend(b, "ada"); n != 0 {
			t.Errorf("%d calls", n)
		}
	})
}

func TestAddress(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.7:1234":               "192.0.2.7/32",
		"[::ffff:192.0.2.7]:1":         "192.0.2.7/32",
		"[2001:db8:1:2:3:4:5:6]:443":   "2001:db8:1:2::/64",
		"[2001:db8:1:2:ffff::9]:443":   "2001:db8:1:2::/64",
		"[2001:db8:1:3::9]:443":        "2001:db8:1:3::/64",
		"[fe80::1%eth0]:80":            "fe80::/64",
		"pipe":                         netip.Prefix{}.String(),
		"":                             netip.Prefix{}.String(),
		"203.0.113.9":                  netip.Prefix{}.String(),
		"[2001:db8::1]:99999999999999": netip.Prefix{}.String(),
	} {
		if got := Address(remote).String(); got != want {
			t.Errorf("%s counts as %s, want %s", remote, got, want)
		}
	}
}

// A queue is a listener whose connections come from a channel.
type queue struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (q *queue) Accept() (net.Conn, error) {
	select {
	case c := <-q.conns:
		return c, nil
	case <-q.closed:
		return nil, net.ErrClosed
	}
}
func (q *queue) Close() error { close(q.closed); return nil }
func (*queue) Addr() net.Addr { return &net.TCPAddr{} }

// From is a connection from an address.
type from struct {
	net.Conn
	addr   string
	closed chan struct{}
}

func (f from) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(f.addr)) }
func (f from) Close() error {
	select {
	case <-f.closed:
	default:
		close(f.closed)
	}
	return nil
}

func TestListener(t *testing.T) {
	open := func(addr string) from { return from{addr: addr, closed: make(chan struct{})} }
	isClosed := func(c from) bool {
		select {
		case <-c.closed:
			return true
		default:
			return false
		}
	}
	synctest.Test(t, func(t *testing.T) {
		q := &queue{conns: make(chan net.Conn, 16), closed: make(chan struct{})}
		l := Listener(q, 4, 2)
		accepted := make(chan net.Conn, 16)
		go func() {
			defer close(accepted)
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				accepted <- c
			}
		}()
		send := func(addr string) from {
			c := open(addr)
			q.conns <- c
			synctest.Wait()
			return c
		}
		send("192.0.2.1:1")
		send("192.0.2.1:2")
		if third := send("192.0.2.1:3"); !isClosed(third) || len(accepted) != 2 {
			t.Errorf("a third connection of one address is open; %d are", len(accepted))
		}
		send("[2001:db8::1]:1")
		send("[2001:db8::2]:1")
		if len(accepted) != 4 {
			t.Errorf("%d connections are open", len(accepted))
		}
		if fifth := send("192.0.2.9:1"); isClosed(fifth) || len(accepted) != 4 {
			t.Error("a fifth connection does not wait")
		}
		first := <-accepted
		for range 3 { // a place is given back once
			_ = first.Close()
		}
		synctest.Wait()
		if len(accepted) != 4 {
			t.Errorf("a place was given back, and %d connections are open", len(accepted)+1)
		}
		if again := send("192.0.2.1:4"); isClosed(again) {
			t.Error("the address has a place again, and is refused")
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		for range accepted { // it ends: Accept has returned
		}
	})
}

func BenchmarkTake(b *testing.B) {
	buckets := NewBuckets[netip.Prefix](Rate{PerSecond: 1_000_000, Burst: 1_000_000}, time.Now)
	who := Address("192.0.2.7:1")
	b.ReportAllocs()
	for b.Loop() {
		buckets.Take(who)
	}
}
