package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/longtest"
)

// The binary is killed with SIGKILL at random moments under load, some of them while it starts, and started again on the same
// directory: every order that it acknowledged reaches an end, the same key still names the same order with the same bytes, and verify is silent.
func TestKillNineUnderLoad(t *testing.T) {
	t.Parallel()
	started := time.Now()
	const seed = 20261123
	kills := longtest.Count(3, 5, 20)
	k := &killing{t: t, data: t.TempDir(), rnd: rand.New(rand.NewPCG(seed, 0)), acks: map[string]ack{}}
	k.http = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: clients}}
	p := k.start()
	k.url.Store(ptr(p.log.url(t)))
	k.shelve()
	load, stop := context.WithCancel(t.Context())
	var loading sync.WaitGroup
	for c := range clients {
		rnd := rand.New(rand.NewPCG(seed, uint64(c+1)))
		loading.Go(func() { k.client(load, c, rnd) })
	}
	early := 0
	for n := range kills {
		if n%4 == 3 { // while it opens its directory and takes up what was open
			early++
			wait(time.Duration(k.rnd.Int64N(int64(150 * time.Millisecond))))
		} else {
			k.url.Store(ptr(p.log.url(t)))
			wait(100*time.Millisecond + time.Duration(k.rnd.Int64N(int64(600*time.Millisecond))))
		}
		p.kill()
		p = k.start()
	}
	k.url.Store(ptr(p.log.url(t)))
	wait(200 * time.Millisecond) // load goes on after the last restart
	stop()
	loading.Wait()
	detail := k.check(p)
	p.terminate()
	out, err := program(t, "verify", "--data", k.data).Output()
	if err != nil || len(out) > 0 {
		t.Errorf("verify: %v %s", err, out)
		var e *exec.ExitError
		if errors.As(err, &e) {
			t.Logf("%s", e.Stderr)
		}
	}
	longtest.Record(t, started, longtest.Result{What: "kills with SIGKILL under load", Count: kills, Seed: seed,
		Detail: fmt.Sprintf("%d of them during a start; %s", early, detail)})
}

const (
	clients = 8
	// pace is between two orders of one client: the test is about the moments, not about throughput.
	pace = 8 * time.Millisecond
)

// A killing is one run: the clients and what they were told.
type killing struct {
	t    *testing.T
	data string
	rnd  *rand.Rand
	http *http.Client
	url  atomic.Pointer[string] // nil or of a dead process between two

	mu   sync.Mutex
	acks map[string]ack // by idempotency key
	keys []string       // of acks

	lost, replays atomic.Int64 // calls without an answer; acknowledged keys that were sent again
}

// An ack is what a client was told of an order.
type ack struct {
	body    []byte
	request apigen.OrderRequest
}

func (k *killing) start() *process {
	// The circuit breaker is not what is tested here: orders whose outcome stays unknown would open it for a minute.
	return start(k.t, k.data, "--breaker-failures", "1000000")
}

func (k *killing) shelve() {
	for i := range 3 {
		a := apigen.ProductPut{Name: "thing", UnitPriceCents: 1000, Stock: ptr(int64(1_000_000))}
		if i == 2 {
			a.Stock = ptr(int64(50)) // soon gone
		}
		eventually(k.t, "the product is stored", func() bool {
			status, _ := k.call(k.t.Context(), http.MethodPut, fmt.Sprint("/products/P-", i), a)
			return status == http.StatusCreated
		})
	}
}

// call returns 0 if there was no answer.
func (k *killing) call(ctx context.Context, method, path string, body any, headers ...string) (int, []byte) {
	url := k.url.Load()
	if url == nil {
		return 0, nil
	}
	text, err := json.Marshal(body)
	if err != nil {
		k.t.Error(err)
		return 0, nil
	}
	r, err := http.NewRequestWithContext(ctx, method, *url+path, bytes.NewReader(text))
	if err != nil {
		k.t.Error(err)
		return 0, nil
	}
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := k.http.Do(r)
	if err != nil {
		return 0, nil
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, nil // half an answer is none
	}
	return resp.StatusCode, answer
}

// client places orders, each under a key of its own, until it has an answer to it; now and then it sends an old key again.
func (k *killing) client(ctx context.Context, c int, rnd *rand.Rand) {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for n := 0; ctx.Err() == nil; n++ {
		key, r := fmt.Sprintf("client-%d-%d", c, n), someOrder(rnd)
		for told := false; !told && ctx.Err() == nil; {
			<-tick.C
			told = k.place(ctx, key, r)
		}
		if rnd.IntN(4) == 0 {
			k.again(ctx, rnd)
		}
	}
}

// someOrder is one of many kinds: most are paid at once, some declined, slow, failing, or short.
func someOrder(rnd *rand.Rand) apigen.OrderRequest {
	method := "pm_card_visa"
	switch n := rnd.IntN(100); {
	case n < 15:
		method = "pm_card_chargeDeclined"
	case n < 20:
		method = "pm_sim_error"
	case n < 23:
		method = "pm_sim_slow"
	case n < 24 && !testing.Short(): // settles after eight seconds
		method = "pm_sim_timeout_charged"
	}
	r := apigen.OrderRequest{CustomerID: "cust-1", PaymentMethod: &method}
	for i := range 1 + rnd.IntN(3) {
		r.Items = append(r.Items, apigen.OrderRequestItem{ProductID: fmt.Sprint("P-", i), Quantity: 1 + rnd.Int64N(3)})
	}
	if rnd.IntN(2) == 0 {
		r.Contact = &apigen.Contact{Email: ptr("ada@example.test")}
	}
	return r
}

// place sends the order and reports whether it was answered.
func (k *killing) place(ctx context.Context, key string, r apigen.OrderRequest) bool {
	status, body := k.call(ctx, http.MethodPost, "/orders", r, "Idempotency-Key", key)
	switch status {
	case 0:
		k.lost.Add(1)
		return false
	case http.StatusServiceUnavailable:
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	before, again := k.acks[key]
	switch {
	case again && (status != http.StatusAccepted || !bytes.Equal(before.body, body)):
		k.t.Errorf("key %s was answered %s and then %d %s", key, before.body, status, body)
	case again || status == http.StatusConflict: // short of the third product
	case status == http.StatusAccepted:
		k.acks[key] = ack{body, r}
		k.keys = append(k.keys, key)
	default:
		k.t.Errorf("key %s was answered %d %s", key, status, body)
	}
	return true
}

// again sends an acknowledged key once more.
func (k *killing) again(ctx context.Context, rnd *rand.Rand) {
	k.mu.Lock()
	if len(k.keys) == 0 {
		k.mu.Unlock()
		return
	}
	key := k.keys[rnd.IntN(len(k.keys))]
	r := k.acks[key].request
	k.mu.Unlock()
	if k.place(ctx, key, r) {
		k.replays.Add(1)
	}
}

// check requires of each acknowledged key that it names the same order still, and that the order has ended or ends.
func (k *killing) check(p *process) string {
	ends := map[apigen.OrderStatus]int{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for c := range clients {
		wg.Go(func() {
			for i := c; i < len(k.keys); i += clients {
				key := k.keys[i]
				status, ok := k.end(key)
				if !ok {
					continue
				}
				mu.Lock()
				ends[status]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if k.t.Failed() {
		k.t.Logf("the process said last:\n%s", tail(p.log.String(), 30))
	}
	if len(k.keys) == 0 {
		k.t.Error("no order was acknowledged")
	}
	return fmt.Sprintf("%d orders acknowledged, %d calls without an answer, %d keys sent again; in the end %v",
		len(k.keys), k.lost.Load(), k.replays.Load(), ends)
}

func (k *killing) end(key string) (apigen.OrderStatus, bool) {
	a := k.acks[key]
	if status, body := k.call(k.t.Context(), http.MethodPost, "/orders", a.request, "Idempotency-Key", key); status != http.StatusAccepted || !bytes.Equal(body, a.body) {
		k.t.Errorf("key %s was answered %s, and after the kills %d %s", key, a.body, status, body)
		return "", false
	}
	var o apigen.Order
	for range 6 { // of up to 20 s
		status, body := k.call(k.t.Context(), http.MethodPost, "/orders", a.request, "Idempotency-Key", key, "Prefer", "wait=20")
		if status != http.StatusOK {
			continue
		}
		var accepted apigen.OrderAccepted
		if json.Unmarshal(body, &o) != nil || json.Unmarshal(a.body, &accepted) != nil || o.OrderID != accepted.OrderID {
			k.t.Errorf("key %s names %s, and after the kills %s", key, a.body, body)
			return "", false
		}
		switch o.Status {
		case apigen.OrderStatusCONFIRMED, apigen.OrderStatusCOMPENSATED, apigen.OrderStatusFAILED:
			return o.Status, true
		}
		k.t.Errorf("key %s: the order has ended %s", key, body)
		return "", false
	}
	k.t.Errorf("key %s: the order %s has not ended", key, a.body)
	return "", false
}

func tail(text string, lines int) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
