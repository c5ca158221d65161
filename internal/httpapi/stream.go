package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/utkarsh698/cloudflow/internal/auth"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/observe/metrics"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// The bounds of the live feed.
const (
	// maxStreams is what two cores bear beside full load: each stream compares the customer of every event of the shop. A stream holds a
	// goroutine, a connection and some kilobytes, and no queue: it reads the feed at its own pace.
	maxStreams = 512
	// maxStreamsPerCaller is a person's devices and tabs, of which a browser gives a host six.
	maxStreamsPerCaller = 16
	// heartbeat is below the 30 to 60 s after which proxies cut what is silent.
	heartbeat = 15 * time.Second
	// frameTime is how long a client may take to make room for what it is sent. Then it is taken for dead; a client that lives connects again
	// and goes on where it was.
	frameTime = 10 * time.Second
	// endTime is the same for a stream that is to end: a client that is stuck must not keep the server from stopping.
	endTime = time.Second
	// gather is the least time between two looks at the feed: at full load there is a commit each millisecond, and a look for each of them by
	// each stream would cost more than the orders. An event after a quiet moment does not wait for it.
	gather = 50 * time.Millisecond
)

const streamType = "text/event-stream"

const feedQuery = "GET /events"

// StreamEvents sends the events of the caller's orders as they happen.
func (s *server) StreamEvents(w http.ResponseWriter, r *http.Request, params apigen.StreamEventsParams) {
	x := of(w)
	at, err := s.feedPlace(r.Context(), x, params.LastEventID)
	follower := newFollower(at)
	if err == nil && s.drain.Started() {
		err = errDraining
	}
	leave := func() {}
	if err == nil {
		leave, err = s.streams.enter(x.principal.Subject, follower)
	}
	if err != nil {
		s.refuse(x, r, err)
		return
	}
	defer leave()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer s.drain.onStart(cancel)()
	h := x.Header()
	h.Set("Content-Type", streamType)
	h.Set("Cache-Control", noStore)
	h.Set("X-Accel-Buffering", "no") // nginx would keep events back until a buffer is full
	x.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return
	}
	st := &stream{s: s, x: x, r: r, conn: http.NewResponseController(x), at: at, follower: follower, checked: time.Now(), ended: ctx.Done()}
	defer context.AfterFunc(ctx, st.hurry)() // also for a write that is under way
	err = st.run(ctx)
	if !errors.Is(err, os.ErrDeadlineExceeded) { // the client takes what it is sent: also the end of the answer
		st.hurry()
	}
	if err != nil && ctx.Err() == nil {
		s.log.WarnContext(r.Context(), "Event stream ended", "subject", x.principal.Subject, "correlation_id", x.correlationID,
			"error", err.Error())
	}
}

// feedPlace is where the stream begins: behind the event that the client has seen last, or with what comes from now on.
func (s *server) feedPlace(ctx context.Context, x *exchange, last *string) (store.Position, error) {
	if last == nil || *last == "" { // a browser that has seen none sends none, but not every client is one
		return s.news.NewsEnd(ctx)
	}
	place, ok := s.cursors.open(x.principal.Subject, feedQuery, *last)
	if !ok {
		return "", fault.New(fault.BadRequest, "Last-Event-ID is not the id of an event that was sent to this caller.").
			With("field", "Last-Event-ID")
	}
	return store.Position(place), nil
}

// A stream is one client of the feed.
type stream struct {
	s    *server
	x    *exchange
	r    *http.Request
	conn *http.ResponseController
	at   store.Position // what it has been told
	told time.Time      // when it was last told anything
	buf  []byte

	follower *follower // says at to who asks from elsewhere

	checked time.Time // when the caller's credentials were
	ended   <-chan struct{}
}

// run tells the client what there is and what comes, until ctx ends or the client takes no more.
func (st *stream) run(ctx context.Context) error {
	if err := st.comment(); err != nil { // says where the stream begins, so that it can be resumed before its first event
		return err
	}
	for st.allowed() {
		looked := time.Now()
		grown := st.s.news.NewsGrow()
		news, err := st.s.news.News(ctx, st.at)
		if err != nil {
			return err
		}
		if err := st.tell(news); err != nil {
			return err
		}
		if time.Since(st.told) >= heartbeat {
			if err := st.comment(); err != nil {
				return err
			}
		}
		if !news.More && !st.wait(ctx, grown, looked) {
			return nil
		}
	}
	return nil
}

// allowed asks for the caller anew, as often as there is a comment: a token that has expired and a key that was revoked open no new
// stream, and must not keep an old one either.
func (st *stream) allowed() bool {
	if time.Since(st.checked) < heartbeat {
		return true
	}
	p, err := st.s.principal(st.r)
	if err != nil || p.Subject != st.x.principal.Subject || !p.Scopes.Has(auth.ScopeOrdersRead) {
		return false
	}
	st.x.principal, st.checked = p, time.Now()
	return true
}

// wait returns once it is time for another look; false if ctx has ended.
func (st *stream) wait(ctx context.Context, grown <-chan struct{}, looked time.Time) bool {
	beat := time.NewTimer(heartbeat - time.Since(st.told))
	defer beat.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-beat.C:
		return true
	case <-grown:
	}
	pause := time.NewTimer(gather - time.Since(looked))
	defer pause.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-pause.C:
		return true
	}
}

// feedEvent is FeedEvent in openapi.yaml.
type feedEvent struct {
	OrderID   string `json:"order_id"`
	Version   int64  `json:"version"`
	Type      string `json:"type"`
	Timestamp string `json:"timestamp"`
	Status    string `json:"status"`
}

// tell sends what is the client's among the news, in one piece.
func (st *stream) tell(news order.News) error {
	st.buf = st.buf[:0]
	if news.Lost {
		st.buf = append(st.buf, "event: reset\ndata: {}\n\n"...)
	}
	for _, n := range news.Notices {
		if !st.x.principal.Owns(n.CustomerID) {
			continue
		}
		data, err := json.Marshal(feedEvent{n.OrderID, n.Version, n.Type, timestamp(n.Timestamp), n.Status})
		if err != nil {
			return err
		}
		st.field("id: ", st.id(n.At))
		st.field("event: ", n.Type)
		st.field("data: ", string(data))
		st.buf = append(st.buf, '\n')
	}
	st.at = news.Last
	if len(st.buf) > 0 {
		if err := st.send(); err != nil {
			return err
		}
	}
	st.follower.at.Store(&news.Last) // the client has it, or its connection does
	return nil
}

// comment keeps a silent connection open and moves the client on: an id without data is no event, but it is what the client comes
// back with. So a client whose customer orders once a year is not sent to the feed's beginning each time it reconnects.
func (st *stream) comment() error {
	st.buf = append(st.buf[:0], ": still here\n"...)
	st.field("id: ", st.id(st.at))
	st.buf = append(st.buf, '\n')
	return st.send()
}

func (st *stream) id(at store.Position) string {
	return st.s.cursors.seal(st.x.principal.Subject, feedQuery, string(at))
}

func (st *stream) field(name, value string) {
	st.buf = append(append(append(st.buf, name...), value...), '\n')
}

func (st *stream) send() error {
	st.told = time.Now()
	st.hurry()
	if _, err := st.x.Write(st.buf); err != nil {
		return err
	}
	return st.conn.Flush()
}

// hurry gives the client its time for what is written next; between two frames none is running. Whoever sets it before the end
// sees the end afterwards.
func (st *stream) hurry() {
	_ = st.conn.SetWriteDeadline(time.Now().Add(frameTime)) // a writer that is no connection has no deadline
	select {
	case <-st.ended:
		_ = st.conn.SetWriteDeadline(time.Now().Add(endTime))
	default:
	}
}

// streams counts those that are open.
type streams struct {
	mu       sync.Mutex
	open     int
	byCaller map[string]int
	follow   map[*follower]struct{} // one for each that is open
}

// A follower is where a stream is.
type follower struct {
	at atomic.Pointer[store.Position]
}

func newFollower(at store.Position) *follower {
	f := &follower{}
	f.at.Store(&at)
	return f
}

// furthestBehind is the place of the follower who has read the least; false: nobody follows.
func (s *streams) furthestBehind() (least store.Position, followed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for f := range s.follow {
		if at := *f.at.Load(); !followed || at < least {
			least, followed = at, true
		}
	}
	return least, followed
}

// observeLag tells how long the oldest event has been waiting for the follower who has read the least. Without the store nobody can say: then
// it is left out.
func (s *server) observeLag(ctx context.Context, o metrics.Observer) error {
	ctx, cancel := context.WithTimeout(ctx, lagTime)
	defer cancel()
	lag := 0.0
	if at, followed := s.streams.furthestBehind(); followed {
		since, err := s.news.NewsWaits(ctx, at)
		if err != nil {
			return nil //nolint:nilerr // as it says above
		}
		if !since.IsZero() {
			lag = max(0, s.now().Sub(since).Seconds())
		}
	}
	o.Set(metrics.FeedLag, lag)
	return nil
}

// lagTime bounds the look for the lag: it reads two items, and a scrape is given up after 10 s.
const lagTime = time.Second

// enter takes a place, to be left. fault.Throttled: the caller has too many; fault.Unavailable: everybody together.
func (s *streams) enter(subject string, f *follower) (leave func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.byCaller[subject] >= maxStreamsPerCaller:
		return nil, fault.New(fault.Throttled, "There are %d event streams of this caller open already.", maxStreamsPerCaller)
	case s.open >= maxStreams:
		return nil, errStreams
	}
	if s.byCaller == nil {
		s.byCaller, s.follow = map[string]int{}, map[*follower]struct{}{}
	}
	s.open++
	s.byCaller[subject]++
	s.follow[f] = struct{}{}
	return func() { s.leave(subject, f) }, nil
}

var errStreams error = fault.New(fault.Unavailable, "There are %d event streams open already.", maxStreams)

func (s *streams) leave(subject string, f *follower) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open--
	delete(s.follow, f)
	if s.byCaller[subject]--; s.byCaller[subject] == 0 {
		delete(s.byCaller, subject)
	}
}
