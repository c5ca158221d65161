package invariant

import (
	"context"
	"slices"
	"sync"

	"github.com/utkarsh698/cloudflow/internal/store"
)

// This file is how a walk reads: many at once, given one after the other.

// all gives all entries of the partitions.
func (k *walker) all(ctx context.Context, queries []store.Query, give func(store.Entry) error) (err error) {
	for len(queries) > 0 && err == nil {
		queries, err = k.pages(ctx, queries, give)
	}
	return err
}

// pages gives a page of each partition, and returns what reads on in those that have more.
func (k *walker) pages(ctx context.Context, queries []store.Query, give func(store.Entry) error) (rest []store.Query, err error) {
	type answer struct {
		q       store.Query
		entries []store.Entry
	}
	err = inTurn(ctx, queries, func(ctx context.Context, q store.Query) (answer, error) {
		entries, err := k.Ours.Range(ctx, q)
		return answer{q, entries}, err
	}, func(a answer) error {
		for _, e := range a.entries {
			if err := give(e); err != nil {
				return err
			}
		}
		if n := len(a.entries); n == store.MaxRangeLimit {
			a.q.After = a.entries[n-1].Key.SK
			rest = append(rest, a.q)
		}
		return nil
	})
	return rest, err
}

// items gives those of the items that there are.
func (k *walker) items(ctx context.Context, keys []store.Key, give func(store.Entry) error) error {
	return inTurn(ctx, slices.Collect(slices.Chunk(keys, store.MaxGetMany)), func(ctx context.Context, keys []store.Key) ([]store.Entry, error) {
		items, err := k.Ours.GetMany(ctx, keys, store.Strong)
		if err != nil {
			return nil, err
		}
		return present(keys, items), nil
	}, func(entries []store.Entry) error {
		for _, e := range entries {
			if err := give(e); err != nil {
				return err
			}
		}
		return nil
	})
}

func present(keys []store.Key, items []store.Item) []store.Entry {
	var there []store.Entry
	for i, it := range items {
		if it != nil {
			there = append(there, store.Entry{Key: keys[i], Item: it})
		}
	}
	return there
}

// inTurn reads all jobs, atOnce of them at a time, and gives what was read in the order of the jobs, from the caller's goroutine. The first error ends it, and
// is returned when all readers have come back.
func inTurn[J, R any](ctx context.Context, jobs []J, read func(context.Context, J) (R, error), give func(R) error) error {
	type result struct {
		value R
		err   error
	}
	var readers sync.WaitGroup
	defer readers.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // before the readers are waited for
	var window []chan result
	for len(jobs) > 0 || len(window) > 0 {
		for len(jobs) > 0 && len(window) < atOnce {
			job, done := jobs[0], make(chan result, 1)
			readers.Go(func() {
				value, err := read(ctx, job)
				done <- result{value, err}
			})
			jobs, window = jobs[1:], append(window, done)
		}
		first := <-window[0]
		window = window[1:]
		if first.err != nil {
			return first.err
		}
		if err := give(first.value); err != nil {
			return err
		}
	}
	return nil
}
