package order

import (
	"context"
	"log/slog"
	"time"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// ErasuresTable holds what was erased: partition "customers", sort key the customer's id, which is a pseudonym. It says when and by whom,
// and nothing that was erased.
const ErasuresTable = "erasures"

// The attributes of an erasure.
const (
	attrErased = "erased_ms"
	attrActor  = "actor"
)

// erasePage is how many contacts are removed in a commit. It is far below what a commit takes, so that orders hardly wait for it.
const erasePage = 50

// An Erasure is the answer to Erase: the same for a customer who never gave a contact, or never was.
type Erasure struct {
	CustomerID string    `json:"customer_id"`
	ErasedAt   time.Time `json:"erased_at"` // UTC, milliseconds
}

// Erase destroys the key of the customer's contacts, and then removes what was sealed under it from the orders. With the key gone no
// contact opens, wherever its sealed bytes were copied to: a queued message, a dead letter, a file that the store has not yet
// compacted. Orders, totals and logs stay as they are.
//
// It is durable when it returns nil. An error, or a crash, may leave it half done, and a repeat finishes it. A contact that the customer
// gives with an order after it is kept, under a new key. fault.ValidationFailed: that is no customer's id.
func (s *Service) Erase(ctx context.Context, customerID, actor string) (Erasure, error) {
	if !validID(customerID) {
		return Erasure{}, fault.New(fault.ValidationFailed, "customer_id must be 1 to 64 of A-Z, a-z, 0-9, \".\", \"_\" and \"-\".").With("field", "customer_id")
	}
	if s.keys == nil {
		return Erasure{}, fault.New(fault.Internal, "there are no keys to erase")
	}
	e := Erasure{CustomerID: customerID, ErasedAt: s.now().UTC().Truncate(time.Millisecond)}
	if err := s.keys.Erase(customerID); err != nil {
		return Erasure{}, err
	}
	if err := s.removeContacts(ctx, e); err != nil {
		return Erasure{}, err
	}
	// The record comes last: it says that all of it was done.
	err := s.store.Update(ctx, func(tx *store.Tx) error {
		key := store.Key{Table: ErasuresTable, PK: "customers", SK: customerID}
		tx.Put(key, store.Item{store.N(attrErased, e.ErasedAt.UnixMilli()), store.S(attrActor, actor)})
		return nil
	})
	if err != nil {
		return Erasure{}, err
	}
	s.log.LogAttrs(ctx, slog.LevelInfo, "Contact erased", slog.String("customer_id", customerID), slog.String("actor", actor))
	return e, nil
}

// removeContacts takes the sealed contacts from the orders that were stored before the erasure. Whatever is younger may be sealed under a
// new key; if it is not, it does not open either, and the next erasure takes it.
func (s *Service) removeContacts(ctx context.Context, e Erasure) error {
	q := store.Query{Table: Table, PK: customerKey(e.CustomerID, "").PK, Limit: erasePage}
	for {
		page, err := s.store.Range(ctx, q)
		if err != nil {
			return err
		}
		err = s.store.Update(ctx, func(tx *store.Tx) error {
			for _, en := range page {
				if en.Item.Int(attrSince) < e.ErasedAt.UnixMilli() {
					tx.Delete(contactKey(en.Key.SK))
				}
			}
			return nil
		})
		if err != nil || len(page) < erasePage {
			return err
		}
		q.After = page[len(page)-1].Key.SK
	}
}
