package awstest

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/utkarsh698/cloudflow/internal/awscall"
)

// A Trouble is what the proxy does to one request.
type Trouble struct {
	Status    int    // answers with it, and asks nobody; 0: passes the request on
	Code      string // of that answer, such as ThrottlingException
	Body      string // of that answer, instead of one with the Code
	Hang      bool   // answers nothing until the client goes
	LoseReply bool   // passes the request on, and drops the connection instead of the reply
	// Struck is told from which address the request came, once it hangs or once it was passed on whose reply is lost: so that who asked can be made
	// to die of it. nil: nobody is.
	Struck func(from string)
}

func (t Trouble) strike(r *http.Request) {
	if t.Struck != nil {
		t.Struck(r.RemoteAddr)
	}
}

// A Proxy stands between a client and the emulator, and makes the trouble that a test asks for. Without an emulator it answers alone: what
// is asked without trouble is 404.
type Proxy struct {
	URL string

	client *http.Client // asks the emulator

	mu       sync.Mutex
	troubles map[string][]Trouble
	answer   func(operation string, body []byte) (status int, reply string)
	disturb  func(operation string, body []byte) Trouble
	watch    func(operation string, status int, reply []byte)
	asked    []string
	bodies   map[string][][]byte
}

// NewProxy starts one in front of the place, "" for none, until the test ends.
func NewProxy(t testing.TB, place string) *Proxy {
	t.Helper()
	return newProxy(t, place, http.DefaultClient)
}

// Before starts a proxy in front of the emulator, until the test ends.
func (e *Emulator) Before(t testing.TB) *Proxy {
	t.Helper()
	return newProxy(t, e.URL, e.HTTP())
}

func newProxy(t testing.TB, place string, client *http.Client) *Proxy {
	t.Helper()
	p := &Proxy{client: client, troubles: map[string][]Trouble{}, bodies: map[string][][]byte{}}
	over := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.serve(w, r, place, over) }))
	t.Cleanup(func() {
		close(over)
		s.Close()
	})
	p.URL = s.URL
	return p
}

// Config is of clients that ask the proxy.
func (p *Proxy) Config() aws.Config {
	return aws.Config{
		Region:       Region,
		BaseEndpoint: aws.String(p.URL),
		HTTPClient:   awscall.HTTPClient(awshttp.NewBuildableClient()),
		Credentials:  credentials.NewStaticCredentialsProvider("test", "test", ""),
	}
}

// Trouble makes each of these once, for the next requests of that operation, such as SendMessage. A zero Trouble lets one pass.
func (p *Proxy) Trouble(operation string, troubles ...Trouble) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.troubles[operation] = append(p.troubles[operation], troubles...)
}

// Answer answers instead of the emulator; status 0 passes the request on.
func (p *Proxy) Answer(f func(operation string, body []byte) (status int, reply string)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = f
}

// Disturb makes the trouble that f says, of each request that no other trouble waits for; a zero Trouble lets one pass.
func (p *Proxy) Disturb(f func(operation string, body []byte) Trouble) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.disturb = f
}

// Watch has f see what the emulator answers.
func (p *Proxy) Watch(f func(operation string, status int, reply []byte)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.watch = f
}

// Asked is how often the operation was asked for, trouble included.
func (p *Proxy) Asked(operation string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, o := range p.asked {
		if o == operation {
			n++
		}
	}
	return n
}

// Operations are those that were asked for, each once and sorted.
func (p *Proxy) Operations() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := slices.Clone(p.asked)
	slices.Sort(all)
	return slices.Compact(all)
}

// Bodies are the requests of that operation as they came.
func (p *Proxy) Bodies(operation string) [][]byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bodies[operation]
}

func (p *Proxy) serve(w http.ResponseWriter, r *http.Request, place string, over <-chan struct{}) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	operation := operationOf(r, body)
	trouble, answer := p.next(operation, body)
	switch {
	case trouble.Hang:
		trouble.strike(r)
		select {
		case <-r.Context().Done():
		case <-over:
		}
		return
	case trouble.Status != 0:
		reply := trouble.Body
		if reply == "" {
			reply = `{"__type":"` + trouble.Code + `","message":"as the test asked"}`
		}
		write(w, trouble.Status, reply)
		return
	}
	if answer != nil {
		if status, reply := answer(operation, body); status != 0 {
			write(w, status, reply)
			return
		}
	}
	if place == "" {
		write(w, http.StatusNotFound, `{"__type":"UnknownOperationException","message":"nobody is here"}`)
		return
	}
	p.pass(w, r, place, operation, body, trouble)
}

// next is the trouble and the answer that wait for the operation.
func (p *Proxy) next(operation string, body []byte) (Trouble, func(string, []byte) (int, string)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = append(p.asked, operation)
	p.bodies[operation] = append(p.bodies[operation], body)
	var trouble Trouble
	if waiting := p.troubles[operation]; len(waiting) > 0 {
		trouble, p.troubles[operation] = waiting[0], waiting[1:]
	} else if p.disturb != nil {
		trouble = p.disturb(operation, body)
	}
	return trouble, p.answer
}

func (p *Proxy) pass(w http.ResponseWriter, r *http.Request, place, operation string, body []byte, trouble Trouble) {
	out, err := http.NewRequestWithContext(r.Context(), r.Method, place+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		write(w, http.StatusBadGateway, err.Error())
		return
	}
	out.Header, out.Host = r.Header.Clone(), r.Host // which was signed
	resp, err := p.client.Do(out)
	if err != nil {
		write(w, http.StatusBadGateway, err.Error())
		return
	}
	defer resp.Body.Close()
	reply, err := io.ReadAll(resp.Body)
	if trouble.LoseReply {
		trouble.strike(r)
	}
	if err != nil || trouble.LoseReply {
		panic(http.ErrAbortHandler) // drops the connection
	}
	p.mu.Lock()
	watch := p.watch
	p.mu.Unlock()
	if watch != nil {
		watch(operation, resp.StatusCode, reply)
	}
	for name, values := range resp.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(resp.StatusCode)
	_, _ = w.Write(reply) // the client may have gone
}

func write(w http.ResponseWriter, status int, reply string) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, reply) // the client may have gone
}

// operationOf reads the name off the protocols' headers, or off the form of the older one.
func operationOf(r *http.Request, body []byte) string {
	if _, operation, ok := strings.Cut(r.Header.Get("X-Amz-Target"), "."); ok {
		return operation
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return ""
	}
	return form.Get("Action")
}
