package storetest

import (
	"context"
	"math/rand/v2"
	"slices"

	"github.com/utkarsh698/cloudflow/internal/store"
)

// Shuffle wraps a handler of the feed so that it meets all that the port allows: changes of different partitions in
// any order, batches split anywhere, changes again, also those of the call before, as after a crash that lost the
// cursor. Within one partition the order stays. rng belongs to the handler from now on.
func Shuffle(handle store.FeedHandler, rng *rand.Rand) store.FeedHandler {
	var last []store.Change
	return func(ctx context.Context, changes []store.Change) error {
		deliver := slices.Clone(changes)
		if rng.IntN(4) == 0 {
			deliver = slices.Concat(last, changes)
		}
		for again := true; again; again = rng.IntN(4) == 0 {
			if err := scatter(ctx, handle, rng, deliver); err != nil {
				return err
			}
		}
		last = slices.Clone(changes)
		return nil
	}
}

// scatter delivers the changes once, interleaved and in small batches, some of them twice.
func scatter(ctx context.Context, handle store.FeedHandler, rng *rand.Rand, changes []store.Change) error {
	rest := byPartition(changes)
	for len(rest) > 0 {
		var batch []store.Change
		for range 1 + rng.IntN(4) {
			if len(rest) == 0 {
				break
			}
			i := rng.IntN(len(rest))
			batch = append(batch, rest[i][0])
			if rest[i] = rest[i][1:]; len(rest[i]) == 0 {
				rest = slices.Delete(rest, i, i+1)
			}
		}
		for again := true; again; again = rng.IntN(8) == 0 {
			if err := handle(ctx, slices.Clone(batch)); err != nil {
				return err
			}
		}
	}
	return nil
}

func byPartition(changes []store.Change) [][]store.Change {
	var out [][]store.Change
	place := make(map[store.Key]int)
	for _, c := range changes {
		partition := store.Key{Table: c.Key.Table, PK: c.Key.PK}
		i, ok := place[partition]
		if !ok {
			i = len(out)
			place[partition] = i
			out = append(out, nil)
		}
		out[i] = append(out[i], c)
	}
	return out
}
