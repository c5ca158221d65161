// Package lineartest asks from outside whether CloudFlow behaves as if it did one thing after the other. Eight clients call a server
// over loopback at once, each call is written down with when it was made and when it was answered, and Porcupine
// (https://github.com/anishathalye/porcupine) looks for one order of all of them that explains every answer (Herlihy and
// Wing, "Linearizability", 1990). It knows nothing of how the server works, so what the other tests take for granted is tested too.
//
// # What is promised to be linearizable
//
//   - A product's stock, as GET /products/{id} shows it: available, held and sold are one moment's. An order is no single step: it
//     reserves (or finds too little) at one moment and is sold or given back at a later one. Both are between the call and the end of
//     its saga; what was given back is so before the order is shown as COMPENSATED, what was sold may be counted after CONFIRMED is shown,
//     since the confirmation is the point of no return and the counting follows it.
//   - A restock: once for each key, and each repeat has the first one's bytes.
//   - A product's card (price and version): a register with compare-and-swap by If-Match. An order is charged what the card said at
//     some moment while it was being accepted.
//   - A refusal at admission is advice, since the saga decides; but what it says was true at some moment of the call:
//     "2 available" is a read.
//   - An Idempotency-Key: the first accepted body has it, each repeat gets the first one's bytes, another body is 422. A refused
//     call leaves the key free, and no call is refused at admission once its key has an order.
//   - A circuit breaker, in one process: trip, reset, each breaker's line in the list, and whether orders are let in.
//
// # What is not
//
//   - GET /products and the other lists: they may miss the newest second. The list of breakers is as many reads as it has lines.
//   - Stock and card together: they are two items. A GET is one read of each, and nothing says that both are of one moment.
//   - The counters in the answers to PUT and restock: they may leave out orders that commit in the same moment.
//   - The view in the answer to trip and reset: a read that comes after it, and others may come between the two.
//   - GET /orders/{id} without min_version: it may be behind, though never behind what its caller has seen.
//
// # Lost answers
//
// Some calls are cut off by the client while they run. It cannot know whether they took place, nor whether they still will: they are in
// the history with no end, and the checker may put them anywhere after their call, the end of the world included. Orders
// among them are sometimes sent again under their key, as a client should; then the outcome is known.
package lineartest

import (
	"fmt"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/longtest"
)

const (
	// clients that call at once. With more, most calls overlap most others, and everything has an explanation.
	clients = 8
	// calls of one client in one history: the search is exponential in what overlaps, and more histories show more than longer ones.
	calls = 7
	// seed of the first history; the others count on from it. It decides what is called and what is cut off, not how the calls interleave.
	seed = 20261127
)

// A subject is one part of the contract: a random history over it.
type subject struct {
	name   string
	record func(w *world, n int) []part
}

var subjects = []subject{
	{"stock and price of a product", func(w *world, n int) []part { return recordProduct(w, n, nil) }},
	{"idempotency keys", func(w *world, n int) []part { return recordKeys(w, n, nil) }},
	{"circuit breakers", func(w *world, n int) []part { return recordBreakers(w, n, nil) }},
}

func TestHistoriesAreLinearizable(t *testing.T) {
	for name, open := range map[string]func(testing.TB) system{"in memory": inMemory, "on disk": onDisk} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			started := time.Now()
			w := serve(t, open(t), nil)
			rounds, kinds := longtest.Count(2, 10, 250), map[string]int{}
			for n := range rounds {
				for _, s := range subjects {
					for _, p := range s.record(w, n) {
						p.count(kinds)
						if problem := p.check(); problem != "" {
							t.Fatalf("%s, seed %d: %s", s.name, seed+n, problem)
						}
					}
				}
			}
			w.atRest()
			for _, kind := range []string{"counted", "reserved", "settled", "restocked", "written", "accepted", "reused", "switching", "lost"} {
				if kinds[kind] == 0 && !testing.Short() {
					t.Errorf("no operation is %s: the histories show less than they should", kind)
				}
			}
			longtest.Record(t, started, longtest.Result{
				What: "histories of 8 clients", Count: rounds * len(subjects), Seed: seed,
				Detail: fmt.Sprintf("operations by kind: %v", kinds),
			})
		})
	}
}
