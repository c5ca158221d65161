package browsertest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"

	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/instance"
	"github.com/utkarsh698/cloudflow/internal/notification"
	"github.com/utkarsh698/cloudflow/internal/observe"
)

// A shop is an instance with the demo's products, served over loopback.
type shop struct {
	t    testing.TB
	dir  string
	url  string
	i    *instance.Instance
	mail *mailbox
	log  *slog.Logger
	as   string // the value of Authorization that calls of the API have
	stop func()

	options []func(*instance.Config)
}

// newShop opens one on an empty directory. It is closed with the test.
func newShop(t testing.TB, options ...func(*instance.Config)) *shop {
	t.Helper()
	needBrowser(t)
	s := &shop{t: t, dir: t.TempDir(), mail: &mailbox{}, options: options}
	s.start("127.0.0.1:0")
	t.Cleanup(func() { s.stop() })
	return s
}

// start opens the directory and serves it at an address.
func (s *shop) start(address string) {
	s.t.Helper()
	tail := observe.NewTail()
	s.log = observe.NewLogger(tail, nil, nil)
	c := instance.Config{Dir: s.dir, Sender: s.mail, Log: s.log, Tail: tail}
	for _, o := range s.options {
		o(&c)
	}
	var err error
	if s.i, err = instance.Open(c); err != nil {
		s.t.Fatal(err)
	}
	if err := s.i.SeedDemo(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		s.t.Fatal(err)
	}
	s.url = "http://" + l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.i.Serve(ctx, l) }()
	s.stop = sync.OnceFunc(func() {
		client.CloseIdleConnections()
		cancel()
		if err := errors.Join(<-served, s.i.Close()); err != nil {
			s.t.Errorf("the instance did not stop well: %v", err)
		}
	})
}

var client = &http.Client{Timeout: patience, Transport: &http.Transport{MaxIdleConnsPerHost: 256}}

// call makes a call of the API and requires its status; headers are names and values in turn.
func (s *shop) call(status int, method, path string, body any, headers ...string) []byte {
	s.t.Helper()
	got, text, err := s.try(method, path, body, headers...)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	if got != status {
		s.t.Fatalf("%s %s answered %d %s, want %d", method, path, got, text, status)
	}
	return text
}

func (s *shop) try(method, path string, body any, headers ...string) (int, []byte, error) {
	var content io.Reader = http.NoBody
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return 0, nil, err
		}
		content = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(context.Background(), method, s.url+path, content)
	if err != nil {
		return 0, nil, err
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if s.as != "" {
		r.Header.Set("Authorization", s.as)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := client.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, text, err
}

// place places an order of one piece and returns its id when it has ended.
func (s *shop) place(customer, product, method string) string {
	s.t.Helper()
	return s.order(apigen.OrderRequest{CustomerID: customer, PaymentMethod: &method, Items: []apigen.OrderRequestItem{{ProductID: product, Quantity: 1}}})
}

func (s *shop) order(r apigen.OrderRequest) string {
	s.t.Helper()
	var o apigen.Order
	if err := json.Unmarshal(s.call(http.StatusOK, "POST", "/orders", r, "Prefer", "wait=20"), &o); err != nil {
		s.t.Fatal(err)
	}
	return o.OrderID
}

// product puts a product on the shelf.
func (s *shop) product(id, name string, stock int64) {
	s.t.Helper()
	s.call(http.StatusCreated, "PUT", "/products/"+id, apigen.ProductPut{Name: name, UnitPriceCents: 1000, Stock: &stock})
}

// eventually asks until the answer is yes.
func eventually(t testing.TB, what string, yes func() bool) {
	t.Helper()
	for limit := time.Now().Add(patience); !yes(); pause(look) {
		if time.Now().After(limit) {
			t.Fatalf("it does not happen that %s", what)
		}
	}
}

// A mailbox is the relay that notifications are sent to.
type mailbox struct {
	mu     sync.Mutex
	refuse error // nil: it takes all
	taken  int
}

func (*mailbox) Name() string { return "test" }

func (m *mailbox) Send(context.Context, notification.Email) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.refuse != nil {
		return m.refuse
	}
	m.taken++
	return nil
}

func (m *mailbox) refusing(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refuse = err
}

// insert types a text where the focus is, whatever keys it would take.
func insert(ctx context.Context, text string) error {
	_, err := chromedp.Call(ctx, input.InsertText, input.InsertTextParams{Text: text})
	return err
}

func ptr[T any](v T) *T { return &v }
