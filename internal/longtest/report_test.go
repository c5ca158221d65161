package longtest_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/utkarsh698/cloudflow/internal/longtest"
)

func TestTheCommittedLongRunIsWellFormed(t *testing.T) {
	if os.Getenv(longtest.Dir) != "" {
		t.Skip("this is the long run that will write it")
	}
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "results", "test-long.json"))
	if err != nil {
		t.Fatalf("%v; `make test-long` writes it", err)
	}
	var r longtest.Report
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	if err := r.Check(); err != nil {
		t.Fatal(err)
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
