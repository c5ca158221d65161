package instance_test

import (
	"encoding/csv"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// aLoad is a form that is small and has every kind of order.
func aLoad(changes ...string) url.Values {
	form := url.Values{"orders": {"200"}, "concurrency": {"8"}, "happy": {"70"}, "declined": {"15"}, "short": {"10"}, "cancel": {"5"}}
	for i := 0; i+1 < len(changes); i += 2 {
		form.Set(changes[i], changes[i+1])
	}
	return form
}

func TestPagesMakeALoadTest(t *testing.T) {
	w := newWorld(t)
	first := w.call("GET", "/dashboard/load", nil).is(http.StatusOK)
	wellFormed(t, first)
	for _, file := range []string{"latency.svg", "distribution.svg", "series.csv"} {
		w.call("GET", "/dashboard/load/"+file, nil).is(http.StatusNotFound)
	}
	t.Run("it places the orders that the form asks for, and shows what was measured", func(t *testing.T) {
		wellFormed(t, w.post("/dashboard/load", aLoad()).is(http.StatusOK))
		eventually(t, "the load test ends", func() bool {
			return strings.Contains(string(w.call("GET", "/dashboard/load", nil).body), "200 orders in")
		})
		page := w.call("GET", "/dashboard/load", nil).is(http.StatusOK)
		wellFormed(t, page)
		shows(t, page, ">30</strong> compensated", ">20</strong> refused: not enough stock", ", no error", "/dashboard/load/distribution.svg?n=1-")
		if strings.Contains(string(page.body), "data-poll=\"500\"") {
			t.Error("the page of a test that has ended asks for itself again")
		}
		for file, mediaType := range map[string]string{"latency.svg": "image/svg+xml", "distribution.svg": "image/svg+xml", "series.csv": "text/csv; charset=utf-8"} {
			a := w.call("GET", "/dashboard/load/"+file, nil).is(http.StatusOK)
			if a.header.Get("Content-Type") != mediaType || !strings.Contains(a.header.Get("Content-Disposition"), `attachment; filename="cloudflow-load-`+file) {
				t.Errorf("%s has %v", file, a.header)
			}
			if rows, err := csv.NewReader(strings.NewReader(string(a.body))).ReadAll(); file == "series.csv" && (err != nil || len(rows) < 2) {
				t.Errorf("%v: %s", err, a.body)
			}
		}
		w.rest()
	})
	t.Run("there is one at a time, and it stops when it is told to", func(t *testing.T) {
		w.post("/dashboard/load", aLoad("orders", "", "seconds", "300")).is(http.StatusOK)
		shows(t, w.post("/dashboard/load", aLoad()).is(http.StatusConflict), "There is one at a time")
		page := w.call("GET", "/dashboard/load", nil).is(http.StatusOK)
		wellFormed(t, page)
		shows(t, page, `data-poll="500"`, `<noscript><meta http-equiv="refresh"`, "<progress")
		w.post("/dashboard/load/stop", nil).is(http.StatusOK)
		eventually(t, "the load test stops", func() bool {
			return strings.Contains(string(w.call("GET", "/dashboard/load", nil).body), "It was stopped before its end.")
		})
		w.post("/dashboard/load/stop", nil).is(http.StatusOK) // once more does nothing
		w.rest()
	})
	t.Run("an open loop is one, too", func(t *testing.T) {
		w.post("/dashboard/load", aLoad("orders", "100", "concurrency", "", "rate", "400.5")).is(http.StatusOK)
		eventually(t, "the load test ends", func() bool {
			return strings.Contains(string(w.call("GET", "/dashboard/load", nil).body), "100 orders in")
		})
	})
	t.Run("a server that stops ends it", func(t *testing.T) {
		w.post("/dashboard/load", aLoad("orders", "", "seconds", "600")).is(http.StatusOK)
		w.end()
	})
}

func TestPagesRefuseALoadTestThatIsNone(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		name   string
		form   url.Values
		naming string
	}{
		{"nothing", url.Values{}, "mix"},
		{"no extent", aLoad("orders", ""), "Neither a number of orders nor a duration"},
		{"no pace", aLoad("concurrency", ""), "Either a concurrency"},
		{"both paces", aLoad("rate", "10"), "and not both"},
		{"a negative number", aLoad("orders", "-1"), "-1 orders"},
		{"a negative duration", aLoad("seconds", "-5"), "A run of -5s"},
		{"a negative rate", aLoad("concurrency", "", "rate", "-1"), "-1 orders a second"},
		{"a negative part", aLoad("happy", "-1"), "percent"},
		{"a huge number", aLoad("orders", "99999999999999999999"), "orders"},
		{"a large number", aLoad("orders", "1000001"), "1000001 orders"},
		{"a large duration", aLoad("seconds", "2147483647"), "A run of"},
		{"a large concurrency", aLoad("concurrency", "501"), "501 orders at once"},
		{"a huge rate", aLoad("concurrency", "", "rate", "1e300"), "orders a second"},
		{"an endless rate", aLoad("concurrency", "", "rate", "Inf"), "rate"},
		{"a rate that is no number", aLoad("concurrency", "", "rate", "NaN"), "rate"},
		{"words", aLoad("seconds", "<b>soon</b>"), "seconds"},
		{"a mix of 99", aLoad("happy", "69"), "add up to 99"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := w.post("/dashboard/load", c.form).is(http.StatusUnprocessableEntity)
			wellFormed(t, a)
			shows(t, a, c.naming)
		})
	}
	shows(t, w.call("GET", "/dashboard/load", nil), "No test yet")
	w.call("GET", "/products/LOAD-01", nil).is(http.StatusNotFound)
}
