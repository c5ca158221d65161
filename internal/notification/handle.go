package notification

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/utkarsh698/cloudflow/internal/bus"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/pii"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// A Failure is a message that is not done: it stays in the queue.
type Failure struct {
	Message bus.Message
	Err     error // its text holds nothing of the message's contact
}

// Handle sends up to MaxBatch messages: one commit of records, the sends, one commit of records. It returns those that
// failed; all others are done, and are deleted by the caller unless the queue is Config.Staged. After an error nothing
// is known of any of them, and all are to be handled again.
func (s *Service) Handle(ctx context.Context, batch []bus.Message) ([]Failure, error) {
	return s.handle(ctx, batch, time.Time{})
}

// A delivery is one message on its way.
type delivery struct {
	message bus.Message
	content Message
	key     store.Key
	record  Record
	twin    *delivery // an earlier one of the batch with the same record: what becomes of it becomes of this one
	skip    bool      // the record is final already
	err     error

	ctx  context.Context // of its send
	done func(error)     // Config.Received's
}

func (d *delivery) failure() error {
	if d.twin != nil {
		return d.twin.err
	}
	return d.err
}

// todo reports whether the delivery has to be sent.
func (d *delivery) todo() bool { return d.err == nil && d.twin == nil && !d.skip }

func (s *Service) handle(ctx context.Context, batch []bus.Message, until time.Time) ([]Failure, error) {
	if len(batch) > MaxBatch {
		return nil, fault.New(fault.Internal, "a batch of %d notifications, at most %d", len(batch), MaxBatch)
	}
	deliveries := decode(batch)
	ctx, done := s.received(ctx, deliveries)
	failures, err := s.deliver(ctx, deliveries, until)
	done(err)
	return failures, err
}

// received tells Config.Received of each message. What is done for the batch as a whole, its two commits, is done in the context of the first.
func (s *Service) received(ctx context.Context, deliveries []*delivery) (context.Context, func(err error)) {
	for _, d := range deliveries {
		if d.ctx = ctx; s.c.Received != nil {
			d.ctx, d.done = s.c.Received(ctx, d.content, d.message.Receives)
		}
	}
	if len(deliveries) > 0 {
		ctx = deliveries[0].ctx
	}
	return ctx, func(err error) {
		for _, d := range deliveries {
			if d.done != nil {
				d.done(cmp.Or(err, d.failure()))
			}
		}
	}
}

func (s *Service) deliver(ctx context.Context, deliveries []*delivery, until time.Time) ([]Failure, error) {
	if err := s.begin(ctx, deliveries); err != nil {
		return nil, fmt.Errorf("notification: begin: %w", err)
	}
	s.sendAll(ctx, deliveries, until)
	// What was sent is recorded even if ctx has ended meanwhile: else it would be sent again.
	if err := s.end(context.WithoutCancel(ctx), deliveries); err != nil {
		return nil, fmt.Errorf("notification: end: %w", err)
	}
	var failures []Failure
	for _, d := range deliveries {
		if err := d.failure(); err != nil {
			failures = append(failures, Failure{d.message, err})
		}
	}
	return failures, nil
}

func decode(batch []bus.Message) []*delivery {
	deliveries := make([]*delivery, len(batch))
	first := make(map[store.Key]*delivery, len(batch))
	for i, m := range batch {
		d := &delivery{message: m}
		deliveries[i] = d
		if d.content, d.err = Decode(m.Body); d.err != nil {
			continue
		}
		d.key = recordKey(d.content.OrderID, d.content.Version)
		if d.twin = first[d.key]; d.twin == nil {
			first[d.key] = d
		}
	}
	return deliveries
}

// begin records that the sends are about to happen, and finds those that have happened.
func (s *Service) begin(ctx context.Context, deliveries []*delivery) error {
	return s.c.Store.Update(ctx, func(tx *store.Tx) error {
		now := s.c.Now()
		for _, d := range deliveries {
			if d.err != nil || d.twin != nil {
				continue
			}
			it, err := tx.Get(d.key)
			if err != nil {
				return err
			}
			d.skip = Status(it.Str("status")).final()
			if d.skip {
				continue
			}
			d.record = Record{
				OrderID:       d.content.OrderID,
				Version:       d.content.Version,
				Kind:          d.content.Kind,
				Status:        Sending,
				MessageID:     d.content.MessageID() + "@" + Domain,
				Attempts:      it.Int("attempts") + 1,
				CorrelationID: d.content.CorrelationID,
				BegunAt:       now,
			}
			tx.Put(d.key, d.record.item())
		}
		return nil
	})
}

// errNotBegun marks a delivery that was not even tried: it waits for nothing.
var errNotBegun = fault.New(fault.Transient, "not begun in time")

// sendAll sends what is to be sent, Concurrency at once. No send begins when less time is left than it may take. Once ctx
// has ended, the batch is finished as long as the sends succeed: a relay that hangs does not hold up a shutdown for
// longer than one timeout, and one that works leaves nothing half done.
func (s *Service) sendAll(ctx context.Context, deliveries []*delivery, until time.Time) {
	var failed atomic.Bool
	one := func(d *delivery) {
		late := !until.IsZero() && s.c.Now().Add(s.c.SendTimeout).After(until)
		if late || failed.Load() && ctx.Err() != nil {
			d.err = errNotBegun
			return
		}
		if d.err = s.send(context.WithoutCancel(d.ctx), d); d.err != nil {
			failed.Store(true)
		}
	}
	if s.c.Concurrency == 1 {
		for _, d := range deliveries {
			if d.todo() {
				one(d)
			}
		}
		return
	}
	var wg sync.WaitGroup
	free := make(chan struct{}, s.c.Concurrency)
	for _, d := range deliveries {
		if !d.todo() {
			continue
		}
		free <- struct{}{}
		wg.Go(func() {
			defer func() { <-free }()
			one(d)
		})
	}
	wg.Wait()
}

// send opens the contact and sends. The delivery's record then says what became of it.
func (s *Service) send(ctx context.Context, d *delivery) (err error) {
	contact, status, err := s.contact(d.content)
	if err != nil {
		return err
	}
	sender := s.c.NoContact
	switch {
	case status != Sent:
	case contact.Phone != "":
		sender = s.c.Phone
	default:
		sender = s.c.Sender
	}
	ctx, cancel := context.WithTimeout(ctx, s.c.SendTimeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = fault.New(fault.Internal, "the %s sender panicked", sender.Name()) // p might quote the address
		}
	}()
	if err := sender.Send(ctx, compose(d.content, contact, s.c.Now())); err != nil {
		return withoutContact(err, contact)
	}
	d.record.Status, d.record.Channel, d.record.EndedAt = status, sender.Name(), s.c.Now()
	return nil
}

// contact opens the contact and leaves of it the one way that is gone: the phone number if there is a sender for it, else the address. It
// says what a successful send will be recorded as.
func (s *Service) contact(m Message) (c Contact, as Status, err error) {
	if len(m.SealedContact) == 0 {
		return Contact{}, NoContact, nil
	}
	plain, err := pii.Open(s.c.Keys, m.CustomerID, m.SealedContact)
	if errors.Is(err, pii.ErrErased) {
		return Contact{}, ContactErased, nil
	}
	if err != nil {
		return Contact{}, "", fmt.Errorf("open the contact: %w", err)
	}
	if json.Unmarshal(plain, &c) != nil {
		return Contact{}, "", fault.New(fault.Internal, "a sealed contact that is not JSON of the right shape")
	}
	switch {
	case c.Phone != "" && s.c.Phone != nil:
		return Contact{Phone: c.Phone}, Sent, nil
	case c.Email != "":
		return Contact{Email: c.Email}, Sent, nil
	}
	return Contact{}, NoContact, nil
}

// withoutContact takes the contact out of an error that a sender was careless with. It keeps the kind and drops the
// chain, whose texts would hold it still.
func withoutContact(err error, c Contact) error {
	text := err.Error()
	for _, part := range []string{c.Email, c.Phone} {
		if part != "" {
			text = strings.ReplaceAll(text, part, "[contact]")
		}
	}
	if text == err.Error() {
		return err
	}
	return fault.New(fault.KindOf(err), "%s", text)
}

// end records what was sent and, if the queue stands in the same store, deletes what is done: in one commit.
func (s *Service) end(ctx context.Context, deliveries []*delivery) error {
	var done []string
	sent := 0
	for _, d := range deliveries {
		if d.failure() == nil {
			done = append(done, d.message.Receipt)
		}
		if d.todo() {
			sent++
		}
	}
	if sent == 0 && (s.c.Staged == nil || len(done) == 0) {
		return nil
	}
	err := s.c.Store.Update(ctx, func(tx *store.Tx) error {
		for _, d := range deliveries {
			if d.todo() {
				tx.Put(d.key, d.record.item())
			}
		}
		if s.c.Staged != nil {
			for _, receipt := range done {
				s.c.Staged.StageDelete(tx, receipt)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if s.c.Staged != nil {
		s.c.Staged.Deleted(done...)
	}
	for _, d := range deliveries {
		if d.todo() {
			s.log.LogAttrs(ctx, slog.LevelInfo, "Notification sent",
				slog.String("order_id", d.record.OrderID),
				slog.String("correlation_id", d.record.CorrelationID),
				slog.String("kind", string(d.record.Kind)),
				slog.String("status", string(d.record.Status)),
				slog.String("channel", d.record.Channel),
				slog.String("message_id", d.record.MessageID))
		}
	}
	return nil
}
