package longtest_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/utkarsh698/cloudflow/internal/longtest"
)

func TestTheCommittedLongRunsAreWellFormed(t *testing.T) {
	if os.Getenv(longtest.Dir) != "" {
		t.Skip("this is the long run that will write them")
	}
	for name, counts := range map[string]int{"test-long.json": 1, "test-api.json": 50_000} { // the least of each result
		text, err := os.ReadFile(filepath.Join("..", "..", "docs", "results", name))
		if err != nil {
			t.Errorf("%v; `make test-long` writes it", err)
			continue
		}
		var r longtest.Report
		if err := json.Unmarshal(text, &r); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := r.Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, x := range r.Results {
			if x.Count < counts {
				t.Errorf("%s: %s counted %d, want %d", name, x.Test, x.Count, counts)
			}
		}
	}
}

func TestCheckFindsWhatIsMissing(t *testing.T) {
	good := func() longtest.Report {
		return longtest.Report{
			Command: "make test-long", Date: "2026-11-22T21:00:00Z", Machine: "m", Go: "go1.26", Commit: "abc",
			Results: []longtest.Result{{Test: "TestX", What: "seeds", Count: 1}},
		}
	}
	if err := good().Check(); err != nil {
		t.Fatal(err)
	}
	bad := map[string]func(*longtest.Report){
		"no command":     func(r *longtest.Report) { r.Command = "" },
		"no date":        func(r *longtest.Report) { r.Date = "yesterday" },
		"no results":     func(r *longtest.Report) { r.Results = nil },
		"a zero count":   func(r *longtest.Report) { r.Results[0].Count = 0 },
		"a violation":    func(r *longtest.Report) { r.Results[0].Violations = 1 },
		"a test unnamed": func(r *longtest.Report) { r.Results[0].Test = "" },
	}
	for name, spoil := range bad {
		r := good()
		spoil(&r)
		if r.Check() == nil {
			t.Errorf("accepted a report with %s", name)
		}
	}
}
