package asl

import (
	"fmt"
	"math"
	"time"
)

// The error names that the engine itself uses or gives a meaning to.
const (
	errAll              = "States.ALL"
	errTaskFailed       = "States.TaskFailed"
	errTimeout          = "States.Timeout"
	errHeartbeatTimeout = "States.HeartbeatTimeout"
	errRuntime          = "States.Runtime"
	errDataLimit        = "States.DataLimitExceeded"
	errNoChoiceMatched  = "States.NoChoiceMatched"
	errResultPath       = "States.ResultPathMatchFailure"
	errQuery            = "States.QueryEvaluationError"
	errThreshold        = "States.ExceedToleratedFailureThreshold"
	errItemReader       = "States.ItemReaderFailed"
	errResultWriter     = "States.ResultWriterFailed"
)

// failure is why a state fails.
type failure struct {
	err, cause text
	// terminal: no Retry and no Catch sees it, as AWS does with States.Runtime and with a payload over the limit that
	// the state itself made. A task that throws an error of that name is no terminal failure.
	terminal  bool
	located   bool // its cause begins with the state and the event of its entry
	timedOut  bool // the engine's own States.Timeout: its Cause is "" in a Catch's error output, absent elsewhere
	heartbeat bool // also answers to States.HeartbeatTimeout
}

// locatedCause begins the cause of what the engine finds wrong: the state's name, the number of its entry, the cause.
const locatedCause = "An error occurred while executing the state '%s' (entered at the event id #%d). %s"

func runtimeFailure(cause string) *failure {
	return &failure{err: text{errRuntime, true}, cause: text{cause, true}, terminal: true, located: true}
}

// at is the failure as it is seen outside of the state in sc: what is located says where it happened.
func (f *failure) at(sc *scope) *failure {
	if !f.located {
		return f
	}
	out := *f
	out.located = false
	out.cause.s = fmt.Sprintf(locatedCause, sc.state.name, sc.entered, f.cause.s)
	return &out
}

func engineFailure(name, cause string) *failure {
	return &failure{err: text{name, true}, cause: text{cause, true}}
}

// names are the errors that a Retrier or a Catcher is for.
type names []string

// match follows AWS: States.ALL is every error but States.Runtime, States.TaskFailed every one but a timeout.
func (n names) match(f *failure) bool {
	for _, name := range n {
		switch name {
		case errAll:
			if f.err.s != errRuntime {
				return true
			}
		case errTaskFailed:
			if f.err.s != errTimeout && f.err.s != errRuntime {
				return true
			}
		case errHeartbeatTimeout:
			if f.heartbeat {
				return true
			}
		}
		if f.err.given && name == f.err.s {
			return true
		}
	}
	return false
}

type retrier struct {
	errors      names
	interval    time.Duration
	backoff     float64
	maxAttempts int
	maxDelay    time.Duration // 0: none
	fullJitter  bool
}

// delay is how long to wait before the retry after n earlier ones of this retrier: interval * backoff^n, at most
// maxDelay. With full jitter it is uniform from 0 to that, in whole milliseconds.
func (r *retrier) delay(n int, seed uint64) time.Duration {
	d := float64(r.interval) * math.Pow(r.backoff, float64(n))
	if longest := float64(maxWait); d > longest {
		d = longest
	}
	if r.maxDelay > 0 && d > float64(r.maxDelay) {
		d = float64(r.maxDelay)
	}
	if !r.fullJitter {
		return time.Duration(d)
	}
	ms := uint64(d) / uint64(time.Millisecond)
	return time.Duration(mix(seed)%(ms+1)) * time.Millisecond
}

// maxWait bounds a retry's delay: AWS ends a standard execution after a year.
const maxWait = 366 * 24 * time.Hour

// mix is the output function of SplitMix64 (Steele, Lea, Flood 2014): it makes of any seed, even of 1, 2, 3, a number
// whose bits look random.
func mix(z uint64) uint64 {
	z += 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

type catcher struct {
	errors     names
	resultPath placement
	next       *state
	leaving    leaving
}

// output is what a Catch's state sees of the failure.
func (f *failure) output() (any, int) {
	m := make(map[string]any, 2)
	m["Error"], m["Cause"] = f.err.value(), f.cause.value()
	if f.timedOut && !f.cause.given {
		m["Cause"] = ""
	}
	return m, stringSize(f.err.s) + stringSize(f.cause.s) + len(`{"Error":,"Cause":}`) + 8
}

func (t text) value() any {
	if !t.given {
		return nil
	}
	return t.s
}
