// Package longtest gives a test its count: a few in `make test-unit`, some in `make test`, all that an issue asks for
// in `make test-long`, which also keeps what it saw in docs/results/test-long.json.
package longtest

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Dir is the environment variable that makes a run a long one: the directory for the results.
const Dir = "CLOUDFLOW_LONG_RESULTS"

// Result is what one test of a long run saw.
type Result struct {
	Test       string  `json:"test"`
	What       string  `json:"what"`       // what was counted, such as "seeds"
	Count      int     `json:"count"`      // how many
	Seed       uint64  `json:"seed"`       // of the first; the others follow from it
	Violations int     `json:"violations"` // of the invariants
	Detail     string  `json:"detail,omitempty"`
	Seconds    float64 `json:"seconds"`
}

// Count is how often the test runs: short with -short, long in a long run, else normal.
func Count(short, normal, long int) int {
	switch {
	case os.Getenv(Dir) != "":
		return long
	case testing.Short():
		return short
	default:
		return normal
	}
}

// Record keeps the result of a long run; in any other run it only logs it. started is when the test began.
func Record(t *testing.T, started time.Time, r Result) {
	t.Helper()
	r.Test = t.Name()
	if t.Failed() {
		r.Violations = max(r.Violations, 1) // whatever it is that failed, the run did not show what it is for
	}
	r.Seconds = float64(time.Since(started).Milliseconds()) / 1000
	t.Logf("%d %s, first seed %d, %d violations %s", r.Count, r.What, r.Seed, r.Violations, r.Detail)
	dir := os.Getenv(Dir)
	if dir == "" {
		return
	}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	name := strings.NewReplacer("/", "-", " ", "-").Replace(t.Name()) + ".json"
	if err := os.WriteFile(filepath.Join(dir, name), append(text, '\n'), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Report is the committed file of a long run.
type Report struct {
	Command string   `json:"command"`
	Date    string   `json:"date"` // RFC 3339
	Machine string   `json:"machine"`
	Go      string   `json:"go"`
	Commit  string   `json:"commit"`
	Results []Result `json:"results"`
}

// Check says what is wrong with a report: a member that is missing, a test that ran nothing, a violation.
func (r Report) Check() error {
	if r.Command == "" || r.Machine == "" || r.Go == "" || r.Commit == "" {
		return fmt.Errorf("command, machine, go and commit must be given")
	}
	if _, err := time.Parse(time.RFC3339, r.Date); err != nil {
		return fmt.Errorf("date: %w", err)
	}
	if len(r.Results) == 0 {
		return fmt.Errorf("no results")
	}
	for _, x := range r.Results {
		switch {
		case x.Test == "" || x.What == "" || x.Count <= 0:
			return fmt.Errorf("result %q: test, what and a count above 0 must be given", x.Test)
		case x.Violations != 0:
			return fmt.Errorf("result %q: %d violations", x.Test, x.Violations)
		}
	}
	return nil
}
