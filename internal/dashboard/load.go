package dashboard

import (
	"bytes"
	"context"
	"fmt"
	"html/template"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/loadtest"
)

// What a load test of the page orders: enough products that they do not contend, and one that there is none of.
const (
	loadProducts  = 10
	loadCustomers = "load-page"
	// fastest is more orders a second than an instance has been seen to take: so many pieces are put on the shelf for each second.
	fastest = loadtest.MaxRate
	// maxAtOnce is half of the connections that an instance takes from one address: the other half is what a client opens while it closes,
	// and the browser's. With all of them in use nobody could press Stop.
	maxAtOnce = loadtest.MaxInFlight / 2
)

// A loadJob is a test that was asked for.
type loadJob struct {
	config loadtest.Config
	number int
	begun  time.Time
	stop   chan struct{} // closed: no more orders
}

// A loadTest is the one that runs, or the last one. It is safe for concurrent use.
type loadTest struct {
	jobs chan *loadJob // of which there is one at most

	mu      sync.Mutex
	serving bool // somebody takes the jobs
	number  int
	busy    bool // from the moment that one is asked for until it has ended
	stopped bool // that one was asked to stop
	job     *loadJob
	now     loadtest.Snapshot
	result  *loadtest.Result
	failed  string
}

func newLoadTest() *loadTest { return &loadTest{jobs: make(chan *loadJob, 1)} }

var errBusy = &refusal{Status: http.StatusConflict, Code: "LOAD_TEST_RUNNING", Message: "A load test is running. There is one at a time: two would measure each other."}

// claim keeps others from beginning until the job is either given or dropped.
func (l *loadTest) claim() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.serving {
		return &refusal{Status: http.StatusServiceUnavailable, Code: "UNAVAILABLE", Message: "The server is starting or stopping."}
	}
	if l.busy {
		return errBusy
	}
	l.busy = true
	return nil
}

func (l *loadTest) drop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.busy = false
}

// give begins what was claimed. What is known of the test before it is forgotten.
func (l *loadTest) give(c loadtest.Config, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.number++
	l.job = &loadJob{config: c, number: l.number, begun: now, stop: make(chan struct{})}
	l.now, l.result, l.failed, l.stopped = loadtest.Snapshot{Phase: loadtest.WarmingUp}, nil, "", false
	l.jobs <- l.job // it has room: the one before it was taken before it ended
}

// halt lets the test that runs start no more orders. Without one it does nothing.
func (l *loadTest) halt() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.busy && l.job != nil && !l.stopped && l.result == nil {
		l.stopped = true
		close(l.job.stop)
	}
}

// run makes the tests that are asked for, one after the other, until ctx ends, which ends the one that runs.
func (l *loadTest) run(ctx context.Context) {
	l.serve(true)
	defer l.serve(false)
	for {
		select {
		case <-ctx.Done():
			return
		case job := <-l.jobs:
			l.make(ctx, job)
		}
	}
}

func (l *loadTest) serve(yes bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.serving = yes
}

func (l *loadTest) make(ctx context.Context, job *loadJob) {
	ctx, cancel := context.WithCancel(ctx)
	var waiter sync.WaitGroup
	waiter.Go(func() {
		select {
		case <-job.stop:
			cancel()
		case <-ctx.Done():
		}
	})
	result, err := loadtest.Run(ctx, job.config, func(s loadtest.Snapshot) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.now = s
	})
	cancel()
	waiter.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.busy = false
	if err != nil {
		l.failed = err.Error()
		return
	}
	l.now, l.result = result.Snapshot, &result
}

// loadData is the page of the load test.
type loadData struct {
	Running  bool
	Stopping bool
	Config   *loadtest.Config // of the test that is shown; nil: there was none
	Now      loadtest.Snapshot
	Result   *loadtest.Result // nil: it has not ended
	Failed   string
	Begun    time.Time
	Picture  string // what makes the address of a picture that has changed a new one
	Most     loadMost
}

// loadMost are the bounds of the form.
type loadMost struct{ Orders, Seconds, Concurrency, Rate int }

var theMost = loadMost{loadtest.MaxOrders, int(loadtest.MaxDuration / time.Second), maxAtOnce, loadtest.MaxRate}

func (l *loadTest) read() loadData {
	l.mu.Lock()
	defer l.mu.Unlock()
	data := loadData{Running: l.busy && l.job != nil && l.result == nil && l.failed == "", Stopping: l.stopped, Now: l.now, Result: l.result, Failed: l.failed, Most: theMost}
	if l.job == nil {
		return data
	}
	data.Config, data.Begun = &l.job.config, l.job.begun
	data.Picture = fmt.Sprintf("%d-%d", l.job.number, len(l.now.Series))
	if l.result != nil {
		data.Picture += "-end"
	}
	return data
}

// Asked is how many orders were asked for; 0: as many as there is time for.
func (d loadData) Asked() int {
	c := d.Config
	n := c.Orders
	if c.Rate > 0 && c.Duration > 0 {
		if due := int(math.Ceil(c.Rate * c.Duration.Seconds())); n == 0 || due < n {
			n = due
		}
	}
	return n
}

// Share is how much of the test is over, in percent.
func (d loadData) Share() int {
	share := 0.0
	if n := d.Asked(); n > 0 {
		share = float64(d.Now.Done) / float64(n)
	}
	if seconds := d.Config.Duration.Seconds(); seconds > 0 {
		share = max(share, d.Now.ElapsedSeconds/seconds)
	}
	return int(100 * min(1, share))
}

// loadHelpers are what the template of the load test calls, beside those of all.
var loadHelpers = template.FuncMap{"loadPhase": loadPhase, "count": func(n int) string { return thousands(int64(n)) }}

// loadPhase says what a test is about.
func loadPhase(p loadtest.Phase) string {
	switch p {
	case loadtest.WarmingUp:
		return "It begins."
	case loadtest.Draining:
		return "No order is started any more; some are under way."
	default:
		return "Orders are placed."
	}
}

// A loadCount is how many orders came back in one way.
type loadCount struct {
	Name  string
	Count int64
	Error bool
}

// Counts are those that occurred, in the order of loadtest.Outcomes.
func (d loadData) Counts() []loadCount {
	c := d.Now.Counts
	all := []loadCount{
		{"confirmed", c.Confirmed, false}, {"compensated", c.Compensated, false}, {"failed", c.Failed, false}, {"cancelled", c.Cancelled, false},
		{"refused: not enough stock", c.InsufficientStock, false}, {"refused: unavailable", c.Unavailable, true}, {"refused: too much to do", c.Overloaded, true}, {"refused: too many", c.Throttled, true},
		{"no outcome in time", c.Pending, true}, {"other errors", c.Error, true},
	}
	var some []loadCount
	for _, n := range all {
		if n.Count > 0 {
			some = append(some, n)
		}
	}
	return some
}

// loadPage says who may see the pages of the load test: those of them that make no other call would be shown to everybody.
func (v *visit) loadPage() error {
	if !v.d.c.Development {
		return errNoLoad
	}
	return v.allowed()
}

var errNoLoad = &refusal{Status: http.StatusNotFound, Code: "NOT_FOUND", Message: "Load tests are made from this page in development mode only: they place thousands of orders."}

func (d *server) showLoad(v *visit, w http.ResponseWriter) error {
	if err := v.loadPage(); err != nil {
		return err
	}
	return d.show(w, http.StatusOK, "load", &page{Title: "Load test", Here: "load", Data: d.load.read()})
}

func (d *server) startLoad(v *visit, w http.ResponseWriter) error {
	if err := v.loadPage(); err != nil {
		return err
	}
	url := ""
	if d.c.LoadURL != nil {
		url = d.c.LoadURL()
	}
	if url == "" {
		return &refusal{Status: http.StatusServiceUnavailable, Code: "UNAVAILABLE", Message: "This server does not know at which address it could load itself."}
	}
	c, err := v.loadForm()
	if err != nil {
		return err
	}
	c.URL = url
	if err := c.Validate(); err != nil {
		return badForm("%s", saidBy(err))
	}
	if err := d.load.claim(); err != nil {
		return err
	}
	if err := v.stockFor(c); err != nil {
		d.load.drop()
		return err
	}
	d.load.give(c, d.c.Now())
	return see(w, v.r, "/dashboard/load#load")
}

// saidBy is the sentence of a fault, whose text begins with its kind.
func saidBy(err error) string {
	if _, said, ok := strings.Cut(err.Error(), ": "); ok {
		return said
	}
	return err.Error()
}

// loadForm reads what load is asked for. A field that is empty or not there is not set.
func (v *visit) loadForm() (c loadtest.Config, err error) {
	var seconds int
	for _, n := range []struct {
		name string
		into *int
	}{
		{"orders", &c.Orders},
		{"seconds", &seconds},
		{"concurrency", &c.Concurrency},
		{"happy", &c.Mix.Happy},
		{"declined", &c.Mix.Declined},
		{"short", &c.Mix.Short},
		{"cancel", &c.Mix.Cancel},
	} {
		text := strings.TrimSpace(v.r.PostForm.Get(n.name))
		if text == "" {
			continue
		}
		value, err := strconv.ParseInt(text, 10, 32)
		if err != nil {
			return c, badForm("The field %s is %.40q, which is not a whole number or a far too large one.", n.name, text)
		}
		*n.into = int(value)
	}
	if text := strings.TrimSpace(v.r.PostForm.Get("rate")); text != "" {
		if c.Rate, err = strconv.ParseFloat(text, 64); err != nil || math.IsNaN(c.Rate) || math.IsInf(c.Rate, 0) {
			return c, badForm("The field rate is %.40q, which is not a number of orders a second.", text)
		}
	}
	if c.Concurrency > maxAtOnce {
		return c, badForm("%d orders at once are not from 1 to %d: this page needs some of the connections that an address may have.", c.Concurrency, maxAtOnce)
	}
	if c.Mix == (loadtest.Mix{}) {
		return c, badForm("The parts of the mix add up to 0 percent and not to 100.")
	}
	c.Duration = time.Duration(seconds) * time.Second
	c.CustomerPrefix, c.ShortProduct, c.Products = loadCustomers, loadtest.SoldOut, loadtest.ProductIDs(loadProducts)
	return c, nil
}

// stockFor puts on the shelf what the test orders: of each product as many as all of its orders, so that chance cannot empty one.
func (v *visit) stockFor(c loadtest.Config) error {
	need := int64(c.Orders)
	if c.Orders == 0 {
		need = int64(min(loadtest.MaxOrders, math.Ceil(fastest*c.Duration.Seconds())))
	}
	for i, id := range c.Products {
		put := apigen.ProductPut{Name: fmt.Sprint("Load test ", i+1), UnitPriceCents: int64(1000 + 100*i), Stock: &need}
		p, err := v.product(id, put)
		if err != nil {
			return err
		}
		if missing := need - p.Available; missing > 0 {
			if _, err := v.restock(id, missing); err != nil {
				return err
			}
		}
	}
	if c.Mix.Short == 0 {
		return nil
	}
	p, err := v.product(loadtest.SoldOut, apigen.ProductPut{Name: "Load test, sold out", UnitPriceCents: 1000, Stock: ptr[int64](0)})
	if err == nil && p.Available > 0 {
		err = badForm("Somebody has put %d pieces of %s on the shelf: no order would be short of it. Sell them first, or ask for no short orders.", p.Available, loadtest.SoldOut)
	}
	return err
}

func (d *server) stopLoad(v *visit, w http.ResponseWriter) error {
	if err := v.loadPage(); err != nil {
		return err
	}
	d.load.halt()
	return see(w, v.r, "/dashboard/load#load")
}

// loadFile answers a file made of the test: of how far it is, if it runs.
func (d *server) loadFile(name, mediaType string, write func(loadData, io.Writer) error) func(*visit, http.ResponseWriter) error {
	return func(v *visit, w http.ResponseWriter) error {
		if err := v.loadPage(); err != nil {
			return err
		}
		data := d.load.read()
		if data.Config == nil {
			return errNoResult
		}
		var text bytes.Buffer
		if err := write(data, &text); err != nil {
			return err
		}
		h := w.Header()
		h.Set("Content-Type", mediaType)
		h.Set("Content-Disposition", `attachment; filename="cloudflow-load-`+name+`"`)
		h.Set("Cache-Control", "no-store")
		_, _ = text.WriteTo(w) // a visitor who has gone cannot be told
		return nil
	}
}

var errNoResult = &refusal{Status: http.StatusNotFound, Code: "NOT_FOUND", Message: "There is no result of a load test yet."}

func latencyFile(d loadData, w io.Writer) error { return d.Now.LatencySVG(w) }

func seriesFile(d loadData, w io.Writer) error { return d.Now.CSV(w) }

func distributionFile(d loadData, w io.Writer) error {
	if d.Result == nil {
		return errNoResult
	}
	return d.Result.DistributionSVG(w)
}
