package app

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/flow"
	"github.com/utkarsh698/cloudflow/internal/limit"
)

// refusalsEvery is how often the log tells of orders that are refused, however many are: a flood of calls must not become one of lines.
const refusalsEvery = time.Minute

// A gate is limit's as order sees it: it goes by what the engine has to do.
type gate struct {
	*limit.Gate
	load    func() flow.Load
	refused func(reason string) // nil: nobody counts
	now     func() time.Time
	log     *slog.Logger

	tell  atomic.Int64 // when the log is to be told next, in nanoseconds since 1970
	since atomic.Int64 // refusals that it has not been told of
}

func newGate(c Config, load func() flow.Load) *gate {
	g := &gate{load: load, refused: c.Counts.OrderRefused, now: c.Now, log: c.Log.With("service", "order_service.gate")}
	g.Gate = limit.NewGate(c.Bounds, func() limit.Work { return limit.Work(load()) }, c.Now, nil)
	return g
}

// Enter is fault.Overloaded with retry_after_seconds while there is too much to do. Why is for the operator to know: a caller can do no more than
// wait.
func (g *gate) Enter() error {
	reason, away := g.Gate.Enter()
	if reason == "" {
		return nil
	}
	if g.refused != nil {
		g.refused(string(reason))
	}
	g.note(reason)
	seconds := limit.Seconds(away)
	return fault.New(fault.Overloaded, "There are more orders than can be worked on soon.").With("retry_after_seconds", seconds)
}

// note tells the log of the first refusal, and then once in a while of all since.
func (g *gate) note(reason limit.Reason) {
	n, now, due := g.since.Add(1), g.now(), g.tell.Load()
	left := time.Duration(due - now.UnixNano()) // more than it ever is where the clock was set back
	if left > 0 && left <= refusalsEvery || !g.tell.CompareAndSwap(due, now.Add(refusalsEvery).UnixNano()) {
		return
	}
	g.since.Add(-n)
	l := g.load()
	g.log.LogAttrs(context.Background(), slog.LevelWarn, "New orders are refused: there is too much to do",
		slog.String("reason", string(reason)), slog.Int64("refused", n), slog.Int("open", l.Open), slog.Int("ready", l.Ready),
		slog.Duration("oldest", l.Oldest))
}
