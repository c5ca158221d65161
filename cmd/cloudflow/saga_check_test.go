package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/utkarsh698/cloudflow/internal/flow"
	"github.com/utkarsh698/cloudflow/internal/saga"
)

// sagaFile writes the order saga, as it is in the repository, with the edits in it: pairs of old and new text.
func sagaFile(t *testing.T, edits ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "internal", "saga", "order.asl.json"))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(edits); i += 2 {
		if !strings.Contains(string(text), edits[i]) {
			t.Fatalf("no %s in the saga", edits[i])
		}
		text = []byte(strings.ReplaceAll(string(text), edits[i], edits[i+1]))
	}
	path := filepath.Join(t.TempDir(), "new.asl.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSagaCheckCommand(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir(), "--demo")
	good := s.place("--item", "MOUSE-01=1")
	declined := s.place("--item", "KEYBD-01=1", "--payment-method", "pm_card_chargeDeclined")
	same := sagaFile(t)
	t.Run("a running instance holds its directory", func(t *testing.T) {
		invoke(t, nil, "saga", "check", same, "--data", s.data).exits(1).hints("lock")
	})
	s.end()
	check := func(args ...string) result {
		return invoke(t, nil, append([]string{"saga", "check", "--data", s.data}, args...)...)
	}
	t.Run("the same machine diverges nowhere, whatever it says of itself", func(t *testing.T) {
		if r := check(same).exits(0); r.out != "2 replayed (0 open), 0 diverge\n" || r.err != "" {
			t.Errorf("%q, %q", r.out, r.err)
		}
		check(sagaFile(t, "CloudFlow order saga", "Ours", `"IntervalSeconds": 1`, `"IntervalSeconds": 2`)).exits(0)
	})
	t.Run("a renamed state diverges where an order was in it", func(t *testing.T) {
		r := check(sagaFile(t, "RecordPaymentFailure", "NotePaymentFailure")).exits(1).hints("1 of 2 executions would diverge")
		r.prints(declined.OrderID+" diverges at RecordPaymentFailure, event ", "(STATE)\n  old: enters RecordPaymentFailure\n  new: enters NotePaymentFailure\n",
			"2 replayed (0 open), 1 diverge\n")
	})
	t.Run("with --json it is one value", func(t *testing.T) {
		v := one[struct {
			flow.Checked
			Divergences []struct {
				Execution string
				flow.Divergence
			}
		}](check("--json", sagaFile(t, `"task": "order.confirm"`, `"task": "order.confirm", "gift": true`)).exits(1))
		if v.Checked != (flow.Checked{Replayed: 2, Diverging: 1}) || len(v.Divergences) != 1 {
			t.Fatalf("%+v", v)
		}
		if d := v.Divergences[0]; d.Execution != good.OrderID || d.Kind != flow.OtherInput || d.State != "ConfirmOrder" || d.New != "input /gift is true" {
			t.Errorf("%+v", d)
		}
		if none := check("--json", same).exits(0); !strings.Contains(none.out, `"divergences":[]`) {
			t.Errorf("%s", none.out)
		}
	})
	t.Run("a machine that is none is told as asl validate tells it", func(t *testing.T) {
		broken := sagaFile(t, `"StartAt": "Enter"`, `"StartAt": "Nowhere"`)
		r, valid := check(broken).exits(1), invoke(t, nil, "asl", "validate", broken)
		if r.out == "" || r.out != valid.out || r.err != valid.err {
			t.Errorf("%q %q, asl validate: %q %q", r.out, r.err, valid.out, valid.err)
		}
	})
	t.Run("a wrong command line is refused", func(t *testing.T) {
		check().exits(2)
		check(same, "--url", "http://127.0.0.1:1").exits(2).hints("stopped instance")
		invoke(t, nil, "saga", "check", same, "--data", "").exits(2).hints("--data is empty")
		invoke(t, nil, "saga", "check", same, "--data", t.TempDir()).exits(1).hints("is no data directory")
		check(filepath.Join(t.TempDir(), "none.json")).exits(1).hints("no such file")
	})
}

func TestSagaCheckTakesAMachineWhoseResourcesAreInPlace(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "new.asl.json")
	if err := os.WriteFile(path, saga.Definition(saga.LocalResources()), 0o600); err != nil {
		t.Fatal(err)
	}
	m, err := readSaga(path)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := readSaga(sagaFile(t)); err != nil || !bytes.Equal(n, m) {
		t.Errorf("%v: another machine", err)
	}
}
