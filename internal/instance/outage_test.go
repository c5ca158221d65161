package instance_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/app"
	"github.com/utkarsh698/cloudflow/internal/breaker"
	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/longtest"
	"github.com/utkarsh698/cloudflow/internal/provider"
)

// An outage is the provider's, while orders go on arriving.
type outage struct {
	t     *testing.T
	app   *app.App
	order func() answer
	pace  time.Duration // between two arrivals

	arrivals int
	accepted []string
}

// How long things take in an outage: the provider's own, and how long the circuit may need from its end until it is closed. The circuit is open
// for 60 s and then, if it was probed before the provider was back, for 120 s, each plus a tenth; the rest is for two orders to arrive.
const (
	outageLasts = 60 * time.Second
	closesIn    = 200 * time.Second
)

// arrive lets orders arrive until enough says that it is enough, at most for limit. It reports whether it did.
func (o *outage) arrive(limit time.Duration, enough func() bool) bool {
	for began := time.Now(); time.Since(began) < limit; wait(o.pace) {
		if enough() {
			return true
		}
		o.arrivals++
		switch a := o.order(); a.status {
		case http.StatusAccepted:
			o.accepted = append(o.accepted, into[apigen.OrderAccepted](a).OrderID)
		case http.StatusServiceUnavailable:
			a.problem("PAYMENT_PROVIDER_UNAVAILABLE")
		default:
			o.t.Fatalf("answered %d %s", a.status, a.body)
		}
	}
	return false
}

func (o *outage) state() breaker.State {
	s, err := o.app.Breakers[app.ChargeBreaker].State(o.t.Context())
	if err != nil {
		o.t.Fatal(err)
	}
	return s.State
}

func (o *outage) attempts() int {
	a := o.app.Provider.Attempts()
	return int(a.Open + a.Capture + a.Cancel + a.Refund)
}

func never() bool { return false }

// run is the story: healthy, down, back. It says how it went.
func (o *outage) run(f provider.Fault) string {
	o.arrive(2*time.Second, never)
	before := len(o.accepted)
	if err := o.app.Provider.SetFault(f); err != nil {
		o.t.Fatal(err)
	}
	down := time.Now()
	if !o.arrive(outageLasts, func() bool { return o.state() == breaker.Open }) {
		o.t.Fatal("the circuit does not open")
	}
	opened, attempts, arrivals := time.Since(down), o.attempts(), o.arrivals
	o.arrive(outageLasts-opened, never)
	attempts, arrivals = o.attempts()-attempts, o.arrivals-arrivals
	if float64(attempts) > 1.1*float64(arrivals) {
		o.t.Errorf("once the circuit was open, %d orders arrived, and the provider was asked %d times", arrivals, attempts)
	}
	during := len(o.accepted) - before
	if err := o.app.Provider.SetFault(provider.Fault{}); err != nil {
		o.t.Fatal(err)
	}
	healed := time.Now()
	if !o.arrive(closesIn, func() bool { return o.state() == breaker.Closed }) {
		o.t.Fatalf("the circuit is %s %s after the provider is back", o.state(), closesIn)
	}
	closed := time.Since(healed)
	admitted := len(o.accepted)
	o.arrive(2*time.Second, never)
	if len(o.accepted) == admitted {
		o.t.Error("the circuit is closed, and orders are refused still")
	}
	return fmt.Sprintf("open %.1f s into the outage, then %d attempts at %d arrivals; %d orders accepted in it; closed %.1f s after its end",
		opened.Seconds(), attempts, arrivals, during, closed.Seconds())
}

// settle requires that each accepted order has ended, CONFIRMED or COMPENSATED.
func (o *outage) settle(outcome func(id string) apigen.Order) string {
	confirmed, compensated := 0, 0
	for _, id := range o.accepted {
		switch v := outcome(id); {
		case v.Status == "CONFIRMED" && types(v) == confirmedLog:
			confirmed++
		case v.Status == "COMPENSATED" && types(v) == compensatedLog:
			compensated++
		default:
			o.t.Errorf("%s is %s: %s", id, v.Status, types(v))
		}
	}
	return fmt.Sprintf("%d confirmed, %d compensated", confirmed, compensated)
}

var outages = []struct {
	name  string
	fault provider.Fault
}{
	{"it answers 503", provider.Fault{Status: 503}},
	{"it refuses connections", provider.Fault{Down: true}},
	{"it does not answer", provider.Fault{Hang: true}},
	{"it does what it is asked, and its answers are lost", provider.Fault{LoseReplies: 1}},
	{"it answers 503 to captures", provider.Fault{Only: "capture", Status: 503}},
	{"it does not answer captures", provider.Fault{Only: "capture", Hang: true}},
	{"it captures, and its answers are lost", provider.Fault{Only: "capture", LoseReplies: 1}},
}

// The provider is away for a minute under load.
func TestProviderOutage(t *testing.T) {
	started := time.Now()
	detail := ""
	chosen := outages[:longtest.Count(2, len(outages), len(outages))]
	for _, f := range chosen {
		t.Run(f.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bubble) {
				stop := b.start()
				b.product("A", 1_000_000)
				o := &outage{t: t, app: b.App, pace: 25 * time.Millisecond, order: func() answer {
					return b.call("POST", "/orders", request(visa, "A"))
				}}
				how := o.run(f.fault)
				b.rest()
				how += "; " + o.settle(b.outcome)
				t.Log(how)
				detail += f.name + ": " + how + ". "
				stop()
			})
		})
	}
	longtest.Record(t, started, longtest.Result{What: "outages of 60 s on a virtual clock, 40 orders/s", Count: len(chosen), Detail: detail})
}

// The same in real time, on a real directory and over HTTP: in the long run only.
func TestProviderOutageInRealTime(t *testing.T) {
	if longtest.Count(0, 0, 1) == 0 {
		t.Skip("three minutes of real time: make test-long")
	}
	t.Parallel()
	started := time.Now()
	w := newWorld(t)
	w.product("A", 1_000_000)
	o := &outage{t: t, app: w.i.App, pace: 10 * time.Millisecond, order: func() answer {
		return w.call("POST", "/orders", request(visa, "A"))
	}}
	how := o.run(provider.Fault{Status: 503})
	settled := time.Now()
	for w.i.App.Engine.Open() > 0 && time.Since(settled) < 10*time.Minute {
		wait(time.Second)
	}
	how += "; " + o.settle(w.outcome)
	w.rest()
	longtest.Record(t, started, longtest.Result{What: "outage of 60 s in real time, 100 orders/s at most", Count: 1, Detail: how})
}
