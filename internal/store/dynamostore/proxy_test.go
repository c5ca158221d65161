package dynamostore

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// A trouble is what a proxy makes of one request.
type trouble int

const (
	none       trouble = iota
	broken             // 500, and not applied
	brokenLate         // 500, though applied
	slow               // ProvisionedThroughputExceededException
	throttling         // ThrottlingException
	conflict           // TransactionConflict, which the emulator never answers
	inProgress         // TransactionInProgressException
	hang               // no answer, and not applied
	hangLate           // no answer, though applied
	drop               // the connection ends, and it was not applied
	dropLate           // the connection ends, though it was applied
	delayed            // no answer; it is applied when the test lets go
	troubles           // how many there are
)

// A proxy stands between a store and the emulator. It asks its plan what to do with each request that changes or reads items.
type proxy struct {
	t        testing.TB
	upstream string
	account  aws.Config

	mu        sync.Mutex
	plan      func(n int, op string) trouble // n counts from 0
	meanwhile func()                         // called after what was applied in silence
	requests  []string                       // the operations that arrived
	applied   int                            // of them, writes that DynamoDB has taken
	held      []func()                       // the delayed ones
	ahead     int                            // the requests that it is at
	idle      sync.Cond                      // of mu: ahead is 0
}

func newProxy(t testing.TB, upstream string, account aws.Config) *proxy {
	t.Helper()
	p := &proxy{t: t, upstream: upstream}
	p.idle.L = &p.mu
	p.calm()
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	account.BaseEndpoint = aws.String(server.URL)
	p.account = account
	return p
}

// set begins a new case: what is planned for its requests. It forgets what was counted.
func (p *proxy) set(plan func(n int, op string) trouble) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.plan, p.requests, p.applied, p.held, p.meanwhile = plan, nil, 0, nil, func() {}
}

// between sets what others do after each request that was applied in silence.
func (p *proxy) between(fn func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.meanwhile = fn
}

func (p *proxy) calm() { p.set(func(int, string) trouble { return none }) }

// arrived are the operations of the requests so far.
func (p *proxy) arrived() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.requests)
}

// count is how many requests of the operation have arrived; "" counts all.
func (p *proxy) count(op string) int {
	n := 0
	for _, r := range p.arrived() {
		if op == "" || r == op {
			n++
		}
	}
	return n
}

// settle lets the delayed requests through, waits for all that are on their way, and says how many writes were taken in all.
func (p *proxy) settle() int {
	p.mu.Lock()
	for p.ahead > 0 {
		p.idle.Wait()
	}
	held := p.held
	p.mu.Unlock()
	for _, apply := range held {
		apply()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.applied
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, op, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client has left
	}
	p.mu.Lock()
	todo := none
	if op != "CreateTable" {
		todo = p.plan(len(p.requests), op)
		p.requests = append(p.requests, op)
	}
	meanwhile := p.meanwhile
	p.ahead++
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.ahead--; p.ahead == 0 {
			p.idle.Broadcast()
		}
	}()

	forward := func() reply { return p.forward(r, op, body) }
	switch todo {
	case none, troubles:
		answer := forward()
		for name, values := range answer.header {
			w.Header()[name] = values
		}
		w.WriteHeader(answer.status)
		_, _ = w.Write(answer.body)
	case broken:
		refuse(w, http.StatusInternalServerError, "InternalServerError", "")
	case brokenLate:
		forward()
		meanwhile()
		refuse(w, http.StatusInternalServerError, "InternalServerError", "")
	case slow:
		refuse(w, http.StatusBadRequest, "ProvisionedThroughputExceededException", "")
	case throttling:
		refuse(w, http.StatusBadRequest, "ThrottlingException", "")
	case inProgress:
		refuse(w, http.StatusBadRequest, "TransactionInProgressException", "")
	case conflict:
		refuseConflict(w, op, body)
	case hang:
		<-r.Context().Done()
	case hangLate:
		forward()
		meanwhile()
		<-r.Context().Done()
	case drop:
		p.cut(w)
	case dropLate:
		forward()
		meanwhile()
		p.cut(w)
	case delayed:
		p.mu.Lock()
		p.held = append(p.held, func() { forward() })
		p.mu.Unlock()
		<-r.Context().Done()
	}
}

type reply struct {
	status int
	header http.Header
	body   []byte
}

// forward asks the emulator, whether the client still waits or not.
func (p *proxy) forward(r *http.Request, op string, body []byte) reply {
	answer, err := ask(context.WithoutCancel(r.Context()), p.upstream, r.Header, body)
	if err != nil {
		p.t.Error(err)
		return reply{status: http.StatusBadGateway}
	}
	if answer.status == http.StatusOK && (op == "PutItem" || op == "UpdateItem" || op == "DeleteItem" || op == "TransactWriteItems") {
		p.mu.Lock()
		p.applied++
		p.mu.Unlock()
	}
	return answer
}

func ask(ctx context.Context, url string, header http.Header, body []byte) (reply, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	r.Header = header.Clone()
	r.Header.Del("Accept-Encoding")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, answer}, err
}

// cut ends the connection without an answer.
func (p *proxy) cut(w http.ResponseWriter) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		p.t.Error(err)
		return
	}
	_ = conn.Close()
}

// refuse answers as DynamoDB does (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.LowLevelAPI.html).
func refuse(w http.ResponseWriter, status int, kind, members string) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	w.Header().Set("X-Amzn-Requestid", "TEST")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"__type":"com.amazonaws.dynamodb.v20120810#%s","message":"by the test"%s}`, kind, members)
}

// refuseConflict says that another transaction holds the last of the request's items.
func refuseConflict(w http.ResponseWriter, op string, body []byte) {
	if op != "TransactWriteItems" && op != "TransactGetItems" {
		refuse(w, http.StatusBadRequest, "TransactionConflictException", "")
		return
	}
	n := bytes.Count(body, []byte(`"TableName"`))
	reasons := strings.Repeat(`{"Code":"None"},`, n-1) + `{"Code":"TransactionConflict","Message":"Transaction is ongoing for the item"}`
	refuse(w, http.StatusBadRequest, "TransactionCanceledException", `,"CancellationReasons":[`+reasons+`]`)
}
