package stagetest

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	signer "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/utkarsh698/cloudflow/internal/awstest"
	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
)

// A shop is the interface of a stage, as its customers and operators see it.
type shop struct {
	url  string
	http *http.Client
	who  map[string]string // headers that say who calls

	taken *atomic.Int64 // orders that were accepted; nil: nobody counts
}

// as is the shop to another caller.
func (s *shop) as(who map[string]string) *shop {
	other := *s
	other.who = who
	return &other
}

// An answer is one of the interface's.
type answer struct {
	t      *testing.T
	status int
	header http.Header
	body   []byte
}

// call asks the interface. A body that is no string is sent as JSON. header are names and values in turn.
func (s *shop) call(t *testing.T, method, path string, body any, header ...string) answer {
	t.Helper()
	a, err := s.try(t, method, path, body, header...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (s *shop) try(t *testing.T, method, path string, body any, header ...string) (answer, error) {
	t.Helper()
	text, ok := body.(string)
	if !ok && body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		text = string(raw)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, s.url+path, bytes.NewBufferString(text))
	if err != nil {
		t.Fatal(err)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	for name, value := range s.who {
		r.Header.Set(name, value)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	if strings.HasPrefix(path, "/admin/") {
		sign(t, r, "execute-api", text)
	}
	resp, err := s.http.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if s.taken != nil && method == http.MethodPost && path == "/orders" && resp.StatusCode == http.StatusAccepted && resp.Header.Get("Idempotent-Replayed") == "" {
		s.taken.Add(1)
	}
	return answer{t, resp.StatusCode, resp.Header, raw}, err
}

// sign signs the request to the service as an operator's, who is whoever has the account's key.
func sign(t *testing.T, r *http.Request, service, body string) {
	t.Helper()
	sum := sha256.Sum256([]byte(body))
	r.Header.Del("Authorization")
	credentials := aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}
	err := signer.NewSigner().SignHTTP(t.Context(), credentials, r, hex.EncodeToString(sum[:]), service, awstest.Region, time.Now())
	if err != nil {
		t.Fatal(err)
	}
}

// is requires the status.
func (a answer) is(status int) answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("answered %d, want %d: %s", a.status, status, a.body)
	}
	return a
}

// as decodes the answer.
func (a answer) as(v any) {
	a.t.Helper()
	if err := json.Unmarshal(a.body, v); err != nil {
		a.t.Fatalf("%v: %s", err, a.body)
	}
}

func (a answer) order() apigen.Order {
	a.t.Helper()
	var o apigen.Order
	a.as(&o)
	return o
}

// problem requires the error's code.
func (a answer) problem(code string) answer {
	a.t.Helper()
	var p struct {
		Error string `json:"error"`
	}
	a.as(&p)
	if p.Error != code {
		a.t.Fatalf("the error is %q, want %q: %s", p.Error, code, a.body)
	}
	return a
}

// unique is a name that nobody has had.
func unique(prefix string) string { return prefix + "-" + rand.Text()[:10] }

// product makes one that nobody else buys.
func (s *shop) product(t *testing.T, stock int64) string {
	t.Helper()
	id := unique("P")
	s.call(t, "PUT", "/products/"+id, map[string]any{"name": "Of a test", "unit_price_cents": 999, "stock": stock}).is(http.StatusCreated)
	return id
}

// basket is an order of one piece each, with a contact that SNS takes.
func basket(method string, products ...string) apigen.OrderRequest {
	r := apigen.OrderRequest{CustomerID: unique("cust")}
	if method != "" {
		r.PaymentMethod = &method
	}
	for _, p := range products {
		r.Items = append(r.Items, apigen.OrderRequestItem{ProductID: p, Quantity: 1})
	}
	return r
}

// accepted places an order and does not wait for it.
func (s *shop) accepted(t *testing.T, r apigen.OrderRequest, header ...string) apigen.Order {
	t.Helper()
	return s.call(t, "POST", "/orders", r, append([]string{"Idempotency-Key", unique("key")}, header...)...).is(http.StatusAccepted).order()
}

// placed places an order and waits for its outcome.
func (s *shop) placed(t *testing.T, r apigen.OrderRequest) apigen.Order {
	t.Helper()
	o := s.accepted(t, r)
	return s.outcome(t, o.OrderID)
}

// final are the states that nothing follows.
var final = map[string]bool{"CONFIRMED": true, "FAILED": true, "COMPENSATED": true, "CANCELLED": true}

// outcome waits for the end of an order.
func (s *shop) outcome(t *testing.T, orderID string) apigen.Order {
	t.Helper()
	var o apigen.Order
	eventually(t, "order "+orderID+" has its outcome", func() bool {
		o = s.call(t, "GET", "/orders/"+orderID, nil).is(http.StatusOK).order()
		return final[string(o.Status)]
	})
	return o
}
