package awslambda

import (
	"bytes"
	"context"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/events"

	"github.com/utkarsh698/cloudflow/internal/auth"
	"github.com/utkarsh698/cloudflow/internal/fault"
)

// paths are the routes of each function, as API Gateway is told: infra/openapi.go has the same list, and a test holds the two together.
var paths = map[string][]string{
	OrderHandler: {
		"/orders", "/orders/{order_id}", "/orders/{order_id}/events", "/orders/{order_id}/cancel", "/health",
		"/admin/sagas", "/admin/sagas/{order_id}", "/admin/sagas/{order_id}/redrive", "/admin/dlq", "/admin/dlq/redrive",
		"/admin/customers/{customer_id}/erase",
	},
	InventoryHandler: {"/products", "/products/{product_id}", "/products/{product_id}/restock"},
	PaymentHandler: {
		"/admin/breakers", "/admin/breakers/{name}/trip", "/admin/breakers/{name}/reset", "/admin/payments/{order_id}",
	},
}

// adminPaths begin the paths that API Gateway lets nobody reach but who has signed the request as an IAM principal that may.
const adminPaths = "/admin/"

// serveHTTP answers a request that API Gateway (a REST API with proxy integration) hands on
// (https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html). fault.BadRequest: it is none.
func serveHTTP(ctx context.Context, h http.Handler, e events.APIGatewayProxyRequest) (events.APIGatewayProxyResponse, error) {
	r, err := requestOf(ctx, e)
	if err != nil {
		return events.APIGatewayProxyResponse{}, err
	}
	a := &answer{header: http.Header{}}
	h.ServeHTTP(a, r)
	return a.response(prefixOf(e)), nil
}

// requestOf is the event as a request. Its context knows who API Gateway says that calls.
func requestOf(ctx context.Context, e events.APIGatewayProxyRequest) (*http.Request, error) {
	body := []byte(e.Body)
	if e.IsBase64Encoded {
		decoded, err := base64.StdEncoding.DecodeString(e.Body)
		if err != nil {
			return nil, fault.New(fault.BadRequest, "The body is not base64, as its event says.")
		}
		body = decoded
	}
	query := url.Values(e.MultiValueQueryStringParameters)
	if query == nil {
		query = url.Values{}
		for name, value := range e.QueryStringParameters {
			query.Set(name, value)
		}
	}
	target := &url.URL{Path: e.Path, RawQuery: query.Encode()} // what API Gateway gives is decoded, and is encoded here once
	if path, err := url.PathUnescape(e.Path); err == nil && path != e.Path {
		target.Path, target.RawPath = path, e.Path
	}
	r, err := http.NewRequestWithContext(withCaller(ctx, e), e.HTTPMethod, "/", bytes.NewReader(body))
	if err != nil {
		return nil, fault.Wrap(fault.BadRequest, err, "The event is no request.")
	}
	r.URL = target
	for name, values := range e.MultiValueHeaders {
		for _, v := range values {
			r.Header.Add(name, v)
		}
	}
	if e.MultiValueHeaders == nil {
		for name, value := range e.Headers {
			r.Header.Set(name, value)
		}
	}
	r.Host = r.Header.Get("Host")
	r.Header.Del("Host") // as net/http has it
	r.RemoteAddr = e.RequestContext.Identity.SourceIP + ":0"
	r.RequestURI = target.RequestURI()
	return r, nil
}

// prefixOf is what stands before the path where the API is reached: /prod on API Gateway's own name, nothing on a name of ours that
// leads to a stage.
func prefixOf(e events.APIGatewayProxyRequest) string {
	prefix, ok := strings.CutSuffix(e.RequestContext.Path, e.Path)
	if !ok {
		return ""
	}
	return prefix
}

// An answer is a ResponseWriter that keeps it all.
type answer struct {
	header http.Header
	sent   http.Header // as it was when the status went out
	status int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter. A status below 200 is not an answer yet.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 && status >= http.StatusOK {
		a.status, a.sent = status, a.header.Clone()
	}
}

// Write implements http.ResponseWriter.
func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(p)
}

// response is the answer as API Gateway takes it. A Location is a path of ours, and leads back through the stage.
func (a *answer) response(prefix string) events.APIGatewayProxyResponse {
	a.WriteHeader(http.StatusOK)
	if at := a.sent.Get("Location"); prefix != "" && strings.HasPrefix(at, "/") {
		a.sent.Set("Location", prefix+at)
	}
	r := events.APIGatewayProxyResponse{StatusCode: a.status, MultiValueHeaders: a.sent, Body: a.body.String()}
	if !utf8.Valid(a.body.Bytes()) {
		r.Body, r.IsBase64Encoded = base64.StdEncoding.EncodeToString(a.body.Bytes()), true
	}
	return r
}

// A called is who API Gateway says that calls.
type called struct {
	principal auth.Principal
	err       error
}

type callerKey struct{}

// withCaller puts into the context who calls: for the operators' paths the IAM principal that has signed the request, else whom the authorizer has
// found. Nothing of it comes from the request itself.
func withCaller(ctx context.Context, e events.APIGatewayProxyRequest) context.Context {
	c := called{err: auth.ErrMissing}
	arn := e.RequestContext.Identity.UserArn
	switch {
	case arn != "" && strings.HasPrefix(e.Path, adminPaths):
		c = called{principal: auth.Principal{Subject: subjectOf(arn), Scopes: auth.ScopesOf(auth.ScopeAdmin)}}
	case len(e.RequestContext.Authorizer) > 0:
		c.principal, c.err = principalOf(e.RequestContext.Authorizer)
	}
	return context.WithValue(ctx, callerKey{}, c)
}

// The members of the authorizer's context.
const (
	contextSubject = "subject"
	contextScopes  = "scopes"
)

func principalOf(authorizer map[string]any) (auth.Principal, error) {
	subject, _ := authorizer[contextSubject].(string)
	names, _ := authorizer[contextScopes].(string)
	scopes, err := auth.ParseScopes(names)
	if err != nil || !auth.ValidSubject(subject) {
		return auth.Principal{}, fault.New(fault.Internal, "the authorizer's answer names no caller")
	}
	return auth.Principal{Subject: subject, Scopes: scopes}, nil
}

// subjectOf names an IAM principal for the log of what it does: the last part of its ARN, such as a role's session, within what a subject may be
// made of.
func subjectOf(arn string) string {
	name := []byte(arn[strings.LastIndexByte(arn, '/')+1:])
	if len(name) > 64 {
		name = name[:64]
	}
	for i, c := range name {
		if !auth.ValidSubject(string(c)) {
			name[i] = '-'
		}
	}
	if len(name) == 0 {
		return "operator"
	}
	return string(name)
}

// calledBy is httpapi's Principal: who API Gateway says that calls. Where callers are not told apart, whoever has not signed is auth.Anonymous.
func calledBy(none bool) func(*http.Request) (auth.Principal, error) {
	return func(r *http.Request) (auth.Principal, error) {
		c, ok := r.Context().Value(callerKey{}).(called)
		switch known := ok && c.err == nil; {
		case none && !known:
			return auth.Anonymous, nil
		case !ok:
			return auth.Principal{}, auth.ErrMissing
		}
		return c.principal, c.err
	}
}
