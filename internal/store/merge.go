package store

import (
	"context"
	"slices"
	"strings"
)

// Merge reads several partitions as if they were one: up to q.Limit of their items behind q.After, in the order of their sort keys. It
// is for an index that is sharded because one partition would be hot, so each sort key stands in one of them. It reads up to
// q.Limit items of each, one partition after the other, and is no snapshot of them.
func Merge(ctx context.Context, s Store, q Query, partitions []string) ([]Entry, error) {
	limit, err := q.Bound()
	if err != nil {
		return nil, err
	}
	var all []Entry
	for _, pk := range partitions {
		q.PK = pk
		page, err := s.Range(ctx, q)
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
	}
	slices.SortFunc(all, func(a, b Entry) int {
		if q.Reverse {
			return strings.Compare(b.Key.SK, a.Key.SK)
		}
		return strings.Compare(a.Key.SK, b.Key.SK)
	})
	return all[:min(limit, len(all))], nil
}
