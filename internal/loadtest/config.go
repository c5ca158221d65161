package loadtest

import (
	"fmt"
	"math"
	"net/http"
	"net/url"
	"regexp"
	"time"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
)

// Limits of a run. A load generator that is left alone must end, and must not be what breaks first.
const (
	// MaxOrders is what the two cores of the README's figures do in five minutes, and 8 GB of their store's log.
	MaxOrders = 1_000_000
	// MaxInFlight is a quarter of the connections that an instance takes, which is all that it takes from one address.
	MaxInFlight = 1_000
	// MaxDuration is one point a second in MaxPoints, and long enough for several compactions of the store.
	MaxDuration = 10 * time.Minute
	// MaxRate is three times what an instance on two cores has been seen to do. Beyond it timers are later than orders are apart.
	MaxRate = 10_000 // orders a second
	// MaxWarmup opens every connection ten times, fills the caches and the first memtable.
	MaxWarmup = 10_000
	// MaxProducts is how many products an instance lists on a hundred pages; more do not contend less.
	MaxProducts = 10_000

	// maxWarmupTime is when the measurement begins though the warm-up is not through: a server that is down would hold it up for hours.
	maxWarmupTime = time.Minute
	// orderTimeout is the longest that the server waits for an outcome and some for the way there and back.
	orderTimeout = 30 * time.Second
	// grace is how long a run that was interrupted waits for the orders under way: far more than an order takes, and less than whoever
	// pressed Ctrl-C waits before pressing it again.
	grace = 5 * time.Second
	// errorPause is how long a worker of a closed loop rests after a call that reached nobody. Without it a run against a server that is
	// down would be through with all of its orders in a few seconds.
	errorPause = 100 * time.Millisecond
	// awayPause is how long a worker of a closed loop stays away at most when it is refused because there is too much to do. A refusal takes a
	// hundredth of an order: without a pause the run would measure nothing else. Longer ones would be gaps in charts by the second.
	awayPause = time.Second
	// defaultInFlight is as many as the larger benchmark has callers.
	defaultInFlight = 256
	// customers is how many customers order: enough that none has a list worth speaking of, few enough to be looked at.
	customers = 1_000
)

// A Doer makes HTTP requests; *http.Client is one. It gives up when the request's context ends.
type Doer interface {
	Do(*http.Request) (*http.Response, error)
}

// SoldOut is the product without stock that the command and the page make for Mix.Short.
const SoldOut = "LOAD-NONE"

// ProductIDs are the ids of the first n products that the command and the page make: the same, so that each goes on with the other's.
func ProductIDs(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("LOAD-%02d", i+1)
	}
	return ids
}

// A Config says what load to make. Of Orders and Duration one at least, of Concurrency and Rate exactly one is set.
type Config struct {
	URL  string                 // of the instance, such as http://127.0.0.1:8080
	HTTP Doer                   // nil: a client of the run's own, which keeps as many connections as it has orders in flight
	Edit apigen.RequestEditorFn // puts credentials on each request; nil: none

	Orders   int           // how many orders; 0: as many as Duration allows
	Duration time.Duration // after which no order is started; 0: MaxDuration. With Orders: whatever comes first

	Concurrency int     // closed loop: how many workers, each with one order in flight
	Rate        float64 // open loop: how many orders are due in a second
	MaxInFlight int     // open loop: how many orders are in flight at most; what is due beyond it waits, and its waiting counts. 0: 256

	Mix            Mix      // zero: every order is to be confirmed
	Products       []string // ids of products with enough stock, of which each order takes one piece of one
	Hot            bool     // all orders are for the first product: what a sale does to one item
	ShortProduct   string   // id of a product without stock, for Mix.Short
	CustomerPrefix string   // the customers are PREFIX-000 to PREFIX-999; empty: load
	Warmup         int      // orders before the measurement, which are not counted
	Seed           uint64   // decides which order is of which kind, and of which product

	Now func() time.Time // nil: time.Now
}

// A Mix is how many of each hundred orders are of which kind. They add up to 100.
type Mix struct {
	Happy    int `json:"happy"`    // the card is good
	Declined int `json:"declined"` // the card is declined: what was reserved is given back
	Short    int `json:"short"`    // for a product without stock: refused at once
	Cancel   int `json:"cancel"`   // cancelled as soon as it is accepted, which races with the saga
}

// Validate is fault.ValidationFailed, with the member's name as the detail "field", if the run is not one that Run makes.
func (c Config) Validate() error {
	_, err := c.complete()
	return err
}

// complete returns the Config with what was left out.
func (c Config) complete() (Config, error) {
	if c.Mix == (Mix{}) {
		c.Mix.Happy = 100
	}
	if c.CustomerPrefix == "" {
		c.CustomerPrefix = "load"
	}
	if c.Rate > 0 && c.MaxInFlight == 0 {
		c.MaxInFlight = defaultInFlight
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	for _, check := range []func(Config) error{Config.checkTarget, Config.checkExtent, Config.checkLoop, Config.checkMix, Config.checkProducts} {
		if err := check(c); err != nil {
			return c, err
		}
	}
	if c.Duration == 0 {
		c.Duration = MaxDuration
	}
	return c, nil
}

func invalid(field, format string, args ...any) error {
	return fault.New(fault.ValidationFailed, format, args...).With("field", field)
}

func (c Config) checkTarget() error {
	if u, err := url.Parse(c.URL); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return invalid("url", "The URL is not one such as http://127.0.0.1:8080.") // not shown: it may hold a password
	}
	return nil
}

func (c Config) checkExtent() error {
	switch {
	case c.Orders < 0 || c.Orders > MaxOrders:
		return invalid("orders", "%d orders are not from 0 to %d, which keeps two cores busy for five minutes.", c.Orders, MaxOrders)
	case c.Duration < 0 || c.Duration > MaxDuration:
		return invalid("duration", "A run of %s is not from 0 to %s, which is as long as its charts are.", c.Duration, MaxDuration)
	case c.Orders == 0 && c.Duration == 0:
		return invalid("duration", "Neither a number of orders nor a duration is set: the run would not end.")
	case c.Warmup < 0 || c.Warmup > MaxWarmup:
		return invalid("warmup", "%d orders of warm-up are not from 0 to %d.", c.Warmup, MaxWarmup)
	}
	return nil
}

func (c Config) checkLoop() error {
	switch {
	case c.Concurrency < 0 || c.Concurrency > MaxInFlight:
		return invalid("concurrency", "%d orders at once are not from 1 to %d: an instance takes no more connections from one address.", c.Concurrency, MaxInFlight)
	case !(c.Rate >= 0 && c.Rate <= MaxRate): // so that NaN is none
		return invalid("rate", "%g orders a second are not above 0 and up to %d: timers are not finer.", c.Rate, MaxRate)
	case (c.Concurrency > 0) == (c.Rate > 0):
		return invalid("rate", "Either a concurrency (closed loop) or a rate (open loop) is to be set, and not both.")
	case c.MaxInFlight < 0 || c.MaxInFlight > MaxInFlight:
		return invalid("max_in_flight", "%d orders in flight are not from 1 to %d: an instance takes no more connections from one address.", c.MaxInFlight, MaxInFlight)
	case c.Concurrency > 0 && c.MaxInFlight > 0:
		return invalid("max_in_flight", "A closed loop has as many orders in flight as its concurrency; a bound of its own is for an open loop.")
	case c.Rate > 0 && c.Orders == 0 && c.Rate*c.Duration.Seconds() > MaxOrders:
		return invalid("rate", "%g orders a second for %s are more than %d orders.", c.Rate, c.Duration, MaxOrders)
	case c.Rate > 0 && c.Duration == 0 && float64(c.Orders) > c.Rate*MaxDuration.Seconds():
		return invalid("orders", "%d orders at %g a second take longer than %s.", c.Orders, c.Rate, MaxDuration)
	}
	return nil
}

func (c Config) checkMix() error {
	m := c.Mix
	if m.Happy < 0 || m.Declined < 0 || m.Short < 0 || m.Cancel < 0 || m.Happy > 100 || m.Declined > 100 || m.Short > 100 || m.Cancel > 100 {
		return invalid("mix", "The mix holds a part that is not from 0 to 100 percent.")
	}
	if sum := m.Happy + m.Declined + m.Short + m.Cancel; sum != 100 {
		return invalid("mix", "The parts of the mix add up to %d percent and not to 100.", sum)
	}
	if m.Short > 0 && c.ShortProduct == "" {
		return invalid("short_product", "The mix asks for orders that are short of stock, and no product without stock is named.")
	}
	return nil
}

var (
	validID     = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)
	validPrefix = regexp.MustCompile(`^[A-Za-z0-9._-]{1,60}$`) // an id with room for -000
)

func (c Config) checkProducts() error {
	if len(c.Products) == 0 || len(c.Products) > MaxProducts {
		return invalid("products", "%d products are not from 1 to %d.", len(c.Products), MaxProducts)
	}
	for _, id := range c.Products {
		if !validID.MatchString(id) {
			return invalid("products", "%.80q is no product's id.", id)
		}
	}
	if c.ShortProduct != "" && !validID.MatchString(c.ShortProduct) {
		return invalid("short_product", "%.80q is no product's id.", c.ShortProduct)
	}
	if !validPrefix.MatchString(c.CustomerPrefix) {
		return invalid("customer_prefix", "%.80q does not begin a customer's id: up to 60 of A-Z, a-z, 0-9, dot, underscore and hyphen.", c.CustomerPrefix)
	}
	return nil
}

// open reports whether orders are due at a rate.
func (c Config) open() bool { return c.Rate > 0 }

// workers is how many orders are in flight at most.
func (c Config) workers() int {
	if c.open() {
		return c.MaxInFlight
	}
	return c.Concurrency
}

// planned is how many orders are started at most.
func (c Config) planned() int {
	n := MaxOrders
	if c.Orders > 0 {
		n = c.Orders
	}
	if c.open() { // those that are due before the end
		n = min(n, int(math.Ceil(c.Rate*c.Duration.Seconds())))
	}
	return n
}
