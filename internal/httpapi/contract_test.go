package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"github.com/utkarsh698/cloudflow/api"
)

// document is openapi.yaml and its router, read once for all tests.
var document = sync.OnceValues(func() (*openapi3.T, error) {
	openapi3.DefineStringFormatValidator("uri-reference", openapi3.NewRegexpFormatValidator(`^[^\s]+$`))
	for _, streamed := range []string{"application/x-tar", "application/x-ndjson"} {
		openapi3filter.RegisterBodyDecoder(streamed, openapi3filter.FileBodyDecoder)
	}
	openapi3.DefineStringFormatValidator("uri", openapi3.NewRegexpFormatValidator(`^[a-z]+:[^\s]+$`))
	openapi3filter.RegisterBodyDecoder("text/event-stream", openapi3filter.FileBodyDecoder)
	openapi3filter.RegisterBodyDecoder("text/html", openapi3filter.PlainBodyDecoder)
	openapi3filter.RegisterBodyDecoder("text/css", openapi3filter.PlainBodyDecoder)
	return openapi3.NewLoader().LoadFromData(api.Spec)
})

// A contract hands requests to a handler and fails the test on an answer that openapi.yaml does not declare: its status, its media
// type, its headers or its body. It also fails if a request that succeeded is one that the document forbids.
type contract struct {
	t       testing.TB
	handler http.Handler
	doc     *openapi3.T
	router  routers.Router

	answered map[string]bool // "METHOD /path STATUS" of each call that the document has, if anybody wants to know
}

func newContract(t testing.TB, h http.Handler) *contract {
	t.Helper()
	doc, err := document()
	if err != nil {
		t.Fatal(err)
	}
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	return &contract{t: t, handler: h, doc: doc, router: router}
}

// An answer is what came back; body is its text.
type answer struct {
	status int
	header http.Header
	body   string
}

// problem is the body's members.
func (a answer) problem(t testing.TB) map[string]any {
	t.Helper()
	var p map[string]any
	if err := json.Unmarshal([]byte(a.body), &p); err != nil {
		t.Fatalf("%q is no problem document: %v", a.body, err)
	}
	return p
}

// do sends a request and checks the answer.
func (c *contract) do(r *http.Request) answer {
	c.t.Helper()
	var sent []byte
	if r.Body != nil {
		sent, _ = io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(sent))
	}
	w := httptest.NewRecorder()
	c.handler.ServeHTTP(w, r)
	a := answer{w.Code, w.Header(), w.Body.String()}
	c.check(r, sent, a)
	return a
}

// send is do for the usual: a JSON body, or none, and headers in pairs.
func (c *contract) send(method, path, body string, headers ...string) answer {
	c.t.Helper()
	return c.do(request(method, path, body, headers...))
}

func request(method, path, body string, headers ...string) *http.Request {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Host = "localhost" // in development mode no other name is answered
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

func (c *contract) check(r *http.Request, sent []byte, a answer) {
	c.t.Helper()
	asked := r.Clone(context.Background())
	asked.Body = io.NopCloser(bytes.NewReader(sent))
	if asked.Method == http.MethodHead {
		asked.Method = http.MethodGet
	}
	route, params, err := c.router.FindRoute(asked)
	if err != nil {
		c.checkUndeclared(r, a)
		return
	}
	in := &openapi3filter.RequestValidationInput{Request: asked, PathParams: params, Route: route, Options: &openapi3filter.Options{
		IncludeResponseStatus: true,
		AuthenticationFunc:    openapi3filter.NoopAuthenticationFunc, // who may call is the handler's to say, and to be tested for
	}}
	if a.status < 300 {
		if err := openapi3filter.ValidateRequest(context.Background(), in); err != nil {
			c.t.Errorf("%s %s was answered %d, but the contract forbids it: %v", r.Method, r.URL, a.status, err)
		}
	}
	out := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: in, Status: a.status, Header: a.header, Options: in.Options,
		Body: io.NopCloser(strings.NewReader(a.body)),
	}
	if err := openapi3filter.ValidateResponse(context.Background(), out); err != nil {
		c.t.Errorf("%s %s: the answer %d breaks the contract: %v\n%s", r.Method, r.URL, a.status, err, a.body)
	}
	c.checkHeaders(route, a)
	if c.answered != nil {
		c.answered[r.Method+" "+route.Path+" "+strconv.Itoa(a.status)] = true
	}
	if a.status == http.StatusNotModified && a.body != "" {
		c.t.Errorf("%s %s: 304 with a body", r.Method, r.URL)
	}
	if a.status >= 400 {
		c.checkProblem(a)
	}
}

// plumbing are the headers that any answer may have, and that the document leaves to HTTP.
var plumbing = map[string]bool{"Content-Type": true, "Content-Length": true, "Cache-Control": true, "X-Content-Type-Options": true, "X-Accel-Buffering": true,
	"Content-Security-Policy": true, "Referrer-Policy": true}

// checkHeaders wants every other header of the answer to be declared: ValidateResponse looks at those that are.
func (c *contract) checkHeaders(route *routers.Route, a answer) {
	c.t.Helper()
	declared := route.Operation.Responses.Status(a.status)
	if declared == nil {
		return // ValidateResponse has said so
	}
	for name := range a.header {
		known := plumbing[name]
		for header := range declared.Value.Headers {
			known = known || http.CanonicalHeaderKey(header) == name
		}
		if !known {
			c.t.Errorf("%s %s: the answer %d has the header %s, which the document does not declare", route.Method, route.Path, a.status, name)
		}
	}
}

// checkUndeclared is for a path or a method that the document does not have: there can only be a 404 or a 405.
func (c *contract) checkUndeclared(r *http.Request, a answer) {
	c.t.Helper()
	if a.status != http.StatusNotFound && a.status != http.StatusMethodNotAllowed {
		c.t.Errorf("%s %s is not in the contract, but was answered %d", r.Method, r.URL, a.status)
	}
	c.checkProblem(a)
}

func (c *contract) checkProblem(a answer) {
	c.t.Helper()
	if got := a.header.Get("Content-Type"); got != "application/problem+json" {
		c.t.Errorf("an error is %q", got)
	}
	if got := a.header.Get("Cache-Control"); got != "no-store" {
		c.t.Errorf("an error may be cached: %q", got)
	}
	var p any
	if err := json.Unmarshal([]byte(a.body), &p); err != nil {
		c.t.Errorf("%q is no JSON: %v", a.body, err)
		return
	}
	if err := c.doc.Components.Schemas["Problem"].Value.VisitJSON(p); err != nil {
		c.t.Errorf("%s is no problem: %v", a.body, err)
		return
	}
	members, _ := p.(map[string]any)
	if int(members["status"].(float64)) != a.status {
		c.t.Errorf("the problem says %v, the status line %d", members["status"], a.status)
	}
	if members["correlation_id"] != a.header.Get("X-Correlation-Id") {
		c.t.Errorf("the problem says %v, the header %s", members["correlation_id"], a.header.Get("X-Correlation-Id"))
	}
}
