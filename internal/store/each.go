package store

import "context"

// Each gives every entry that the query selects, one page after the other, with no regard to its limit. It is no snapshot: what is written meanwhile may be
// given or not. fn's error ends it and is returned.
func Each(ctx context.Context, s Store, q Query, fn func(Entry) error) error {
	q.Limit = MaxRangeLimit
	for {
		page, err := s.Range(ctx, q)
		if err != nil {
			return err
		}
		for _, e := range page {
			if err := fn(e); err != nil {
				return err
			}
		}
		if len(page) < MaxRangeLimit {
			return nil
		}
		q.After = page[len(page)-1].Key.SK
	}
}
