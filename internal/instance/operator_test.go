package instance_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/auth"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/instance"
	"github.com/utkarsh698/cloudflow/internal/inventory"
	"github.com/utkarsh698/cloudflow/internal/notification"
	"github.com/utkarsh698/cloudflow/internal/provider"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// sagas is a page of the list as text, "<execution> <status> <state> [<error>]" with a ! where a person is needed; and the next cursor.
func (b *bubble) sagas(query string) (page, next string) {
	b.t.Helper()
	list := into[apigen.SagaList](b.call("GET", "/admin/sagas"+query, nil).is(http.StatusOK))
	lines := make([]string, 0, len(list.Sagas))
	for _, s := range list.Sagas {
		line := s.Execution + " " + string(s.Status) + " " + *s.State
		if s.Error != nil {
			line += " " + *s.Error
		}
		if s.NeedsReview {
			line += "!"
		}
		lines = append(lines, line)
	}
	if list.NextCursor != nil {
		next = *list.NextCursor
	}
	return strings.Join(lines, ", "), next
}

func (b *bubble) wantSagas(query, want string) {
	b.t.Helper()
	if page, _ := b.sagas(query); page != want {
		b.t.Errorf("%s lists %q, want %q", query, page, want)
	}
}

// commit makes the last commit of a task that nobody asked for.
func (b *bubble) commit(e store.Effect, err error) {
	b.t.Helper()
	if err == nil {
		_, err = store.Commit(b.t.Context(), b.ours, e)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// failing is an order whose saga fails at CommitReservation: its stock is given back behind its back while the card is charged.
func (b *bubble) failing(headers ...string) (id string, heal func()) {
	b.t.Helper()
	b.call("PUT", "/admin/faults", apigen.Faults{LatencyMs: ptr[int64](4000)}).is(http.StatusOK)
	id = b.accepted(request(visa, "A"), headers...)
	lines := inventory.Request{OrderID: id, Lines: []inventory.Line{{ProductID: "A", Quantity: 1}}}
	wait(time.Second)
	b.commit(b.Inventory.Release(b.t.Context(), lines))
	wait(20 * time.Second)
	return id, func() {
		b.t.Helper()
		if err := b.ours.Update(b.t.Context(), func(tx *store.Tx) error {
			tx.Delete(store.Key{Table: inventory.ReservationsTable, PK: id, SK: "hold"})
			return nil
		}); err != nil {
			b.t.Fatal(err)
		}
		b.commit(b.Inventory.Reserve(b.t.Context(), lines))
	}
}

func TestAnOperatorFindsTheSagasThatNeedOne(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		b.product("A", 9)
		defer b.start()()
		b.wantSagas("", "")
		failed, heal := b.failing()
		// A charge without an answer, and no way to take it back: it is tried until the provider is there again.
		b.call("PUT", "/admin/faults", apigen.Faults{Only: ptr(apigen.FaultsOnlyCancel), Down: ptr(true)}).is(http.StatusOK)
		waiting := b.accepted(request(provider.Timeout, "A"))
		wait(time.Minute)

		inReview := failed + " FAILED CommitReservation HoldReleased!"
		underWay := waiting + " RUNNING ResolvePayment"
		b.wantSagas("", inReview+", "+underWay)
		b.wantSagas("?status=FAILED", inReview)
		b.wantSagas("?status=RUNNING", underWay)
		first, next := b.sagas("?limit=1")
		second, next2 := b.sagas("?limit=1&cursor=" + next)
		rest, end := b.sagas("?limit=1&cursor=" + next2)
		if first != inReview || second != underWay || rest != "" || end != "" {
			t.Errorf("one at a time: %q, %q, %q, %q", first, second, rest, end)
		}
		running := into[apigen.Saga](b.call("GET", "/admin/sagas/"+waiting, nil).is(http.StatusOK))
		if running.WaitsUntil == nil || !running.WaitsUntil.After(time.Now()) || running.EndedAt != nil || attempts(running) < 2 {
			t.Errorf("what is tried again and again: %+v", running)
		}

		heal()
		again := "/admin/sagas/" + failed
		if r := into[apigen.RedriveAccepted](b.call("POST", again+"/redrive", apigen.RedriveRequest{Reason: "reserved again"}).is(http.StatusAccepted)); r.Execution != failed+"-r1" {
			t.Errorf("redriven as %s", r.Execution)
		}
		wait(time.Minute)
		b.wantSagas("", underWay)
		b.wantSagas("?status=FAILED", "")
		b.call("POST", again+"/redrive", apigen.RedriveRequest{Reason: "once more"}).is(http.StatusConflict).problem("NOT_FAILED")
		now := into[apigen.Saga](b.call("GET", again, nil).is(http.StatusOK))
		if now.Execution != failed+"-r1" || now.Status != apigen.SagaStatusSUCCEEDED || strings.Join(now.Executions, " ") != failed+" "+failed+"-r1" {
			t.Errorf("the current execution is %+v", now)
		}
		was := into[apigen.Saga](b.call("GET", again+"?execution="+failed, nil).is(http.StatusOK))
		if was.Execution != failed || was.Status != apigen.SagaStatusFAILED || len(was.Executions) != 2 {
			t.Errorf("the first execution is %+v", was)
		}
		for _, other := range []string{failed + "-r2", failed + "-r01", waiting, "open"} {
			b.call("GET", again+"?execution="+other, nil).is(http.StatusNotFound).problem("NOT_FOUND")
		}

		b.call("PUT", "/admin/faults", apigen.Faults{}).is(http.StatusOK)
		b.rest()
		b.wantSagas("", "")
	})
}

// attempts is how often the state in which it stands has failed.
func attempts(s apigen.Saga) (n int) {
	for _, e := range s.History {
		if e.Error != nil && e.State != nil && *e.State == *s.State {
			n++
		}
	}
	return n
}

func TestDeadLettersAreRedrivenByAnOperator(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		b.product("A", 9)
		defer b.start()()
		letters := func() []apigen.DeadLetter {
			t.Helper()
			a := b.call("GET", "/admin/dlq", nil).is(http.StatusOK)
			if text := string(a.body); strings.Contains(text, *contact.Email) || strings.Contains(text, "cust-1") || strings.Contains(text, "sealed") {
				t.Errorf("the list tells whom a letter is for: %s", text)
			}
			return into[apigen.DeadLetterList](a).Letters
		}
		redrive := func(want int, ids ...string) {
			t.Helper()
			body := apigen.RedriveLetters{}
			if len(ids) > 0 {
				body.Ids = &ids
			}
			if got := into[apigen.RedrivenLetters](b.call("POST", "/admin/dlq/redrive", body).is(http.StatusOK)); got.Redriven != want {
				t.Errorf("redrove %d, want %d", got.Redriven, want)
			}
			wait(time.Hour)
		}
		b.mail.refusing(func(e notification.Email) error { return fault.New(fault.Transient, "the relay knows no %s", e.To) })
		r := request(visa, "A")
		r.Contact = &contact
		one := b.accepted(r)
		wait(time.Minute) // the letters are listed in the order of their sending
		two := b.accepted(r)
		wait(time.Hour)
		dead := letters()
		if len(dead) != 2 || *dead[0].OrderID != one || *dead[1].OrderID != two {
			t.Fatalf("dead are %+v", dead)
		}
		if l := dead[0]; l.ID != one+".v4" || *l.Kind != apigen.DeadLetterKindORDERCONFIRMED || l.Receives != 3 || l.Reason == nil ||
			!strings.Contains(*l.Reason, "the relay knows no") || !l.DiedAt.After(l.SentAt) {
			t.Errorf("a letter is %+v, because of %q", l, *l.Reason)
		}
		redrive(0, "ord-unknown.v4", two)
		redrive(1, dead[0].ID, dead[0].ID, "ord-unknown.v4")
		if again := letters(); len(again) != 2 || again[0].ID != dead[1].ID {
			t.Errorf("with the relay still refusing, there are %+v", again)
		}
		b.mail.refusing(nil)
		redrive(1, dead[0].ID)
		if b.mail.sent(one) != 1 || b.mail.sent(two) != 0 {
			t.Errorf("sent %d and %d", b.mail.sent(one), b.mail.sent(two))
		}
		redrive(1)
		redrive(0)
		if left := letters(); len(left) != 0 || b.mail.sent(one) != 1 || b.mail.sent(two) != 1 {
			t.Errorf("sent %d and %d, left %+v", b.mail.sent(one), b.mail.sent(two), left)
		}
		b.rest()
	})
}

func TestOutagesCanBeHadInDevelopmentModeOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *instance.Config) { c.Access.Keys = true })
	operator := w.key("ops", auth.ScopeAdmin)
	w.call("GET", "/admin/faults", nil, operator...).is(http.StatusNotFound)
	w.call("PUT", "/admin/faults", apigen.Faults{Down: ptr(true)}, operator...).is(http.StatusNotFound)
	if is := w.i.App.Provider.Fault(); is != (provider.Fault{}) {
		t.Errorf("the provider has the outage %+v", is)
	}

	inBubble(t, func(t *testing.T, b *bubble) {
		all := apigen.Faults{
			Only: ptr(apigen.FaultsOnlyRefund), Rate: ptr(0.25), Down: ptr(true), Status: ptr(503), Hang: ptr(true),
			LatencyMs: ptr[int64](1500), LoseReplies: ptr(0.5),
		}
		put := b.call("PUT", "/admin/faults", all).is(http.StatusOK)
		want := provider.Fault{
			Only: "refund", Rate: 0.25, Down: true, Status: 503, Hang: true, Latency: 1500 * time.Millisecond, LoseReplies: 0.5,
		}
		if is := b.Provider.Fault(); is != want {
			t.Errorf("the provider has the outage %+v, want %+v", is, want)
		}
		if shown := b.call("GET", "/admin/faults", nil); string(shown.body) != string(put.body) {
			t.Errorf("put %s, shown %s", put.body, shown.body)
		}
		b.call("PUT", "/admin/faults", apigen.Faults{Only: ptr(apigen.FaultsOnly("charge"))}).is(http.StatusUnprocessableEntity).problem("VALIDATION_FAILED")
		if is := b.Provider.Fault(); is != want {
			t.Errorf("a refused one changed the outage to %+v", is)
		}
		b.call("PUT", "/admin/faults", apigen.Faults{}).is(http.StatusOK)
		if is := b.Provider.Fault(); is != (provider.Fault{}) {
			t.Errorf("the outage goes on: %+v", is)
		}
	})
}
