package sfn

import (
	"context"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/awscall"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/flow"
)

const (
	maxEvents = 1000 // of a page, which is Step Functions' limit; a page may have fewer and not be the last
	// maxPages is more than an execution can have: it ends at 25,000 events, and a page holds most of a megabyte.
	maxPages = 100
	// maxShown pages are shown from the beginning. A saga has some sixty events; what has more has tried one task over and over.
	maxShown = 3
)

// Describe renders an execution as flow.Engine's Describe does: fault.NotFound. Of a history of more than three pages of Step Functions (a
// thousand events each, or a megabyte) it has the first three and the last, where attempts are counted on from the gap. When a timer is due is not
// known here.
func (m *Machine) Describe(ctx context.Context, name string) (flow.Execution, error) {
	x, err := m.describe(ctx, name, types.IncludedDataAllData)
	if err != nil {
		return flow.Execution{}, err
	}
	e := executionOf(name, x)
	events, err := m.history(ctx, name)
	if err != nil {
		return flow.Execution{}, err
	}
	var r renderer
	for i := range events {
		e.History = append(e.History, r.render(&events[i]))
	}
	e.State, e.StateInput = r.state, r.input
	if len(events) > 0 {
		e.Updated = aws.ToTime(events[len(events)-1].Timestamp).UTC()
	}
	return e, nil
}

// Summary is Describe without the history: fault.NotFound.
func (m *Machine) Summary(ctx context.Context, name string) (flow.Execution, error) {
	x, err := m.describe(ctx, name, types.IncludedDataAllData)
	if err != nil {
		return flow.Execution{}, err
	}
	e := executionOf(name, x)
	last, err := m.last(ctx, name)
	if err != nil {
		return flow.Execution{}, err
	}
	if last.entered != nil {
		e.State, e.StateInput = aws.ToString(last.entered.Name), decode(last.entered.Input)
	}
	if !last.updated.IsZero() {
		e.Updated = last.updated
	}
	return e, nil
}

func executionOf(name string, x *sfn.DescribeExecutionOutput) flow.Execution {
	e := flow.Execution{
		Name: name, Status: asl.Status(x.Status), Input: decode(x.Input), Error: aws.ToString(x.Error), Cause: aws.ToString(x.Cause),
		Definition: aws.ToString(x.StateMachineVersionArn), Started: aws.ToTime(x.StartDate).UTC(), Updated: aws.ToTime(x.StartDate).UTC(),
	}
	if x.Status == types.ExecutionStatusSucceeded {
		e.Output = decode(x.Output)
	}
	if x.StopDate != nil {
		e.Ended = x.StopDate.UTC()
	}
	return e
}

// page is a page of an execution's history.
func (m *Machine) page(ctx context.Context, name string, backward bool, token *string) ([]types.HistoryEvent, *string, error) {
	out, err := m.client.GetExecutionHistory(ctx, &sfn.GetExecutionHistoryInput{
		ExecutionArn: aws.String(m.executions + name), MaxResults: maxEvents, ReverseOrder: backward, NextToken: token, IncludeExecutionData: aws.Bool(true),
	})
	if err != nil {
		return nil, nil, awscall.Fault(err, "sfn: the history of "+name)
	}
	return out.Events, out.NextToken, nil
}

// history is the first pages of it, and the last page if there are more.
func (m *Machine) history(ctx context.Context, name string) (events []types.HistoryEvent, err error) {
	var token *string
	for range maxShown {
		page, next, err := m.page(ctx, name, false, token)
		if err != nil {
			return nil, err
		}
		events = append(events, page...)
		if token = next; token == nil {
			return events, nil
		}
	}
	page, _, err := m.page(ctx, name, true, nil)
	if err != nil {
		return nil, err
	}
	var seen int64
	if len(events) > 0 {
		seen = events[len(events)-1].Id
	}
	for i := len(page) - 1; i >= 0; i-- {
		if page[i].Id > seen {
			events = append(events, page[i])
		}
	}
	return events, nil
}

// An end is what the end of a history says.
type end struct {
	entered *types.StateEnteredEventDetails // the state that was entered last; nil: none was
	updated time.Time
}

// last looks through the history from its end for the state that was entered last. The saga's machine has no branches, so that is the state in
// which an execution is, or ended.
func (m *Machine) last(ctx context.Context, name string) (end, error) {
	var e end
	var token *string
	for range maxPages {
		page, next, err := m.page(ctx, name, true, token)
		if err != nil {
			return end{}, err
		}
		for i := range page {
			if e.updated.IsZero() {
				e.updated = aws.ToTime(page[i].Timestamp).UTC()
			}
			if entered := page[i].StateEnteredEventDetails; entered != nil {
				e.entered = entered
				return e, nil
			}
		}
		if token = next; token == nil {
			return e, nil
		}
	}
	return end{}, fault.New(fault.Internal, "sfn: the last %d pages of the history of %s have no state", maxPages, name)
}

// A renderer turns Step Functions' events into asl's, which also say to which state, resource and attempt a task's event belongs.
type renderer struct {
	state    string
	input    any // of that state
	resource string
	attempts int // scheduled since the state was entered
}

func (r *renderer) render(e *types.HistoryEvent) asl.HistoryEvent {
	h := asl.HistoryEvent{ID: e.Id, PreviousID: e.PreviousEventId, Type: string(e.Type), Time: aws.ToTime(e.Timestamp).UTC()}
	if entered := e.StateEnteredEventDetails; entered != nil {
		r.state, r.input, r.resource, r.attempts = aws.ToString(entered.Name), decode(entered.Input), "", 0
		h.Input = r.input
	}
	if exited := e.StateExitedEventDetails; exited != nil {
		h.Output = decode(exited.Output)
	}
	if !strings.HasPrefix(h.Type, "Execution") {
		h.State = r.state
	}
	r.details(e, &h)
	if strings.HasPrefix(h.Type, "LambdaFunction") || strings.HasPrefix(h.Type, "Task") && !strings.HasPrefix(h.Type, "TaskState") {
		if strings.HasSuffix(h.Type, "Scheduled") {
			r.resource = h.Resource
			r.attempts++
		}
		h.Resource, h.Attempt = r.resource, max(r.attempts-1, 0)
	}
	return h
}

// details takes what the event's own kind has: of a task that is a function's plain ARN, of one that is an integration, which the saga has not but the
// emulator's events look like, and of the execution.
func (*renderer) details(e *types.HistoryEvent, h *asl.HistoryEvent) {
	fail := func(name, cause *string) { h.Error, h.Cause = aws.ToString(name), aws.ToString(cause) }
	switch {
	case e.ExecutionStartedEventDetails != nil:
		h.Input = decode(e.ExecutionStartedEventDetails.Input)
	case e.ExecutionSucceededEventDetails != nil:
		h.Output = decode(e.ExecutionSucceededEventDetails.Output)
	case e.ExecutionFailedEventDetails != nil:
		fail(e.ExecutionFailedEventDetails.Error, e.ExecutionFailedEventDetails.Cause)
	case e.ExecutionTimedOutEventDetails != nil:
		fail(e.ExecutionTimedOutEventDetails.Error, e.ExecutionTimedOutEventDetails.Cause)
	case e.ExecutionAbortedEventDetails != nil:
		fail(e.ExecutionAbortedEventDetails.Error, e.ExecutionAbortedEventDetails.Cause)
	case e.LambdaFunctionScheduledEventDetails != nil:
		h.Resource, h.Input = aws.ToString(e.LambdaFunctionScheduledEventDetails.Resource), decode(e.LambdaFunctionScheduledEventDetails.Input)
	case e.LambdaFunctionSucceededEventDetails != nil:
		h.Output = decode(e.LambdaFunctionSucceededEventDetails.Output)
	case e.LambdaFunctionFailedEventDetails != nil:
		fail(e.LambdaFunctionFailedEventDetails.Error, e.LambdaFunctionFailedEventDetails.Cause)
	case e.LambdaFunctionTimedOutEventDetails != nil:
		fail(e.LambdaFunctionTimedOutEventDetails.Error, e.LambdaFunctionTimedOutEventDetails.Cause)
	case e.LambdaFunctionScheduleFailedEventDetails != nil:
		fail(e.LambdaFunctionScheduleFailedEventDetails.Error, e.LambdaFunctionScheduleFailedEventDetails.Cause)
	case e.LambdaFunctionStartFailedEventDetails != nil:
		fail(e.LambdaFunctionStartFailedEventDetails.Error, e.LambdaFunctionStartFailedEventDetails.Cause)
	case e.TaskScheduledEventDetails != nil:
		h.Resource, h.Input = aws.ToString(e.TaskScheduledEventDetails.Resource), decode(e.TaskScheduledEventDetails.Parameters)
	case e.TaskSucceededEventDetails != nil:
		h.Output = decode(e.TaskSucceededEventDetails.Output)
	case e.TaskFailedEventDetails != nil:
		fail(e.TaskFailedEventDetails.Error, e.TaskFailedEventDetails.Cause)
	case e.TaskTimedOutEventDetails != nil:
		fail(e.TaskTimedOutEventDetails.Error, e.TaskTimedOutEventDetails.Cause)
	}
}
