package order

import (
	"context"

	"github.com/utkarsh698/cloudflow/internal/store"
)

// For who reads the whole Table where nothing can be scanned: every order stands in the list of its day, and every day in the list of days. What is
// written beside an order stands where its head and its first event say.

// DaysQuery reads the days on which orders were created; their sort keys are 2006-01-02.
func DaysQuery() store.Query { return store.Query{Table: Table, PK: daysPartition} }

// DayQueries read the orders of a day, by the sort keys.
func DayQueries(day string) []store.Query {
	return queries(allShards(func(n int) string { return dayPartition(day, n) }))
}

// Any reports whether there is any order in the store, or ever was.
func Any(ctx context.Context, s store.Store) (bool, error) {
	q := DaysQuery()
	q.Limit = 1
	days, err := s.Range(ctx, q)
	return len(days) > 0, err
}

// Listed gives the ids of all orders, found by the lists of days as List finds them, the oldest day first. Unlike List it sees everything that was
// committed before it was called.
func Listed(ctx context.Context, s store.Store, fn func(id string) error) error {
	return store.Each(ctx, s, DaysQuery(), func(day store.Entry) error {
		for _, q := range DayQueries(day.Key.SK) {
			if err := store.Each(ctx, s, q, func(e store.Entry) error { return fn(e.Key.SK) }); err != nil {
				return err
			}
		}
		return nil
	})
}

// OpenQueries read the orders whose saga has not come to its end, by the sort keys; a row is read by DecodeOpenRow.
func OpenQueries() []store.Query { return queries(allShards(openPartition)) }

// ReviewQueries read the orders that wait for a person, by the sort keys.
func ReviewQueries() []store.Query { return queries(allShards(reviewPartition)) }

// CustomerQuery reads the orders of a customer, by the sort keys.
func CustomerQuery(customerID string) store.Query {
	return store.Query{Table: Table, PK: customerKey(customerID, "").PK}
}

// Query reads an order itself: its contact, its events by version, its head.
func Query(id string) store.Query { return store.Query{Table: Table, PK: id} }

func queries(partitions []string) []store.Query {
	all := make([]store.Query, len(partitions))
	for i, pk := range partitions {
		all[i] = store.Query{Table: Table, PK: pk}
	}
	return all
}

// OpenKey is the order's place among those whose saga has not come to its end.
func OpenKey(id string) store.Key { return openKey(id) }

// ReviewKey is the order's place among those that wait for a person.
func ReviewKey(id string) store.Key { return reviewKey(id) }

// HolderKey is where a caller's open orders are counted, if they are.
func HolderKey(caller string) store.Key { return holderKey(caller) }
