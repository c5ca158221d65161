package dashboard

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/loadtest"
)

func TestLoadTestBelongsToRun(t *testing.T) {
	arrived := make(chan struct{}, 1)
	stuck := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { // answers nobody
		_, _ = io.Copy(io.Discard, r.Body) // before that a server does not see that a caller has gone
		select {
		case arrived <- struct{}{}:
		default:
		}
		<-r.Context().Done()
	}))
	defer stuck.Close()
	forever := loadtest.Config{URL: stuck.URL, Duration: time.Minute, Concurrency: 1, Products: []string{"A"}}
	l := newLoadTest()
	var no *refusal
	if err := l.claim(); !errors.As(err, &no) || no.Status != http.StatusServiceUnavailable {
		t.Fatalf("without anybody to make it, a test is taken: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { l.run(ctx); close(ended) }()
	for l.claim() != nil { // it begins to serve
		runtime.Gosched()
	}
	if err := l.claim(); !errors.Is(err, errBusy) {
		t.Errorf("a second one is claimed: %v", err)
	}
	l.drop()
	if err := l.claim(); err != nil {
		t.Errorf("what was dropped cannot be claimed again: %v", err)
	}
	l.give(forever, noon)
	<-arrived
	if d := l.read(); !d.Running || d.Result != nil || d.Asked() != 0 {
		t.Errorf("%+v", d)
	}
	l.halt()
	l.halt()
	if d := l.read(); !d.Stopping {
		t.Errorf("%+v", d)
	}
	stuck.CloseClientConnections() // else it waits for its grace
	cancel()
	<-ended
	if d := l.read(); d.Running || d.Result == nil || !d.Result.Interrupted {
		t.Errorf("after its end it is %+v", d)
	}
	if err := l.claim(); err == nil {
		t.Error("after the end a test is taken")
	}
}

func TestShareOfALoadTest(t *testing.T) {
	for _, c := range []struct {
		config  loadtest.Config
		done    int64
		elapsed float64
		asked   int
		share   int
	}{
		{loadtest.Config{Orders: 200, Concurrency: 4}, 50, 9, 200, 25},
		{loadtest.Config{Duration: 10 * time.Second, Concurrency: 4}, 5000, 4, 0, 40},
		{loadtest.Config{Duration: 10 * time.Second, Orders: 100, Concurrency: 4}, 90, 1, 100, 90},
		{loadtest.Config{Duration: 10 * time.Second, Rate: 2.55}, 13, 5, 26, 50},
		{loadtest.Config{Duration: 10 * time.Second, Rate: 100, Orders: 50}, 50, 1, 50, 100},
		{loadtest.Config{Duration: time.Second, Concurrency: 1}, 1, 3, 0, 100},
	} {
		d := loadData{Config: &c.config, Now: loadtest.Snapshot{Done: c.done, ElapsedSeconds: c.elapsed}}
		if d.Asked() != c.asked || d.Share() != c.share {
			t.Errorf("%+v asks for %d and is at %d %%, want %d and %d", c, d.Asked(), d.Share(), c.asked, c.share)
		}
	}
}
