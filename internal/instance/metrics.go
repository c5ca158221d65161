package instance

import (
	"context"
	"time"

	"github.com/utkarsh698/cloudflow/internal/breaker"
	"github.com/utkarsh698/cloudflow/internal/observe/metrics"
	"github.com/utkarsh698/cloudflow/internal/store/pebblestore"
)

// scrapeTime bounds what a scrape reads from the store: Prometheus gives up after 10 s.
const scrapeTime = 2 * time.Second

// metrics are the instance's own figures beside those of its requests.
func (i *Instance) metrics(version string) *metrics.Metrics {
	m := metrics.New()
	m.Watch(i.figures.request)
	m.Collect(func(add func(metrics.Sample)) {
		add(metrics.Sample{Name: "build_info", Help: "1, with the version of the program.", Labels: []string{"version", version}, Value: 1})
		add(metrics.Sample{Name: "executions_open", Help: "Executions of the saga that have begun and not ended.", Value: float64(i.App.Engine.Open())})
		for name, s := range map[string]*pebblestore.Store{"cloudflow": i.Dir.Store, "provider": i.Dir.Provider} {
			storeMetrics(add, name, s.Stats())
		}
		ctx, cancel := context.WithTimeout(context.Background(), scrapeTime)
		defer cancel()
		i.queueMetrics(ctx, add)
		for name, b := range i.App.Breakers {
			// Without the store it is what this process goes by, which is what counts here.
			s, _ := b.State(ctx)
			for _, state := range []breaker.State{breaker.Closed, breaker.Open, breaker.HalfOpen} {
				add(metrics.Sample{
					Name: "breaker_state", Help: "1 for the state that the circuit breaker is in, 0 for the others.",
					Labels: []string{"breaker", name, "state", string(state)}, Value: oneIf(s.State == state),
				})
			}
		}
	})
	return m
}

func storeMetrics(add func(metrics.Sample), name string, s pebblestore.Stats) {
	for _, c := range []struct {
		name, help string
		value      float64
	}{
		{"store_commits_total", "Transactions that were applied.", float64(s.Commits)},
		{"store_syncs_total", "Groups of transactions, each written and synced at once.", float64(s.Groups)},
		{"store_sync_seconds_total", "Time spent on writing and syncing groups.", s.SyncTime.Seconds()},
		{"store_written_bytes_total", "Bytes of those groups.", float64(s.Bytes)},
		{"store_refusals_total", "Transactions whose condition did not hold.", float64(s.Refusals)},
		{"store_conflicts_total", "Runs of a transaction that a changed read made void.", float64(s.Conflicts)},
	} {
		add(metrics.Sample{Name: c.name, Help: c.help, Labels: []string{"store", name}, Value: c.value, Counter: true})
	}
	for _, g := range []struct {
		name, help string
		value      float64
	}{
		{"store_waiting_transactions", "Transactions that wait for the committer.", float64(s.Queued)},
		{"store_disk_bytes", "What the store's directory takes.", float64(s.DiskBytes)},
		{"store_low_disk", "1 while the disk is nearly full and commits are refused.", oneIf(s.Low)},
	} {
		add(metrics.Sample{Name: g.name, Help: g.help, Labels: []string{"store", name}, Value: g.value})
	}
}

// queueMetrics are left out if the queue cannot be read: the others are what an operator needs then.
func (i *Instance) queueMetrics(ctx context.Context, add func(metrics.Sample)) {
	stats, err := i.App.Queue.Stats(ctx)
	if err != nil {
		return
	}
	for place, n := range map[string]int{"ready": stats.Ready, "in_flight": stats.InFlight, "dead": stats.Dead} {
		add(metrics.Sample{
			Name: "queue_messages", Help: "Messages of the queue, by place; dead ones wait for an operator.",
			Labels: []string{"queue", "notifications", "place", place}, Value: float64(n),
		})
	}
	age := 0.0
	if !stats.Oldest.IsZero() {
		age = max(0, time.Since(stats.Oldest).Seconds())
	}
	add(metrics.Sample{
		Name: "queue_oldest_seconds", Help: "Age of the oldest message that is not dead; 0 if there is none.",
		Labels: []string{"queue", "notifications"}, Value: age,
	})
}

func oneIf(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
