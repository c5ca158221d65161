package httpapi

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/oklog/ulid/v2"

	"github.com/utkarsh698/cloudflow/internal/auth/caller"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/jcs"
)

// titles says what the problems of a kind have in common (RFC 9457: the title does not change from occurrence to occurrence).
var titles = map[fault.Kind]string{
	fault.InsufficientStock:          "Not enough stock",
	fault.UnknownProduct:             "There is no such product",
	fault.PaymentDeclined:            "The payment was declined",
	fault.PaymentProviderUnavailable: "The payment provider cannot be asked now",
	fault.PaymentOutcomeUnknown:      "The payment's outcome is not known yet",
	fault.OrderCancelled:             "The order was cancelled",
	fault.HoldReleased:               "The stock was given back",
	fault.Throttled:                  "Too many calls",
	fault.TooManyOpenOrders:          "Too many open orders",
	fault.BadRequest:                 "The request cannot be read",
	fault.Unauthorized:               "Credentials are needed",
	fault.Forbidden:                  "Not allowed",
	fault.NotFound:                   "Not found",
	fault.MethodNotAllowed:           "The method is not allowed here",
	fault.NotAcceptable:              "None of the accepted media types is served",
	fault.PayloadTooLarge:            "The body is too large",
	fault.UnsupportedMediaType:       "The body's media type is not supported",
	fault.PreconditionFailed:         "It has changed since it was read",
	fault.ValidationFailed:           "A member is out of its bounds",
	fault.PriceChanged:               "The price has changed",
	fault.IdempotencyKeyReused:       "The idempotency key belongs to another request",
	fault.OrderFinal:                 "The order has ended",
	fault.InReview:                   "The order is being reviewed",
	fault.NotFailed:                  "There is nothing to redrive",
	fault.ProductExists:              "The product exists",
	fault.TaskTimedOut:               "The task is closed",
	fault.TaskDoesNotExist:           "There is no such task",
	fault.Overloaded:                 "Too much to do now",
	fault.Unavailable:                "Not available now",
	fault.Transient:                  "Not available now",
}

const (
	internalTitle = "Something went wrong"
	internalText  = "Something went wrong here. The log has it under the correlation id."
	retryText     = "This cannot be done at the moment. Try again."
)

// A problem is an error as its caller sees it (RFC 9457, and the specification's own members beside it).
type problem struct {
	status  int
	kind    fault.Kind
	code    string
	title   string
	text    string
	details map[string]any
}

// problemOf is the one place where an error becomes an answer. Only the Message and the Details of a fault.Error are written for
// callers; whatever else an error says, and all that a status of 500 says, stays in the log.
func problemOf(err error) problem {
	kind := fault.KindOf(err)
	p := problem{status: kind.Status(), kind: kind, code: kind.Code(), title: titles[kind]}
	if p.status == http.StatusInternalServerError {
		p.code, p.title, p.text = fault.Internal.Code(), internalTitle, internalText
		return p
	}
	var known *fault.Error
	if errors.As(err, &known) {
		p.text, p.details = known.Message, known.Details
	}
	if kind == fault.Transient { // its text tells which of our own parts was away or in conflict
		p.text = retryText
	}
	if p.text == "" {
		p.text = p.title + "."
	}
	return p
}

// retryAfter is the fault's own retry_after_seconds, or 1.
func (p problem) retryAfter() string {
	switch n := p.details["retry_after_seconds"].(type) {
	case int:
		return strconv.Itoa(n)
	case int64:
		return strconv.FormatInt(n, 10)
	}
	return "1"
}

// refuse answers with the error as a problem, and logs what an operator has to know.
func (s *server) refuse(x *exchange, r *http.Request, err error) {
	p := problemOf(err)
	switch {
	case p.status == http.StatusInternalServerError:
		s.log.ErrorContext(r.Context(), "Request failed", "method", r.Method, "path", pathOf(r),
			"correlation_id", x.correlationID, "kind", string(p.kind), "error", err.Error())
	case p.status == http.StatusServiceUnavailable && r.Context().Err() == nil && errors.Unwrap(err) != nil:
		// Something of ours is away. Not for a caller that has gone, nor for a refusal without a cause, such as draining: a probe
		// would fill the log with it.
		s.log.WarnContext(r.Context(), "Request turned away", "method", r.Method, "path", pathOf(r),
			"correlation_id", x.correlationID, "kind", string(p.kind), "error", err.Error())
	case p.status == http.StatusUnauthorized && errors.Unwrap(err) != nil: // why, which its caller is not told
		s.log.InfoContext(r.Context(), "Credentials refused", "method", r.Method, "path", pathOf(r),
			"correlation_id", x.correlationID, "error", errors.Unwrap(err).Error())
	}
	h := x.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	switch p.status {
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		h.Set("Retry-After", p.retryAfter())
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", challenge)
		if caller.Given(r.Header) {
			h.Set("WWW-Authenticate", challenge+`, error="invalid_token"`)
		}
	}
	body := p.append(make([]byte, 0, 512), r.URL.EscapedPath(), x.correlationID)
	x.WriteHeader(p.status)
	_, _ = x.Write(body) // a caller that has gone cannot be told
}

// pathOf is a path as a log line has it: the pattern that it met, with the order's id in its place. What else somebody has written into a path may
// be a customer's address or worse, and whatever it is, it is not ours to keep.
func pathOf(r *http.Request) string {
	_, path, _ := strings.Cut(r.Pattern, " ")
	if id := r.PathValue("order_id"); madeHere(id) {
		path = strings.Replace(path, "{order_id}", id, 1)
	}
	return path
}

// madeHere reports whether the text is an order's id as this house makes them: ord- and a ULID.
func madeHere(id string) bool {
	text, ok := strings.CutPrefix(id, "ord-")
	if !ok {
		return false
	}
	_, err := ulid.ParseStrict(text)
	return err == nil
}

// challenge says how to prove who calls (RFC 6750, section 3). What was sent and is not good is invalid_token, whatever is wrong with it; to
// who sent nothing no error is named (section 3.1).
const challenge = `Bearer realm="cloudflow"`

// ownMembers are what every problem has; a detail of the same name is left out.
var ownMembers = [...]string{"type", "title", "status", "detail", "instance", "error", "message", "correlation_id"}

func (p problem) append(dst []byte, instance, correlationID string) []byte {
	const urn = "urn:problem-type:cloudflow:"
	dst = append(dst, `{"type":`...)
	dst = jcs.AppendString(dst, urn+strings.ReplaceAll(strings.ToLower(p.code), "_", "-"))
	dst = appendMember(dst, "title", p.title)
	dst = append(dst, `,"status":`...)
	dst = strconv.AppendInt(dst, int64(p.status), 10)
	dst = appendMember(dst, "detail", p.text)
	dst = appendMember(dst, "instance", instance)
	dst = appendMember(dst, "error", p.code)
	dst = appendMember(dst, "message", p.text)
	dst = appendMember(dst, "correlation_id", correlationID)
	for _, name := range slices.Sorted(maps.Keys(p.details)) {
		if slices.Contains(ownMembers[:], name) { // a member that stands twice is no JSON that can be relied on
			continue
		}
		detail, err := json.Marshal(p.details[name])
		if err != nil { // a detail that is no JSON is left out; the problem itself is worth more
			continue
		}
		dst = append(dst, ',')
		dst = jcs.AppendString(dst, name)
		dst = append(dst, ':')
		dst = append(dst, detail...)
	}
	return append(dst, '}')
}

func appendMember(dst []byte, name, text string) []byte {
	dst = append(dst, ',', '"')
	dst = append(dst, name...)
	dst = append(dst, '"', ':')
	return jcs.AppendString(dst, text)
}
