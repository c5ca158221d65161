package loadtest

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
)

// maxAnswer bounds what is read of an answer: an order of one line is under 2 KiB.
const maxAnswer = 64 << 10

// Variables, since the generated client takes what may be absent as a pointer.
var (
	wait         = "wait=20" // as long as the server waits at most
	cardDeclined = "pm_card_chargeDeclined"
)

// A customer places orders.
type customer struct {
	api    *apigen.Client
	prefix string
	keys   string // what the idempotency keys begin with
}

func newCustomer(c Config, doer Doer) (*customer, error) {
	options := []apigen.ClientOption{apigen.WithHTTPClient(doer)}
	if c.Edit != nil {
		options = append(options, apigen.WithRequestEditorFn(c.Edit))
	}
	api, err := apigen.NewClient(c.URL, options...)
	if err != nil {
		return nil, err
	}
	// Of this run alone, whatever its seed is: with the keys of an earlier run the server would answer with that one's orders.
	return &customer{api: api, prefix: c.CustomerPrefix, keys: "loadtest-" + rand.Text() + "-"}, nil
}

// An answer is how an order came back.
type answer struct {
	outcome  Outcome
	detail   string        // of an error
	answered bool          // by anybody
	away     time.Duration // how long it was told to stay away; 0: nothing was said
}

// place places one order and waits for its outcome.
func (c *customer) place(ctx context.Context, j job) answer {
	ctx, release := context.WithTimeout(ctx, orderTimeout)
	defer release()
	body := apigen.OrderRequest{
		CustomerID: fmt.Sprintf("%s-%03d", c.prefix, j.n%customers),
		Items:      []apigen.OrderRequestItem{{ProductID: j.product, Quantity: 1}},
	}
	if j.kind == cancel {
		return c.placeAndCancel(ctx, j, body)
	}
	if j.kind == declined {
		body.PaymentMethod = &cardDeclined
	}
	return outcome(read(c.api.PlaceOrder(ctx, &apigen.PlaceOrderParams{Prefer: &wait}, body)))
}

// placeAndCancel places an order without waiting for it, cancels it, and places it again under the same key: that answers with the same
// order, and waits for its outcome, which a GET does not.
func (c *customer) placeAndCancel(ctx context.Context, j job, body apigen.OrderRequest) answer {
	key := fmt.Sprint(c.keys, j.n)
	r := read(c.api.PlaceOrder(ctx, &apigen.PlaceOrderParams{IdempotencyKey: &key}, body))
	if r.status != http.StatusAccepted {
		return outcome(r)
	}
	stopped := read(c.api.CancelOrder(ctx, r.body.OrderID))
	tooLate := stopped.status == http.StatusConflict && (stopped.body.Error == "ORDER_FINAL" || stopped.body.Error == "IN_REVIEW")
	if stopped.status != http.StatusAccepted && !tooLate {
		return outcome(stopped)
	}
	return outcome(read(c.api.PlaceOrder(ctx, &apigen.PlaceOrderParams{IdempotencyKey: &key, Prefer: &wait}, body)))
}

// A reply is what is looked at of an answer.
type reply struct {
	status int
	away   time.Duration // Retry-After
	body   struct {      // of an order or of a problem; the events are not decoded, which would cost what a dozen orders cost
		OrderID string          `json:"order_id"`
		Status  json.RawMessage `json:"status"` // an order's is a text, a problem's a number
		Error   string          `json:"error"`
	}
	err error
}

// read reads an answer to its end, since a connection is used again only then, and closes it.
func read(resp *http.Response, err error) reply {
	if err != nil {
		return reply{err: err}
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return reply{err: err}
	}
	r := reply{status: resp.StatusCode}
	if seconds, err := strconv.ParseUint(resp.Header.Get("Retry-After"), 10, 16); err == nil {
		r.away = time.Duration(seconds) * time.Second //nolint:gosec // under 2^16
	}
	if json.Unmarshal(text, &r.body) != nil {
		r.body.Error = "no answer of a CloudFlow"
	}
	return r
}

// final are the answers with status 200 that an order's outcome is.
var final = map[string]Outcome{
	`"CONFIRMED"`: Confirmed, `"COMPENSATED"`: Compensated, `"FAILED"`: Failed, `"CANCELLED"`: Cancelled,
}

// outcome says in which way an order came back.
func outcome(r reply) answer {
	a := answer{answered: r.err == nil}
	switch {
	case r.err != nil:
		a.outcome, a.detail = Error, why(r.err)
		return a
	case r.status == http.StatusOK && final[string(r.body.Status)] != "":
		a.outcome = final[string(r.body.Status)]
		return a
	case r.status == http.StatusAccepted:
		a.outcome = Pending
	case r.status == http.StatusConflict && r.body.Error == "INSUFFICIENT_STOCK":
		a.outcome = InsufficientStock
		return a
	case r.status == http.StatusServiceUnavailable && r.body.Error == "OVERLOADED":
		a.outcome, a.away = Overloaded, r.away
	case r.status == http.StatusServiceUnavailable:
		a.outcome = Unavailable
	case r.status == http.StatusTooManyRequests:
		a.outcome, a.away = Throttled, r.away
	default:
		a.outcome = Error
	}
	a.detail = fmt.Sprintf("%d %.80s", r.status, r.body.Error)
	return a
}

// why says why there was no answer, without the addresses: each connection has a port of its own, and the texts are counted.
func why(err error) string {
	var (
		call *url.Error
		op   *net.OpError
	)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("no answer within %s", orderTimeout)
	case errors.As(err, &op):
		return op.Op + ": " + op.Err.Error()
	case errors.As(err, &call):
		return call.Err.Error()
	}
	return err.Error()
}

// newHTTP is a client with a connection for each worker: the default keeps two of a host, and would open and close the others for
// every order.
func newHTTP(workers int) (client *http.Client, close func()) {
	t := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		MaxIdleConns:        workers,
		MaxIdleConnsPerHost: workers,
		IdleConnTimeout:     time.Minute,
		TLSHandshakeTimeout: 10 * time.Second,
		ForceAttemptHTTP2:   true,
	}
	return &http.Client{Transport: t}, t.CloseIdleConnections
}
