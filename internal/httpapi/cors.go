package httpapi

import (
	"net/http"
	"slices"
	"strings"
)

// What a page of an allowed origin may send and see (https://fetch.spec.whatwg.org/#http-cors-protocol). Credentials are headers that the page
// sets, never cookies, so Access-Control-Allow-Credentials is absent: no other page can make a browser send them.
const (
	corsRequestHeaders = "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, Prefer, Traceparent, X-Api-Key, X-Correlation-Id"
	corsAnswerHeaders  = "ETag, Idempotent-Replayed, Location, Preference-Applied, Retry-After, WWW-Authenticate, X-Correlation-Id"
	// corsMaxAge is how long a browser may keep the answer to its question, in seconds: an origin that is taken off the list is
	// off in ten minutes.
	corsMaxAge = "600"
)

// allowOrigin lets a page of an allowed origin see the answer. With a list, every answer depends on Origin, so that a cache
// does not give one page's answer to another.
func (s *server) allowOrigin(h http.Header, r *http.Request) {
	if len(s.origins) == 0 {
		return
	}
	h.Add("Vary", "Origin")
	if s.allowed(r) {
		h.Set("Access-Control-Allow-Origin", r.Header.Get("Origin"))
		h.Set("Access-Control-Expose-Headers", corsAnswerHeaders)
	}
}

func (s *server) allowed(r *http.Request) bool {
	origins := r.Header["Origin"]
	return len(origins) == 1 && slices.Contains(s.origins, origins[0])
}

// preflight answers a browser that asks on behalf of a page of an allowed origin whether it may call (OPTIONS), and reports whether it
// did. It asks before it knows who calls, so there are no credentials to check.
func (s *server) preflight(x *exchange, r *http.Request, methods []string) bool {
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" || !s.allowed(r) {
		return false
	}
	h := x.Header()
	h.Set("Access-Control-Allow-Methods", strings.Join(methods, ", "))
	h.Set("Access-Control-Allow-Headers", corsRequestHeaders)
	h.Set("Access-Control-Max-Age", corsMaxAge)
	h.Del("Access-Control-Expose-Headers")
	x.WriteHeader(http.StatusNoContent)
	return true
}
