package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
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
	openapi3.DefineStringFormatValidator("uri", openapi3.NewRegexpFormatValidator(`^[a-z]+:[^\s]+$`))
	return openapi3.NewLoader().LoadFromData(api.Spec)
})

// A contract hands requests to a handler and fails the test on an answer that openapi.yaml does not declare: its status, its media
// type, its headers or its body. It also fails if a request that succeeded is one that the document forbids.
type contract struct {
	t       testing.TB
	handler http.Handler
	doc     *openapi3.T
	router  routers.Router
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
	return &contract{t, h, doc, router}
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
	if a.status == http.StatusNotModified && a.body != "" {
		c.t.Errorf("%s %s: 304 with a body", r.Method, r.URL)
	}
	if a.status >= 400 {
		c.checkProblem(a)
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
