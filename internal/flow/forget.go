package flow

import (
	"context"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// forgetPage is how many entries of a journal are deleted in a commit: far below what one takes.
const forgetPage = 90

// attrForgotten is on the head of an execution whose journal is deleted.
const attrForgotten = "forgotten"

// ForgetJournal deletes the journal of an execution that has ended, and its input. The head stays: that there was one, when, and how it
// ended; the name is taken for good. Describe then answers fault.NotFound. A crash in between is finished by a repeat. fault.OrderState: it
// has not ended. An execution that does not exist is no error.
func (e *Engine) ForgetJournal(ctx context.Context, name string) error {
	exists := false
	err := e.o.Store.Update(ctx, func(tx *store.Tx) error {
		head, err := tx.Get(headKey(name))
		if exists = head != nil; err != nil || !exists || head.Bool(attrForgotten) {
			return err
		}
		if head.Str("status") == string(running) {
			return fault.New(fault.OrderState, "execution %s has not ended", name)
		}
		// First of all: whoever looks meanwhile must not take the rest of a journal for all of it.
		tx.Put(headKey(name), head.Without("input").With(store.Bool(attrForgotten, true)))
		return nil
	})
	if err != nil || !exists {
		return err
	}
	if err := e.forgetRows(ctx, name); err != nil {
		return err
	}
	for {
		page, err := e.o.Store.Range(ctx, store.Query{Table: Table, PK: name, Prefix: entryPrefix, Limit: forgetPage})
		if err != nil || len(page) == 0 {
			return err
		}
		err = e.o.Store.Update(ctx, func(tx *store.Tx) error {
			for _, en := range page {
				tx.Delete(en.Key)
			}
			return nil
		})
		if err != nil || len(page) < forgetPage {
			return err
		}
	}
}

// StageForget stages the end of an execution whose journal was forgotten: its head. Only its owner knows that the name will not be
// used again.
func StageForget(tx *store.Tx, name string) { tx.Delete(headKey(name)) }
