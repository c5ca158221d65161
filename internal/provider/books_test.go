package provider

import (
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/store"
)

func TestBooksTellsOfAPageThatCannotBeRead(t *testing.T) {
	page := func(orderID string, items map[string]store.Item) (entries []store.Entry) {
		for _, sk := range []string{skDue, skIntent, skOutcome, skOutcome + "2", skRefund} {
			if it := items[sk]; it != nil {
				entries = append(entries, store.Entry{Key: key(orderID, sk), Item: it})
			}
		}
		return entries
	}
	intent := store.Item{store.N("amount_cents", 100), store.S("currency", "USD"), store.S("method", Visa), store.N("at", 1)}
	capture := entryItem(typeCapture, 100, time.UnixMilli(2))
	whole := map[string]store.Item{skIntent: intent, skOutcome: capture}
	for rule, bad := range map[string]map[string]store.Item{
		"an outcome without an intent":        {skOutcome: capture},
		"a second outcome":                    {skIntent: intent, skOutcome: capture, skOutcome + "2": capture},
		"an outcome of an unknown type":       {skIntent: intent, skOutcome: entryItem("gift", 100, time.UnixMilli(2))},
		"a capture where the refund stands":   {skIntent: intent, skOutcome: capture, skRefund: capture},
		"a late capture, and nothing besides": {skDue: {store.N("at", 1)}},
	} {
		t.Run(rule+" is told of under its own order, and the pages around it are read", func(t *testing.T) {
			var read, unreadable []string
			books := Books{
				Now:        time.UnixMilli(10),
				Each:       func(a Account) error { read = append(read, a.OrderID); return nil },
				Unreadable: func(orderID string, _ error) { unreadable = append(unreadable, orderID) },
			}
			for _, e := range append(append(page("a", whole), page("b", bad)...), page("c", whole)...) {
				if err := books.Add(e); err != nil {
					t.Fatal(err)
				}
			}
			if err := books.Close(); err != nil {
				t.Fatal(err)
			}
			if len(read) != 2 || read[0] != "a" || read[1] != "c" || len(unreadable) != 1 || unreadable[0] != "b" {
				t.Errorf("read %v, unreadable %v", read, unreadable)
			}
			books.Unreadable = nil
			errs := 0
			for _, e := range append(page("b", bad), page("c", whole)...) {
				if books.Add(e) != nil {
					errs++
				}
			}
			if err := books.Close(); err != nil || errs != 1 {
				t.Errorf("%d errors, then %v", errs, err)
			}
		})
	}
}
