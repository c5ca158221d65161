// Package fault names every way in which CloudFlow refuses or fails.
//
// A Kind is written CamelCase where the Amazon States Language sees it (ErrorEquals of a Retry or a Catch, errorType of
// a Lambda) and UPPER_SNAKE where an HTTP caller sees it ("error" in the problem body). Each kind has one HTTP status.
// Code branches on the kind, never on a text. An error without a kind is Internal: its text stays in the log.
package fault

import (
	"context"
	"errors"
	"fmt"
	"net/http"
)

// A Kind is one way to refuse or to fail. Its text is the name that ASL sees.
type Kind string

// The kinds that the saga's state machine branches on.
const (
	InsufficientStock          Kind = "InsufficientStock"          // a line asks for more than is available
	UnknownProduct             Kind = "UnknownProduct"             // a line names a product that does not exist
	PaymentDeclined            Kind = "PaymentDeclined"            // the provider answered no
	PaymentProviderUnavailable Kind = "PaymentProviderUnavailable" // the provider cannot be asked now: nothing was attempted
	PaymentOutcomeUnknown      Kind = "PaymentOutcomeUnknown"      // asked, but no answer that could be trusted: payment.resolve decides
	PaymentMismatch            Kind = "PaymentMismatch"            // a receipt over another amount or currency: a person is needed
	OrderCancelled             Kind = "OrderCancelled"             // the customer's cancel came first
	HoldReleased               Kind = "HoldReleased"               // stock of this order was given back: it cannot be reserved or sold any more
	BadSignature               Kind = "BadSignature"               // the execution's input is not what the order service signed
	OrderState                 Kind = "OrderState"                 // the event may not follow what stands in the order's log
	Transient                  Kind = "Transient"                  // try again: a conflict, a lease that lives, a store that is away
	Throttled                  Kind = "Throttled"                  // try again later: too many at once
	Internal                   Kind = "Internal"                   // a bug or an unexpected failure: its text is for the log only
)

// The kinds that only an HTTP caller meets.
const (
	BadRequest           Kind = "BadRequest"           // not JSON, an unknown member, a malformed header or parameter
	Unauthorized         Kind = "Unauthorized"         // no credentials, or bad ones
	Forbidden            Kind = "Forbidden"            // known, but not allowed
	NotFound             Kind = "NotFound"             // unknown, or not the caller's: the two answer alike
	MethodNotAllowed     Kind = "MethodNotAllowed"     // the route has no such method
	NotAcceptable        Kind = "NotAcceptable"        // none of the accepted media types is served
	PayloadTooLarge      Kind = "PayloadTooLarge"      // the body is over its limit
	UnsupportedMediaType Kind = "UnsupportedMediaType" // the body is not application/json
	PreconditionFailed   Kind = "PreconditionFailed"   // If-Match names another version
	ValidationFailed     Kind = "ValidationFailed"     // a member is out of its bounds; Details name the field
	PriceChanged         Kind = "PriceChanged"         // the caller's price is not the catalogue's
	IdempotencyKeyReused Kind = "IdempotencyKeyReused" // the same key with another body
	OrderFinal           Kind = "OrderFinal"           // the order is in a terminal state
	InReview             Kind = "InReview"             // the order waits for a person
	NotFailed            Kind = "NotFailed"            // nothing to redrive
	ProductExists        Kind = "ProductExists"        // stock is given at creation only
	TaskTimedOut         Kind = "TaskTimedOut"         // the task of a token is closed
	TaskDoesNotExist     Kind = "TaskDoesNotExist"     // no task has this token
	TooManyOpenOrders    Kind = "TooManyOpenOrders"    // the caller has as many open orders as it may have
	Overloaded           Kind = "Overloaded"           // all callers together have begun more than is worked off soon
	Unavailable          Kind = "Unavailable"          // the store is down, the disk nearly full, or the server is draining
)

// statuses is the one place where a kind becomes an HTTP status and an UPPER_SNAKE code.
var statuses = map[Kind]struct {
	code   string
	status int
}{
	InsufficientStock:          {"INSUFFICIENT_STOCK", http.StatusConflict},
	UnknownProduct:             {"UNKNOWN_PRODUCT", http.StatusUnprocessableEntity},
	PaymentDeclined:            {"PAYMENT_DECLINED", http.StatusPaymentRequired},
	PaymentProviderUnavailable: {"PAYMENT_PROVIDER_UNAVAILABLE", http.StatusServiceUnavailable},
	PaymentOutcomeUnknown:      {"PAYMENT_OUTCOME_UNKNOWN", http.StatusServiceUnavailable},
	PaymentMismatch:            {"PAYMENT_MISMATCH", http.StatusInternalServerError},
	OrderCancelled:             {"ORDER_CANCELLED", http.StatusConflict},
	HoldReleased:               {"HOLD_RELEASED", http.StatusConflict},
	BadSignature:               {"BAD_SIGNATURE", http.StatusInternalServerError},
	OrderState:                 {"ORDER_STATE", http.StatusInternalServerError},
	Transient:                  {"UNAVAILABLE", http.StatusServiceUnavailable},
	Throttled:                  {"THROTTLED", http.StatusTooManyRequests},
	Internal:                   {"INTERNAL", http.StatusInternalServerError},
	BadRequest:                 {"BAD_REQUEST", http.StatusBadRequest},
	Unauthorized:               {"UNAUTHORIZED", http.StatusUnauthorized},
	Forbidden:                  {"FORBIDDEN", http.StatusForbidden},
	NotFound:                   {"NOT_FOUND", http.StatusNotFound},
	MethodNotAllowed:           {"METHOD_NOT_ALLOWED", http.StatusMethodNotAllowed},
	NotAcceptable:              {"NOT_ACCEPTABLE", http.StatusNotAcceptable},
	PayloadTooLarge:            {"PAYLOAD_TOO_LARGE", http.StatusRequestEntityTooLarge},
	UnsupportedMediaType:       {"UNSUPPORTED_MEDIA_TYPE", http.StatusUnsupportedMediaType},
	PreconditionFailed:         {"PRECONDITION_FAILED", http.StatusPreconditionFailed},
	ValidationFailed:           {"VALIDATION_FAILED", http.StatusUnprocessableEntity},
	PriceChanged:               {"PRICE_CHANGED", http.StatusConflict},
	IdempotencyKeyReused:       {"IDEMPOTENCY_KEY_REUSED", http.StatusUnprocessableEntity},
	OrderFinal:                 {"ORDER_FINAL", http.StatusConflict},
	InReview:                   {"IN_REVIEW", http.StatusConflict},
	NotFailed:                  {"NOT_FAILED", http.StatusConflict},
	ProductExists:              {"PRODUCT_EXISTS", http.StatusConflict},
	TaskTimedOut:               {"TASK_TIMED_OUT", http.StatusConflict},
	TaskDoesNotExist:           {"TASK_DOES_NOT_EXIST", http.StatusNotFound},
	TooManyOpenOrders:          {"TOO_MANY_OPEN_ORDERS", http.StatusTooManyRequests},
	Overloaded:                 {"OVERLOADED", http.StatusServiceUnavailable},
	Unavailable:                {"UNAVAILABLE", http.StatusServiceUnavailable},
}

// Code is the kind as HTTP callers read it, such as INSUFFICIENT_STOCK. A kind that is not in the table is INTERNAL.
func (k Kind) Code() string {
	if s, ok := statuses[k]; ok {
		return s.code
	}
	return statuses[Internal].code
}

// Status is the kind's HTTP status; 500 for a kind that is not in the table.
func (k Kind) Status() int {
	if s, ok := statuses[k]; ok {
		return s.status
	}
	return http.StatusInternalServerError
}

// An Error is a failure of a known kind. Message is written for the caller, Details are the members that stand beside
// it in the problem body (product_id, requested, available, retry_after_seconds, field). Err is the cause, for the log.
type Error struct {
	Kind    Kind
	Message string
	Details map[string]any
	Err     error
}

// New returns an Error of the kind; the message is formatted as fmt.Sprintf does.
func New(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...)}
}

// Wrap returns an Error of the kind with err as its cause.
func Wrap(kind Kind, err error, format string, args ...any) *Error {
	return &Error{Kind: kind, Message: fmt.Sprintf(format, args...), Err: err}
}

// With adds a detail and returns e.
func (e *Error) With(name string, value any) *Error {
	if e.Details == nil {
		e.Details = make(map[string]any, 3)
	}
	e.Details[name] = value
	return e
}

// Error is the kind, the message and the cause: for logs, not for callers.
func (e *Error) Error() string {
	text := string(e.Kind)
	if e.Message != "" {
		text += ": " + e.Message
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// KindOf is the kind of the outermost Error in err's chain. A context that ended is Transient, since nothing is known
// of the work that it stopped; any other error is Internal. KindOf(nil) is "".
func KindOf(err error) Kind {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return Transient
	}
	return Internal
}

// Is reports whether err is of the kind.
func Is(err error, kind Kind) bool { return KindOf(err) == kind }

// Retryable reports whether the same call may succeed later without anyone changing anything.
func Retryable(err error) bool {
	switch KindOf(err) {
	case Transient, Throttled, TooManyOpenOrders, Overloaded, Unavailable:
		return true
	default:
		return false
	}
}
