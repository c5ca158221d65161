package awsbus

import (
	"context"
	"encoding/json"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"github.com/utkarsh698/cloudflow/internal/awscall"
	"github.com/utkarsh698/cloudflow/internal/fault"
)

// Source is what our events name as theirs, for the patterns of rules.
const Source = "cloudflow.orders"

const (
	// maxEntries and maxPutBytes are PutEvents' limits. The larger one of 1 MiB is not counted on: most targets, SQS by default among them,
	// were made for this one (https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevent-size.html).
	maxEntries  = 10
	maxPutBytes = 256 << 10

	timeBytes = 14 // that an entry's time counts for

	putAttempts = 5 // for the entries of a call that fail one by one
	putPause    = 2 * time.Second
)

// An Event is something that happened to an order.
type Event struct {
	Type   string // such as ORDER_CONFIRMED: the entry's detail-type
	Detail []byte // a JSON object; it names the order and the version, since neither order nor number of deliveries is EventBridge's promise
	Time   time.Time
	Trace  string // X-Ray's trace header of what it came from, "" if there is none
}

// size is what EventBridge counts.
func (e Event) size() int { return timeBytes + len(Source) + len(e.Type) + len(e.Detail) }

// EventsConfig of Events.
type EventsConfig struct {
	Bus   string         // name or ARN
	Calls awscall.Limits // of each call
}

// Events puts events on a bus of EventBridge. It is safe for concurrent use.
type Events struct {
	bus    string
	client *eventbridge.Client
}

// OpenEvents returns Events. It asks nobody.
func OpenEvents(config aws.Config, c EventsConfig) *Events {
	return &Events{bus: c.Bus, client: eventbridge.NewFromConfig(awscall.Bounded(config, c.Calls))}
}

// Publish puts the events on the bus, ten and 256 KiB in a call, in their order. sent of them, the first, are there for certain; of those behind
// them some may be after an error, and a repeat puts them there again. An entry that EventBridge has no room for now is tried five times.
//
// fault.PayloadTooLarge and fault.ValidationFailed say that event number sent can never be published; fault.Internal that EventBridge refused one;
// fault.Transient and fault.Throttled that another call may succeed.
func (e *Events) Publish(ctx context.Context, events ...Event) (sent int, err error) {
	for sent < len(events) {
		n, err := batchOf(events[sent:])
		if n == 0 {
			return sent, err
		}
		done, err := e.put(ctx, events[sent:sent+n])
		sent += done
		if err != nil {
			return sent, err
		}
	}
	return sent, nil
}

// batchOf is how many of the events go into one call. It is none if the first one can never go.
func batchOf(events []Event) (n int, err error) {
	size := 0
	for n < len(events) && n < maxEntries {
		event := events[n]
		switch {
		case event.size() > maxPutBytes:
			return n, fault.New(fault.PayloadTooLarge, "an event of %d bytes, at most %d", event.size(), maxPutBytes)
		case event.Type == "" || !object(event.Detail):
			return n, fault.New(fault.ValidationFailed, "an event without a type, or whose detail is no JSON object")
		}
		if size += event.size(); size > maxPutBytes {
			break
		}
		n++
	}
	return n, nil
}

func object(text []byte) bool {
	var v map[string]json.RawMessage
	return json.Unmarshal(text, &v) == nil && v != nil
}

// put publishes what fits into one call, and says how many at the head are there.
func (e *Events) put(ctx context.Context, events []Event) (done int, err error) {
	left := make([]int, len(events)) // of the events, which are not there yet
	for i := range left {
		left[i] = i
	}
	for attempt := 1; ; attempt++ {
		var why string
		var again bool
		left, why, again, err = e.putOnce(ctx, events, left)
		switch {
		case err != nil:
			return left[0], err
		case len(left) == 0:
			return len(events), nil
		case !again:
			return left[0], fault.New(fault.Internal, "awsbus: publish: %d of %d events were refused: %s", len(left), len(events), why)
		case attempt == putAttempts || !awscall.Sleep(ctx, awscall.Backoff(attempt, putPause)):
			return left[0], fault.New(fault.Transient, "awsbus: publish: %d of %d events failed: %s", len(left), len(events), why)
		}
	}
}

// putOnce asks for those that are left, and returns those that still are, with the code of the last, and whether all of them may be tried again.
func (e *Events) putOnce(ctx context.Context, events []Event, left []int) (still []int, why string, again bool, err error) {
	in := &eventbridge.PutEventsInput{}
	for _, i := range left {
		event := events[i]
		entry := types.PutEventsRequestEntry{
			EventBusName: &e.bus, Source: aws.String(Source), DetailType: aws.String(event.Type), Detail: aws.String(string(event.Detail)), Time: aws.Time(event.Time),
		}
		if event.Trace != "" {
			entry.TraceHeader = aws.String(event.Trace)
		}
		in.Entries = append(in.Entries, entry)
	}
	out, err := e.client.PutEvents(ctx, in)
	if err != nil {
		return left, "", false, awscall.Fault(err, "awsbus: publish")
	}
	if len(out.Entries) != len(left) { // then nobody knows which answer is whose
		return left, "", false, fault.New(fault.Transient, "awsbus: publish: %d answers to %d events", len(out.Entries), len(left))
	}
	again = true
	for i, entry := range out.Entries {
		if entry.ErrorCode == nil {
			continue
		}
		still = append(still, left[i])
		why = *entry.ErrorCode
		again = again && passing(why)
	}
	return still, why, again, nil
}

// passing reports whether an entry's code is of what passes
// (https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEventsResultEntry.html).
func passing(code string) bool {
	return code == "ThrottlingException" || code == "InternalFailure" || code == "InternalException" || code == "ServiceUnavailable"
}
