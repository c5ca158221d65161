package httpapi

import (
	"net/http"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/flow"
	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/order"
)

// A SagaStatus says which sagas a list is to hold.
type SagaStatus string

// The lists of sagas.
const (
	SagasUnfinished SagaStatus = ""        // both of the others
	SagasRunning    SagaStatus = "RUNNING" // under way
	SagasFailed     SagaStatus = "FAILED"  // a person is needed
)

// A SagaSummary is one line of a list of sagas. Its execution comes without a history.
type SagaSummary struct {
	OrderID     string
	Execution   flow.Execution
	NeedsReview bool
}

// sagaSummaryView is SagaSummary in openapi.yaml.
type sagaSummaryView struct {
	OrderID     string     `json:"order_id"`
	Execution   string     `json:"execution"`
	Status      string     `json:"status"`
	State       string     `json:"state,omitempty"`
	Error       string     `json:"error,omitempty"`
	NeedsReview bool       `json:"needs_review"`
	StartedAt   time.Time  `json:"started_at"`
	UpdatedAt   time.Time  `json:"updated_at"`
	EndedAt     *time.Time `json:"ended_at,omitempty"`
	WaitsUntil  *time.Time `json:"waits_until,omitempty"`
	Awaits      []string   `json:"awaits_answer,omitempty"`
}

type sagaList struct {
	Sagas      []sagaSummaryView `json:"sagas"`
	NextCursor string            `json:"next_cursor,omitempty"`
}

// ListSagas shows a page of the sagas that have not come to their end.
func (s *server) ListSagas(w http.ResponseWriter, r *http.Request, params apigen.ListSagasParams) {
	x := of(w)
	which, err := sagaStatus(params.Status)
	query := "GET /admin/sagas\x00" + string(which)
	var limit int
	var after string
	if err == nil {
		limit, after, err = s.page(x, query, params.Limit, params.Cursor)
	}
	if err != nil {
		s.refuse(x, r, err)
		return
	}
	page, next, err := s.sagas.List(r.Context(), which, after, limit)
	if err != nil {
		s.refuse(x, r, err)
		return
	}
	list := sagaList{Sagas: make([]sagaSummaryView, 0, len(page)), NextCursor: s.next(x, query, next)}
	for _, one := range page {
		e := one.Execution
		list.Sagas = append(list.Sagas, sagaSummaryView{
			OrderID: one.OrderID, Execution: e.Name, Status: string(e.Status), State: e.State, Error: e.Error, NeedsReview: one.NeedsReview,
			StartedAt: e.Started.UTC(), UpdatedAt: e.Updated.UTC(), EndedAt: moment(e.Ended), WaitsUntil: moment(e.Wakes), Awaits: e.Awaits,
		})
	}
	x.Header().Set("Cache-Control", noStore)
	s.replyJSON(x, r, http.StatusOK, list)
}

// sagaStatus reads the parameter; "" is the sagas of every status.
func sagaStatus(status *apigen.ListSagasParamsStatus) (SagaStatus, error) {
	if status == nil {
		return "", nil
	}
	which := SagaStatus(*status)
	if which != SagasRunning && which != SagasFailed {
		return "", fault.New(fault.BadRequest, "status must be RUNNING or FAILED.").With("field", "status")
	}
	return which, nil
}

// moment is nil for a time that there is not.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// sagaView is Saga in openapi.yaml.
type sagaView struct {
	OrderID    string          `json:"order_id"`
	Execution  string          `json:"execution"`
	Executions []string        `json:"executions"`
	Status     string          `json:"status"`
	State      string          `json:"state,omitempty"`
	Input      any             `json:"input,omitempty"`
	Error      string          `json:"error,omitempty"`
	Cause      string          `json:"cause,omitempty"`
	StartedAt  time.Time       `json:"started_at"`
	UpdatedAt  time.Time       `json:"updated_at"`
	EndedAt    *time.Time      `json:"ended_at,omitempty"`
	WaitsUntil *time.Time      `json:"waits_until,omitempty"`
	Awaits     []string        `json:"awaits_answer,omitempty"`
	Definition string          `json:"definition,omitempty"`
	History    []sagaEventView `json:"history"`
}

type sagaEventView struct {
	ID         int64     `json:"id"`
	PreviousID int64     `json:"previous_id"`
	Type       string    `json:"type"`
	Timestamp  time.Time `json:"timestamp"`
	State      string    `json:"state,omitempty"`
	Resource   string    `json:"resource,omitempty"`
	Attempt    int       `json:"attempt,omitempty"`
	Input      any       `json:"input,omitempty"`
	Output     any       `json:"output,omitempty"`
	Error      string    `json:"error,omitempty"`
	Cause      string    `json:"cause,omitempty"`

	RoleARN          string         `json:"role_arn,omitempty"`
	TimeoutSeconds   int64          `json:"timeout_seconds,omitempty"`
	HeartbeatSeconds int64          `json:"heartbeat_seconds,omitempty"`
	Length           int            `json:"length,omitempty"`
	Index            int            `json:"index,omitempty"`
	Assigned         map[string]any `json:"assigned,omitempty"`
	Location         string         `json:"location,omitempty"`
}

func viewOfSaga(orderID string, e flow.Execution, all []string) sagaView {
	v := sagaView{
		OrderID: orderID, Execution: e.Name, Executions: all, Status: string(e.Status), State: e.State, Input: e.Input,
		Error: e.Error, Cause: e.Cause, StartedAt: e.Started.UTC(), UpdatedAt: e.Updated.UTC(), EndedAt: moment(e.Ended),
		WaitsUntil: moment(e.Wakes), Awaits: e.Awaits, Definition: e.Definition, History: make([]sagaEventView, 0, len(e.History)),
	}
	for _, h := range e.History {
		v.History = append(v.History, sagaEventView{
			ID: h.ID, PreviousID: h.PreviousID, Type: h.Type, Timestamp: h.Time.UTC(), State: h.State, Resource: h.Resource,
			Attempt: h.Attempt, Input: h.Input, Output: h.Output, Error: h.Error, Cause: h.Cause,
			RoleARN: h.RoleARN, TimeoutSeconds: int64(h.Timeout / time.Second), HeartbeatSeconds: int64(h.Heartbeat / time.Second),
			Length: h.Length, Index: h.Index, Assigned: h.Assigned, Location: h.Location,
		})
	}
	return v
}

// maxExecution is the longest name of an execution, as flow takes it.
const maxExecution = 80

// GetSaga shows one of the order's executions.
func (s *server) GetSaga(w http.ResponseWriter, r *http.Request, orderID apigen.OrderID, params apigen.GetSagaParams) {
	x := of(w)
	name := ""
	if params.Execution != nil {
		name = *params.Execution
		if name == "" || len(name) > maxExecution {
			s.refuse(x, r, fault.New(fault.BadRequest, "execution must be 1 to %d characters.", maxExecution).With("field", "execution"))
			return
		}
	}
	if !validID(orderID) {
		s.refuse(x, r, errNoOrder)
		return
	}
	execution, all, err := s.sagas.Show(r.Context(), orderID, name)
	if err != nil {
		s.refuse(x, r, err)
		return
	}
	x.Header().Set("Cache-Control", noStore)
	s.replyJSON(x, r, http.StatusOK, viewOfSaga(orderID, execution, all))
}

var redriveShape = &shape{members: map[string]*shape{"reason": scalar}}

// redriveAnswer is RedriveAccepted in openapi.yaml.
type redriveAnswer struct {
	Execution string `json:"execution"`
}

// RedriveSaga lets a failed saga go on.
func (s *server) RedriveSaga(w http.ResponseWriter, r *http.Request, orderID apigen.OrderID) {
	x := of(w)
	reason, err := redriveReason(x.body)
	if err == nil && !validID(orderID) {
		err = errNoOrder
	}
	if err != nil {
		s.refuse(x, r, err)
		return
	}
	execution, err := s.sagas.Redrive(r.Context(), orderID, reason, x.principal.Subject, x.correlationID)
	if err != nil {
		s.refuse(x, r, err)
		return
	}
	h := x.Header()
	h.Set("Cache-Control", noStore)
	h.Set("Location", "/admin/sagas/"+orderID)
	s.replyJSON(x, r, http.StatusAccepted, redriveAnswer{execution})
}

func redriveReason(body value) (string, error) {
	if err := redriveShape.check(body, ""); err != nil {
		return "", err
	}
	var f form
	reason := f.text(body, "reason")
	if utf8.RuneCountInString(reason) > order.MaxReason {
		f.invalid("reason", "must be "+strconv.Itoa(order.MaxReason)+" characters at most")
	}
	return reason, f.fault()
}
