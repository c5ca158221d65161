package payment_test

import (
	"testing"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/provider"
)

// maxSteps bounds the searches for a step that is not there any more: no task has more.
const maxSteps = 40

// everyStep runs the story with the trap at each step, until a run ends before it.
func everyStep(t *testing.T, method, mode string, story func(w *world)) {
	t.Helper()
	inBubble(t, method+": at every step, "+mode, func(t *testing.T) {
		for n := 1; n <= maxSteps; n++ {
			w := newWorld(t, method)
			w.trap.at, w.trap.mode = n, mode
			story(w)
			if t.Failed() {
				t.Fatalf("at step %d", n)
			}
			if !w.trap.sprung() {
				if n < 3 {
					t.Fatalf("only %d steps were covered", n-1)
				}
				return
			}
		}
		t.Fatalf("the story has more than %d steps", maxSteps)
	})
}

func TestChargeSurvivesEveryStep(t *testing.T) {
	for _, method := range methods {
		for _, mode := range []string{crashBefore, crashAfter, fails, replyLost} {
			everyStep(t, method, mode, func(w *world) {
				captured := w.pay()
				w.check(captured, false)
				// What comes late changes nothing.
				if _, err := w.do(charge, "late"); err == nil != captured {
					t.Fatalf("a late charge after captured=%v: %v", captured, err)
				}
				if again := w.resolve(); again != captured {
					t.Fatalf("resolve answers %v after %v", again, captured)
				}
				w.check(captured, false)
			})
		}
	}
}

func TestResolveIsFinalAtEveryStep(t *testing.T) {
	for _, method := range methods {
		for _, mode := range []string{crashBefore, crashAfter, fails, replyLost} {
			everyStep(t, method, mode, func(w *world) {
				_, _ = w.do(charge, "charge.0") // once, whatever comes of it: the saga gave up
				captured := w.resolve()
				w.check(captured, false)
				_, err := w.do(charge, "late")
				if captured != (err == nil) {
					t.Fatalf("a late charge after captured=%v: %v", captured, err)
				}
				w.check(captured, false)
			})
		}
	}
}

func TestRefundSurvivesEveryStep(t *testing.T) {
	for _, method := range []string{provider.Visa, provider.TimeoutCharged} {
		for _, mode := range []string{crashBefore, crashAfter, fails, replyLost} {
			everyStep(t, method, mode, func(w *world) {
				if !w.pay() {
					w.check(false, false) // the failure came first: nothing to refund
					return
				}
				w.refund()
				w.check(true, true)
				w.refund()
				_, err := w.do(charge, "late")
				wantKind(w.t, err, fault.PaymentProviderUnavailable)
				if w.resolve() {
					t.Fatal("resolve confirms what was refunded")
				}
				w.check(true, true)
			})
		}
	}
}

// The saga gives up a charge that still runs, and resolves it, at each moment of the charge: the answer holds.
func TestResolveOvertakesACharge(t *testing.T) {
	for _, method := range methods {
		everyStep(t, method, paused, func(w *world) {
			captured := false
			w.trap.pause = func() {
				result, err := w.once(w.t.Context(), resolve, "resolve.0")
				if err != nil {
					t.Fatal(err)
				}
				captured = result["captured"] == true
			}
			_, err := w.do(charge, "charge.0")
			if !w.trap.sprung() {
				if err != nil {
					captured = w.resolve() // an unknown outcome: not this test's subject
				} else {
					captured = true
				}
			} else if !captured && err == nil {
				t.Fatal("the charge went through after resolve said no")
			}
			w.check(captured, false)
		})
	}
}

// A second charge of the order comes at each moment of the first.
func TestTwoCharges(t *testing.T) {
	for _, method := range methods {
		everyStep(t, method, paused, func(w *world) {
			w.trap.pause = func() { _, _ = w.once(w.t.Context(), charge, "other") }
			captured := w.pay()
			w.check(captured, false)
		})
	}
}
