package app

import (
	"github.com/utkarsh698/cloudflow/internal/breaker"
	"github.com/utkarsh698/cloudflow/internal/flow"
	"github.com/utkarsh698/cloudflow/internal/limit"
	"github.com/utkarsh698/cloudflow/internal/observe/metrics"
)

// Counts are told of what happened, once it is durable, and are quick. Any may be nil.
type Counts struct {
	OrderCreated   func()
	OrderRefused   func(reason string) // by the gate; nothing is stored
	OrderEnded     func(status string)
	ExecutionEnded func(status string)
	BreakerChanged func(name string, to breaker.State) // decided here
}

// BreakerStates are all that a breaker can be in.
var BreakerStates = [...]breaker.State{breaker.Closed, breaker.Open, breaker.HalfOpen}

// CountIn are the counters that the services tell of what happened, all of them there from the start.
func CountIn(m *metrics.Metrics) Counts {
	ended, executions, changes := map[string]*metrics.Counter{}, map[string]*metrics.Counter{}, map[string]*metrics.Counter{}
	for _, status := range metrics.OrderStatuses {
		ended[status] = m.Counter(metrics.OrdersEnded, status)
	}
	for _, status := range metrics.ExecutionStatuses {
		executions[status] = m.Counter(metrics.SagaExecutions, status)
	}
	for _, name := range []string{ChargeBreaker, RefundBreaker} {
		for _, state := range BreakerStates {
			changes[name+" "+string(state)] = m.Counter(metrics.BreakerChanges, name, string(state))
		}
	}
	refused := map[string]*metrics.Counter{}
	for _, reason := range limit.Reasons {
		refused[string(reason)] = m.Counter(metrics.OrdersRefused, string(reason))
	}
	return Counts{
		OrderCreated:   m.Counter(metrics.OrdersCreated).Inc,
		OrderRefused:   func(reason string) { refused[reason].Inc() },
		OrderEnded:     func(status string) { ended[status].Inc() },
		ExecutionEnded: func(status string) { executions[status].Inc() },
		BreakerChanged: func(name string, to breaker.State) { changes[name+" "+string(to)].Inc() },
	}
}

func (c Counts) breaker(name string) func(_, to breaker.State) {
	if c.BreakerChanged == nil {
		return nil
	}
	return func(_, to breaker.State) { c.BreakerChanged(name, to) }
}

func (c Counts) execution() func(flow.Ended) {
	if c.ExecutionEnded == nil {
		return nil
	}
	return func(e flow.Ended) { c.ExecutionEnded(string(e.Status)) }
}
