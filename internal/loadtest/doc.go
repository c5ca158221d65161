// Package loadtest places orders in a running CloudFlow over HTTP, many at once, and says how long they took and how they ended.
//
//	deck ──which order──> pacer ──when──> workers ──POST /orders──> CloudFlow
//	                                         └── outcome, latency ──> recorder ──> Snapshot, Result ──> charts, CSV, JSON
//
// It promises: each order that was started is counted once, under what came back; the mix is exact in every hundred orders, in an order
// that the seed decides; the latency of an open loop counts from when an order was due and not from when a worker was free for it, so that
// a server that stalls cannot hide the orders that it kept from being sent (Gil Tene's coordinated omission); Run has ended all that it
// began when it returns. Everything that grows has a bound, which stands in config.go with its reason.
//
// Two loops ask two questions. In a closed loop each worker sends its next order when the last one has come back: how much goes
// through? It cannot say how long customers wait, since it asks less of a server that is slow. In an open loop orders are due at a
// constant rate whatever the server does, as customers come: how long do they wait?
//
// It refuses to judge: it has no thresholds, and an order that was declined is an answer like another. It does not look into the books
// either; that is what verify is for. It keeps nothing, so a crash loses the measurement and nothing else; the orders that it placed are
// orders like all others and stay.
package loadtest
