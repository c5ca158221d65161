package metrics

import "time"

// classes are the values of the label status.
var classes = [...]string{"1xx", "2xx", "3xx", "4xx", "5xx"}

// A Route counts the requests of one method and route.
type Route struct {
	requests [len(classes)]*Counter
	seconds  *Histogram
	watch    func(status int, took time.Duration)
}

// Watch calls each for every request that is counted, at the end of its answer, from any goroutine. It is for routes that are asked for
// after it.
func (m *Metrics) Watch(each func(method, pattern string, status int, took time.Duration)) {
	if m != nil {
		m.watch = each
	}
}

// Route returns the counter of a route's pattern, such as /orders/{order_id}. It is asked for once a route, when the routes are made.
func (m *Metrics) Route(method, pattern string) *Route {
	r := &Route{seconds: m.Histogram(HTTPRequestDuration, method, pattern), watch: func(int, time.Duration) {}}
	if m != nil && m.watch != nil {
		each := m.watch
		r.watch = func(status int, took time.Duration) { each(method, pattern, status, took) }
	}
	for i, class := range classes {
		r.requests[i] = m.Counter(HTTPRequests, method, pattern, class)
	}
	return r
}

// Answered counts a request that was answered with the status after that time. A status that is none counts as 5xx: the handler went away.
func (r *Route) Answered(status int, took time.Duration) {
	class := status/100 - 1
	if class < 0 || class >= len(classes) {
		class = len(classes) - 1
	}
	r.requests[class].Inc()
	r.seconds.Took(took)
	r.watch(status, took)
}
