package observe

import (
	"io"
	"log/slog"
	"sync/atomic"
	"time"
)

// A Sample is the share of orders whose lines below WARN are written. Which orders these are is decided by the correlation id alone: a hash
// of it, the same in every process and after a restart. So an order is in the log whole, or with its warnings and errors only; a
// larger share has the orders of a smaller one, and more; and two instances agree.
//
// What is never dropped: a line of WARN or above; one without a correlation id, such as those of a start, a recovery and a stop; and one that
// names no order (order_id). Those last say what an operator did: a key that was made, a backup, a circuit that was tripped. A caller can
// choose the id, and must not be able to choose that nobody reads of that.
//
// A caller can choose whether its own orders are in the sample: what is a matter of record stands in their events.
type Sample struct {
	below   uint64 // of the 2^53 values that a hash has here, those that are kept
	dropped atomic.Int64
}

// hashBits is how much of a hash is compared: what a float64 holds exactly.
const hashBits = 53

// NewSample returns the sample of a share, more than 0 and at most 1, which is all. A share that is no such number keeps all: nothing is to
// be lost by mistake.
func NewSample(share float64) *Sample {
	s := &Sample{below: 1 << hashBits}
	if share > 0 && share < 1 {
		s.below = uint64(share * (1 << hashBits))
	}
	return s
}

// Keeps reports whether the lines below WARN of an order with that correlation id are written. All lines without one are.
func (s *Sample) Keeps(correlationID string) bool {
	return s == nil || correlationID == "" || hash(correlationID)>>(64-hashBits) < s.below
}

// Dropped is how many lines were not written since the start.
func (s *Sample) Dropped() int64 { return s.dropped.Load() }

// drops decides about a line, and counts it if it is not to be written.
func (s *Sample) drops(level slog.Level, of *subject) bool {
	if s == nil || level >= slog.LevelWarn || !of.order || s.Keeps(of.correlationID) {
		return false
	}
	s.dropped.Add(1)
	return true
}

// hash is FNV-1a (http://www.isthe.com/chongo/tech/comp/fnv/), and MurmurHash3's finalizer behind it: the ids of one second
// differ in their last letters, which alone reach the upper bits of FNV-1a too little to be a sample by. hash/maphash has a seed for each
// process, so that it would not give the same twice. Another hash here is another sample: the ids of a test hold it.
func hash(id string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(id) {
		h = (h ^ uint64(id[i])) * 1099511628211
	}
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// NewSampledLogger is NewLogger with a sample. What is dropped is not formatted, and no writer behind w sees it.
func NewSampledLogger(w io.Writer, level slog.Leveler, now func() time.Time, sample *Sample) *slog.Logger {
	if level == nil {
		level = slog.LevelInfo
	}
	return slog.New(&handler{out: &output{w: w}, level: level, now: now, sample: sample})
}

// A subject is what a line is about, as far as its attributes say so: those that stand beside timestamp, level and message.
type subject struct {
	correlationID string // the last one's text: it is what readers of the line take
	correlated    bool   // it has one, a text or not
	order         bool   // it names an order
}

// take takes an attribute of the line into account, or those of a group without a name, which stand in its place.
func (s *subject) take(a slog.Attr, depth int) {
	switch a.Key {
	case keyCorrelation:
		s.correlationID, s.correlated = "", true
		if v := a.Value.Resolve(); v.Kind() == slog.KindString {
			s.correlationID = v.String()
		}
	case keyOrder:
		s.order = true
	case "":
		v := a.Value.Resolve()
		if v.Kind() != slog.KindGroup || depth >= maxDepth {
			return
		}
		for _, member := range v.Group() {
			s.take(member, depth+1)
		}
	}
}
