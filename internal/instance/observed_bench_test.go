package instance_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/instance"
	"github.com/utkarsh698/cloudflow/internal/observe"
	"github.com/utkarsh698/cloudflow/internal/observe/trace"
)

// BenchmarkObserved is what it costs to look: an instance that is looked at and one that is not take orders in turns, in one process, and the
// ratio of their orders/s is what is asked for. Who looks (the collector of the spans, who scrapes the metrics, the file of the log) is on the
// same two cores, and is part of the cost.
func BenchmarkObserved(b *testing.B) {
	for _, c := range []struct {
		name   string
		looked observed
	}{
		{"nothing", observed{}}, // the noise of the method itself
		{"logs", observed{logs: true}},
		{"metrics", observed{metrics: true}},
		{"traces=1%", observed{share: "0.01"}},
		{"all", observed{logs: true, metrics: true, share: "0.01"}},
		{"traces=100%", observed{share: "1"}},
	} {
		b.Run(c.name, func(b *testing.B) { benchmarkObserved(b, c.looked) })
	}
}

// observed says what is looked at.
type observed struct {
	logs    bool   // at info, into a file
	metrics bool   // counted, and scraped once a second
	share   string // of the traces, which are sent to a collector; "": none
}

const (
	observedCallers  = 64
	observedProducts = 100
	observedRounds   = 20 // of each side, in turns, for each of two pairs of instances
)

// The sides of the comparison.
const (
	unobservedSide = iota
	observedSide
)

func benchmarkObserved(b *testing.B, o observed) {
	n := max(b.N/(2*observedRounds), 1)
	var took, burnt [2]time.Duration
	var ratios []float64 // of the two sides of a round, which had the same minute: their median is what a busy machine disturbs least
	b.StopTimer()
	for _, first := range []int{unobservedSide, observedSide} { // the instance that is opened second is a few percent faster, whoever it is
		addr, stop := o.pair(b, first)
		for side := range addr {
			drive(b, addr[side], 8, observedProducts, 500)
		}
		b.StartTimer()
		for round := range observedRounds {
			var this [2]time.Duration
			for turn := range 2 {
				side := (round + turn) % 2 // who begins changes, too
				began, cpu := time.Now(), cpuTime(b)
				drive(b, addr[side], observedCallers, observedProducts, n)
				this[side] = time.Since(began)
				took[side] += this[side]
				burnt[side] += cpuTime(b) - cpu
			}
			ratios = append(ratios, this[unobservedSide].Seconds()/this[observedSide].Seconds())
		}
		b.StopTimer()
		stop()
	}
	orders := float64(2 * n * observedRounds)
	b.ReportMetric(orders/took[0].Seconds(), "off-orders/s")
	b.ReportMetric(orders/took[1].Seconds(), "on-orders/s")
	slices.Sort(ratios)
	b.ReportMetric(ratios[len(ratios)/2], "on/off")
	b.ReportMetric(float64(burnt[0].Microseconds())/orders, "off-cpu-µs/order")
	b.ReportMetric(float64(burnt[1].Microseconds())/orders, "on-cpu-µs/order")
}

// pair opens an instance of each side, that one first.
func (o observed) pair(b *testing.B, first int) (addr [2]string, stop func()) {
	b.Helper()
	off := instance.Config{Dir: b.TempDir(), Log: slog.New(slog.DiscardHandler)}
	instance.Uncounted(&off)
	on, end := o.config(b)
	var stops [2]func()
	for turn := range 2 {
		side := (first + turn) % 2
		_, addr[side], stops[side] = serveBench(b, [2]instance.Config{unobservedSide: off, observedSide: on}[side], observedProducts)
	}
	endScrape := func() {}
	if o.metrics {
		endScrape = scrapeEverySecond(b, addr[observedSide])
	}
	return addr, func() {
		endScrape()
		stops[unobservedSide]()
		stops[observedSide]()
		end()
	}
}

// config is of an instance that is looked at. end is called when it has stopped.
func (o observed) config(b *testing.B) (c instance.Config, end func()) {
	b.Helper()
	c = instance.Config{Dir: b.TempDir(), Log: slog.New(slog.DiscardHandler)}
	if !o.metrics {
		instance.Uncounted(&c)
	}
	if o.logs {
		file, err := os.Create(filepath.Join(b.TempDir(), "log"))
		if err != nil {
			b.Fatal(err)
		}
		lines := observe.NewWriter(file) // as serve does
		b.Cleanup(func() { lines.Close(); _ = file.Close() })
		c.Log = observe.NewLogger(lines, slog.LevelInfo, nil)
	}
	if o.share == "" {
		return c, func() {}
	}
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	settings, err := trace.Environment(func(name string) string {
		return map[string]string{
			"OTEL_EXPORTER_OTLP_ENDPOINT": collector.URL, "OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": o.share,
		}[name]
	}, "bench")
	if err != nil {
		b.Fatal(err)
	}
	if c.Tracer, err = trace.Open(settings, c.Log); err != nil {
		b.Fatal(err)
	}
	return c, func() {
		if err := c.Tracer.Close(context.Background()); err != nil {
			b.Error(err)
		}
		collector.Close()
	}
}

// scrapeEverySecond reads /metrics until the returned function is called.
func scrapeEverySecond(b *testing.B, addr string) (stop func()) {
	b.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			r, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/metrics", http.NoBody)
			if resp, err := http.DefaultClient.Do(r); err == nil {
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				if resp.StatusCode != http.StatusOK {
					b.Errorf("/metrics answers %d", resp.StatusCode)
				}
			}
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
	}()
	return func() { cancel(); <-done }
}
