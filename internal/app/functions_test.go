package app

import (
	"context"
	"errors"
	"testing"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/notification"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/payment"
	"github.com/utkarsh698/cloudflow/internal/saga"
	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/memstore"
)

// A message that is sent when its commit is durable: never before it, again at a repeat, and not at all for a commit that was none.
func TestThePostedOutbox(t *testing.T) {
	s := memstore.New(memstore.Options{})
	key := store.Key{Table: "orders", PK: "ord-1"}
	var sent []notification.Message
	var trouble error
	o := &postedOutbox{send: func(ctx context.Context, m notification.Message) error {
		if it, err := s.Get(ctx, key, store.Strong); it == nil || err != nil {
			t.Errorf("sent before the commit: %v", err)
		}
		sent = append(sent, m)
		return trouble
	}}
	again := 0 // how often another commit comes between the stage and its own
	task := o.after(func(context.Context, saga.TaskInput) (store.Effect, error) {
		return store.Effect{Stage: func(tx *store.Tx) (any, error) {
			it, err := tx.Get(key)
			if err != nil {
				return nil, err
			}
			if again > 0 {
				again--
				if err := s.Update(t.Context(), func(other *store.Tx) error { other.Put(key, store.Item{store.N("n", it.Int("n")+1)}); return nil }); err != nil {
					return nil, err
				}
			}
			tx.Put(key, store.Item{store.N("n", it.Int("n")+1)})
			return nil, o.Send(tx, order.Message{OrderID: "ord-1", Version: it.Int("n") + 1})
		}}, nil
	})
	run := func() error {
		effect, err := task(t.Context(), saga.TaskInput{})
		if err != nil {
			return err
		}
		_, err = store.Commit(t.Context(), s, effect)
		return err
	}
	if err := run(); err != nil || len(sent) != 1 {
		t.Fatalf("%v, %v", sent, err)
	}
	if again = 1; run() != nil || len(sent) != 2 || sent[1].Version != 3 {
		t.Errorf("a stage that ran twice has sent %v", sent)
	}
	if trouble = fault.New(fault.Transient, "SQS is away"); !errors.Is(run(), trouble) || len(sent) != 3 {
		t.Errorf("a send that failed is the task's failure, so that it is repeated: %v", sent)
	}
	if len(o.staged) != 0 {
		t.Errorf("%d messages are kept", len(o.staged))
	}
	if err := (&postedOutbox{}).Send(nil, order.Message{}); !fault.Is(err, fault.Internal) {
		t.Errorf("without a queue: %v", err)
	}
}

// A stage without a payment provider takes no money, and says so.
func TestWithoutAProvider(t *testing.T) {
	s := memstore.New(memstore.Options{})
	f := NewFunctions(Config{Store: s}, AWS{})
	if f.Provider != nil || f.Table != nil {
		t.Errorf("%+v", f)
	}
	for range 5 {
		if _, err := f.Payments.Charge(t.Context(), payment.Charge{OrderID: "ord-1", AmountCents: 1, Currency: "USD", Attempt: "a"}); !fault.Is(err, fault.Transient) {
			t.Fatalf("%v", err)
		}
	}
	if _, err := f.Payments.Charge(t.Context(), payment.Charge{OrderID: "ord-2", AmountCents: 1, Currency: "USD", Attempt: "a"}); !fault.Is(err, fault.PaymentProviderUnavailable) {
		t.Errorf("once the circuit is open: %v", err)
	}
	if v, err := f.Payments.Show(t.Context(), "ord-2"); err != nil || v.CapturedCents != 0 {
		t.Errorf("%+v, %v", v, err)
	}
}
