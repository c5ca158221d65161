package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/utkarsh698/cloudflow/internal/breaker"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
)

// breakerView is Breaker in openapi.yaml.
type breakerView struct {
	Name       string     `json:"name"`
	State      string     `json:"state"`
	Generation int64      `json:"generation"`
	Failures   int64      `json:"consecutive_failures"`
	OpenUntil  *time.Time `json:"open_until,omitempty"`
	Attempt    int64      `json:"attempt"`
	PermitsOut int        `json:"permits_out"`
	Successes  int64      `json:"probe_successes"`
	Since      *time.Time `json:"since,omitempty"`
	Stale      bool       `json:"stale,omitempty"`
}

type breakerList struct {
	Breakers []breakerView `json:"breakers"`
}

func viewOfBreaker(s breaker.Snapshot, stale bool) breakerView {
	v := breakerView{
		Name: s.Name, State: string(s.State), Generation: s.Generation, Failures: s.Failures,
		Attempt: s.Attempt, PermitsOut: s.PermitsOut, Successes: s.Successes, Stale: stale,
	}
	if !s.OpenUntil.IsZero() {
		until := s.OpenUntil.UTC()
		v.OpenUntil = &until
	}
	v.Since = moment(s.Since)
	return v
}

// ListBreakers shows every breaker. If the store is away it shows what this process goes by, and says so: that is what
// an operator looks for in an outage.
func (s *server) ListBreakers(w http.ResponseWriter, r *http.Request) {
	x := of(w)
	list := breakerList{Breakers: make([]breakerView, 0, len(s.breakers))}
	for _, b := range s.breakers {
		snapshot, err := b.State(r.Context())
		list.Breakers = append(list.Breakers, viewOfBreaker(snapshot, err != nil))
	}
	x.Header().Set("Cache-Control", noStore)
	s.replyJSON(x, r, http.StatusOK, list)
}

// TripBreaker opens a circuit by hand.
func (s *server) TripBreaker(w http.ResponseWriter, r *http.Request, name apigen.BreakerName) {
	x := of(w)
	b, ok := s.breaker(name)
	if !ok {
		s.refuse(x, r, errNoBreaker)
		return
	}
	s.switched(x, r, b, "tripped", b.Trip(r.Context()))
}

// ResetBreaker closes a circuit by hand.
func (s *server) ResetBreaker(w http.ResponseWriter, r *http.Request, name apigen.BreakerName) {
	x := of(w)
	b, ok := s.breaker(name)
	if !ok {
		s.refuse(x, r, errNoBreaker)
		return
	}
	s.switched(x, r, b, "reset", b.Reset(r.Context()))
}

var errNoBreaker = fault.New(fault.NotFound, "There is no such circuit breaker. GET /admin/breakers lists them.")

func (s *server) breaker(name string) (Breaker, bool) {
	for _, b := range s.breakers {
		if b.Name() == name {
			return b, true
		}
	}
	return nil, false
}

// switched answers for a breaker that was tripped or reset, unless err says that it was not.
func (s *server) switched(x *exchange, r *http.Request, b Breaker, what string, err error) {
	if err != nil {
		s.refuse(x, r, err)
		return
	}
	s.log.InfoContext(r.Context(), "Circuit breaker "+what+" by hand", "breaker", b.Name(),
		"actor", x.principal.Subject, "correlation_id", x.correlationID)
	snapshot, err := b.State(r.Context())
	x.Header().Set("Cache-Control", noStore)
	s.replyJSON(x, r, http.StatusOK, viewOfBreaker(snapshot, err != nil))
}

// verifyAnswer is VerifyReport in openapi.yaml.
type verifyAnswer struct {
	OK         bool        `json:"ok"`
	Orders     int64       `json:"orders"`
	Skipped    int64       `json:"skipped"`
	Violations []Violation `json:"violations"`
}

// Verify checks the invariants. A violation is an answer: 200, with ok false. A server that is about to stop does not wait for it.
func (s *server) Verify(w http.ResponseWriter, r *http.Request) {
	x := of(w)
	ctx, cancel := context.WithTimeout(r.Context(), maxVerify)
	defer cancel()
	defer s.drain.onStart(cancel)()
	x.outlast(maxVerify)
	report, err := s.verify(ctx)
	if err != nil && s.drain.Started() {
		err = errDraining
	}
	if err != nil {
		s.refuse(x, r, err)
		return
	}
	answer := verifyAnswer{len(report.Violations) == 0, report.Orders, report.Skipped, report.Violations}
	if answer.Violations == nil {
		answer.Violations = []Violation{}
	}
	x.Header().Set("Cache-Control", noStore)
	s.replyJSON(x, r, http.StatusOK, answer)
}

// verify makes one check at a time: each holds what it needs of every order in memory, and eight at once took 3 GiB for
// 60,000 orders. Whoever comes meanwhile waits and gets a check of his own, since an answer from before his call is not what he asked for.
func (s *server) verify(ctx context.Context) (VerifyReport, error) {
	select {
	case s.verifying <- struct{}{}:
		defer func() { <-s.verifying }()
		return s.verifier.Verify(ctx)
	case <-ctx.Done():
		return VerifyReport{}, ctx.Err()
	}
}

// GetPayment shows a payment in our book and in the provider's.
func (s *server) GetPayment(w http.ResponseWriter, r *http.Request, orderID apigen.OrderID) {
	x := of(w)
	if !validID(orderID) {
		s.refuse(x, r, errNoOrder)
		return
	}
	view, err := s.payments.Show(r.Context(), orderID)
	if err != nil {
		s.refuse(x, r, err)
		return
	}
	x.Header().Set("Cache-Control", noStore)
	s.replyJSON(x, r, http.StatusOK, view)
}
