package limit

import (
	"net"
	"net/netip"
	"sync"
)

// Listener bounds the connections that are open at once: all together, and of one address. A connection beyond the first bound waits in
// the kernel's queue, where it costs nothing here, until another closes; one beyond the second is closed at once, since its address
// has connections that it could use, and waiting for one of them to close would make all others wait behind it.
func Listener(l net.Listener, total, perAddress int) net.Listener {
	return &listener{
		Listener: l, places: make(chan struct{}, total), closed: make(chan struct{}), perAddress: perAddress, open: map[netip.Prefix]int{},
	}
}

type listener struct {
	net.Listener
	places     chan struct{} // holds one for each connection
	once       sync.Once
	closed     chan struct{}
	perAddress int

	mu   sync.Mutex
	open map[netip.Prefix]int
}

// Accept returns the next connection that has a place.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case l.places <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			<-l.places
			return nil, err
		}
		from := Address(c.RemoteAddr().String())
		if l.enter(from) {
			return &conn{Conn: c, leave: sync.OnceFunc(func() {
				l.exit(from)
				<-l.places
			})}, nil
		}
		_ = c.Close() // it was not answered, so there is nobody to tell
	}
}

// Close closes the listener. Connections stay open.
func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

func (l *listener) enter(from netip.Prefix) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[from] >= l.perAddress {
		return false
	}
	l.open[from]++
	return true
}

func (l *listener) exit(from netip.Prefix) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[from]--; l.open[from] == 0 {
		delete(l.open, from)
	}
}

// A conn gives its place back when it is closed, which may be more than once.
type conn struct {
	net.Conn
	leave func()
}

func (c *conn) Close() error {
	err := c.Conn.Close()
	c.leave()
	return err
}

// Address is who is counted as one caller: an IPv4 address, or the /64 of an IPv6 address, which is the least that a customer of a
// provider gets (RFC 6177): counted one by one, its 2^64 addresses would be 2^64 callers. remote is host:port; what is none, such as the
// name of a pipe, counts as one caller, the zero Prefix.
func Address(remote string) netip.Prefix {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Prefix{}
	}
	addr := at.Addr().Unmap().WithZone("")
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	prefix, err := addr.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return prefix
}
