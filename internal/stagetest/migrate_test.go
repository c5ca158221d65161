package stagetest

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/longtest"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/provider"
)

// A mover is a shop on one machine that is killed under load, and what its customers were told.
type mover struct {
	*shop // of the old place, until it is killed
	data  string
	cmd   *exec.Cmd
	came  atomic.Int64 // orders that have come to where they stop

	mu   sync.Mutex
	told []ack
}

// An ack is what a customer was told of an order.
type ack struct {
	key     string
	request apigen.OrderRequest
	body    string
	order   apigen.Order
	// want is the status that it has to end with; "": any. What was being charged when the process was killed is confirmed or put back: whether the lease
	// of that attempt is over by then decides.
	want string
}

// The counts of a migration.
type counts struct{ ended, perStop, reviews int }

// A shop outgrows its machine. It is killed under load, with orders open at every state, and moved: the move is interrupted twice. At the new place all orders
// come to their ends, the books agree, and what customers were told stays true.
func moved(t *testing.T, s *stage) {
	began := time.Now()
	n := counts{ended: longtest.Count(200, 200, 1000), perStop: longtest.Count(2, 2, 9), reviews: 3}
	m := openOldShop(t)
	m.fill(t, n)
	m.kill(t)
	s.refusesAnythingElse(t, m)
	s.move(t, m)
	s.goesOn(t, m)
	s.remembers(t, m)
	longtest.Record(t, began, longtest.Result{
		What: "orders moved to AWS", Count: len(m.told),
		Detail: fmt.Sprintf("%d of them open at %d different places, %d in review; interrupted twice", n.perStop*len(stops), len(stops), n.reviews),
	})
}

// openOldShop starts the old shop in a process of its own.
func openOldShop(t *testing.T) *mover {
	t.Helper()
	m := &mover{data: t.TempDir()}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	m.cmd = exec.Command(self) //nolint:noctx // it is killed
	m.cmd.Env = append(os.Environ(), oldShop+"="+m.data)
	m.cmd.Stderr = os.Stderr
	out, err := m.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := m.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.cmd.Process.Kill() }) // it has gone by then, unless something failed
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		t.Fatal("the old shop does not say where it is")
	}
	m.shop = &shop{url: lines.Text(), http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}
	go func() { // until the process ends
		for lines.Scan() {
			m.came.Add(1)
		}
	}()
	return m
}

// fill places the orders: those that come to their end, those that stop, and those that wait for a person.
func (m *mover) fill(t *testing.T, n counts) {
	t.Helper()
	plain := []string{unique("P"), unique("P"), unique("P")}
	for _, p := range append([]string{failConfirming}, plain...) {
		m.stock(t, p, 999)
	}
	for _, at := range stops {
		m.stock(t, at.product, cmp.Or(at.price, 999))
	}
	m.each(t, n.ended, func(i int) ack {
		r := basket([]string{provider.Visa, provider.Visa, provider.ChargeDeclined}[i%3], plain[i%3], plain[(i+1)%3])
		if i%4 == 0 {
			email := []string{"ada@example.com", lateAddress}[i/4%2]
			r.Contact = &apigen.Contact{Email: &email}
		}
		return ack{request: r, want: []string{order.Confirmed, order.Confirmed, order.Compensated}[i%3]}
	})
	m.each(t, n.reviews, func(int) ack { return ack{request: basket(provider.Visa, failConfirming), want: order.Confirmed} })
	for _, a := range m.told {
		if a.request.Items[0].ProductID == failConfirming {
			eventually(t, "it waits for a person", func() bool { return m.get(t, a.order.OrderID).Status == "REVIEW" })
		} else {
			m.outcome(t, a.order.OrderID)
		}
	}
	m.each(t, n.perStop*len(stops), func(i int) ack {
		at := stops[i%len(stops)]
		return ack{request: basket(at.method, at.product), want: at.status}
	})
	eventually(t, "every order has come to where it stops", func() bool { return m.came.Load() >= int64(n.perStop*len(stops)) })
}

// stock puts a product on the shelf, more of it than is asked for.
func (m *mover) stock(t *testing.T, product string, priceCents int64) {
	t.Helper()
	m.call(t, "PUT", "/products/"+product, map[string]any{"name": "Moved", "unit_price_cents": priceCents, "stock": 100_000}).is(http.StatusCreated)
}

func (s *shop) get(t *testing.T, orderID string) apigen.Order {
	t.Helper()
	return s.call(t, "GET", "/orders/"+orderID, nil).is(http.StatusOK).order()
}

// each places n orders.
func (m *mover) each(t *testing.T, n int, next func(i int) ack) {
	t.Helper()
	m.sixteen(n, func(i int) { m.place(t, next(i)) })
	if t.Failed() {
		t.FailNow()
	}
}

// sixteen does the n things, sixteen at once.
func (*mover) sixteen(n int, do func(i int)) {
	var wg sync.WaitGroup
	var at atomic.Int64
	for range min(16, n) {
		wg.Go(func() {
			for i := int(at.Add(1)) - 1; i < n; i = int(at.Add(1)) - 1 {
				do(i)
			}
		})
	}
	wg.Wait()
}

// place places one order, and keeps what was answered.
func (m *mover) place(t *testing.T, a ack) {
	a.key = unique("key")
	answer, err := m.try(t, "POST", "/orders", a.request, "Idempotency-Key", a.key)
	if err != nil || answer.status != http.StatusAccepted {
		t.Errorf("%v: %d %s", err, answer.status, answer.body)
		return
	}
	a.body, a.order = string(answer.body), answer.order()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.told = append(m.told, a)
}

// kill ends the old shop with SIGKILL while customers go on ordering.
func (m *mover) kill(t *testing.T) {
	t.Helper()
	product := unique("P")
	m.stock(t, product, 999)
	before := len(m.told)
	var wg sync.WaitGroup
	enough := make(chan struct{})
	var placed atomic.Int64
	for range 8 {
		wg.Go(func() {
			for {
				a := ack{request: basket(provider.Visa, product), key: unique("key")}
				answer, err := m.try(t, "POST", "/orders", a.request, "Idempotency-Key", a.key)
				if err != nil { // the process has gone; whether the order was taken is not known
					return
				}
				a.body, a.order = string(answer.body), answer.order()
				m.mu.Lock()
				m.told = append(m.told, a)
				m.mu.Unlock()
				if placed.Add(1) == 40 {
					close(enough)
				}
			}
		})
	}
	<-enough
	if err := m.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	_ = m.cmd.Wait() // killed
	t.Logf("killed with SIGKILL after %d orders, %d of them while it was killed", len(m.told), len(m.told)-before)
}

// refusesAnythingElse looks at what can be got wrong before a move, and that it changes nothing.
func (s *stage) refusesAnythingElse(t *testing.T, m *mover) {
	t.Helper()
	if out, said, err := s.cloudflow(t, "verify", "--data", m.data); err != nil {
		t.Fatalf("the old books are not in order: %v\n%s%s", err, out, said)
	}
	out, said, err := s.cloudflow(t, "migrate", "--data", m.data, "--to", "aws", "--stage", s.name, "--dry-run")
	if err != nil {
		t.Fatalf("%v\n%s%s", err, out, said)
	}
	t.Log(out, said)
	if list := s.call(t, "GET", "/orders", nil).is(http.StatusOK); strings.Contains(string(list.body), "ord-") {
		t.Errorf("a dry run has written: %s", list.body)
	}
	if _, said, err := s.cloudflow(t, "migrate", "--data", m.data, "--to", "aws", "--stage", "none"); err == nil || !strings.Contains(said, "make deploy STAGE=none") {
		t.Errorf("a stage that there is not: %v, %s", err, said)
	}
}

// move runs cloudflow migrate until it is done: it is stopped with Ctrl-C while it copies, and killed while it starts executions.
func (s *stage) move(t *testing.T, m *mover) {
	t.Helper()
	args := []string{"migrate", "--data", m.data, "--to", "aws", "--stage", s.name}
	interrupt := func(with os.Signal, rule string, when func() bool) {
		cmd := exec.CommandContext(t.Context(), s.program, args...)
		var said strings.Builder
		cmd.Env, cmd.Stderr = s.environment(), &said
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		eventually(t, rule, when)
		if err := cmd.Process.Signal(with); err != nil {
			t.Fatal(err)
		}
		err := cmd.Wait()
		t.Logf("%s: %v when %s: %s", with, err, rule, strings.TrimSpace(said.String()))
		if err == nil {
			t.Errorf("it was done before it could be interrupted")
		}
	}
	interrupt(os.Interrupt, "orders are copied", func() bool {
		return strings.Contains(string(s.call(t, "GET", "/orders", nil).is(http.StatusOK).body), "ord-")
	})
	interrupt(os.Kill, "executions are started", func() bool {
		for _, status := range []asl.Status{asl.StatusRunning, asl.StatusSucceeded} {
			if names, _, err := s.Machine.Names(t.Context(), status, "", 1); err == nil && len(names) > 0 {
				return true
			}
		}
		return false
	})
	began := time.Now()
	out, said, err := s.cloudflow(t, append(args, "--json")...)
	if err != nil {
		t.Fatalf("%v\n%s%s", err, out, said)
	}
	t.Logf("the last run took %s: %s", time.Since(began).Round(100*time.Millisecond), out)
	if !json.Valid([]byte(out)) {
		t.Errorf("--json says %q", out)
	}
	if out, said, err := s.cloudflow(t, args...); err != nil {
		t.Errorf("a run after the last one: %v\n%s%s", err, out, said)
	}
	if out, said, err := s.cloudflow(t, "serve", "--data", m.data, "--addr", "127.0.0.1:0"); err == nil || !strings.Contains(said, s.name) {
		t.Errorf("the old place is served again: %v\n%s%s", err, out, said)
	}
}

// goesOn waits until every order has come to its end, those that waited for a person with one's help.
func (s *stage) goesOn(t *testing.T, m *mover) {
	t.Helper()
	for _, a := range m.told {
		if a.request.Items[0].ProductID == failConfirming {
			if o := s.get(t, a.order.OrderID); o.Status != "REVIEW" {
				t.Errorf("%s waited for a person, and is %s", o.OrderID, o.Status)
			}
			s.call(t, "POST", "/admin/sagas/"+a.order.OrderID+"/redrive", map[string]any{"reason": "It was moved."}).is(http.StatusAccepted)
		}
	}
	for _, a := range m.told {
		if o := s.outcome(t, a.order.OrderID); a.want != "" && string(o.Status) != a.want {
			t.Errorf("%s of %s is %s, want %s", o.OrderID, a.request.Items[0].ProductID, o.Status, a.want)
		}
	}
	s.quiet(t)
	for _, a := range m.told {
		if a.request.Contact != nil {
			s.told(t, a.order)
		}
	}
	s.verify(t)
}

// remembers sends every key again: each is answered with the same bytes.
func (s *stage) remembers(t *testing.T, m *mover) {
	t.Helper()
	m.sixteen(len(m.told), func(i int) {
		a := m.told[i]
		again, err := s.try(t, "POST", "/orders", a.request, "Idempotency-Key", a.key)
		if err != nil || again.status != http.StatusAccepted || string(again.body) != a.body {
			t.Errorf("the same key is answered %d %s, and was %s (%v)", again.status, again.body, a.body, err)
		}
	})
}
