package flow_test

import (
	"context"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/aslrun"
	"github.com/utkarsh698/cloudflow/internal/corpustest"
	"github.com/utkarsh698/cloudflow/internal/longtest"
)

// The corpus as it is: if one more does not run, or is not there, that is to be seen.
const (
	executions  = 412
	definitions = 15 // of which it was recorded whether they are taken: they are not run
)

// unlikeTheRecording are the cases that end on flow as in the stepper, and otherwise than recorded.
var unlikeTheRecording = map[string]string{
	"cases/scenarios.test_base_scenarios.TestBaseScenarios.test_lambda_service_invoke_with_retry_extended_input.json": "it sends its task the whole of " +
		"the context object, which had no RedriveCount when it was recorded",
}

// TestCorpus runs every execution that was recorded on AWS, its tasks in commits of their own and together with what comes before them. Its history and
// its end are those of the pure stepper, value by value, and those that AWS had.
func TestCorpus(t *testing.T) {
	folder := corpustest.Folder(t)
	var sum corpustest.Tally
	for _, suite := range []string{"cases", "cases_services"} {
		for _, n := range corpustest.Judge(t, folder, suite, func(ctx context.Context, c *corpustest.Case) error { return judgeRecorded(ctx, t, c) }) {
			sum.Passed += n.Passed
			sum.NotApplicable += n.NotApplicable
		}
	}
	want := corpustest.Tally{Passed: executions - len(unlikeTheRecording), NotApplicable: definitions + len(unlikeTheRecording)}
	if sum != want {
		t.Errorf("of the corpus %s; want %s", &sum, &want)
	}
}

func judgeRecorded(ctx context.Context, t *testing.T, c *corpustest.Case) error {
	if c.Kind != "execution" {
		return fmt.Errorf("%w: a definition that is not run", corpustest.ErrNotApplicable)
	}
	var result aslrun.Result
	for _, ride := range []bool{false, true} {
		l, err := newRecordedLife(c, never, ride)
		if err != nil {
			return err
		}
		got, err := l.play(t)
		if err != nil {
			return err
		}
		stepped, err := step(ctx, c, l.machine, got.Started)
		if err != nil {
			return err
		}
		result = resultOf(got.Execution)
		if err := l.sameResult(result, stepped); err != nil {
			return fmt.Errorf("against the stepper, if tasks ride along is %t: %w", ride, err)
		}
	}
	err := c.Compare(result)
	if reason, ok := unlikeTheRecording[c.Name]; ok && err != nil {
		t.Logf("%s is not compared with the recording: %s", c.Name, reason)
		return fmt.Errorf("%w: %s", corpustest.ErrNotApplicable, reason)
	}
	return err
}

// step runs the case through the pure stepper, with the context object that flow has.
func step(ctx context.Context, c *corpustest.Case, m *asl.Machine, start time.Time) (aslrun.Result, error) {
	mocks, err := c.TestCase()
	if err != nil {
		return aslrun.Result{}, err
	}
	arn := "arn:aws:states:" + corpustest.Region + ":" + corpustest.Account + ":"
	return c.Step(ctx, m, mocks, map[string]any{
		"Execution": map[string]any{
			"Id": arn + "execution:m:" + recordedName, "RoleArn": "arn:aws:iam::" + corpustest.Account + ":role/m", "StartTime": start.Format("2006-01-02T15:04:05.000Z"),
		},
		"StateMachine": map[string]any{"Id": arn + "stateMachine:m"},
	}, c.Input)
}

// TestCorpusSurvivesACrashAtEveryWrite runs every execution again, and at each write of the execution (its start, each entry of its journal, its end)
// the process dies: when the write is made, or before it, so that its task is called again. A new engine goes on, to the next write. The history and
// the end are those of the life in which nothing dies, and each effect took place once.
func TestCorpusSurvivesACrashAtEveryWrite(t *testing.T) {
	began, folder := time.Now(), corpustest.Folder(t)
	ran, deaths, attempts, calls := 0, map[death]int{}, 0, map[death]int{}
	for _, suite := range []string{"cases", "cases_services"} {
		for _, c := range corpustest.Read(t, folder, suite) {
			if c.Kind != "execution" {
				continue
			}
			ran++
			for _, ride := range []bool{false, true} {
				whole, end := lived(t, c, never, ride)
				attempts += whole.called
				for _, dies := range []death{before, after} {
					l, got := lived(t, c, dies, ride)
					if err := l.comparedWith(whole, got, end); err != nil {
						t.Errorf("%s, dying %s each write, if tasks ride along is %t: %v", c.Name, dies, ride, err)
					}
					deaths[dies] += l.s.deaths
					calls[dies] += l.called
				}
			}
		}
	}
	if ran != executions {
		t.Errorf("%d executions ran, want %d", ran, executions)
	}
	if calls[before] < 2*attempts {
		t.Errorf("%d calls of %d attempts: not each was called again", calls[before], attempts)
	}
	longtest.Record(t, began, longtest.Result{
		What: "crashes", Count: deaths[before] + deaths[after],
		Detail: fmt.Sprintf("over %d recorded executions; %d before a write, with %d calls of %d attempts, and %d after one, with %d calls",
			ran, deaths[before], calls[before], attempts, deaths[after], calls[after]),
	})
}

// lived is a life to its end.
func lived(t *testing.T, c *corpustest.Case, dies death, ride bool) (*recordedLife, recordedEnd) {
	t.Helper()
	l, err := newRecordedLife(c, dies, ride)
	if err != nil {
		t.Fatalf("%s: %v", c.Name, err)
	}
	end, err := l.play(t)
	if err != nil {
		t.Errorf("%s, dying %s: %v", c.Name, dies, err)
	}
	return l, end
}

// comparedWith compares a life with the one in which nothing died.
func (l *recordedLife) comparedWith(whole *recordedLife, got, want recordedEnd) error {
	if l.s.dies == before && l.waited { // it has waited twice for what never comes
		got, want = got.timeless(), want.timeless()
	}
	switch {
	case l.s.writes != whole.s.writes || l.s.deaths != l.s.writes || l.s.deaths < 2:
		return fmt.Errorf("%d deaths at %d writes, %d without", l.s.deaths, l.s.writes, whole.s.writes)
	case !reflect.DeepEqual(got, want):
		return fmt.Errorf("it is\n%+v\nwant\n%+v", got, want)
	}
	return nil
}
