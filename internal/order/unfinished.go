package order

import (
	"context"

	"github.com/utkarsh698/cloudflow/internal/store"
)

// A Standing is an order whose saga has not come to its end.
type Standing struct {
	OrderID     string
	Execution   string // the current one
	NeedsReview bool   // it failed, and a person is needed
}

// Unfinished returns up to limit (at most 100) orders whose saga has not come to its end, under way or in review, with ids beyond
// after, the one that was placed first at the head.
func (s *Service) Unfinished(ctx context.Context, after string, limit int) ([]Standing, error) {
	return s.standings(ctx, openPartition, after, limit)
}

// InReview returns up to limit (at most 100) orders that wait for a person, with ids beyond after, the one that was placed first at the
// head. It does not look at the others, however many are under way.
func (s *Service) InReview(ctx context.Context, after string, limit int) ([]Standing, error) {
	return s.standings(ctx, reviewPartition, after, limit)
}

// MaxReviewCount bounds CountInReview: a thousand reads at most, and nobody acts on a greater number in another way.
const MaxReviewCount = 10_000

// CountInReview is how many orders wait for a person, at most MaxReviewCount. It reads their index and nothing else; it is no snapshot.
func (s *Service) CountInReview(ctx context.Context) (int, error) {
	n := 0
	for _, pk := range allShards(reviewPartition) {
		for q := (store.Query{Table: Table, PK: pk}); ; {
			q.Limit = min(store.MaxRangeLimit, MaxReviewCount-n)
			page, err := s.store.Range(ctx, q)
			if err != nil {
				return 0, err
			}
			if n += len(page); n == MaxReviewCount {
				return n, nil
			}
			if len(page) < q.Limit {
				break
			}
			q.After = page[len(page)-1].Key.SK
		}
	}
	return n, nil
}

func (s *Service) standings(ctx context.Context, partition func(int) string, after string, limit int) ([]Standing, error) {
	page, _, err := store.Merge(s.store, store.Query{Table: Table, After: after}, allShards(partition)).Next(ctx, min(limit, store.MaxGetMany))
	if err != nil || len(page) == 0 {
		return nil, err
	}
	keys := make([]store.Key, len(page))
	for i, e := range page {
		keys[i] = headKey(e.Key.SK)
	}
	heads, err := s.store.GetMany(ctx, keys, store.Strong)
	if err != nil {
		return nil, err
	}
	list := make([]Standing, len(page))
	for i, e := range page {
		st, err := DecodeHead(heads[i])
		if err != nil {
			return nil, err
		}
		list[i] = Standing{OrderID: e.Key.SK, Execution: ExecutionName(e.Key.SK, st.Redrives), NeedsReview: st.NeedsReview}
	}
	return list, nil
}

// Executions are the names of the order's executions: the first, and one for each redrive. The last is the current one.
// fault.NotFound: no such order.
func (s *Service) Executions(ctx context.Context, id string) ([]string, error) {
	if !validID(id) {
		return nil, notFound()
	}
	st, found, err := s.state(ctx, id)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, notFound()
	}
	names := make([]string, st.Redrives+1)
	for n := range names {
		names[n] = ExecutionName(id, int64(n))
	}
	return names, nil
}
