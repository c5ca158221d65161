package awsbus

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/utkarsh698/cloudflow/internal/awscall"
	"github.com/utkarsh698/cloudflow/internal/bus"
	"github.com/utkarsh698/cloudflow/internal/fault"
)

const (
	maxBatch  = 10               // entries of a call, which is SQS's limit
	pollTime  = 20 * time.Second // of a long poll, SQS's longest: three requests a minute while nothing comes
	maxHidden = 12 * time.Hour   // SQS's limit, counted from the receive

	// maxDefer leaves an hour for what has passed since the receive, so that SQS never refuses a delay.
	maxDefer = maxHidden - time.Hour

	defaultVisibility = 30 * time.Second // of what Wait finds before anybody has received
)

// Config of a Queue.
type Config struct {
	URL     string // of the queue
	DeadURL string // of its dead-letter queue, which has no redrive policy of its own and no consumer
	// MaxReceives is maxReceiveCount of the queue's redrive policy, default bus.MaxReceives. It is what a dead letter's Receives are said to
	// be: SQS's count of them goes on with each List.
	MaxReceives int
	Calls       awscall.Limits   // of each call but the long poll
	Now         func() time.Time // default time.Now
}

// A Queue is a bus.Queue and its bus.DeadLetters on SQS. It is safe for concurrent use.
type Queue struct {
	c     Config
	calls *sqs.Client
	looks *sqs.Client // into the dead-letter queue
	polls *sqs.Client

	looking chan struct{} // held by who reads the dead letters: two at once would hide them from each other

	mu         sync.Mutex
	found      []found       // by Wait, for the next Receive
	visibility time.Duration // that the last Receive asked for
}

// found is a message that Wait has received, and until when it is hidden.
type found struct {
	message types.Message
	until   time.Time
}

var (
	_ bus.Queue       = (*Queue)(nil)
	_ bus.DeadLetters = (*Queue)(nil)
)

// Open returns the queue. It asks nobody.
func Open(config aws.Config, c Config) *Queue {
	if c.MaxReceives <= 0 {
		c.MaxReceives = bus.MaxReceives
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	// A long poll is silent for as long as it may be, and after an error the caller's next Wait is the next try.
	polls := awscall.Limits{Try: pollTime + 5*time.Second, Attempts: 1}
	return &Queue{
		c:          c,
		calls:      sqs.NewFromConfig(awscall.Bounded(config, c.Calls)),
		looks:      sqs.NewFromConfig(awscall.Bounded(config, c.Calls.Longer(lookWait))),
		polls:      sqs.NewFromConfig(awscall.Bounded(config, polls)),
		looking:    make(chan struct{}, 1),
		visibility: defaultVisibility,
	}
}

// A Sent is a message to be sent.
type Sent struct {
	// ID names the message in logs and among dead letters: 1 to 256 visible ASCII characters. "": SQS gives it a name.
	ID    string
	Body  []byte
	Trace string // X-Ray's trace header of who sends it, "" if there is none: Lambda goes on with it

	sentAt time.Time // of a message that was in a queue before: when it was first sent
	run    string    // of a redriven message: the call that did it
}

// Send puts a message into the queue. After fault.Transient it may be there, and a repeat may put it there a second time.
func (q *Queue) Send(ctx context.Context, body []byte) error {
	return q.SendMessage(ctx, Sent{Body: body})
}

// SendMessage is Send for a message with a name or a trace: fault.PayloadTooLarge; fault.ValidationFailed for an empty body or an ID that
// cannot be one.
func (q *Queue) SendMessage(ctx context.Context, m Sent) error { return q.send(ctx, q.c.URL, m) }

func (q *Queue) send(ctx context.Context, url string, m Sent) error {
	if err := bus.CheckBody(m.Body); err != nil {
		return err
	}
	if m.ID != "" {
		if err := bus.CheckID(m.ID); err != nil {
			return err
		}
	}
	body, attributes := m.encode()
	in := &sqs.SendMessageInput{QueueUrl: &url, MessageBody: &body, MessageAttributes: attributes}
	if m.Trace != "" {
		in.MessageSystemAttributes = map[string]types.MessageSystemAttributeValue{
			string(types.MessageSystemAttributeNameForSendsAWSTraceHeader): {DataType: aws.String("String"), StringValue: &m.Trace},
		}
	}
	_, err := q.calls.SendMessage(ctx, in)
	return awscall.Fault(err, "awsbus: send")
}

// SendDead puts a message that died elsewhere among the dead letters, under its name and with the time of its sending. After fault.Transient it may be
// there, and a repeat may put it there a second time.
func (q *Queue) SendDead(ctx context.Context, l bus.DeadLetter) error {
	return q.send(ctx, q.c.DeadURL, Sent{ID: l.ID, Body: l.Body, sentAt: l.SentAt})
}

// Receive takes what Wait has found and then up to max messages in calls of ten, until one gives fewer than it was asked for. SQS may give
// fewer than there are, or none: it asks only some of its servers then
// (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-short-and-long-polling.html), and Wait asks all. The visibility is
// rounded up to a second.
func (q *Queue) Receive(ctx context.Context, max int, visibility time.Duration) ([]bus.Message, error) {
	hidden := seconds(visibility, maxHidden)
	raw := q.takeFound(ctx, max, time.Duration(hidden)*time.Second)
	for len(raw) < max {
		n := min(max-len(raw), maxBatch)
		more, err := q.receive(ctx, q.calls, q.c.URL, n, hidden, 0)
		if err != nil {
			if len(raw) > 0 { // these are hidden already, and nobody else can have them
				break
			}
			return nil, awscall.Fault(err, "awsbus: receive")
		}
		raw = append(raw, more...)
		if len(more) < n {
			break
		}
	}
	messages := make([]bus.Message, 0, len(raw))
	for i := range raw {
		messages = append(messages, Decode(deliveryOf(&raw[i])))
	}
	return messages, nil
}

func (q *Queue) receive(ctx context.Context, client *sqs.Client, url string, n int, hidden int32, wait time.Duration) ([]types.Message, error) {
	out, err := client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl:                    &url,
		MaxNumberOfMessages:         int32(n),
		VisibilityTimeout:           hidden,
		WaitTimeSeconds:             int32(wait / time.Second),
		MessageAttributeNames:       []string{"All"},
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
	})
	if err != nil {
		return nil, err
	}
	return out.Messages, nil
}

// takeFound takes up to max of the messages that Wait has found and that are hidden still, and hides them for as long as is asked.
func (q *Queue) takeFound(ctx context.Context, max int, visibility time.Duration) (raw []types.Message) {
	q.mu.Lock()
	q.visibility = visibility
	n := min(len(q.found), max)
	taken := slices.Clone(q.found[:n])
	q.found = slices.Delete(q.found, 0, n)
	q.mu.Unlock()
	for _, f := range taken {
		left := f.until.Sub(q.c.Now())
		if left <= 0 { // SQS shows it again by itself
			continue
		}
		if left < visibility-time.Second {
			_, err := q.calls.ChangeMessageVisibility(ctx, &sqs.ChangeMessageVisibilityInput{
				QueueUrl: &q.c.URL, ReceiptHandle: f.message.ReceiptHandle, VisibilityTimeout: seconds(visibility, maxHidden),
			})
			if err != nil { // it is not known how long it is ours
				continue
			}
		}
		raw = append(raw, f.message)
	}
	return raw
}

// Wait polls for up to 20 s, as long as nothing comes. SQS cannot tell that there is a message without giving it, so the one that it finds is
// kept for the next Receive; who waits and then does not receive hides it for as long as the last Receive asked for.
func (q *Queue) Wait(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	q.mu.Lock()
	visibility, some := q.visibility, len(q.found) > 0
	q.mu.Unlock()
	if some {
		return nil
	}
	raw, err := q.receive(ctx, q.polls, q.c.URL, 1, seconds(visibility, maxHidden), pollTime)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return awscall.Fault(err, "awsbus: wait")
	}
	until := q.c.Now().Add(visibility)
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, m := range raw {
		q.found = append(q.found, found{m, until})
	}
	return nil
}

// Delete removes the messages of these receipts, ten in a call. A call or an entry that fails does not keep it from the others; the
// error says how many messages may still be there.
func (q *Queue) Delete(ctx context.Context, receipts ...string) error {
	return q.delete(ctx, q.c.URL, receipts)
}

func (q *Queue) delete(ctx context.Context, url string, receipts []string) error {
	return inBatches("delete", receipts, func(batch []string) ([]types.BatchResultErrorEntry, error) {
		in := &sqs.DeleteMessageBatchInput{QueueUrl: &url}
		for i := range batch {
			in.Entries = append(in.Entries, types.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: &batch[i]})
		}
		out, err := q.calls.DeleteMessageBatch(ctx, in)
		if err != nil {
			return nil, err
		}
		return out.Failed, nil
	})
}

// Defer hides the messages of these receipts for the delay, which is rounded up to a second and is 11 hours at most. The reason is not kept.
// A stale receipt moves nothing and is no error.
func (q *Queue) Defer(ctx context.Context, delay time.Duration, _ string, receipts ...string) error {
	return q.hide(ctx, q.c.URL, seconds(delay, maxDefer), receipts)
}

func (q *Queue) hide(ctx context.Context, url string, hidden int32, receipts []string) error {
	return inBatches("hide", receipts, func(batch []string) ([]types.BatchResultErrorEntry, error) {
		in := &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &url}
		for i := range batch {
			in.Entries = append(in.Entries, types.ChangeMessageVisibilityBatchRequestEntry{
				Id: aws.String(strconv.Itoa(i)), ReceiptHandle: &batch[i], VisibilityTimeout: hidden,
			})
		}
		out, err := q.calls.ChangeMessageVisibilityBatch(ctx, in)
		if err != nil {
			return nil, err
		}
		return out.Failed, nil
	})
}

// inBatches calls do with ten of the receipts at a time, each once, and sums up what failed.
func inBatches(what string, receipts []string, do func([]string) ([]types.BatchResultErrorEntry, error)) error {
	unique := make([]string, 0, len(receipts))
	seen := make(map[string]bool, len(receipts))
	for _, r := range receipts {
		if r != "" && !seen[r] {
			seen[r] = true
			unique = append(unique, r)
		}
	}
	failed, kind, why := 0, fault.Transient, ""
	for batch := range slices.Chunk(unique, maxBatch) {
		entries, err := do(batch)
		if err != nil {
			failed, why = failed+len(batch), err.Error()
			if k := fault.KindOf(awscall.Fault(err, what)); kind != fault.Internal {
				kind = k
			}
			continue
		}
		for _, e := range entries {
			code := strings.TrimPrefix(aws.ToString(e.Code), "AWS.SimpleQueueService.")
			if stale(code) {
				continue
			}
			failed, why = failed+1, code
			if e.SenderFault {
				kind = fault.Internal
			}
		}
	}
	if failed == 0 {
		return nil
	}
	return fault.New(kind, "awsbus: %s: %d of %d messages failed: %s", what, failed, len(unique), why)
}

// stale reports whether SQS says with the code that the receipt is no longer, or never was, one of a hidden message. InvalidParameterValue is
// said of a receipt whose message is gone or visible; the other parameter, the delay, is always within its limits.
func stale(code string) bool {
	return code == "ReceiptHandleIsInvalid" || code == "MessageNotInflight" || code == "InvalidParameterValue"
}

// seconds rounds up to whole seconds, from 0 to the longest.
func seconds(d, longest time.Duration) int32 {
	d = min(max(d, 0), longest)
	return int32((d + time.Second - 1) / time.Second)
}
