// Package bustest holds the promises of the bus port. An adapter's test is one call of Run.
package bustest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/bus"
	"github.com/utkarsh698/cloudflow/internal/fault"
)

// A Harness is one empty queue and the means to try it.
type Harness struct {
	Queue bus.Queue
	Dead  bus.DeadLetters
	// Advance lets at least d pass, for the queue: it moves a clock, or sleeps where the clock is not ours.
	Advance func(d time.Duration)
	// Visibility is the timeout that the tests receive with: the shortest that makes sense. Zero means 30 s.
	Visibility time.Duration
	// MaxReceives is what the queue was made with. Zero means bus.MaxReceives.
	MaxReceives int
}

// Run checks the promises, each on a new queue.
func Run(t *testing.T, open func(t *testing.T) Harness) {
	rules := []struct {
		rule string
		test func(*testing.T, *queue)
	}{
		{"a message that was sent is received as it was sent", receivedAsSent},
		{"an empty queue answers at once with nothing", emptyAnswersNothing},
		{"a message that was received is hidden until its visibility ends", hiddenUntilVisible},
		{"a message that was deleted never comes back", deletedIsGone},
		{"a receipt of an earlier receive deletes nothing", staleReceiptDeletesNothing},
		{"a receipt that was never given deletes nothing", unknownReceiptDeletesNothing},
		{"deleting twice is no error", deletingTwice},
		{"many messages are all received once and can be deleted together", manyAreReceivedOnce},
		{"a receive gives no more than it was asked for", noMoreThanAsked},
		{"a message that is received too often becomes a dead letter", becomesDeadLetter},
		{"reading dead letters takes none away", readingTakesNothing},
		{"a dead letter that is redriven begins anew", redrivenBeginsAnew},
		{"a redrive by ID moves that one alone", redriveByID},
		{"a message that is deferred comes back when its delay ends", deferredComesBack},
		{"a body may have the greatest size and no byte more", bodySize},
		{"Wait returns when there is something, and with the context's error when that ends", waits},
	}
	for _, r := range rules {
		t.Run(r.rule, func(t *testing.T) {
			h := open(t)
			if h.Visibility == 0 {
				h.Visibility = 30 * time.Second
			}
			if h.MaxReceives == 0 {
				h.MaxReceives = bus.MaxReceives
			}
			r.test(t, &queue{Harness: h, t: t})
		})
	}
}

// queue is a Harness whose calls must succeed.
type queue struct {
	Harness
	t *testing.T
}

func (q *queue) send(body string) {
	q.t.Helper()
	if err := q.Queue.Send(q.t.Context(), []byte(body)); err != nil {
		q.t.Fatalf("send: %v", err)
	}
}

func (q *queue) receive(n int) []bus.Message {
	q.t.Helper()
	messages, err := q.Queue.Receive(q.t.Context(), n, q.Visibility)
	if err != nil {
		q.t.Fatalf("receive: %v", err)
	}
	return messages
}

// one receives what has to be one message.
func (q *queue) one() bus.Message {
	q.t.Helper()
	messages := q.receive(10)
	if len(messages) != 1 {
		q.t.Fatalf("received %d messages, want 1", len(messages))
	}
	return messages[0]
}

func (q *queue) none() {
	q.t.Helper()
	if messages := q.receive(10); len(messages) != 0 {
		q.t.Fatalf("received %d messages (%q first), want none", len(messages), messages[0].Body)
	}
}

func (q *queue) delete(receipts ...string) {
	q.t.Helper()
	if err := q.Queue.Delete(q.t.Context(), receipts...); err != nil {
		q.t.Fatalf("delete: %v", err)
	}
}

func (q *queue) dead() []bus.DeadLetter {
	q.t.Helper()
	var all []bus.DeadLetter
	for cursor := ""; ; {
		letters, next, err := q.Dead.List(q.t.Context(), cursor, 2)
		if err != nil {
			q.t.Fatalf("list: %v", err)
		}
		all = append(all, letters...)
		if next == "" {
			return all
		}
		cursor = next
	}
}

func (q *queue) redrive(want int, ids ...string) {
	q.t.Helper()
	n, err := q.Dead.Redrive(q.t.Context(), ids...)
	if err != nil || n != want {
		q.t.Fatalf("redrive = %d, %v; want %d", n, err, want)
	}
}

// kill receives all there is until nothing comes any more, and returns how often that was.
func (q *queue) kill() int {
	q.t.Helper()
	for n := 0; ; n++ {
		if len(q.receive(10)) == 0 {
			return n
		}
		q.Advance(q.Visibility)
	}
}

func receivedAsSent(t *testing.T, q *queue) {
	q.send("\x00binary, \xff too")
	m := q.one()
	if string(m.Body) != "\x00binary, \xff too" || m.Receives != 1 || m.ID == "" || m.Receipt == "" || m.SentAt.IsZero() {
		t.Errorf("received %+v", m)
	}
}

func emptyAnswersNothing(t *testing.T, q *queue) {
	q.none()
	if err := q.Queue.Delete(t.Context()); err != nil {
		t.Errorf("deleting nothing: %v", err)
	}
}

func hiddenUntilVisible(t *testing.T, q *queue) {
	q.send("m")
	first := q.one()
	q.none()
	q.Advance(q.Visibility)
	second := q.one()
	if second.ID != first.ID || string(second.Body) != "m" || second.Receives != 2 || !second.SentAt.Equal(first.SentAt) {
		t.Errorf("received %+v and then %+v", first, second)
	}
}

func deletedIsGone(_ *testing.T, q *queue) {
	q.send("m")
	q.delete(q.one().Receipt)
	q.Advance(q.Visibility)
	q.none()
}

func staleReceiptDeletesNothing(_ *testing.T, q *queue) {
	q.send("m")
	stale := q.one().Receipt
	q.Advance(q.Visibility)
	q.one()
	q.delete(stale)
	q.Advance(q.Visibility)
	q.delete(stale)
	q.one()
}

func unknownReceiptDeletesNothing(_ *testing.T, q *queue) {
	q.send("m")
	_ = q.Queue.Delete(q.t.Context(), "no such receipt") // an adapter may call it an error
	q.one()
}

func deletingTwice(_ *testing.T, q *queue) {
	q.send("m")
	r := q.one().Receipt
	q.delete(r, r)
	q.delete(r)
	q.none()
}

func manyAreReceivedOnce(t *testing.T, q *queue) {
	const many = 120
	var want, got, receipts []string
	for i := range many {
		body := fmt.Sprintf("m%03d", i)
		want = append(want, body)
		q.send(body)
	}
	for len(got) < many {
		batch := q.receive(10)
		if len(batch) == 0 {
			t.Fatalf("nothing more after %d messages", len(got))
		}
		for _, m := range batch {
			got, receipts = append(got, string(m.Body)), append(receipts, m.Receipt)
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("received %q", got)
	}
	q.delete(receipts...)
	q.Advance(q.Visibility)
	q.none()
}

func noMoreThanAsked(t *testing.T, q *queue) {
	for range 5 {
		q.send("m")
	}
	if n := len(q.receive(2)); n > 2 {
		t.Errorf("received %d messages, asked for 2", n)
	}
}

func becomesDeadLetter(t *testing.T, q *queue) {
	q.send("poison")
	if n := q.kill(); n != q.MaxReceives {
		t.Errorf("received %d times, want %d", n, q.MaxReceives)
	}
	letters := q.dead()
	if len(letters) != 1 || string(letters[0].Body) != "poison" || letters[0].Receives != q.MaxReceives || letters[0].SentAt.IsZero() {
		t.Errorf("dead letters %+v", letters)
	}
	q.Advance(q.Visibility)
	q.none()
}

// A reader of the dead letters that deletes what it has reported loses the only copy: listing is no receiving.
func readingTakesNothing(t *testing.T, q *queue) {
	for _, body := range []string{"a", "b", "c"} {
		q.send(body)
	}
	q.kill()
	for range 5 {
		if n := len(q.dead()); n != 3 {
			t.Fatalf("%d dead letters, want 3", n)
		}
		q.none()
		q.Advance(q.Visibility)
	}
}

func redrivenBeginsAnew(t *testing.T, q *queue) {
	q.send("m")
	q.kill()
	q.redrive(1)
	if n := len(q.dead()); n != 0 {
		t.Errorf("%d dead letters after the redrive", n)
	}
	if m := q.one(); string(m.Body) != "m" || m.Receives != 1 {
		t.Errorf("received %+v", m)
	}
	q.Advance(q.Visibility)
	if n := q.kill(); n != q.MaxReceives-1 {
		t.Errorf("received %d times more, want %d", n, q.MaxReceives-1)
	}
	if n := len(q.dead()); n != 1 {
		t.Errorf("%d dead letters, want 1 again", n)
	}
}

func redriveByID(t *testing.T, q *queue) {
	for _, body := range []string{"a", "b", "c"} {
		q.send(body)
	}
	q.kill()
	letters := q.dead()
	if len(letters) != 3 {
		t.Fatalf("%d dead letters, want 3", len(letters))
	}
	chosen := letters[1]
	q.redrive(0, "no such message")
	q.redrive(1, chosen.ID)
	if m := q.one(); m.ID != chosen.ID || !bytes.Equal(m.Body, chosen.Body) {
		t.Errorf("received %+v, want %+v", m, chosen)
	}
	if n := len(q.dead()); n != 2 {
		t.Errorf("%d dead letters stay, want 2", n)
	}
}

func deferredComesBack(t *testing.T, q *queue) {
	q.send("m")
	m := q.one()
	if err := q.Queue.Defer(t.Context(), 3*q.Visibility, "the relay said 451", m.Receipt); err != nil {
		t.Fatal(err)
	}
	q.Advance(2 * q.Visibility)
	q.none()
	q.Advance(q.Visibility)
	again := q.one()
	if again.ID != m.ID || again.Receives != 2 {
		t.Errorf("received %+v", again)
	}
	if err := q.Queue.Defer(t.Context(), 0, "", again.Receipt); err != nil {
		t.Fatal(err)
	}
	q.Advance(time.Millisecond)
	if m := q.one(); m.Receives != 3 {
		t.Errorf("received %+v", m)
	}
}

func bodySize(t *testing.T, q *queue) {
	body := bytes.Repeat([]byte("x"), bus.MaxBodyBytes)
	q.send(string(body))
	if m := q.one(); !bytes.Equal(m.Body, body) {
		t.Errorf("received %d bytes", len(m.Body))
	}
	if err := q.Queue.Send(t.Context(), append(body, 'x')); !fault.Is(err, fault.PayloadTooLarge) {
		t.Errorf("one byte more: %v", err)
	}
	if err := q.Queue.Send(t.Context(), nil); err == nil {
		t.Error("an empty body was taken")
	}
	q.none()
}

func waits(t *testing.T, q *queue) {
	q.send("m")
	if err := q.Queue.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	q.delete(q.one().Receipt)
	q.none()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for range 3 { // it may wake for nothing, but not for ever
		if err := q.Queue.Wait(ended); errors.Is(err, context.Canceled) {
			return
		}
	}
	t.Error("Wait outlived its context")
}
