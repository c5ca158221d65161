package stagetest

import (
	"slices"
	"sync/atomic"
	"testing"
)

// A scenario is one thing that a shop has to get right.
type scenario struct {
	rule string
	run  func(t *testing.T, s *stage)
}

// scenarios stand for themselves: each has products and customers of its own.
var scenarios = []scenario{
	{"an order is confirmed", confirmed},
	{"an order whose card is declined is put back", compensated},
	{"an order whose stock has gone meanwhile fails", failed},
	{"an order is cancelled before its money was asked for", cancelled},
	{"an order is cancelled while its money is captured", cancelledLate},
	{"the same key is the same order", duplicate},
	{"bad input is refused", refused},
	{"every payment method comes to its end", everyMethod},
	{"a notification that nobody takes is a dead letter, and is sent again", poisoned},
	{"an order whose execution fails waits for a person, and goes on", review},
	{"fifty orders at once", crowd},
	{"Step Functions and flow go the same way", inParity},
}

// TestAStage is of a stage that everybody may use, whose functions' calls can be disturbed.
func TestAStage(t *testing.T) {
	t.Parallel()
	s := deploy(t, deployment{context: []string{"auth=none"}})
	var passed atomic.Int64
	run := func(c scenario) {
		t.Run(c.rule, func(t *testing.T) {
			c.run(t, s)
			s.quiet(t)
			s.verify(t)
			if !t.Failed() {
				passed.Add(1)
			}
		})
	}
	// The move comes first: it goes to a place where nobody has ordered yet.
	run(scenario{"a shop that has outgrown its machine moves here", moved})
	all := append(slices.Clip(scenarios), scenario{"an order whose start was lost is found", s.loseStart(t)})
	for _, c := range all {
		run(c)
	}
	t.Logf("%d of %d scenarios passed, %d orders were placed", passed.Load(), 1+len(all), s.taken.Load())
}
