package instance

import (
	"context"
	"time"

	"github.com/utkarsh698/cloudflow/internal/app"
	"github.com/utkarsh698/cloudflow/internal/observe/metrics"
	"github.com/utkarsh698/cloudflow/internal/store/pebblestore"
)

const (
	// scrapeTime bounds what a scrape reads from the store: Prometheus gives up after 10 s.
	scrapeTime = 2 * time.Second
	// sendTime bounds the last sending of metrics at the stop. What a collector has not taken by then it does not get.
	sendTime = 5 * time.Second
)

// Both stores, and the queue, as metrics name them.
const (
	ownStore      = "cloudflow"
	providerStore = "provider"
	queue         = "notifications"
)

// watch counts the commits of a store.
func watch(m *metrics.Metrics, store string) pebblestore.Watch {
	commit, sync := m.Histogram(metrics.StoreCommitDuration, store), m.Histogram(metrics.StoreSyncDuration, store)
	group := m.Histogram(metrics.StoreGroupCommits, store)
	return pebblestore.Watch{Committed: commit.Took, Synced: func(took time.Duration, commits int) {
		sync.Took(took)
		group.Held(commits)
	}}
}

// observe tells what an instance knows anyway.
func (i *Instance) observe(ctx context.Context, o metrics.Observer) error {
	ctx, cancel := context.WithTimeout(ctx, scrapeTime)
	defer cancel()
	load := i.App.Engine.Load()
	o.Set(metrics.ExecutionsOpen, float64(load.Open))
	o.Set(metrics.ExecutionsReady, float64(load.Ready))
	o.Set(metrics.ExecutionsOldest, load.Oldest.Seconds())
	observeStore(o, ownStore, i.Dir.Store.Stats())
	observeStore(o, providerStore, i.Dir.Provider.Stats())
	i.observeQueue(ctx, o)
	if n, err := i.App.Orders.CountInReview(ctx); err == nil { // as for the queue
		o.Set(metrics.OrdersReview, float64(n))
	}
	for name, b := range i.App.Breakers {
		// Without the store it is what this process goes by, which is what counts here.
		s, _ := b.State(ctx)
		for _, state := range app.BreakerStates {
			o.Set(metrics.BreakerState, oneIf(s.State == state), name, string(state))
		}
	}
	return nil
}

func observeStore(o metrics.Observer, name string, s pebblestore.Stats) {
	o.Set(metrics.StoreCommits, float64(s.Commits), name)
	o.Set(metrics.StoreSyncs, float64(s.Groups), name)
	o.Set(metrics.StoreSyncTime, s.SyncTime.Seconds(), name)
	o.Set(metrics.StoreWritten, float64(s.Bytes), name)
	o.Set(metrics.StoreRefusals, float64(s.Refusals), name)
	o.Set(metrics.StoreConflicts, float64(s.Conflicts), name)
	o.Set(metrics.StoreWaiting, float64(s.Queued), name)
	o.Set(metrics.StoreDisk, float64(s.DiskBytes), name)
	o.Set(metrics.StoreLowDisk, oneIf(s.Low), name)
}

// observeQueue leaves the queue out if it cannot be read: the others are what an operator needs then.
func (i *Instance) observeQueue(ctx context.Context, o metrics.Observer) {
	stats, err := i.App.Queue.Stats(ctx)
	if err != nil {
		return
	}
	o.Set(metrics.QueueMessages, float64(stats.Ready), queue, "ready")
	o.Set(metrics.QueueMessages, float64(stats.InFlight), queue, "in_flight")
	o.Set(metrics.QueueMessages, float64(stats.Dead), queue, "dead")
	age := 0.0
	if !stats.Oldest.IsZero() {
		age = max(0, time.Since(stats.Oldest).Seconds())
	}
	o.Set(metrics.QueueOldest, age, queue)
}

func oneIf(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
