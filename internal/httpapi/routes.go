package httpapi

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/utkarsh698/cloudflow/internal/apidocs"
	"github.com/utkarsh698/cloudflow/internal/auth"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/observe/trace"
)

// A policy is what is checked before a route's handler runs.
type policy struct {
	open        bool       // answered without a principal, and with any query: probes and documents
	scope       auth.Scope // that the principal must hold; "" wants a principal and no more
	mediaType   string     // of the answer; application/json if empty
	anyType     bool       // the call names the media type, so its handler holds it against Accept
	query       []string   // the parameters that the route takes
	body        need
	drained     bool // the handler itself knows what to do while the server drains
	development bool // in development mode only: elsewhere the path is not there
}

// A need says whether a call has a body.
type need uint8

const (
	noBody       need = iota // not read
	optionalBody             // nothing, or an object
	requiredBody
)

// policies is for every route that differs from a plain GET. The routes themselves come from openapi.yaml; a test holds that
// each of these is one of them, and that each that writes is here.
var policies = map[string]policy{
	"GET /orders":                         {scope: auth.ScopeOrdersRead, query: []string{"customer_id", "status", "limit", "cursor"}},
	"POST /orders":                        {scope: auth.ScopeOrdersWrite, body: requiredBody, drained: true},
	"GET /orders/{order_id}":              {scope: auth.ScopeOrdersRead, query: []string{"as_of", "version", "min_version"}},
	"GET /orders/{order_id}/events":       {scope: auth.ScopeOrdersRead, query: []string{"limit", "cursor"}},
	"GET /events":                         {scope: auth.ScopeOrdersRead, mediaType: streamType},
	"POST /orders/{order_id}/cancel":      {scope: auth.ScopeOrdersWrite, body: optionalBody},
	"GET /products":                       {query: []string{"limit", "cursor"}},
	"PUT /products/{product_id}":          {scope: auth.ScopeProductsWrite, body: requiredBody},
	"POST /products/{product_id}/restock": {scope: auth.ScopeProductsWrite, body: requiredBody},
	"GET /admin/breakers":                 {scope: auth.ScopeAdmin},
	"POST /admin/breakers/{name}/trip":    {scope: auth.ScopeAdmin, body: optionalBody},
	"POST /admin/breakers/{name}/reset":   {scope: auth.ScopeAdmin, body: optionalBody},
	"GET /admin/payments/{order_id}":      {scope: auth.ScopeAdmin},
	"GET /admin/sagas":                    {scope: auth.ScopeAdmin, query: []string{"status", "limit", "cursor"}},
	"GET /admin/sagas/{order_id}":         {scope: auth.ScopeAdmin, query: []string{"execution"}},
	"POST /admin/sagas/{order_id}/redrive": {
		scope: auth.ScopeAdmin, body: requiredBody,
	},
	"GET /admin/tasks":                          {scope: auth.ScopeAdmin, query: []string{"limit", "cursor"}},
	"POST /admin/tasks/success":                 {scope: auth.ScopeAdmin, body: requiredBody},
	"POST /admin/tasks/failure":                 {scope: auth.ScopeAdmin, body: requiredBody},
	"POST /admin/tasks/heartbeat":               {scope: auth.ScopeAdmin, body: requiredBody},
	"GET /admin/dlq":                            {scope: auth.ScopeAdmin, query: []string{"limit", "cursor"}},
	"POST /admin/dlq/redrive":                   {scope: auth.ScopeAdmin, body: requiredBody},
	"GET /admin/faults":                         {scope: auth.ScopeAdmin, development: true},
	"PUT /admin/faults":                         {scope: auth.ScopeAdmin, body: requiredBody, development: true},
	"GET /admin/verify":                         {scope: auth.ScopeAdmin},
	"POST /admin/customers/{customer_id}/erase": {scope: auth.ScopeAdmin, body: optionalBody},
	"POST /admin/backup":                        {scope: auth.ScopeAdmin, body: optionalBody, mediaType: tarType},
	"GET /admin/export/orders":                  {scope: auth.ScopeAdmin, query: []string{"format", "since"}, anyType: true},
	"GET /admin/export/events":                  {scope: auth.ScopeAdmin, query: []string{"format", "since"}, anyType: true},
	"GET /admin/retention":                      {scope: auth.ScopeAdmin},
	"POST /admin/retention":                     {scope: auth.ScopeAdmin, body: optionalBody},
	"GET /admin/keys":                           {scope: auth.ScopeAdmin, query: []string{"limit", "cursor"}},
	"POST /admin/keys":                          {scope: auth.ScopeAdmin, body: requiredBody},
	"DELETE /admin/keys/{key_id}":               {scope: auth.ScopeAdmin, body: optionalBody},
	"GET /metrics":                              {scope: auth.ScopeAdmin, mediaType: textType},
	"GET /health":                               {open: true},
	"GET /ready":                                {open: true},
	"GET /openapi.yaml":                         {open: true, mediaType: yamlType},
	"GET /docs":                                 {open: true, mediaType: htmlType},
	"GET /docs/style.css":                       {open: true, mediaType: cssType},
}

// A router puts the policy before each route that the generated code registers, and knows each path's methods for the 405.
type router struct {
	server  *server
	side    side
	mux     *http.ServeMux
	methods map[string][]string
}

// A side is whom a listener is for.
type side uint8

const (
	everything side = iota
	forCustomers
	forOperators
)

// operatorPaths begin the paths that are for operators. Else what needs no principal, probes and documents, is for both sides.
var operatorPaths = []string{"/admin/", "/metrics", "/debug/", "/dashboard"}

// has reports whether the route is to be found on the side.
func (on side) has(path string, p policy) bool {
	operator := slices.ContainsFunc(operatorPaths, func(prefix string) bool { return strings.HasPrefix(path, prefix) })
	switch {
	case on == everything:
		return true
	case operator:
		return on == forOperators
	}
	return on == forCustomers || p.open
}

func (s *server) routes(on side) *http.ServeMux {
	rt := &router{server: s, side: on, mux: http.NewServeMux(), methods: map[string][]string{}}
	apigen.HandlerWithOptions(s, apigen.StdHTTPServerOptions{BaseRouter: rt, ErrorHandlerFunc: s.refuseParameter})
	rt.HandleFunc("GET /openapi.yaml", s.getOpenAPI)
	rt.HandleFunc("GET /docs", s.getDocs)
	rt.HandleFunc("GET "+apidocs.StylePath, s.getDocsStyle)
	if s.debug != nil && on == forOperators {
		rt.route("GET "+debugPath+"{$}", debugPolicy, s.getDebug)
		rt.route("GET "+debugPath+"{profile}", debugPolicy, s.getDebug)
		// Else ServeMux redirects it, whoever calls.
		rt.mux.HandleFunc(strings.TrimSuffix(debugPath, "/"), func(w http.ResponseWriter, r *http.Request) { s.refuse(of(w), r, errNoRoute) })
	}
	for path, methods := range rt.methods {
		if slices.Contains(methods, http.MethodGet) {
			methods = append(methods, http.MethodHead) // ServeMux takes HEAD where it takes GET
		}
		slices.Sort(methods)
		allow := strings.Join(methods, ", ")
		rt.mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			if s.preflight(of(w), r, methods) {
				return
			}
			w.Header().Set("Allow", allow)
			s.refuse(of(w), r, fault.New(fault.MethodNotAllowed, "%s is not allowed here. Allowed: %s.", shorten(r.Method), allow))
		})
	}
	rt.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.refuse(of(w), r, errNoRoute)
	})
	return rt.mux
}

var errNoRoute = fault.New(fault.NotFound, "There is nothing at this path. GET /docs shows what there is, and so does GET /openapi.yaml.")

// HandleFunc registers a route such as "GET /orders/{order_id}" behind its policy.
func (rt *router) HandleFunc(pattern string, handler func(http.ResponseWriter, *http.Request)) {
	rt.route(pattern, policies[pattern], handler)
}

func (rt *router) route(pattern string, p policy, handler func(http.ResponseWriter, *http.Request)) {
	method, path, _ := strings.Cut(pattern, " ")
	s := rt.server
	if !rt.side.has(path, p) || s.paths != nil && !slices.Contains(s.paths, path) {
		return
	}
	if p.development && s.faults == nil {
		return // nor is it known to the 405, so that it answers as any path does where there is nothing
	}
	rt.methods[path] = append(rt.methods[path], method)
	if p.mediaType == "" {
		p.mediaType = jsonType
	}
	route := s.metrics.Route(method, path)
	// Probes, scrapes and documents come all the time and are about no order; a stream lasts as long as somebody looks.
	traced := s.tracer != nil && !p.open && p.mediaType != streamType && path != "/metrics" && !strings.HasPrefix(path, debugPath)
	rt.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		x := of(w)
		x.route = route
		if traced {
			ctx, span := s.tracer.Continue(r.Context(), r.Header.Get, trace.Server, pattern,
				trace.String("http.request.method", method), trace.String("http.route", path), trace.String(trace.AttrCorrelation, x.correlationID))
			if span != nil {
				r = r.WithContext(ctx)
				defer func() { x.endSpan(span) }()
			}
		}
		if err := s.check(x, r, p); err != nil {
			s.refuse(x, r, err)
			return
		}
		handler(x, r)
	})
}

// endSpan says how the request was answered. Without an answer its handler has panicked, or its caller has gone.
func (x *exchange) endSpan(span *trace.Span) {
	span.Set(trace.Int("http.response.status_code", int64(x.status)))
	if x.status < http.StatusOK || x.status >= http.StatusInternalServerError {
		span.Fail(strconv.Itoa(x.status))
		return
	}
	span.End(nil)
}

// ServeHTTP makes the router an apigen.ServeMux.
func (rt *router) ServeHTTP(w http.ResponseWriter, r *http.Request) { rt.mux.ServeHTTP(w, r) }

// check is all that comes before the handler but the rate of the address, in the order that the contract gives: who calls, how often,
// with which scope, media types, size, JSON.
func (s *server) check(x *exchange, r *http.Request, p policy) error {
	if !p.open {
		principal, err := s.principal(r)
		if err != nil {
			return err
		}
		if err := s.pace.ofKey(principal); err != nil {
			return err
		}
		x.principal = principal
		if p.scope != "" && !principal.Scopes.Has(p.scope) {
			x.Header().Set("WWW-Authenticate", challenge+`, error="insufficient_scope", scope="`+string(p.scope)+`"`)
			return fault.New(fault.Forbidden, "This call wants the scope %s.", p.scope)
		}
		if err := checkQuery(r, p.query); err != nil {
			return err
		}
	}
	if !p.anyType && !accepts(r, p.mediaType) {
		return notAcceptable(p.mediaType)
	}
	joinLists(r.Header)
	if p.body == noBody {
		return nil
	}
	if err := x.read(r, p.body); err != nil {
		return err
	}
	if !p.drained && s.drain.Started() {
		return errDraining
	}
	return nil
}

func notAcceptable(mediaType string) error {
	return fault.New(fault.NotAcceptable, "The answer is %s, which Accept excludes.", mediaType).With("field", "Accept")
}

var errDraining = fault.New(fault.Unavailable, "The server is about to stop. Try again.")

// checkQuery refuses a parameter that the route does not know: as-of=... would otherwise be answered with the present.
func checkQuery(r *http.Request, known []string) error {
	if r.URL.RawQuery == "" {
		return nil
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return fault.New(fault.BadRequest, "The query cannot be read.")
	}
	for name, values := range query {
		if !slices.Contains(known, name) {
			return fault.New(fault.BadRequest, "%s is not a parameter of this call.", shorten(name)).With("field", shorten(name))
		}
		if len(values) > 1 {
			return fault.New(fault.BadRequest, "The parameter %s stands twice.", name).With("field", name)
		}
	}
	return nil
}

// joinLists makes one line of headers that are lists and may come as several (RFC 9110, section 5.3): the generated code takes one.
func joinLists(h http.Header) {
	for _, name := range [...]string{"Prefer", "If-None-Match"} {
		if lines := h[name]; len(lines) > 1 {
			h[name] = []string{strings.Join(lines, ", ")}
		}
	}
}

// read reads the body and parses it into x.body.
func (x *exchange) read(r *http.Request, n need) error {
	if r.ContentLength > maxBody {
		return errTooLarge
	}
	if n == optionalBody && r.ContentLength == 0 {
		return nil
	}
	typeErr := checkContentType(r)
	if typeErr != nil && n == requiredBody {
		return typeErr
	}
	body, err := readAll(r)
	if err != nil {
		return err
	}
	if n == optionalBody && body == "" { // sent in chunks, and there was none
		return nil
	}
	if typeErr != nil {
		return typeErr
	}
	if x.body, err = parse(body); err != nil {
		return err
	}
	if x.body.kind != object {
		return fault.New(fault.BadRequest, "The body must be a JSON object.")
	}
	if n == optionalBody {
		return nothing.check(x.body, "")
	}
	return nil
}

// nothing is the shape of an empty object.
var nothing = &shape{members: map[string]*shape{}}

var errTooLarge = fault.New(fault.PayloadTooLarge, "The body is over %d bytes.", maxBody)

func readAll(r *http.Request) (string, error) {
	var (
		body []byte
		err  error
	)
	if r.ContentLength >= 0 {
		body = make([]byte, r.ContentLength)
		_, err = io.ReadFull(r.Body, body)
	} else {
		body, err = io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	}
	switch {
	case err != nil:
		return "", fault.Wrap(fault.BadRequest, err, "The body ended before it was complete.")
	case len(body) > maxBody:
		return "", errTooLarge
	}
	return string(body), nil
}

// refuseParameter answers what the generated code says of a header or a parameter.
func (s *server) refuseParameter(w http.ResponseWriter, r *http.Request, err error) {
	var (
		missing *apigen.RequiredHeaderError
		many    *apigen.TooManyValuesForParamError
		format  *apigen.InvalidParamFormatError
		refused = fault.Wrap(fault.BadRequest, err, "A parameter cannot be read.")
	)
	switch {
	case errors.As(err, &missing):
		refused = fault.Wrap(fault.BadRequest, err, "The header %s is missing.", missing.ParamName).With("field", missing.ParamName)
	case errors.As(err, &many):
		refused = fault.Wrap(fault.BadRequest, err, "%s stands more than once.", many.ParamName).With("field", many.ParamName)
	case errors.As(err, &format):
		refused = fault.Wrap(fault.BadRequest, err, "%s %s.", format.ParamName, readable(format.ParamName)).With("field", format.ParamName)
	}
	s.refuse(of(w), r, refused)
}

// readable says what the parameters are that are no text.
func readable(param string) string {
	switch param {
	case "limit", "version", "min_version":
		return "must be a whole number"
	case "as_of", "since":
		return "must be a time as in RFC 3339, such as 2026-01-15T10:30:00Z"
	}
	return "cannot be read"
}

// clean reports whether the path is its own shortest form. ServeMux would redirect any other, with a body that is no problem
// document; nobody who follows this interface writes one. It is asked of the path as it was sent and as it is meant: PUT
// /products/%2e%2e once made a product whose path every client shortens away.
func clean(p string) bool { return p != "" && p[0] == '/' && path.Clean(p) == p }
