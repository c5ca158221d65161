package monitoring_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// patience bounds every wait for something that should come at once: the machine may be busy, but not for ever.
const patience = 30 * time.Second

// look is how often is looked while something is waited for.
const look = 50 * time.Millisecond

// within asks until the answer is yes. said is what stood there last.
func within(t *testing.T, what string, yes func() bool, said func() any) {
	t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	tick := time.NewTicker(look)
	defer tick.Stop()
	for !yes() {
		select {
		case <-limit.C:
			t.Fatalf("it does not happen that %s: %v", what, said())
		case <-tick.C:
		}
	}
}

func absolute(path string) (string, error) { return filepath.Abs(filepath.FromSlash(path)) }

// A prometheus is a process of it, on loopback.
type prometheus struct {
	t   *testing.T
	bin string
	url string
}

// needPrometheus skips a test that cannot have one. In CI that is a failure: nothing is skipped there unseen.
func needPrometheus(t *testing.T) *prometheus {
	t.Helper()
	if testing.Short() {
		t.Skip("a Prometheus is not short")
	}
	script, err := absolute("../tools/deps-prometheus")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := exec.Command(script, "--find").Output()
	if err != nil {
		const without = "there is no prometheus: `make deps-prometheus` says where it comes from"
		if os.Getenv("CI") == "true" {
			t.Fatal(without)
		}
		t.Skip(without)
	}
	return &prometheus{t: t, bin: filepath.Join(strings.TrimSpace(string(dir)), "prometheus")}
}

// start runs it with a configuration, in a directory of its own, until the test ends. Its port is one that was free a moment ago, so it tries
// again if somebody was faster.
func (p *prometheus) start(configuration string) {
	p.t.Helper()
	const attempts = 3
	for n := 1; ; n++ {
		said, ready := p.run(configuration)
		if ready {
			return
		}
		if n == attempts {
			p.t.Fatalf("%s does not start:\n%s", p.bin, said)
		}
	}
}

func (p *prometheus) run(configuration string) (said string, ready bool) {
	p.t.Helper()
	dir := p.t.TempDir()
	config := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(config, []byte(configuration), 0o600); err != nil {
		p.t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		p.t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	p.url = "http://" + addr

	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, p.bin, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+addr)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = patience // then it is killed
	var log bytes.Buffer     // read when the process has ended
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		cancel()
		p.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // it is ended by a signal, or its log says why
	}()
	stop := func() {
		cancel()
		<-ended
	}
	tick := time.NewTicker(look)
	defer tick.Stop()
	for limit := time.Now().Add(patience); time.Now().Before(limit); {
		select {
		case <-ended:
			cancel()
			return log.String(), false
		case <-tick.C:
		}
		if p.ready() {
			p.t.Cleanup(func() {
				stop()
				if p.t.Failed() {
					p.t.Logf("Prometheus said:\n%s", log.String())
				}
			})
			return "", true
		}
	}
	stop()
	return log.String(), false
}

func (p *prometheus) ready() bool {
	response, err := client.Get(p.url + "/-/ready")
	if err != nil {
		return false
	}
	defer response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// ask is the data of an answer of its API (https://prometheus.io/docs/prometheus/latest/querying/api/).
func ask[T any](t *testing.T, p *prometheus, path string, form url.Values) T {
	t.Helper()
	response, err := client.Get(p.url + "/api/v1/" + path + "?" + form.Encode())
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var answer struct {
		Status string `json:"status"`
		Error  string `json:"error"`
		Data   T      `json:"data"`
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || answer.Status != "success" {
		t.Fatalf("%s %s answered %d %s: %v", path, form.Get("query"), response.StatusCode, answer.Error, err)
	}
	return answer.Data
}

// query is what an expression finds now: a value each series.
func (p *prometheus) query(t *testing.T, expr string) []float64 {
	t.Helper()
	data := ask[struct {
		ResultType string `json:"resultType"`
		Result     []struct {
			Value [2]any `json:"value"` // a time and, as text, a number
		} `json:"result"`
	}](t, p, "query", url.Values{"query": {expr}})
	if data.ResultType != "vector" {
		t.Fatalf("%s is a %s", expr, data.ResultType)
	}
	values := make([]float64, 0, len(data.Result))
	for _, r := range data.Result {
		v, err := strconv.ParseFloat(fmt.Sprint(r.Value[1]), 64)
		if err != nil {
			t.Fatalf("%s: %v", expr, err)
		}
		values = append(values, v)
	}
	return values
}

// value is what an expression finds that finds one series.
func (p *prometheus) value(t *testing.T, expr string) float64 {
	t.Helper()
	values := p.query(t, expr)
	if len(values) != 1 {
		t.Fatalf("%s finds %v", expr, values)
	}
	return values[0]
}

// scrapes is how often the instance has answered.
func (p *prometheus) scrapes() int {
	p.t.Helper()
	n := 0.0
	for _, v := range p.query(p.t, `sum_over_time(up{job="cloudflow"}[10m])`) {
		n += v
	}
	return int(n)
}

// scraped waits until the instance has answered n times.
func (p *prometheus) scraped(n int) {
	p.t.Helper()
	within(p.t, fmt.Sprintf("Prometheus scrapes the instance %d times", n), func() bool { return p.scrapes() >= n }, func() any {
		return ask[struct {
			Active []struct {
				LastError string `json:"lastError"`
			} `json:"activeTargets"`
		}](p.t, p, "targets", nil)
	})
}

// alerts is each rule's state: inactive, pending or firing; unknown until it was evaluated. A rule that cannot be evaluated fails the test.
func (p *prometheus) alerts(t *testing.T) map[string]string {
	t.Helper()
	data := ask[struct {
		Groups []struct {
			Rules []struct {
				Name, State, Health, LastError string
			} `json:"rules"`
		} `json:"groups"`
	}](t, p, "rules", nil)
	states := map[string]string{}
	for _, g := range data.Groups {
		for _, r := range g.Rules {
			switch r.Health {
			case "ok":
				states[r.Name] = r.State
			case "unknown":
				states[r.Name] = r.Health
			default:
				t.Fatalf("%s is %s: %s", r.Name, r.Health, r.LastError)
			}
		}
	}
	return states
}
