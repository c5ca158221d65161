package loadtest_test

import (
	"errors"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/loadtest"
)

func TestARunThatIsNoneIsRefusedBeforeAnythingIsSent(t *testing.T) {
	for _, c := range []struct {
		name, field, says string
		set               func(*loadtest.Config)
	}{
		{"no URL", "url", "http://127.0.0.1:8080", func(c *loadtest.Config) { c.URL = "" }},
		{"another scheme", "url", "http://127.0.0.1:8080", func(c *loadtest.Config) { c.URL = "ftp://shop.example" }},
		{"no end", "duration", "would not end", func(c *loadtest.Config) { c.Orders = 0 }},
		{"less than no orders", "orders", "0 to 1000000", func(c *loadtest.Config) { c.Orders = -1 }},
		{"too many orders", "orders", "1000001 orders", func(c *loadtest.Config) { c.Orders = 1_000_001 }},
		{"too long", "duration", "10m0s", func(c *loadtest.Config) { c.Duration = 10*time.Minute + 1 }},
		{"a negative duration", "duration", "10m0s", func(c *loadtest.Config) { c.Duration = -1 }},
		{"too much warm-up", "warmup", "10000", func(c *loadtest.Config) { c.Warmup = 10_001 }},
		{"too many at once", "concurrency", "1 to 1000", func(c *loadtest.Config) { c.Concurrency = 1001 }},
		{"neither loop", "rate", "Either", func(c *loadtest.Config) { c.Concurrency = 0 }},
		{"both loops", "rate", "Either", func(c *loadtest.Config) { c.Rate = 5 }},
		{"too fast", "rate", "10000", func(c *loadtest.Config) { c.Concurrency, c.Rate = 0, 10_001 }},
		{"a negative rate", "rate", "-1 orders", func(c *loadtest.Config) { c.Concurrency, c.Rate = 0, -1 }},
		{"a rate that is no number", "rate", "NaN", func(c *loadtest.Config) { c.Concurrency, c.Rate = 0, math.NaN() }},
		{"too many orders by rate and duration", "rate", "more than 1000000 orders", func(c *loadtest.Config) {
			c.Concurrency, c.Orders, c.Rate, c.Duration = 0, 0, 5000, 10*time.Minute
		}},
		{"more orders than come due in ten minutes", "orders", "longer than 10m0s", func(c *loadtest.Config) {
			c.Concurrency, c.Orders, c.Rate = 0, 601, 1
		}},
		{"too many in flight", "max_in_flight", "1 to 1000", func(c *loadtest.Config) { c.Concurrency, c.Rate, c.MaxInFlight = 0, 5, 1001 }},
		{"in flight of a closed loop", "max_in_flight", "open loop", func(c *loadtest.Config) { c.MaxInFlight = 5 }},
		{"a mix of too little", "mix", "99 percent", func(c *loadtest.Config) { c.Mix = loadtest.Mix{Happy: 99} }},
		{"a mix of less than nothing", "mix", "0 to 100", func(c *loadtest.Config) { c.Mix = loadtest.Mix{Happy: 101, Declined: -1} }},
		{"short of no product", "short_product", "no product without stock", func(c *loadtest.Config) {
			c.Mix, c.ShortProduct = loadtest.Mix{Short: 100}, ""
		}},
		{"a short product that is none", "short_product", `"a b"`, func(c *loadtest.Config) { c.ShortProduct = "a b" }},
		{"no products", "products", "0 products", func(c *loadtest.Config) { c.Products = nil }},
		{"too many products", "products", "10001 products", func(c *loadtest.Config) { c.Products = make([]string, 10_001) }},
		{"a product that is none", "products", `"A/B"`, func(c *loadtest.Config) { c.Products = []string{"A/B"} }},
		{"a prefix that is too long", "customer_prefix", "up to 60", func(c *loadtest.Config) { c.CustomerPrefix = strings.Repeat("x", 61) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			conf := config(http.NotFoundHandler())
			conf.Orders, conf.Concurrency = 10, 1
			if err := conf.Validate(); err != nil {
				t.Fatal(err)
			}
			c.set(&conf)
			conf.HTTP = doer(func(*http.Request) (*http.Response, error) {
				t.Error("something was sent")
				return nil, errors.New("no")
			})
			_, err := loadtest.Run(t.Context(), conf, nil)
			var f *fault.Error
			if !errors.As(err, &f) || f.Kind != fault.ValidationFailed || f.Details["field"] != c.field || !strings.Contains(f.Message, c.says) {
				t.Errorf("refused with %v", err)
			}
		})
	}
}

func TestTheURLIsNotShown(t *testing.T) {
	c := config(nil)
	c.URL = "gopher://user:secret@shop.example"
	if err := c.Validate(); err == nil || strings.Contains(err.Error(), "secret") {
		t.Error(err)
	}
}
