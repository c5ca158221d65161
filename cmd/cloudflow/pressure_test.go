package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/provider"
)

// The binary is killed with SIGKILL while it refuses new orders, and started again with less room than what it finds: all of that goes on, new
// orders are refused until enough of it has ended, and a key that was refused makes its order then.
func TestKillNineWhileOrdersAreRefused(t *testing.T) {
	t.Parallel()
	k := &killing{t: t, data: t.TempDir(), acks: map[string]ack{}}
	k.http = &http.Client{Timeout: 30 * time.Second}
	p := start(t, k.data, "--max-open-executions", "24", "--breaker-failures", "1000000")
	k.url.Store(ptr(p.log.url(t)))
	k.shelve()
	order := func(key, method string) (code string) {
		r := apigen.OrderRequest{CustomerID: "cust-1", PaymentMethod: &method, Items: []apigen.OrderRequestItem{{ProductID: "P-0", Quantity: 1}}}
		status, body := k.call(t.Context(), http.MethodPost, "/orders", r, "Idempotency-Key", key)
		var problem apigen.Problem
		switch {
		case status == http.StatusAccepted:
			k.acks[key] = ack{body, r}
			k.keys = append(k.keys, key)
		case json.Unmarshal(body, &problem) != nil || problem.Error == "":
			t.Fatalf("answered %d %s", status, body)
		}
		return problem.Error
	}
	eventually(t, "a new order is refused", func() bool { // these take some seconds each, and after a kill once more
		return order(fmt.Sprint("slow-", len(k.keys)), provider.Timeout) == "OVERLOADED"
	})
	before := len(k.keys)
	if code := order("refused", provider.Visa); code != "OVERLOADED" || before < 24 {
		t.Errorf("after %d orders one more is answered %q", before, code)
	}
	p.kill()

	p = start(t, k.data, "--max-open-executions", "4", "--breaker-failures", "1000000")
	k.url.Store(ptr(p.log.url(t)))
	refusals := 0
	eventually(t, "a key that was refused makes its order", func() bool {
		code := order("refused", provider.Visa)
		switch code {
		case "OVERLOADED":
			refusals++
		case "PAYMENT_PROVIDER_UNAVAILABLE": // the others have opened the circuit
			k.call(t.Context(), http.MethodPost, "/admin/breakers/payment-charge/reset", struct{}{})
		}
		return code == ""
	})
	if refusals == 0 {
		t.Errorf("with %d open executions, of which it may have 4, it took another", before)
	}
	detail := k.check(p)
	p.terminate()
	if out, err := program(t, "verify", "--data", k.data).Output(); err != nil || len(out) > 0 {
		t.Errorf("verify: %v %s", err, out)
	}
	t.Logf("%s; %d refusals after the start", detail, refusals)
}
