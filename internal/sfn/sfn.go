// Package sfn starts the saga on AWS Step Functions and reads what became of it: what flow is to the single binary, Step Functions is on AWS.
//
// It promises: an execution is started once for its name, however often and by whomever it is asked for, and a name that already stands for
// another input is an error that a person sees; what a failed execution says of its end is what flow says of it, so that a resume begins with
// the same input on both.
//
// The order service's commit starts nothing here (Stage): the row is the intent, and the reader of the orders' change feed starts
// what follows from it (Start), or the sweeper does.
//
// Step Functions keeps an execution for 90 days after its end (https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html). After that
// it is not found, here as there, and its name is free again.
package sfn

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sfn/types"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/awscall"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/saga"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// Config of a Machine.
type Config struct {
	// ARN of the state machine, arn:<partition>:states:<region>:<account>:stateMachine:<name>; with :<version or alias> behind it, that is what
	// is started.
	ARN   string
	Keys  *saga.Keys     // sign what an execution begins with; nil: nothing is started
	Calls awscall.Limits // of each call
	// Trace is the X-Ray trace header that an execution begins with, "" for none; nil: there is none.
	Trace func(order.Start) string
}

// A Machine is the saga's state machine. It is safe for concurrent use.
type Machine struct {
	c          Config
	client     *sfn.Client
	base       string // its ARN without a version or alias
	executions string // what the ARNs of its executions begin with
}

var _ order.Starter = (*Machine)(nil)

// Open returns the machine. It asks nobody.
func Open(config aws.Config, c Config) (*Machine, error) {
	part := strings.Split(c.ARN, ":")
	if len(part) < 7 || len(part) > 8 || part[0] != "arn" || part[2] != "states" || part[5] != "stateMachine" || part[6] == "" {
		return nil, fmt.Errorf("sfn: %q is not the ARN of a state machine", c.ARN)
	}
	base := strings.Join(part[:7], ":")
	part[5] = "execution"
	return &Machine{
		c:          c,
		client:     sfn.NewFromConfig(awscall.Bounded(config, c.Calls)),
		base:       base,
		executions: strings.Join(part[:7], ":") + ":",
	}, nil
}

// Stage stages nothing: the change feed starts the execution.
func (*Machine) Stage(*store.Tx, order.Start) error { return nil }

// Begin does nothing, for the same reason.
func (*Machine) Begin(string) {}

// Start starts the execution, unless it was started already. Who asks may have asked before, or another may: then the execution that there is has to
// have begun with the same input, its signature apart, which another key may have made, and its place in a trace, which is that of who asked.
// fault.Internal: it has another, or Step Functions refuses; fault.Transient and fault.Throttled: it may have been started, and the call may be repeated.
func (m *Machine) Start(ctx context.Context, s order.Start) error {
	if m.c.Keys == nil {
		return fault.New(fault.Internal, "sfn: no keys to sign with")
	}
	value, err := m.c.Keys.Start(s)
	if err != nil {
		return fault.Wrap(fault.Internal, err, "sfn: the input of %s", s.Execution)
	}
	input, err := json.Marshal(value)
	if err != nil {
		return fault.Wrap(fault.Internal, err, "sfn: the input of %s", s.Execution)
	}
	in := &sfn.StartExecutionInput{StateMachineArn: &m.c.ARN, Name: &s.Execution, Input: aws.String(string(input))}
	if m.c.Trace != nil {
		if header := m.c.Trace(s); header != "" {
			in.TraceHeader = &header
		}
	}
	_, err = m.client.StartExecution(ctx, in)
	var exists *types.ExecutionAlreadyExists
	var full *types.ExecutionLimitExceeded
	switch {
	case errors.As(err, &exists):
		return m.same(ctx, s.Execution, input)
	case errors.As(err, &full):
		return fault.Wrap(fault.Throttled, err, "sfn: start %s", s.Execution)
	}
	return awscall.Fault(err, "sfn: start "+s.Execution)
}

// same requires that the execution has begun with the input. Step Functions itself answers a second start with the same input as the first one,
// but only while the execution runs (https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html).
func (m *Machine) same(ctx context.Context, name string, input []byte) error {
	there, err := m.describe(ctx, name, types.IncludedDataAllData)
	if fault.Is(err, fault.NotFound) { // what is described may lag behind what was started
		return fault.Wrap(fault.Transient, err, "sfn: %s exists and is not found", name)
	}
	if err != nil {
		return err
	}
	ours, theirs := unsigned(aws.String(string(input))), unsigned(there.Input)
	if ours == nil || !reflect.DeepEqual(ours, theirs) {
		return fault.New(fault.Internal, "sfn: the execution %s of %s was started with another input", name, m.base)
	}
	return nil
}

// unsigned is the input without its signature and its place in a trace, nil if it is no object.
func unsigned(input *string) map[string]any {
	v, ok := decode(input).(map[string]any)
	if !ok {
		return nil
	}
	delete(v, "mac")
	delete(v, saga.TraceMember)
	return v
}

// decode is the JSON text as asl has values; nil if it is none.
func decode(text *string) any {
	v, _ := asl.DecodeJSON([]byte(aws.ToString(text)))
	return v
}

// Failure says how an execution stands, and of one that ended badly in which state, with that state's input: fault.NotFound.
func (m *Machine) Failure(ctx context.Context, execution string) (order.Failure, error) {
	x, err := m.describe(ctx, execution, types.IncludedDataAllData)
	if err != nil {
		return order.Failure{}, err
	}
	f := order.Failure{Status: string(x.Status), Error: aws.ToString(x.Error), Cause: aws.ToString(x.Cause)}
	if x.Status == types.ExecutionStatusRunning || x.Status == types.ExecutionStatusSucceeded {
		return f, nil
	}
	last, err := m.last(ctx, execution)
	if err != nil {
		return order.Failure{}, err
	}
	if last.entered == nil { // it ended before it began: a resume does what it was to do
		f.Input = json.RawMessage(aws.ToString(x.Input))
		return f, nil
	}
	f.State, f.Input = aws.ToString(last.entered.Name), json.RawMessage(aws.ToString(last.entered.Input))
	if details := last.entered.InputDetails; details != nil && details.Truncated || !json.Valid(f.Input) {
		return order.Failure{}, fault.New(fault.Internal, "sfn: the history of %s does not have the whole input of %s", execution, f.State)
	}
	return f, nil
}

// Status says how an execution stands, and since when it has ended (UTC; zero while it runs): fault.NotFound. What is described may lag behind by seconds.
func (m *Machine) Status(ctx context.Context, execution string) (status asl.Status, ended time.Time, err error) {
	x, err := m.describe(ctx, execution, types.IncludedDataMetadataOnly)
	if err != nil {
		return "", time.Time{}, err
	}
	if x.StopDate != nil {
		ended = x.StopDate.UTC()
	}
	return asl.Status(x.Status), ended, nil
}

// describe is DescribeExecution, with what the execution begun and ended with or without: fault.NotFound.
func (m *Machine) describe(ctx context.Context, name string, data types.IncludedData) (*sfn.DescribeExecutionOutput, error) {
	if !wellFormed(name) {
		return nil, fault.New(fault.NotFound, "no execution %q", name)
	}
	x, err := m.client.DescribeExecution(ctx, &sfn.DescribeExecutionInput{ExecutionArn: aws.String(m.executions + name), IncludedData: data})
	var none *types.ExecutionDoesNotExist
	if errors.As(err, &none) {
		return nil, fault.New(fault.NotFound, "no execution %q", name)
	}
	if err != nil {
		return nil, awscall.Fault(err, "sfn: describe "+name)
	}
	return x, nil
}

// wellFormed takes 1 to 80 of [A-Za-z0-9_-]: what an order's executions are called, and what Step Functions can log.
func wellFormed(name string) bool {
	return name != "" && len(name) <= 80 && strings.IndexFunc(name, func(r rune) bool {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		return !letter && (r < '0' || r > '9') && r != '_' && r != '-'
	}) < 0
}

// Names returns up to limit (at most 1,000) names of executions with the status, the newest first, from the token's place on; "" begins. The next token is ""
// at the end, and good for a day.
func (m *Machine) Names(ctx context.Context, status asl.Status, token string, limit int) (names []string, next string, err error) {
	in := &sfn.ListExecutionsInput{
		StateMachineArn: &m.base, StatusFilter: types.ExecutionStatus(status), MaxResults: int32(min(max(limit, 1), maxEvents)),
	}
	if token != "" {
		in.NextToken = &token
	}
	out, err := m.client.ListExecutions(ctx, in)
	if err != nil {
		return nil, "", awscall.Fault(err, "sfn: list executions")
	}
	for _, x := range out.Executions {
		names = append(names, aws.ToString(x.Name))
	}
	return names, aws.ToString(out.NextToken), nil
}
