package migrate

import (
	"context"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// readers is how many orders are read at once by ByLists: each is one read, and little beside what a table gives.
const readers = 16

// ByLists is a Target's Walk over a store that cannot be scanned: it reads each order that the lists of days name.
func ByLists(s store.Store) func(ctx context.Context, fn func(store.Entry) error) error {
	return func(ctx context.Context, fn func(store.Entry) error) error {
		g, of := errgroup.WithContext(ctx)
		g.SetLimit(readers)
		var mu sync.Mutex // fn is called by one at a time
		err := order.Listed(of, s, func(id string) error {
			g.Go(func() error {
				return store.Each(of, s, order.Query(id), func(e store.Entry) error {
					mu.Lock()
					defer mu.Unlock()
					return fn(e)
				})
			})
			return of.Err()
		})
		// What a reader has found says more than that the rest was ended.
		if read := g.Wait(); read != nil {
			return read
		}
		return err
	}
}
