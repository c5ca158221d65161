package loadtest_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/utkarsh698/cloudflow/internal/loadtest"
)

// run makes the load and requires that there is a result.
func run(t *testing.T, c loadtest.Config) loadtest.Result {
	t.Helper()
	r, err := loadtest.Run(t.Context(), c, nil)
	if err != nil {
		t.Fatal(err)
	}
	if r.Started != r.Done+r.Abandoned || r.InFlight != 0 || r.Phase != loadtest.Done {
		t.Errorf("started %d, done %d, abandoned %d, in flight %d, phase %s", r.Started, r.Done, r.Abandoned, r.InFlight, r.Phase)
	}
	return r
}

func TestEveryOrderIsCountedUnderWhatCameBack(t *testing.T) {
	s := &shop{t: t}
	server := httptest.NewServer(s)
	defer server.Close()
	c := loadtest.Config{
		URL: server.URL, Orders: 1000, Concurrency: 8, Warmup: 20, Seed: 7, CustomerPrefix: "crowd",
		Mix: loadtest.Mix{Happy: 60, Declined: 20, Short: 10, Cancel: 10}, Products: []string{"A", "B"}, ShortProduct: "NONE",
		Edit: func(_ context.Context, r *http.Request) error {
			r.Header.Set("Authorization", "Bearer key")
			return nil
		},
	}
	r := run(t, c)
	if want := (loadtest.Counts{Confirmed: 600, Compensated: 200, InsufficientStock: 100, Cancelled: 100}); r.Counts != want {
		t.Errorf("counted %+v, want %+v: %+v", r.Counts, want, r.Errors)
	}
	if s.confirmed != 620 || s.declined != 200 || s.short != 100 || s.cancels != 100 {
		t.Errorf("the shop saw %d, %d, %d, %d", s.confirmed, s.declined, s.short, s.cancels)
	}
	if len(s.keys) != 100 { // each order that is cancelled is placed and, under the same key, waited for
		t.Errorf("%d keys", len(s.keys))
	}
	for key, n := range s.keys {
		if n != 2 {
			t.Errorf("key %s came %d times", key, n)
		}
	}
	if s.unknown != 0 {
		t.Errorf("%d requests came without their credentials", s.unknown)
	}
	if len(s.customers) != 1000 || s.customers["crowd-000"] == 0 || s.customers["crowd-999"] == 0 {
		t.Errorf("%d customers", len(s.customers))
	}
	if s.products["A"] == 0 || s.products["B"] == 0 {
		t.Errorf("products %v", s.products)
	}
	total := int64(0)
	for _, o := range r.Outcomes {
		total += o.Count
		if o.Latency.P50Ms <= 0 || o.Latency.MaxMs < o.Latency.P50Ms {
			t.Errorf("%s took %+v", o.Outcome, o.Latency)
		}
	}
	if total != 1000 || len(r.Outcomes) != 4 {
		t.Errorf("the outcomes are %+v", r.Outcomes)
	}
}

func TestAnAnswerIsCountedAsWhatItIs(t *testing.T) {
	for _, c := range []struct {
		name    string
		status  int
		body    string
		outcome loadtest.Outcome
		text    string
	}{
		{"an order that is confirmed", 200, `{"status":"CONFIRMED"}`, loadtest.Confirmed, ""},
		{"an order that was undone", 200, `{"status":"COMPENSATED"}`, loadtest.Compensated, ""},
		{"an order that failed", 200, `{"status":"FAILED"}`, loadtest.Failed, ""},
		{"an order that was cancelled", 200, `{"status":"CANCELLED"}`, loadtest.Cancelled, ""},
		{"a shortage", 409, `{"status":409,"error":"INSUFFICIENT_STOCK"}`, loadtest.InsufficientStock, ""},
		{"another conflict", 409, `{"status":409,"error":"PRICE_CHANGED"}`, loadtest.Error, "409 PRICE_CHANGED"},
		{"an open circuit", 503, `{"status":503,"error":"PAYMENT_PROVIDER_UNAVAILABLE"}`, loadtest.Unavailable, "503 PAYMENT_PROVIDER_UNAVAILABLE"},
		{"a proxy that has lost its server", 503, `<html>`, loadtest.Unavailable, "503 no answer of a CloudFlow"},
		{"a server with too much to do", 503, `{"status":503,"error":"OVERLOADED"}`, loadtest.Overloaded, "503 OVERLOADED"},
		{"too many calls", 429, `{"status":429,"error":"THROTTLED"}`, loadtest.Throttled, "429 THROTTLED"},
		{"an order that is not decided", 202, `{"status":"PENDING"}`, loadtest.Pending, "202 "},
		{"an unknown product", 422, `{"status":422,"error":"UNKNOWN_PRODUCT"}`, loadtest.Error, "422 UNKNOWN_PRODUCT"},
		{"a page of something else", 200, `hello`, loadtest.Error, "200 no answer of a CloudFlow"},
		{"a status that is none of an end", 200, `{"status":"REVIEW"}`, loadtest.Error, "200 "},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &shop{t: t, reply: func(int) (int, string) { return c.status, c.body }}
			conf := config(s)
			conf.Orders, conf.Concurrency = 3, 1
			r := run(t, conf)
			if len(r.Outcomes) != 1 || r.Outcomes[0].Outcome != c.outcome || r.Outcomes[0].Count != 3 {
				t.Errorf("counted %+v", r.Outcomes)
			}
			var errors []loadtest.ErrorCount
			if c.text != "" {
				errors = []loadtest.ErrorCount{{Text: c.text, Count: 3}}
			}
			if !slices.Equal(r.Errors, errors) {
				t.Errorf("errors %+v", r.Errors)
			}
			if isError := r.Counts.Errors() == 3; isError != c.outcome.IsError() || isError != (r.OrdersPerSecondOverall == 0) {
				t.Errorf("%d errors, %g orders a second", r.Counts.Errors(), r.OrdersPerSecondOverall)
			}
		})
	}
}

func TestAServerThatCannotBeReachedIsAResultFullOfErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := config(nil)
		calls := 0
		c.HTTP = doer(func(*http.Request) (*http.Response, error) {
			calls++
			return nil, errors.New("nobody there")
		})
		c.Concurrency, c.Duration = 1, 10*time.Second
		r := run(t, c)
		if r.Counts.Error != 100 || calls != 100 { // one each 100 ms, and not as many as the processor can
			t.Errorf("%d errors of %d calls", r.Counts.Error, calls)
		}
		if want := []loadtest.ErrorCount{{Text: "nobody there", Count: 100}}; !slices.Equal(r.Errors, want) {
			t.Errorf("errors %+v", r.Errors)
		}
	})
}

func TestAWorkerThatIsToldToStayAwayDoes(t *testing.T) {
	for _, c := range []struct {
		rule       string
		status     int
		code, away string
		rate       float64 // 0: a closed loop of one worker
		orders     int64   // in ten seconds
	}{
		{"for as long as it is told", 503, "OVERLOADED", "1", 0, 10},
		{"but for a second at most", 503, "OVERLOADED", "57", 0, 10},
		{"and so with too many calls", 429, "THROTTLED", "2", 0, 10},
		{"an open loop has no mercy", 503, "OVERLOADED", "57", 100, 1000},
		{"an open circuit is what a run may be about", 503, "PAYMENT_PROVIDER_UNAVAILABLE", "57", 0, 1000},
		{"a date is not read", 503, "OVERLOADED", "Thu, 15 Jan 2026 10:30:00 GMT", 0, 1000},
	} {
		t.Run(c.rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conf := config(nil)
				conf.HTTP = doer(func(*http.Request) (*http.Response, error) {
					<-time.After(10 * time.Millisecond)
					rec := httptest.NewRecorder()
					rec.Header().Set("Retry-After", c.away)
					answer(rec, c.status, fmt.Sprintf(`{"status":%d,"error":%q}`, c.status, c.code))
					return rec.Result(), nil
				})
				conf.Concurrency, conf.Rate, conf.Duration, conf.Orders = 1, c.rate, 10*time.Second, 0
				if c.rate > 0 {
					conf.Concurrency = 0
				}
				r := run(t, conf)
				if n := r.Counts.Errors(); n < c.orders*9/10 || n > c.orders {
					t.Errorf("%d orders, want %d", n, c.orders)
				}
				if c.code == "OVERLOADED" && r.Counts.Overloaded != r.Counts.Errors() {
					t.Errorf("counted %+v", r.Counts)
				}
			})
		})
	}
}

func TestAnOrderThatIsNeverAnsweredTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shop{t: t, delay: func(int) time.Duration { return time.Hour }}
		c := config(s)
		c.Concurrency, c.Orders = 4, 4
		r := run(t, c)
		if r.Counts.Error != 4 || r.Errors[0].Text != "no answer within 30s" || r.Latency.P50Ms < 30_000 {
			t.Errorf("%+v %+v %+v", r.Counts, r.Errors, r.Latency)
		}
	})
}

func TestAClosedLoopHasAsManyOrdersInFlightAsItsConcurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shop{t: t, delay: func(n int) time.Duration { return ms(5 + n%20) }}
		c := config(s)
		c.Concurrency, c.Orders, c.Warmup = 16, 5000, 100
		r := run(t, c)
		if s.mostAtOnce != 16 || s.orders != 5100 || r.Done != 5000 {
			t.Errorf("%d at once, %d orders, %d counted", s.mostAtOnce, s.orders, r.Done)
		}
	})
}

func TestAClosedLoopStartsNoOrderWhenItsTimeIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shop{t: t, delay: func(int) time.Duration { return ms(30) }}
		c := config(s)
		c.Concurrency, c.Duration = 2, time.Second
		r := run(t, c)
		if r.Done != 2*34 || r.ElapsedSeconds != 1.02 || r.Interrupted { // the 34th begins after 990 ms
			t.Errorf("%d orders in %g s, interrupted: %t", r.Done, r.ElapsedSeconds, r.Interrupted)
		}
	})
}

func TestAnOpenLoopKeepsItsRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		s := &shop{t: t, delay: func(n int) time.Duration { return ms(20 + n%100) }} // slower than the orders are apart
		c := config(s)
		c.Rate, c.Duration = 200, 10*time.Second
		r := run(t, c)
		if r.Done != 2000 || r.Behind != 0 {
			t.Fatalf("%d orders, %d behind", r.Done, r.Behind)
		}
		for n, at := range s.arrivals {
			if want := time.Duration(n) * ms(5); at.Sub(began) != want {
				t.Fatalf("order %d came after %s, due after %s", n, at.Sub(began), want)
			}
		}
		for _, p := range r.Series[1:] {
			if p.OrdersPerSecond < 195 || p.OrdersPerSecond > 205 {
				t.Errorf("%+v", p)
			}
		}
	})
}

func TestAnOpenLoopSaysHowFarItIsBehindAndCountsTheWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shop{t: t, delay: func(int) time.Duration { return ms(100) }}
		c := config(s)
		c.Rate, c.MaxInFlight, c.Duration = 100, 5, 10*time.Second // 5 at once, 100 ms each: half of what is due
		r := run(t, c)
		if s.mostAtOnce != 5 {
			t.Errorf("%d at once", s.mostAtOnce)
		}
		if r.Done < 500 || r.Done > 505 || r.Behind != 1000-r.Done {
			t.Errorf("%d orders, %d behind", r.Done, r.Behind)
		}
		if r.Latency.MaxMs < 5000 { // the last one that was started had been due for five seconds
			t.Errorf("took %+v", r.Latency)
		}
	})
}

// A server stalls for one second of twenty. Who asks it at a constant rate finds that one order of twenty waited, half a second on the
// average. Who waits for each answer before asking again has asked four times in that second, and finds nothing.
func TestAStallShowsInAnOpenLoopAndHidesInAClosedOne(t *testing.T) {
	stalling := func(t *testing.T) *shop {
		began := time.Now()
		return &shop{t: t, delay: func(int) time.Duration {
			if at := time.Since(began); at >= 10*time.Second && at < 11*time.Second {
				return 11*time.Second - at + ms(10)
			}
			return ms(10)
		}}
	}
	t.Run("open loop: p99 is most of the stall", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := config(stalling(t))
			c.Rate, c.MaxInFlight, c.Duration = 400, 40, 20*time.Second // 40 orders are half of a percent
			r := run(t, c)
			if r.Latency.P99Ms < 700 || r.Latency.P50Ms > 15 || r.Done != 8000 {
				t.Errorf("%d orders took %+v", r.Done, r.Latency)
			}
		})
	})
	t.Run("closed loop: p99 is what it is without a stall", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := config(stalling(t))
			c.Concurrency, c.Duration = 4, 20*time.Second
			r := run(t, c)
			if r.Latency.P99Ms > 15 || r.Latency.MaxMs < 1000 {
				t.Errorf("%d orders took %+v", r.Done, r.Latency)
			}
		})
	})
}

func TestAnInterruptGivesWhatWasMeasured(t *testing.T) {
	for _, c := range []struct {
		name string
		set  func(*loadtest.Config)
	}{
		{"closed loop", func(c *loadtest.Config) { c.Concurrency, c.Orders = 10, 100_000 }},
		{"open loop", func(c *loadtest.Config) { c.Rate, c.Duration, c.MaxInFlight = 50, time.Minute, 10 }},
	} {
		t.Run(c.name+": the orders under way are waited for", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &shop{t: t, delay: func(int) time.Duration { return ms(200) }}
				conf := config(s)
				c.set(&conf)
				r, took := interrupted(t, conf, 3050*time.Millisecond)
				if r.Done != int64(s.orders) || r.Abandoned != 0 || r.Counts.Confirmed != r.Done || !r.Interrupted {
					t.Errorf("%d of %d orders, %d abandoned, interrupted: %t", r.Done, s.orders, r.Abandoned, r.Interrupted)
				}
				if took < 3050*time.Millisecond || took > 3250*time.Millisecond {
					t.Errorf("took %s", took)
				}
			})
		})
		t.Run(c.name+": but not for longer than five seconds", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &shop{t: t, delay: func(n int) time.Duration {
					if n >= 20 {
						return 25 * time.Second
					}
					return ms(200)
				}}
				conf := config(s)
				c.set(&conf)
				r, took := interrupted(t, conf, 3050*time.Millisecond)
				if r.Done != 20 || r.Abandoned != 10 || r.Started != 30 || r.Counts.Error != 0 || !r.Interrupted {
					t.Errorf("%d started, %d done, %d abandoned, %+v", r.Started, r.Done, r.Abandoned, r.Counts)
				}
				if took != 8050*time.Millisecond {
					t.Errorf("took %s", took)
				}
			})
		})
	}
	t.Run("in the warm-up: nothing was measured", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := config(&shop{t: t, delay: func(int) time.Duration { return ms(200) }})
			c.Concurrency, c.Orders, c.Warmup = 1, 10, 100
			r, _ := interrupted(t, c, time.Second)
			if r.Started != 0 || r.Done != 0 || !r.Interrupted {
				t.Errorf("%+v", r.Snapshot)
			}
		})
	})
}

// interrupted is a run whose context ends after a time.
func interrupted(t *testing.T, c loadtest.Config, after time.Duration) (loadtest.Result, time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), after)
	defer cancel()
	began := time.Now()
	r, err := loadtest.Run(ctx, c, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r, time.Since(began)
}

func TestTheSeedDecidesTheOrders(t *testing.T) {
	asked := func(seed uint64) []string {
		s := &shop{t: t}
		c := config(s)
		c.Concurrency, c.Orders, c.Seed = 1, 250, seed
		c.Mix = loadtest.Mix{Happy: 50, Declined: 30, Short: 20}
		r := run(t, c)
		if r.Seed != seed || r.Counts.Confirmed < 100 || r.Counts.Confirmed > 150 { // 100 of the whole hundreds, and of the fifty up to fifty
			t.Errorf("seed %d, %+v", r.Seed, r.Counts)
		}
		return s.asked
	}
	if one, two, other := asked(1), asked(1), asked(2); !slices.Equal(one, two) || slices.Equal(one, other) {
		t.Error("the same seed must ask for the same, another for something else")
	}
}

func TestTheMixIsExactInEveryHundredAndInNoOrder(t *testing.T) {
	s := &shop{t: t}
	c := config(s)
	c.Concurrency, c.Orders, c.Hot = 1, 300, true
	c.Mix = loadtest.Mix{Happy: 50, Declined: 30, Short: 20}
	run(t, c)
	for hundred := range slices.Chunk(s.asked, 100) {
		counts := map[string]int{}
		for _, a := range hundred {
			counts[a]++
		}
		if counts[" A"] != 50 || counts["pm_card_chargeDeclined A"] != 30 || counts[" NONE"] != 20 {
			t.Errorf("a hundred orders are %v", counts)
		}
		if len(slices.Compact(slices.Clone(hundred))) < 30 {
			t.Errorf("the orders come in blocks: %q", hundred)
		}
	}
	if slices.Equal(s.asked[:100], s.asked[100:200]) {
		t.Error("the second hundred is in the order of the first")
	}
}

func TestARunThatIsRepeatedPlacesOrdersOfItsOwn(t *testing.T) {
	s := &shop{t: t}
	c := config(s)
	c.Concurrency, c.Orders, c.Mix = 2, 10, loadtest.Mix{Cancel: 100}
	run(t, c)
	run(t, c)
	if len(s.keys) != 20 {
		t.Errorf("%d idempotency keys: the second run was answered with orders of the first", len(s.keys))
	}
}

func TestAHotRunIsForTheFirstProductAlone(t *testing.T) {
	s := &shop{t: t}
	c := config(s)
	c.Concurrency, c.Orders, c.Hot = 1, 200, true
	r := run(t, c)
	if s.products["A"] != 200 || r.Products != 1 {
		t.Errorf("%v", s.products)
	}
}

func TestARunIsShownFourTimesASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := config(&shop{t: t, delay: func(int) time.Duration { return ms(20) }})
		c.Rate, c.Duration, c.Warmup = 100, 10*time.Second, 256*25 // half a second of warm-up
		var shown []loadtest.Snapshot
		busy := atomic.Bool{}
		r, err := loadtest.Run(t.Context(), c, func(s loadtest.Snapshot) {
			if busy.Swap(true) {
				t.Error("shown twice at a time")
			}
			shown = append(shown, s)
			busy.Store(false)
		})
		if err != nil {
			t.Fatal(err)
		}
		phases := map[loadtest.Phase]int{}
		for i, s := range shown {
			phases[s.Phase]++
			if s.Started != s.Done+s.InFlight || s.InFlight < 0 || s.InFlight > 256 || i > 0 && s.Done < shown[i-1].Done || s.Rate != 100 {
				t.Errorf("snapshot %d is %+v", i, s)
			}
			if len(s.Series) > int(s.ElapsedSeconds) {
				t.Errorf("%d points after %g s", len(s.Series), s.ElapsedSeconds)
			}
		}
		if phases[loadtest.WarmingUp] < 1 || phases[loadtest.Running] < 39 || phases[loadtest.Done] != 1 {
			t.Errorf("%v", phases)
		}
		if at := shown[len(shown)/2]; at.OrdersPerSecond < 98 || at.OrdersPerSecond > 102 || at.OrdersPerSecondOverall < 98 {
			t.Errorf("%+v", at)
		}
		if last := shown[len(shown)-1]; last.Done != r.Done || last.Phase != loadtest.Done {
			t.Errorf("the last one is %+v", last)
		}
	})
}

type doer func(*http.Request) (*http.Response, error)

func (d doer) Do(r *http.Request) (*http.Response, error) { return d(r) }
