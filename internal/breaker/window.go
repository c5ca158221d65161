package breaker

import "time"

// buckets of a window: the eleventh part of a window is forgotten at a time.
const buckets = 10

// A window counts the calls of the last few seconds in buckets.
type window struct {
	width time.Duration // of a bucket
	ring  [buckets]bucket
}

type bucket struct {
	slot            int64 // the bucket's place in time, in widths since 1970
	calls, failures int
}

func (w *window) slot(now time.Time) int64 { return now.UnixNano() / int64(w.width) }

func (w *window) add(now time.Time, failed bool) {
	slot := w.slot(now)
	b := &w.ring[slot%buckets]
	if b.slot != slot {
		*b = bucket{slot: slot}
	}
	b.calls++
	if failed {
		b.failures++
	}
}

// half reports whether at least half of the calls failed, of at least minCalls.
func (w *window) half(now time.Time, minCalls int) bool {
	last := w.slot(now)
	calls, failures := 0, 0
	for _, b := range w.ring {
		if b.slot > last-buckets && b.slot <= last {
			calls += b.calls
			failures += b.failures
		}
	}
	return calls >= minCalls && 2*failures >= calls
}

func (w *window) clear() { w.ring = [buckets]bucket{} }
