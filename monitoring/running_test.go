// Package monitoring_test tries the files of this directory on what they are for: a real Prometheus scrapes a running instance with
// prometheus/prometheus.yml, evaluates the rules of prometheus/alerts.yml, and is asked for every expression of these rules and of Grafana's
// dashboard. An expression that finds no series is one with a name in it that the instance does not have: it would be silent for ever, and nobody
// would see it.
//
// At what value an alert fires is for promtool and prometheus/alerts_test.yml (`make monitoring`).
//
// The prometheus is that of tools/deps-prometheus (`make deps-prometheus`). Without any the tests say so and skip; with CI=true they fail. With -short they skip.
package monitoring_test

import (
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

func TestEveryExpressionFindsASeriesOfARunningInstance(t *testing.T) {
	t.Parallel()
	p := needPrometheus(t)
	s := newShop(t)
	p.start(configuration(t, s.addr))

	// Trade begins after the first scrape: an increase is what a counter has gained since.
	p.scraped(1)
	s.trade()
	p.scraped(p.scrapes() + 2)

	for _, rule := range rules(t) {
		t.Run("alert "+rule.Alert, func(t *testing.T) {
			parts, err := operands(rule.Expr)
			if err != nil {
				t.Fatal(err)
			}
			for _, part := range parts {
				p.finds(t, part)
			}
		})
	}
	replace := strings.NewReplacer("$__rate_interval", "1m", "$instance", s.addr)
	for _, panel := range readDashboard(t).Panels {
		for _, target := range panel.Targets {
			t.Run("panel "+panel.Title+" "+target.RefID, func(t *testing.T) {
				expr := replace.Replace(target.Expr)
				if strings.Contains(expr, "$") {
					t.Fatalf("a variable that is not known: %s", expr)
				}
				p.finds(t, expr)
			})
		}
	}

	t.Run("Prometheus evaluates every rule, and those fire that should at once", func(t *testing.T) {
		var want []string
		for _, rule := range rules(t) {
			want = append(want, rule.Alert)
		}
		slices.Sort(want)
		// The circuit was open for a moment only, between two scrapes.
		firing := []string{"CircuitBreakerOpened", "SAGACompensationRateHigh"}
		var states map[string]string
		within(t, "the rules are evaluated, and "+strings.Join(firing, " and ")+" fire alone", func() bool {
			states = p.alerts(t)
			var fire []string
			for name, state := range states {
				if state == "firing" {
					fire = append(fire, name)
				}
			}
			slices.Sort(fire)
			return slices.Equal(fire, firing) && !slices.Contains(slices.Collect(maps.Values(states)), "unknown")
		}, func() any { return states })
		if got := slices.Sorted(maps.Keys(states)); !slices.Equal(got, want) {
			t.Errorf("the rules are %v, want %v", got, want)
		}
	})
}

func TestPrometheusScrapesAnInstanceWithTheKeyOfAnOperator(t *testing.T) {
	t.Parallel()
	p := needPrometheus(t)
	s := newShop(t, keyed)
	path := t.TempDir() + "/cloudflow.key"
	if err := os.WriteFile(path, []byte(s.key+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.start(substituted(t, configuration(t, s.addr),
		"# authorization:", "authorization:",
		"#   credentials_file: /etc/prometheus/cloudflow.key", "  credentials_file: "+path,
	))
	p.scraped(1)
	if got := p.value(t, "max_over_time(up[1m])"); got != 1 {
		t.Errorf("up is %v", got)
	}
}

// configuration is prometheus.yml for an instance at an address, scraped every second.
func configuration(t *testing.T, addr string) string {
	t.Helper()
	text, err := os.ReadFile("prometheus/prometheus.yml")
	if err != nil {
		t.Fatal(err)
	}
	alerts, err := absolute("prometheus/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	return substituted(t, string(text), "127.0.0.1:8080", addr, "- alerts.yml", "- "+alerts, "scrape_interval: 15s", "scrape_interval: 1s", "evaluation_interval: 15s", "evaluation_interval: 1s")
}

// substituted is the text with other values, each of which stands in it once.
func substituted(t *testing.T, text string, pairs ...string) string {
	t.Helper()
	for i := 0; i+1 < len(pairs); i += 2 {
		if n := strings.Count(text, pairs[i]); n != 1 {
			t.Fatalf("%q stands %d times in\n%s", pairs[i], n, text)
		}
		text = strings.Replace(text, pairs[i], pairs[i+1], 1)
	}
	return text
}

// A rule is one of alerts.yml.
type rule struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

func rules(t *testing.T) []rule {
	t.Helper()
	text, err := os.ReadFile("prometheus/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Rules []rule `yaml:"rules"`
		} `yaml:"groups"`
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Groups) != 1 || len(file.Groups[0].Rules) == 0 {
		t.Fatalf("alerts.yml has %d groups", len(file.Groups))
	}
	return file.Groups[0].Rules
}

// finds requires that an expression finds a number. NaN is what a division of nothing by nothing gives.
func (p *prometheus) finds(t *testing.T, expr string) {
	t.Helper()
	values := p.query(t, expr)
	if !slices.ContainsFunc(values, func(v float64) bool { return !math.IsNaN(v) }) {
		t.Errorf("%s\nfinds %v", expr, values)
	}
}
