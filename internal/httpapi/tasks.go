package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/utkarsh698/cloudflow/internal/flow"
	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/order"
)

// Tasks are those that wait for who has their token. *flow.Engine has the methods, with their errors.
type Tasks interface {
	// HandedOut returns up to limit tasks beyond the place, "" begins, and where to go on, "" at the end.
	HandedOut(ctx context.Context, after string, limit int) (page []flow.HandedOut, next string, err error)
	// SendTaskSuccess returns when the answer is durable: fault.BadRequest, fault.TaskDoesNotExist, fault.TaskTimedOut.
	SendTaskSuccess(ctx context.Context, token string, result any) error
	SendTaskFailure(ctx context.Context, token, errorName, cause string) error
	SendTaskHeartbeat(ctx context.Context, token string) error
}

// taskView is Task in openapi.yaml.
type taskView struct {
	Token         string     `json:"token"`
	Execution     string     `json:"execution"`
	OrderID       string     `json:"order_id,omitempty"`
	State         string     `json:"state"`
	Resource      string     `json:"resource"`
	Input         any        `json:"input,omitempty"`
	Since         time.Time  `json:"since"`
	LastHeartbeat *time.Time `json:"last_heartbeat_at,omitempty"`
	TimesOutAt    *time.Time `json:"times_out_at,omitempty"`
}

type taskList struct {
	Tasks      []taskView `json:"tasks"`
	NextCursor string     `json:"next_cursor,omitempty"`
}

const tasksQuery = "GET /admin/tasks"

// ListTasks shows a page of the tasks that wait for an answer.
func (s *server) ListTasks(w http.ResponseWriter, r *http.Request, params apigen.ListTasksParams) {
	x := of(w)
	limit, after, err := s.page(x, tasksQuery, params.Limit, params.Cursor)
	if err != nil {
		s.refuse(x, r, err)
		return
	}
	page, next, err := s.tasks.HandedOut(r.Context(), after, limit)
	if err != nil {
		s.refuse(x, r, err)
		return
	}
	list := taskList{Tasks: make([]taskView, 0, len(page)), NextCursor: s.next(x, tasksQuery, next)}
	for _, t := range page {
		list.Tasks = append(list.Tasks, viewOfTask(t))
	}
	x.Header().Set("Cache-Control", noStore)
	s.replyJSON(x, r, http.StatusOK, list)
}

func viewOfTask(t flow.HandedOut) taskView {
	v := taskView{
		Token: t.Token, Execution: t.Execution, State: t.State, Resource: t.Resource, Input: t.Input,
		Since: t.Since.UTC(), TimesOutAt: moment(t.Until),
	}
	if id := order.OfExecution(t.Execution); madeHere(id) {
		v.OrderID = id
	}
	if t.Beat.After(t.Since) {
		v.LastHeartbeat = moment(t.Beat)
	}
	return v
}

var (
	taskSuccessShape   = &shape{members: map[string]*shape{"token": scalar, "output": scalar}} // whatever is in the output
	taskFailureShape   = &shape{members: map[string]*shape{"token": scalar, "error": scalar, "cause": scalar}}
	taskHeartbeatShape = &shape{members: map[string]*shape{"token": scalar}}
)

// What an answer may be, but for its output, which is as long as a body may be, and what flow says of an error and a cause.
const (
	maxTaskToken = 512 // bytes; ours have up to 142
	// maxTaskWait is how long the saga may take to commit an answer, some milliseconds as a rule. A drain waits longer for calls, and the engine
	// works until the last one is answered: what was taken before it is committed in it.
	maxTaskWait = maxWait
)

// taskTaken is TaskTaken in openapi.yaml.
type taskTaken struct{}

// SendTaskSuccess answers a task: it has succeeded.
func (s *server) SendTaskSuccess(w http.ResponseWriter, r *http.Request) {
	x := of(w)
	var f form
	token := f.taskToken(x.body)
	output := f.anything(x.body, "output")
	s.answerTask(x, r, taskSuccessShape, &f, token, "success", func(ctx context.Context) error {
		return s.tasks.SendTaskSuccess(ctx, token, json.RawMessage(output))
	})
}

// SendTaskFailure answers a task: it has failed.
func (s *server) SendTaskFailure(w http.ResponseWriter, r *http.Request) {
	x := of(w)
	var f form
	token := f.taskToken(x.body)
	name := f.shortText(x.body, "error", flow.MaxErrorBytes)
	cause := f.shortText(x.body, "cause", flow.MaxCauseBytes)
	s.answerTask(x, r, taskFailureShape, &f, token, "failure", func(ctx context.Context) error {
		return s.tasks.SendTaskFailure(ctx, token, name, cause)
	})
}

// SendTaskHeartbeat says that somebody works at a task.
func (s *server) SendTaskHeartbeat(w http.ResponseWriter, r *http.Request) {
	x := of(w)
	var f form
	token := f.taskToken(x.body)
	s.answerTask(x, r, taskHeartbeatShape, &f, token, "", func(ctx context.Context) error {
		return s.tasks.SendTaskHeartbeat(ctx, token)
	})
}

// answerTask sends what the form has read, if it is good. An answer is logged with who gave it, by its outcome; a heartbeat has none. Who goes away
// does not take an answer back, but is not waited for.
func (s *server) answerTask(
	x *exchange, r *http.Request, known *shape, f *form, token, outcome string, send func(context.Context) error,
) {
	err := known.check(x.body, "")
	if err == nil {
		err = f.fault()
	}
	if err == nil {
		ctx, cancel := context.WithTimeout(r.Context(), maxTaskWait)
		defer cancel()
		err = send(ctx)
	}
	if err != nil {
		s.refuse(x, r, err)
		return
	}
	if outcome != "" {
		s.log.InfoContext(r.Context(), "A task was answered by hand", "execution", flow.ExecutionOf(token), "outcome", outcome,
			"actor", x.principal.Subject, "correlation_id", x.correlationID)
	}
	x.Header().Set("Cache-Control", noStore)
	s.replyJSON(x, r, http.StatusOK, taskTaken{})
}

// taskToken is the member token.
func (f *form) taskToken(body value) string {
	token := f.text(body, "token")
	if len(token) > maxTaskToken {
		f.invalid("token", "must be "+strconv.Itoa(maxTaskToken)+" bytes at most")
	}
	return token
}

// shortText is "" if there is no such member.
func (f *form) shortText(body value, name string, limit int) string {
	s := f.optionalText(body, name)
	if len(s) > limit {
		f.invalid(f.field(name), "must be "+strconv.Itoa(limit)+" bytes at most")
	}
	return s
}
