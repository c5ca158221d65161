package metrics

import "slices"

// An Instrument is a row of the catalog: all that is counted, each once, under three names. A test holds docs/metrics.md to it.
type Instrument int

// The instruments. Their labels are given in the order of the row's.
const (
	OrdersCreated Instrument = iota
	OrdersRefused
	OrdersEnded
	OrdersReview
	SagaExecutions
	ExecutionsOpen
	ExecutionsReady
	ExecutionsOldest
	TaskDuration
	BreakerChanges
	BreakerState
	QueueMessages
	QueueOldest
	FeedLag
	StoreCommitDuration
	StoreSyncDuration
	StoreGroupCommits
	StoreCommits
	StoreSyncs
	StoreSyncTime
	StoreWritten
	StoreRefusals
	StoreConflicts
	StoreWaiting
	StoreDisk
	StoreLowDisk
	HTTPRequests
	HTTPRequestDuration
	BuildInfo
	instruments
)

// The values of reason, those of status, of OrdersEnded and of SagaExecutions, and those of state.
var (
	RefusalReasons    = []string{"open", "ready", "wait"}
	OrderStatuses     = []string{"CONFIRMED", "FAILED", "COMPENSATED", "CANCELLED"}
	ExecutionStatuses = []string{"SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED"}
	CircuitStates     = []string{"CLOSED", "OPEN", "HALF_OPEN"}
)

// A Kind is what an instrument's values mean.
type Kind string

// The kinds.
const (
	KindCounter   Kind = "counter"   // only rises, from zero at the start of the process
	KindGauge     Kind = "gauge"     // how it is now
	KindHistogram Kind = "histogram" // how many, their sum, and how many were at most each of some bounds
)

// A Row is one instrument of the catalog.
type Row struct {
	Name       string // OpenTelemetry's
	Prometheus string // what the exporter makes of Name, Unit and Kind, by https://prometheus.io/docs/practices/naming/
	Unit       string // UCUM (https://ucum.org/ucum), as OpenTelemetry asks; "": it has none
	Kind       Kind
	Labels     []string // the same names everywhere
	Help       string   // one sentence or two

	values     []string     // of a row's only label, if they are known here: they are there from the start
	bounds     []float64    // of a histogram, in its unit: a value belongs to the first that is not below it
	cloudWatch []cloudWatch // none: it is not sent there
}

// A cloudWatch is one metric that CloudWatch gets of an instrument.
type cloudWatch struct {
	name  string // as the specification has it
	unit  string // one of CloudWatch's, https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDatum.html
	scale float64

	label string   // that only and one are about
	only  []string // points with one of these are taken, and added up; nil: all are
	one   string   // each thing that was counted is a 1 if it has this, else a 0: their average is the rate

	dimensions [][]string // labels, and service: each set makes a metric of its own there, in each stage; nil: all labels
	notLambda  bool       // AWS/Lambda has it already
}

// sets are the metric's sets of dimensions, without the stage.
func (c *cloudWatch) sets(row *Row) [][]string {
	if c.dimensions == nil {
		return [][]string{row.Labels}
	}
	return c.dimensions
}

// The bounds of durations, in seconds.
var (
	// An order is stored in 2 ms and decided in 25, a wait for an outcome ends after 20 s.
	requestBounds = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 20}
	// A task has 20 s at most. 3 s is the specification's alarm: what is judged by it must not share a bucket with what is not.
	taskBounds = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2, 3, 5, 10, 20}
	// A sync takes 100 µs on a disk that lies about it, a millisecond on a good one, 10 on a rotating one, and seconds on one that dies.
	storeBounds = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
)

// ofStore are the dimensions of what a process measures at its own store.
var ofStore = [][]string{{serviceDimension, "store"}}

// groupBounds are powers of two up to what a group may hold.
var groupBounds = []float64{1, 2, 4, 8, 16, 32, 64, 128, 256, 512}

// catalog is the table. A unit in braces is a word for readers, which Prometheus's names leave out; "1" would make a gauge's name end in
// _ratio, so what has no unit has none.
var catalog = [instruments]Row{
	OrdersCreated: {
		Name: "cloudflow.orders.created", Prometheus: "cloudflow_orders_created_total", Unit: "{order}", Kind: KindCounter,
		Help:       "Orders that were stored. The answer to a repeated call is none.",
		cloudWatch: []cloudWatch{{name: "OrdersCreated", unit: "Count"}},
	},
	OrdersRefused: {
		Name: "cloudflow.orders.refused", Prometheus: "cloudflow_orders_refused_total", Unit: "{order}", Kind: KindCounter,
		Labels: []string{"reason"}, values: RefusalReasons,
		Help: "Orders that were answered 503 OVERLOADED, by the bound that was reached: executions that are open, that are ready, or how long " +
			"the first of these had to wait.",
	},
	OrdersEnded: {
		Name: "cloudflow.orders.ended", Prometheus: "cloudflow_orders_ended_total", Unit: "{order}", Kind: KindCounter,
		Labels: []string{"status"}, values: OrderStatuses,
		Help:       "Orders that have come to their end, by the status in which they did.",
		cloudWatch: []cloudWatch{{name: "SAGACompensationRate", unit: "None", label: "status", one: "COMPENSATED", dimensions: [][]string{{}}}},
	},
	OrdersReview: {
		Name: "cloudflow.orders.review", Prometheus: "cloudflow_orders_review", Unit: "{order}", Kind: KindGauge,
		Help:       "Orders that wait for a person, since their saga has failed: status REVIEW. 10000 stands for that many or more.",
		cloudWatch: []cloudWatch{{name: "OrdersInReview", unit: "Count"}},
	},
	SagaExecutions: {
		Name: "cloudflow.saga.executions", Prometheus: "cloudflow_saga_executions_total", Unit: "{execution}", Kind: KindCounter,
		Labels: []string{"status"}, values: ExecutionStatuses,
		Help: "Executions of the saga that have ended, by how. An order that was compensated is the work of one that SUCCEEDED; " +
			"one that is redriven has another execution.",
		cloudWatch: []cloudWatch{{name: "SAGASuccessRate", unit: "None", label: "status", one: "SUCCEEDED", dimensions: [][]string{{}}}},
	},
	ExecutionsOpen: {
		Name: "cloudflow.executions.open", Prometheus: "cloudflow_executions_open", Unit: "{execution}", Kind: KindGauge,
		Help:       "Executions of the saga that have begun and not ended.",
		cloudWatch: []cloudWatch{{name: "OpenExecutions", unit: "Count"}},
	},
	ExecutionsReady: {
		Name: "cloudflow.executions.ready", Prometheus: "cloudflow_executions_ready", Unit: "{execution}", Kind: KindGauge,
		Help: "Those of them that wait for a worker: the engine's queue.",
	},
	ExecutionsOldest: {
		Name: "cloudflow.executions.oldest", Prometheus: "cloudflow_executions_oldest_seconds", Unit: "s", Kind: KindGauge,
		Help: "How long the first of the engine's queue has waited for a worker; 0 if it is empty.",
	},
	TaskDuration: {
		Name: "cloudflow.task.duration", Prometheus: "cloudflow_task_duration_seconds", Unit: "s", Kind: KindHistogram,
		Labels: []string{"task"}, bounds: taskBounds,
		Help: "From a task's beginning until what it wrote is durable, or until it has failed.",
		cloudWatch: []cloudWatch{{
			name: "LambdaDuration", unit: "Milliseconds", scale: 1000, dimensions: [][]string{{serviceDimension, "task"}, {serviceDimension}}, notLambda: true,
		}},
	},
	BreakerChanges: {
		Name: "cloudflow.breaker.changes", Prometheus: "cloudflow_breaker_changes_total", Unit: "{change}", Kind: KindCounter,
		Labels: []string{"breaker", "state"},
		Help:   "Changes of a circuit breaker's state that were decided here, by the new state.",
		cloudWatch: []cloudWatch{{
			name: "CircuitBreakerStateChange", unit: "Count", dimensions: [][]string{{"breaker", "state"}, {"state"}},
		}},
	},
	BreakerState: {
		Name: "cloudflow.breaker.state", Prometheus: "cloudflow_breaker_state", Kind: KindGauge,
		Labels: []string{"breaker", "state"},
		Help:   "1 for the state that the circuit breaker is in, 0 for the others.",
	},
	QueueMessages: {
		Name: "cloudflow.queue.messages", Prometheus: "cloudflow_queue_messages", Unit: "{message}", Kind: KindGauge,
		Labels: []string{"queue", "place"},
		Help:   "Messages of the queue, by place: ready and in_flight are its depth, dead ones wait for an operator.",
		cloudWatch: []cloudWatch{
			{name: "DLQMessageCount", unit: "Count", label: "place", only: []string{"dead"}, dimensions: [][]string{{}}},
			{name: "QueueDepth", unit: "Count", label: "place", only: []string{"ready", "in_flight"}, dimensions: [][]string{{"queue"}}},
		},
	},
	QueueOldest: {
		Name: "cloudflow.queue.oldest", Prometheus: "cloudflow_queue_oldest_seconds", Unit: "s", Kind: KindGauge,
		Labels:     []string{"queue"},
		Help:       "Age of the oldest message that is not dead; 0 if there is none.",
		cloudWatch: []cloudWatch{{name: "QueueAge", unit: "Seconds"}},
	},
	FeedLag: {
		Name: "cloudflow.feed.lag", Prometheus: "cloudflow_feed_lag_seconds", Unit: "s", Kind: KindGauge,
		Help: "How long the oldest event that a connected follower of GET /events has not been sent yet has been waiting; " +
			"0 if all are up to date, or nobody follows.",
		cloudWatch: []cloudWatch{{name: "FeedLag", unit: "Seconds"}},
	},
	StoreCommitDuration: {
		Name: "cloudflow.store.commit.duration", Prometheus: "cloudflow_store_commit_duration_seconds", Unit: "s", Kind: KindHistogram,
		Labels: []string{"store"}, bounds: storeBounds,
		Help:       "From a transaction's way into the committer's queue until its caller was told that it is durable.",
		cloudWatch: []cloudWatch{{name: "StoreCommitDuration", unit: "Milliseconds", scale: 1000, dimensions: ofStore}},
	},
	StoreSyncDuration: {
		Name: "cloudflow.store.sync.duration", Prometheus: "cloudflow_store_sync_duration_seconds", Unit: "s", Kind: KindHistogram,
		Labels: []string{"store"}, bounds: storeBounds,
		Help:       "What writing and syncing a group of transactions took.",
		cloudWatch: []cloudWatch{{name: "StoreSyncDuration", unit: "Milliseconds", scale: 1000, dimensions: ofStore}},
	},
	StoreGroupCommits: {
		Name: "cloudflow.store.group.commits", Prometheus: "cloudflow_store_group_commits", Unit: "{commit}", Kind: KindHistogram,
		Labels: []string{"store"}, bounds: groupBounds,
		Help:       "How many transactions shared a sync.",
		cloudWatch: []cloudWatch{{name: "StoreGroupSize", unit: "Count", dimensions: ofStore}},
	},
	StoreCommits: {
		Name: "cloudflow.store.commits", Prometheus: "cloudflow_store_commits_total", Unit: "{commit}", Kind: KindCounter,
		Labels: []string{"store"}, Help: "Transactions that were applied.",
	},
	StoreSyncs: {
		Name: "cloudflow.store.syncs", Prometheus: "cloudflow_store_syncs_total", Unit: "{sync}", Kind: KindCounter,
		Labels: []string{"store"}, Help: "Groups of transactions, each written and synced at once.",
	},
	StoreSyncTime: {
		Name: "cloudflow.store.sync", Prometheus: "cloudflow_store_sync_seconds_total", Unit: "s", Kind: KindCounter,
		Labels: []string{"store"}, Help: "Time spent on writing and syncing groups.",
	},
	StoreWritten: {
		Name: "cloudflow.store.written", Prometheus: "cloudflow_store_written_bytes_total", Unit: "By", Kind: KindCounter,
		Labels: []string{"store"}, Help: "Bytes of those groups.",
	},
	StoreRefusals: {
		Name: "cloudflow.store.refusals", Prometheus: "cloudflow_store_refusals_total", Unit: "{refusal}", Kind: KindCounter,
		Labels: []string{"store"}, Help: "Transactions whose condition did not hold.",
	},
	StoreConflicts: {
		Name: "cloudflow.store.conflicts", Prometheus: "cloudflow_store_conflicts_total", Unit: "{conflict}", Kind: KindCounter,
		Labels: []string{"store"}, Help: "Runs of a transaction that a changed read made void.",
	},
	StoreWaiting: {
		Name: "cloudflow.store.waiting_transactions", Prometheus: "cloudflow_store_waiting_transactions", Unit: "{transaction}", Kind: KindGauge,
		Labels: []string{"store"}, Help: "Transactions that wait for the committer.",
	},
	StoreDisk: {
		Name: "cloudflow.store.disk", Prometheus: "cloudflow_store_disk_bytes", Unit: "By", Kind: KindGauge,
		Labels: []string{"store"}, Help: "What the store's directory takes.",
	},
	StoreLowDisk: {
		Name: "cloudflow.store.low_disk", Prometheus: "cloudflow_store_low_disk", Kind: KindGauge,
		Labels: []string{"store"}, Help: "1 while the disk is nearly full and commits are refused.",
	},
	HTTPRequests: {
		Name: "cloudflow.http.requests", Prometheus: "cloudflow_http_requests_total", Unit: "{request}", Kind: KindCounter,
		Labels: []string{"method", "route", "status"}, Help: "Requests that were answered, by route and class of status.",
	},
	HTTPRequestDuration: {
		Name: "cloudflow.http.request.duration", Prometheus: "cloudflow_http_request_duration_seconds", Unit: "s", Kind: KindHistogram,
		Labels: []string{"method", "route"}, bounds: requestBounds,
		Help: "From a request's header to the end of its answer.",
	},
	BuildInfo: {
		Name: "cloudflow.build.info", Prometheus: "cloudflow_build_info", Kind: KindGauge,
		Labels: []string{"version"}, Help: "1, with the version of the program.",
	},
}

// Catalog is all that is counted.
func Catalog() []Row { return slices.Clone(catalog[:]) }
