package instance_test

import (
	"bytes"
	"fmt"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/datadir"
	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/instance"
)

// A customer is a caller of a load: it places one order after the other, each under a key of its own.
type customer struct {
	w         *world
	name      string
	mu        sync.Mutex
	acked     map[string][]byte // by key: what was answered
	requested map[string]apigen.OrderRequest
}

// enough orders of one customer: half of them keep a worker for eight seconds, and without a bound a fast machine would pile up more of
// them than end within the test's patience.
const enough = 90

// orders places orders until there are enough or stop is closed: some slow, some declined, some whose answer is lost.
func (c *customer) orders(stop <-chan struct{}) {
	methods := []string{visa, visa, declined, "pm_sim_slow", "pm_sim_timeout_charged", "pm_sim_late"}
	for n := 0; n < enough; n++ {
		select {
		case <-stop:
			return
		default:
		}
		key := fmt.Sprintf("%s-%d", c.name, n)
		r := request(methods[n%len(methods)], "A")
		r.CustomerID, r.Contact = c.name, &contact
		a := c.w.call("POST", "/orders", r, "Idempotency-Key", key)
		if a.status != http.StatusAccepted {
			c.w.t.Errorf("%s was answered %d %s", key, a.status, a.body)
			return
		}
		c.mu.Lock()
		c.acked[key], c.requested[key] = a.body, r
		c.mu.Unlock()
	}
}

// answered is what was acknowledged so far.
func (c *customer) answered() map[string][]byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make(map[string][]byte, len(c.acked))
	for key, body := range c.acked {
		out[key] = body
	}
	return out
}

// What a backup promises: taken under load it holds every order that was acknowledged before it, the books agree, and what was open goes on.
func TestABackupUnderLoadIsRestored(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *instance.Config) { c.BreakerFailures = 1 << 20 })
	w.product("A", 10_000_000)
	customers := make([]*customer, 8)
	stop := make(chan struct{})
	var load sync.WaitGroup
	for i := range customers {
		customers[i] = &customer{w: w, name: fmt.Sprintf("cust-%d", i), acked: map[string][]byte{}, requested: map[string]apigen.OrderRequest{}}
		load.Go(func() { customers[i].orders(stop) })
	}
	for round := range 3 {
		eventually(t, "the load comes in", func() bool {
			for _, c := range customers {
				if len(c.answered()) < 20*(round+1) {
					return false
				}
			}
			return true
		})
		before := make([]map[string][]byte, len(customers))
		for i, c := range customers {
			before[i] = c.answered()
		}
		backup := w.backup(t)
		restored := filepath.Join(t.TempDir(), "restored")
		if _, err := datadir.Restore(t.Context(), backup, restored); err != nil {
			t.Fatal(err)
		}
		if round == 2 { // the last one is lived in
			close(stop)
			load.Wait()
		}
		open := verified(t, restored)
		if open == 0 {
			t.Error("no order was open: that was no load")
		}
		if round == 2 {
			goesOn(t, restored, customers, before)
		}
	}
}

// verified requires that the invariants hold in a stopped directory, and returns how many orders are open there.
func verified(t *testing.T, path string) int {
	t.Helper()
	dir, err := datadir.Open(path, datadir.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	report, err := instance.Verify(t.Context(), dir, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range report.Violations {
		t.Errorf("verify: %s", v)
	}
	return report.Open
}

// goesOn starts an instance on a restored directory and requires that it is what the callers know.
func goesOn(t *testing.T, path string, customers []*customer, before []map[string][]byte) {
	t.Helper()
	w := openWorld(t, path, func(c *instance.Config) { c.BreakerFailures = 1 << 20 })
	for i, c := range customers {
		for key, body := range before[i] {
			a := w.call("POST", "/orders", c.requested[key], "Idempotency-Key", key).is(http.StatusAccepted)
			if !bytes.Equal(a.body, body) || a.header.Get("Idempotent-Replayed") != "true" {
				t.Errorf("%s was answered %s, and now %s", key, body, a.body)
			}
			if o := w.outcome(into[apigen.OrderAccepted](a).OrderID); o.CustomerID != c.name {
				t.Errorf("%s is %+v", key, o)
			}
		}
	}
	// A message that was being sent when the backup was taken is hidden until its visibility ends, a minute later.
	w.restWithin(2 * time.Minute)
	w.place(request(visa, "A"))
	w.rest()
}

func TestBackupOfAnInstance(t *testing.T) {
	t.Parallel()
	t.Run("a second one at the same time is turned away", func(t *testing.T) {
		w := newWorld(t)
		held := make(chan struct{})
		first := make(chan error, 1)
		began := make(chan struct{})
		go func() {
			first <- w.i.Dir.Backup(t.Context(), blocking(func() {
				select {
				case <-began:
				default:
					close(began)
				}
				<-held
			}))
		}()
		<-began
		a := w.call("POST", "/admin/backup", nil).is(http.StatusServiceUnavailable)
		a.problem("UNAVAILABLE")
		if a.header.Get("Retry-After") != "10" {
			t.Errorf("Retry-After: %s", a.header.Get("Retry-After"))
		}
		close(held)
		if err := <-first; err != nil {
			t.Error(err)
		}
		w.call("POST", "/admin/backup", nil).is(http.StatusOK)
	})
}

// blocking is a writer that calls a function first.
type blocking func()

func (b blocking) Write(p []byte) (int, error) {
	b()
	return len(p), nil
}
