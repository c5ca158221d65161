package main

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
)

func wellFormed(t *testing.T, text string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(text))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("%v in %s", err, text)
		}
	}
}

func TestSagaGraphCommand(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir(), "--demo")
	good := s.place("--item", "MOUSE-01=1")
	declined := s.place("--item", "KEYBD-01=1", "--payment-method", "pm_card_chargeDeclined")
	nowhere := []string{"CLOUDFLOW_URL=http://127.0.0.1:1"}
	t.Run("the machine that is built in is drawn without an instance", func(t *testing.T) {
		r := invoke(t, nowhere, "saga", "graph").exits(0).prints(`id="state-ReserveStock"`, `data-from="ConfirmOrder" data-to="RefundPayment"`)
		wellFormed(t, r.out)
		if strings.Contains(r.out, "visited") || r.err != "" {
			t.Errorf("printed %s, and %s", r.out, r.err)
		}
		invoke(t, nowhere, "saga", "graph", "--format", "mermaid").exits(0).prints("flowchart TD\n", `("ReserveStock")`, "-. catch .->")
	})
	t.Run("an order's way is painted", func(t *testing.T) {
		r := s.cli("saga", "graph", "--order", declined.OrderID).exits(0).prints(
			`class="state task visited failed" data-state="ChargePayment"`, `class="state task compensation visited" data-state="ReleaseStock"`,
			`class="edge catch taken undo" data-from="ChargePayment" data-to="RecordPaymentFailure"`, `class="state succeed visited" data-state="Done"`)
		wellFormed(t, r.out)
		r = s.cli("saga", "graph", "--order", good.OrderID).exits(0).prints(`class="state task visited" data-state="ChargePayment"`)
		if strings.Contains(r.out, "compensation visited") || strings.Contains(r.out, "failed\"") || strings.Contains(r.out, "current\"") {
			t.Errorf("a good order is drawn as %s", r.out)
		}
		s.cli("saga", "graph", "--order", good.OrderID, "--execution", good.OrderID, "--format", "mermaid").exits(0).prints("class s0,", " visited\n")
	})
	t.Run("a file appears whole and is never written over", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "saga.svg")
		if r := invoke(t, nowhere, "saga", "graph", "--out", path).exits(0).hints(path); r.out != "" {
			t.Errorf("printed %q", r.out)
		}
		text, err := os.ReadFile(path)
		if err != nil || string(text) != invoke(t, nowhere, "saga", "graph").out {
			t.Errorf("%v: the file is another drawing", err)
		}
		invoke(t, nowhere, "saga", "graph", "--out", path).exits(1).hints("exists already")
		other := filepath.Join(t.TempDir(), "saga.svg")
		if v := one[struct {
			Out   string
			Bytes int
		}](invoke(t, nowhere, "saga", "graph", "--out", other, "--json").exits(0)); v.Out != other || v.Bytes != len(text) {
			t.Errorf("the file is told as %+v", v)
		}
	})
	t.Run("with --json the drawing is a text in it", func(t *testing.T) {
		v := one[map[string]string](s.cli("saga", "graph", "--order", good.OrderID, "--json").exits(0))
		if v["format"] != "svg" || v["text"] != s.cli("saga", "graph", "--order", good.OrderID).out {
			t.Errorf("printed %v", v)
		}
	})
	t.Run("what cannot be drawn is refused", func(t *testing.T) {
		s.cli("saga", "graph", "--format", "png").exits(2).hints("svg or mermaid")
		s.cli("saga", "graph", "--order", "").exits(2).hints("--order is empty")
		s.cli("saga", "graph", "--execution", "x").exits(2).hints("--order is wanted")
		s.cli("saga", "graph", good.OrderID).exits(2).hints("no argument")
		path := filepath.Join(t.TempDir(), "none.svg")
		s.cli("saga", "graph", "--order", "ord-00000000000000000000000000", "--out", path).exits(1).hints("404")
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("there is a file: %v", err)
		}
		invoke(t, nowhere, "saga", "graph", "--order", good.OrderID).exits(1).hints("nothing listens")
	})
}

// What a saga of another version visited beside the machine that is built in is said, once.
func TestSagaGraphNamesStrangers(t *testing.T) {
	t.Parallel()
	enter, charge := "Enter", "ChargeTwice"
	saga := apigen.Saga{Status: "RUNNING", History: []apigen.SagaEvent{
		{ID: 1, Type: "ChoiceStateEntered", State: &enter}, {ID: 2, Type: "TaskStateEntered", State: &charge}, {ID: 3, Type: "TaskStateEntered", State: &charge},
	}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(saga) }))
	t.Cleanup(server.Close)
	r := invoke(t, []string{"CLOUDFLOW_URL=" + server.URL}, "saga", "graph", "--order", "o").exits(0).prints(`class="state choice visited"`)
	if want := "cloudflow: the saga has visited \"ChargeTwice\", which the machine that is drawn does not have\n"; r.err != want {
		t.Errorf("it says %q", r.err)
	}
}
