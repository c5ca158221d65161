package awsbus

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/utkarsh698/cloudflow/internal/awscall"
	"github.com/utkarsh698/cloudflow/internal/bus"
)

const (
	// lookTime is how long a dead letter is hidden by who looks at it: longer than a look takes, short enough that one that died in the middle
	// holds up nobody for long.
	lookTime = 30 * time.Second
	// lookWait is the long poll that says that there are no more: only a long poll asks all of SQS's servers.
	lookWait = time.Second

	maxLooked    = 1000             // letters that a List looks at: a hundred receives
	maxLookedMiB = 64               // and what they may hold together
	maxMoves     = 5000             // receives of a Redrive, so 50,000 letters
	restoreTime  = 10 * time.Second // to let go what is hidden, after the caller's context has ended too
)

// List receives all dead letters, up to 1,000 and 64 MiB, sorts them by the time of their sending, gives the page behind the cursor, and lets
// them all be seen again at once. So a page costs as many requests as all of them, a second at least; and while another process
// lists, or for 30 s after one that died, some are not seen. Beyond 1,000 the order is that of those that SQS gave.
//
// A letter's Receives are those that kill, and DiedAt is when it was first received: it died some minutes after that.
func (q *Queue) List(ctx context.Context, cursor string, limit int) (letters []bus.DeadLetter, next string, err error) {
	if limit <= 0 || limit > bus.MaxListed {
		limit = bus.MaxListed
	}
	if err := q.lock(ctx); err != nil {
		return nil, "", err
	}
	defer q.unlock()
	seen, err := q.look(ctx)
	if err != nil {
		return nil, "", err
	}
	slices.SortFunc(seen, func(a, b letter) int { return cmp.Compare(a.place, b.place) })
	for _, l := range seen {
		if l.place <= cursor {
			continue
		}
		if len(letters) == limit {
			return letters, next, nil
		}
		letters = append(letters, q.deadLetter(l.delivery))
		next = l.place
	}
	return letters, "", nil
}

// A letter is a dead letter that was received.
type letter struct {
	delivery Delivery
	place    string // in the order of sending
}

func letterOf(m *types.Message) letter {
	d := deliveryOf(m)
	return letter{d, fmt.Sprintf("%016d.%s", Decode(d).SentAt.UnixMilli(), d.MessageID)}
}

func (q *Queue) deadLetter(d Delivery) bus.DeadLetter {
	m := Decode(d)
	return bus.DeadLetter{
		ID: m.ID, Body: m.Body, Receives: q.c.MaxReceives, SentAt: m.SentAt,
		DiedAt: moment(d.Attributes[string(types.MessageSystemAttributeNameApproximateFirstReceiveTimestamp)]),
	}
}

func (q *Queue) lock(ctx context.Context) error {
	select {
	case q.looking <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (q *Queue) unlock() { <-q.looking }

// look receives the dead letters and lets them go.
func (q *Queue) look(ctx context.Context) (seen []letter, err error) {
	held := map[string]string{} // SQS's name -> receipt
	defer q.release(ctx, held)
	for size := 0; len(held) < maxLooked && size < maxLookedMiB<<20; {
		raw, err := q.receive(ctx, q.looks, q.c.DeadURL, maxBatch, seconds(lookTime, maxHidden), lookWait)
		if err != nil {
			return nil, awscall.Fault(err, "awsbus: list dead letters")
		}
		if len(raw) == 0 {
			return seen, nil
		}
		again := 0
		for i := range raw {
			l := letterOf(&raw[i])
			if _, known := held[l.delivery.MessageID]; known {
				again++
			} else {
				seen, size = append(seen, l), size+len(l.delivery.Body)
			}
			held[l.delivery.MessageID] = l.delivery.ReceiptHandle
		}
		if again == len(raw) { // the first ones are seen again: this look has taken too long to see more
			return seen, nil
		}
	}
	return seen, nil
}

// release lets what is held be seen again. Where that fails it is seen after lookTime.
func (q *Queue) release(ctx context.Context, held map[string]string) {
	if len(held) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), restoreTime)
	defer cancel()
	receipts := make([]string, 0, len(held))
	for _, receipt := range held {
		receipts = append(receipts, receipt)
	}
	_ = q.hide(ctx, q.c.DeadURL, 0, receipts)
}

// Redrive sends the dead letters with these IDs, or all, to the queue and then deletes them: a crash, or a reply that was lost, between the two
// leaves a letter in both, never in none. SQS's own StartMessageMoveTask moves everything, in the background, and gives new names. A letter that
// dies again while this runs is left alone. One call moves 50,000 at most, and looks at 1,000 that are not to be moved; a repeated one goes
// on, as it does after an error.
func (q *Queue) Redrive(ctx context.Context, ids ...string) (moved int, err error) {
	if err := q.lock(ctx); err != nil {
		return 0, err
	}
	defer q.unlock()
	r := redrive{wanted: make(map[string]bool, len(ids)), missing: make(map[string]bool, len(ids)), held: map[string]string{}, run: rand.Text()}
	for _, id := range ids {
		r.wanted[id], r.missing[id] = true, true
	}
	defer q.release(ctx, r.held)
	for range maxMoves {
		raw, err := q.receive(ctx, q.looks, q.c.DeadURL, maxBatch, seconds(lookTime, maxHidden), lookWait)
		if err != nil {
			return moved, awscall.Fault(err, "awsbus: redrive")
		}
		if len(raw) == 0 {
			break
		}
		n, err := q.raise(ctx, &r, raw)
		moved += n
		if err != nil || len(r.wanted) > 0 && len(r.missing) == 0 || len(r.held) > maxLooked {
			return moved, err
		}
	}
	return moved, nil
}

// A redrive is one call's.
type redrive struct {
	wanted  map[string]bool   // none: all
	missing map[string]bool   // of them, not moved yet
	held    map[string]string // what stays: SQS's name -> receipt
	run     string            // marks what this call has moved
}

// raise sends those of the letters that are to be moved, and deletes what was sent. All others are held, to be let go.
func (q *Queue) raise(ctx context.Context, r *redrive, raw []types.Message) (moved int, err error) {
	var sent []string
	for i := range raw {
		d := deliveryOf(&raw[i])
		m := Decode(d)
		if err != nil || len(r.wanted) > 0 && !r.wanted[m.ID] || d.MessageAttributes[attrRun] == r.run {
			r.held[d.MessageID] = d.ReceiptHandle
			continue
		}
		err = q.SendMessage(ctx, Sent{
			ID: m.ID, Body: m.Body, Trace: d.Attributes[string(types.MessageSystemAttributeNameAWSTraceHeader)], sentAt: m.SentAt, run: r.run,
		})
		if err != nil {
			r.held[d.MessageID] = d.ReceiptHandle
			continue
		}
		sent = append(sent, d.ReceiptHandle)
		delete(r.missing, m.ID)
	}
	// What was sent is deleted even if ctx has ended: else it would stand in both.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), restoreTime)
	defer cancel()
	return len(sent), errors.Join(err, q.delete(ctx, q.c.DeadURL, sent))
}

// CountDead is how many dead letters there are, about, without a look at any: those that somebody is looking at are counted.
func (q *Queue) CountDead(ctx context.Context) (int64, error) {
	return q.count(ctx, q.c.DeadURL, "awsbus: count the dead letters")
}

// CountWaiting is how many messages there are to be delivered, about: those that wait, those that are hidden and those that are delayed. SQS's counts
// lag behind by a minute or so.
func (q *Queue) CountWaiting(ctx context.Context) (int64, error) {
	return q.count(ctx, q.c.URL, "awsbus: count the messages that wait")
}

// count asks for SQS's approximate numbers
// (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_GetQueueAttributes.html).
func (q *Queue) count(ctx context.Context, url, doing string) (int64, error) {
	names := []types.QueueAttributeName{
		types.QueueAttributeNameApproximateNumberOfMessages, types.QueueAttributeNameApproximateNumberOfMessagesNotVisible,
		types.QueueAttributeNameApproximateNumberOfMessagesDelayed,
	}
	out, err := q.calls.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: names})
	if err != nil {
		return 0, awscall.Fault(err, doing)
	}
	var n int64
	for _, name := range names {
		n += integer(out.Attributes[string(name)])
	}
	return n, nil
}
