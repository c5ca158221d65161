package loadtest

import (
	"encoding/csv"
	"io"
	"strconv"
)

// MaxPoints is how long a time series gets: MaxDuration, one point a second.
const MaxPoints = 600

// An Outcome is one way in which an order can come back.
type Outcome string

// The outcomes. The first four are the order's final status.
const (
	Confirmed         Outcome = "confirmed"
	Compensated       Outcome = "compensated"
	Failed            Outcome = "failed"
	Cancelled         Outcome = "cancelled"
	InsufficientStock Outcome = "insufficient_stock" // refused at once: 409 INSUFFICIENT_STOCK
	Unavailable       Outcome = "unavailable"        // refused: 503
	Overloaded        Outcome = "overloaded"         // refused: 503 OVERLOADED, there is too much to do
	Throttled         Outcome = "throttled"          // refused: 429
	Pending           Outcome = "pending"            // accepted, and not final when the wait was over
	Error             Outcome = "error"              // any other answer, or none
)

// Outcomes are all of them, in the order in which they are shown.
var Outcomes = []Outcome{Confirmed, Compensated, Failed, Cancelled, InsufficientStock, Unavailable, Overloaded, Throttled, Pending, Error}

// IsError reports whether the order came back without an answer to it. A declined card is an answer, and so is a shortage.
func (o Outcome) IsError() bool {
	return o == Unavailable || o == Overloaded || o == Throttled || o == Pending || o == Error
}

// Counts are how many orders came back in which way.
type Counts struct {
	Confirmed         int64 `json:"confirmed"`
	Compensated       int64 `json:"compensated"`
	Failed            int64 `json:"failed"`
	Cancelled         int64 `json:"cancelled"`
	InsufficientStock int64 `json:"insufficient_stock"`
	Unavailable       int64 `json:"unavailable"`
	Overloaded        int64 `json:"overloaded"`
	Throttled         int64 `json:"throttled"`
	Pending           int64 `json:"pending"`
	Error             int64 `json:"error"`
}

// of is where an outcome is counted.
func (c *Counts) of(o Outcome) *int64 {
	switch o {
	case Confirmed:
		return &c.Confirmed
	case Compensated:
		return &c.Compensated
	case Failed:
		return &c.Failed
	case Cancelled:
		return &c.Cancelled
	case InsufficientStock:
		return &c.InsufficientStock
	case Unavailable:
		return &c.Unavailable
	case Overloaded:
		return &c.Overloaded
	case Throttled:
		return &c.Throttled
	case Pending:
		return &c.Pending
	default:
		return &c.Error
	}
}

// Errors is how many came back without an answer to the order.
func (c Counts) Errors() int64 {
	return c.Unavailable + c.Overloaded + c.Throttled + c.Pending + c.Error
}

// Latency is from when an order was due (open loop) or started (closed loop) until it came back, in milliseconds, to three digits. The errors
// are in it: a time-out is the worst latency there is, and leaving it out would make a server look better the worse it is.
type Latency struct {
	P50Ms  float64 `json:"p50_ms"`
	P90Ms  float64 `json:"p90_ms"`
	P95Ms  float64 `json:"p95_ms"`
	P99Ms  float64 `json:"p99_ms"`
	P999Ms float64 `json:"p99_9_ms"`
	MaxMs  float64 `json:"max_ms"`
}

// A Point is one second of the run. The orders are those that came back in it.
type Point struct {
	Second          int      `json:"second"` // from 0
	OrdersPerSecond float64  `json:"orders_per_second"`
	P50Ms           *float64 `json:"p50_ms"` // null: none came back, so there is nothing to say, and 0 would be a lie
	P99Ms           *float64 `json:"p99_ms"`
	Errors          int64    `json:"errors"`
}

// A Phase is what a run is about.
type Phase string

// The phases, in their order.
const (
	WarmingUp Phase = "warming_up" // nothing is counted yet
	Running   Phase = "running"
	Draining  Phase = "draining" // no order is started any more; some are under way
	Done      Phase = "done"
)

// A Snapshot is a run as it stands. Its series is shared with later ones and only read.
type Snapshot struct {
	Phase          Phase   `json:"phase"`
	Concurrency    int     `json:"concurrency"`     // of a closed loop, else 0
	Rate           float64 `json:"rate"`            // of an open loop, else 0
	ElapsedSeconds float64 `json:"elapsed_seconds"` // of the measurement: without the warm-up
	Started        int64   `json:"started"`
	Done           int64   `json:"done"` // came back, in whatever way
	InFlight       int64   `json:"in_flight"`
	// Behind is how many orders of an open loop are due and not started, for want of a worker. At the end of a run that was too much for
	// the server they are never started; the latencies are then better than what a customer would have seen.
	Behind int64  `json:"behind"`
	Counts Counts `json:"counts"`
	// OrdersPerSecond is over the last second, OrdersPerSecondOverall since the beginning. Errors are not in them: a server that refuses
	// quickly would look fast.
	OrdersPerSecond        float64 `json:"orders_per_second"`
	OrdersPerSecondOverall float64 `json:"orders_per_second_overall"`
	Latency                Latency `json:"latency"`
	Series                 []Point `json:"series"` // of the seconds that are over, at most MaxPoints
}

// A Result is what was measured. All that its charts and tables show stands in exported members, so that a Result which was written as JSON
// and read again shows the same.
type Result struct {
	Snapshot
	Interrupted bool  `json:"interrupted"` // the context ended before the run did
	Abandoned   int64 `json:"abandoned"`   // started, and not waited for after an interrupt; they are in no count and no latency

	MaxInFlight int    `json:"max_in_flight"` // of an open loop, else 0
	Mix         Mix    `json:"mix"`
	Products    int    `json:"products"` // how many products the orders were for, without the one that is short
	Warmup      int    `json:"warmup"`
	Seed        uint64 `json:"seed"`

	Outcomes     []OutcomeLatency `json:"outcomes"`     // those that occurred, in the order of Outcomes
	Percentiles  []Percentile     `json:"percentiles"`  // the cumulative distribution, finer towards its end
	Distribution []Bar            `json:"distribution"` // bars of equal width on a logarithmic axis
	Errors       []ErrorCount     `json:"errors"`       // what the errors said, the most frequent first

	SampleEvery int64 `json:"sample_every"` // 1: all orders are in the sample; 2: every second
	Sample      []Dot `json:"sample"`       // single orders as they came back, at most 2,000
}

// OutcomeLatency is the latency of the orders that came back in one way. A refusal takes a tenth of what a confirmation takes, so that a
// percentile over all says little about either.
type OutcomeLatency struct {
	Outcome Outcome `json:"outcome"`
	Count   int64   `json:"count"`
	Latency Latency `json:"latency"`
}

// A Percentile says that Percent of the orders, Count of them, took up to Ms.
type Percentile struct {
	Percent float64 `json:"percent"`
	Ms      float64 `json:"ms"`
	Count   int64   `json:"count"`
}

// A Bar is how many orders took from FromMs to just under ToMs.
type Bar struct {
	FromMs float64 `json:"from_ms"`
	ToMs   float64 `json:"to_ms"`
	Count  int64   `json:"count"`
}

// A Dot is one order.
type Dot struct {
	Second  float64 `json:"second"` // of the measurement, at which it came back
	Ms      float64 `json:"ms"`
	Outcome Outcome `json:"outcome"`
}

// ErrorCount is how often something went wrong.
type ErrorCount struct {
	Text  string `json:"text"` // the status and the problem's code, or why there was no answer
	Count int64  `json:"count"`
}

// CSV writes the time series: a header and one row a second. A latency that nobody saw is an empty field.
func (s Snapshot) CSV(w io.Writer) error {
	out := csv.NewWriter(w)
	rows := [][]string{{"seconds", "orders_per_second", "p50_ms", "p99_ms", "errors"}}
	for _, p := range s.Series {
		rows = append(rows, []string{
			strconv.Itoa(p.Second), decimal(&p.OrdersPerSecond), decimal(p.P50Ms), decimal(p.P99Ms), strconv.FormatInt(p.Errors, 10),
		})
	}
	return out.WriteAll(rows)
}

func decimal(v *float64) string {
	if v == nil {
		return ""
	}
	return strconv.FormatFloat(*v, 'f', -1, 64)
}
