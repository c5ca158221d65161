package stagetest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/utkarsh698/cloudflow/internal/app"
	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/provider"
	"github.com/utkarsh698/cloudflow/internal/saga"
)

// A parity is a scenario that the saga has to come through by the same states and to the same end, on Step Functions and on flow.
type parity struct {
	rule      string
	want      string      // the order's status and, behind a space, why it failed
	onFlow    string      // that on flow, where the engines are meant to differ: then only the ends are compared
	method    string      // how it is paid
	lines     []orderLine // nil: one piece of one product
	meanwhile happening
	trouble   trouble
}

// An orderLine is one of the order's: how many pieces of which of the scenario's products.
type orderLine struct{ product, pieces int }

// inStock is what there is of each product.
const inStock = 5

// A happening is what somebody else does while the order is in a state, before the first commit of the state's task.
type happening struct {
	state string
	what  act
}

type act uint8

const (
	nothing act = iota
	customerCancels
	otherBuysAll     // another customer buys all that there is of the first product
	circuitOpens     // the circuit breaker of charges trips
	captureComesLate // the provider captures what its caller has given up
)

// A trouble is what befalls the first attempt of a state's task, or each.
type trouble struct {
	state string
	kind  kind
	every bool
}

type kind uint8

const (
	none            kind = iota
	storeAway            // the store fails, and nothing of the task is done: Transient
	outcomeUnstored      // what the task called for was done, but its last commit fails: Transient
	replyLost            // the last commit is made, but its reply is lost for good: Transient
	replyRecovered       // the last commit's reply is lost, and the store sees so for itself: no error
	messageUnsent        // the last commit is made, but the message that follows it is not taken: Transient
	commitRefused        // the store will never take the first commit: Internal
	killedBefore         // the process dies before the first commit
	killedAfter          // the process dies when the last commit is made
)

// parities are the scenarios.
var parities = []parity{
	// How it is paid.
	{rule: "Visa", want: "CONFIRMED", method: provider.Visa},
	{rule: "no method, two products", want: "CONFIRMED", lines: []orderLine{{0, 1}, {1, 3}}},
	{rule: "two lines of one product", want: "CONFIRMED", method: provider.Visa, lines: []orderLine{{0, 1}, {0, 2}}},
	{rule: "a slow card", want: "CONFIRMED", method: provider.Slow},
	{rule: "a declined card", want: "COMPENSATED PAYMENT_DECLINED", method: provider.ChargeDeclined, lines: []orderLine{{0, 1}, {1, 1}}},
	{rule: "a method that nobody knows", want: "COMPENSATED PAYMENT_DECLINED", method: "pm_card_unknown"},
	{rule: "the provider answers 500", want: "COMPENSATED PAYMENT_PROVIDER_UNAVAILABLE", method: provider.Error},
	{rule: "the provider never answers", want: "COMPENSATED PAYMENT_PROVIDER_UNAVAILABLE", method: provider.Timeout},
	{rule: "the provider captures and never answers", want: "CONFIRMED", method: provider.TimeoutCharged},
	{rule: "the provider captures late", want: "CONFIRMED", method: provider.Late, meanwhile: happening{"ResolvePayment", captureComesLate}},
	{rule: "the circuit opens meanwhile", want: "COMPENSATED PAYMENT_PROVIDER_UNAVAILABLE", method: provider.Visa, meanwhile: happening{"RecordReservation", circuitOpens}},

	// Whether there is enough of it.
	{rule: "all that there is", want: "CONFIRMED", method: provider.Visa, lines: []orderLine{{0, inStock}}},
	{rule: "sold out meanwhile", want: "FAILED INSUFFICIENT_STOCK", method: provider.Visa, meanwhile: happening{"ReserveStock", otherBuysAll}},
	{rule: "one of two products sold out meanwhile", want: "FAILED INSUFFICIENT_STOCK", method: provider.Visa, lines: []orderLine{{1, 1}, {0, 1}}, meanwhile: happening{"ReserveStock", otherBuysAll}},

	// Whether and when it is cancelled.
	{rule: "cancelled before the reservation", want: "CANCELLED CANCELLED_BY_CUSTOMER", method: provider.Visa, meanwhile: happening{"ReserveStock", customerCancels}},
	{rule: "cancelled before the reservation is recorded", want: "CANCELLED CANCELLED_BY_CUSTOMER", method: provider.Visa, meanwhile: happening{"RecordReservation", customerCancels}},
	{rule: "cancelled before the charge", want: "CANCELLED CANCELLED_BY_CUSTOMER", method: provider.Visa, meanwhile: happening{"ChargePayment", customerCancels}},
	{rule: "cancelled after the charge", want: "CANCELLED CANCELLED_BY_CUSTOMER", method: provider.Visa, meanwhile: happening{"ConfirmOrder", customerCancels}},
	{rule: "cancelled and declined", want: "COMPENSATED PAYMENT_DECLINED", method: provider.ChargeDeclined, meanwhile: happening{"ChargePayment", customerCancels}},
	{rule: "cancelled when the compensation runs", want: "COMPENSATED PAYMENT_DECLINED", method: provider.ChargeDeclined, meanwhile: happening{"ReleaseStock", customerCancels}},

	// A task whose store fails is repeated.
	{rule: "ReserveStock fails once", want: "CONFIRMED", trouble: trouble{state: "ReserveStock", kind: storeAway}},
	{rule: "RecordReservation fails once", want: "CONFIRMED", trouble: trouble{state: "RecordReservation", kind: storeAway}},
	{rule: "ChargePayment fails once", want: "CONFIRMED", trouble: trouble{state: "ChargePayment", kind: storeAway}},
	{rule: "ChargePayment captures and cannot say so", want: "CONFIRMED", trouble: trouble{state: "ChargePayment", kind: outcomeUnstored}},
	{rule: "ResolvePayment fails once", want: "COMPENSATED PAYMENT_PROVIDER_UNAVAILABLE", method: provider.Error, trouble: trouble{state: "ResolvePayment", kind: storeAway}},
	{rule: "ResolvePayment cancels and cannot say so", want: "COMPENSATED PAYMENT_PROVIDER_UNAVAILABLE", method: provider.Error, trouble: trouble{state: "ResolvePayment", kind: outcomeUnstored}},
	{rule: "RecordPaymentFailure fails once", want: "COMPENSATED PAYMENT_DECLINED", method: provider.ChargeDeclined, trouble: trouble{state: "RecordPaymentFailure", kind: storeAway}},
	{rule: "ConfirmOrder fails once", want: "CONFIRMED", trouble: trouble{state: "ConfirmOrder", kind: storeAway}},
	{rule: "CommitReservation fails once", want: "CONFIRMED", trouble: trouble{state: "CommitReservation", kind: storeAway}},
	{rule: "RefundPayment fails once", want: "CANCELLED CANCELLED_BY_CUSTOMER", meanwhile: happening{"ConfirmOrder", customerCancels}, trouble: trouble{state: "RefundPayment", kind: storeAway}},
	{rule: "ReleaseStock fails once", want: "COMPENSATED PAYMENT_DECLINED", method: provider.ChargeDeclined, trouble: trouble{state: "ReleaseStock", kind: storeAway}},
	{rule: "CompensateOrder fails once", want: "COMPENSATED PAYMENT_DECLINED", method: provider.ChargeDeclined, trouble: trouble{state: "CompensateOrder", kind: storeAway}},
	{rule: "FailOrder fails once", want: "FAILED INSUFFICIENT_STOCK", meanwhile: happening{"ReserveStock", otherBuysAll}, trouble: trouble{state: "FailOrder", kind: storeAway}},
	{rule: "NotifyCustomer fails once", want: "CONFIRMED", trouble: trouble{state: "NotifyCustomer", kind: storeAway}},
	{rule: "NotifyCustomer cannot send once", want: "CONFIRMED", trouble: trouble{state: "NotifyCustomer", kind: messageUnsent}},

	// A task whose work was done, and nobody heard of it, finds it done.
	{rule: "ReserveStock is not heard", want: "CONFIRMED", trouble: trouble{state: "ReserveStock", kind: replyLost}},
	{rule: "RecordReservation is not heard", want: "CONFIRMED", trouble: trouble{state: "RecordReservation", kind: replyLost}},
	{rule: "ChargePayment is not heard", want: "CONFIRMED", trouble: trouble{state: "ChargePayment", kind: replyLost}},
	{rule: "ResolvePayment is not heard", want: "COMPENSATED PAYMENT_PROVIDER_UNAVAILABLE", method: provider.Error, trouble: trouble{state: "ResolvePayment", kind: replyLost}},
	{rule: "RecordPaymentFailure is not heard", want: "COMPENSATED PAYMENT_DECLINED", method: provider.ChargeDeclined, trouble: trouble{state: "RecordPaymentFailure", kind: replyLost}},
	{rule: "ConfirmOrder is not heard", want: "CONFIRMED", trouble: trouble{state: "ConfirmOrder", kind: replyLost}},
	{rule: "CommitReservation is not heard", want: "CONFIRMED", trouble: trouble{state: "CommitReservation", kind: replyLost}},
	{rule: "RefundPayment is not heard", want: "CANCELLED CANCELLED_BY_CUSTOMER", meanwhile: happening{"ConfirmOrder", customerCancels}, trouble: trouble{state: "RefundPayment", kind: replyLost}},
	{rule: "ReleaseStock is not heard", want: "COMPENSATED PAYMENT_DECLINED", method: provider.ChargeDeclined, trouble: trouble{state: "ReleaseStock", kind: replyLost}},
	{rule: "CompensateOrder is not heard", want: "COMPENSATED PAYMENT_DECLINED", method: provider.ChargeDeclined, trouble: trouble{state: "CompensateOrder", kind: replyLost}},
	{rule: "FailOrder is not heard", want: "FAILED INSUFFICIENT_STOCK", meanwhile: happening{"ReserveStock", otherBuysAll}, trouble: trouble{state: "FailOrder", kind: replyLost}},
	{rule: "NotifyCustomer is not heard", want: "CONFIRMED", trouble: trouble{state: "NotifyCustomer", kind: replyLost}},
	{rule: "ReserveStock's lost reply is recovered", want: "CONFIRMED", trouble: trouble{state: "ReserveStock", kind: replyRecovered}},
	{rule: "ChargePayment's lost reply is recovered", want: "CONFIRMED", trouble: trouble{state: "ChargePayment", kind: replyRecovered}},

	// A task whose process dies is begun again. Of a charge that is so on flow alone, which knows that nobody else is at this attempt any more: Step Functions
	// does not, so the machine has the payment resolved.
	{rule: "killed before ChargePayment", want: "COMPENSATED PAYMENT_PROVIDER_UNAVAILABLE", onFlow: "CONFIRMED", trouble: trouble{state: "ChargePayment", kind: killedBefore}},
	{rule: "killed after ChargePayment", want: "CONFIRMED", onFlow: "CONFIRMED", trouble: trouble{state: "ChargePayment", kind: killedAfter}},
	{rule: "killed before ReserveStock", want: "CONFIRMED", trouble: trouble{state: "ReserveStock", kind: killedBefore}},
	{rule: "killed after ReserveStock", want: "CONFIRMED", trouble: trouble{state: "ReserveStock", kind: killedAfter}},
	{rule: "killed after RecordReservation", want: "CONFIRMED", trouble: trouble{state: "RecordReservation", kind: killedAfter}},
	{rule: "killed before ResolvePayment", want: "COMPENSATED PAYMENT_PROVIDER_UNAVAILABLE", method: provider.Error, trouble: trouble{state: "ResolvePayment", kind: killedBefore}},
	{rule: "killed before ConfirmOrder", want: "CONFIRMED", trouble: trouble{state: "ConfirmOrder", kind: killedBefore}},
	{rule: "killed after ConfirmOrder", want: "CONFIRMED", trouble: trouble{state: "ConfirmOrder", kind: killedAfter}},
	{rule: "killed after CommitReservation", want: "CONFIRMED", trouble: trouble{state: "CommitReservation", kind: killedAfter}},
	{rule: "killed before RefundPayment", want: "CANCELLED CANCELLED_BY_CUSTOMER", meanwhile: happening{"ConfirmOrder", customerCancels}, trouble: trouble{state: "RefundPayment", kind: killedBefore}},
	{rule: "killed after RefundPayment", want: "CANCELLED CANCELLED_BY_CUSTOMER", meanwhile: happening{"ConfirmOrder", customerCancels}, trouble: trouble{state: "RefundPayment", kind: killedAfter}},
	{rule: "killed after ReleaseStock", want: "COMPENSATED PAYMENT_DECLINED", method: provider.ChargeDeclined, trouble: trouble{state: "ReleaseStock", kind: killedAfter}},
	{rule: "killed after CompensateOrder", want: "COMPENSATED PAYMENT_DECLINED", method: provider.ChargeDeclined, trouble: trouble{state: "CompensateOrder", kind: killedAfter}},
	{rule: "killed after NotifyCustomer", want: "CONFIRMED", trouble: trouble{state: "NotifyCustomer", kind: killedAfter}},

	// A task that always fails, or that no repetition helps, is undone where the machine catches it.
	{rule: "ReserveStock always fails", want: "COMPENSATED INVENTORY_UNAVAILABLE", trouble: trouble{state: "ReserveStock", kind: storeAway, every: true}},
	{rule: "ReserveStock is refused", want: "COMPENSATED INVENTORY_UNAVAILABLE", trouble: trouble{state: "ReserveStock", kind: commitRefused}},
	{rule: "ChargePayment always fails", want: "COMPENSATED PAYMENT_PROVIDER_UNAVAILABLE", trouble: trouble{state: "ChargePayment", kind: storeAway, every: true}},
	{rule: "ChargePayment is refused", want: "COMPENSATED PAYMENT_PROVIDER_UNAVAILABLE", trouble: trouble{state: "ChargePayment", kind: commitRefused}},

	// Where it does not, a person resumes the order.
	{rule: "RecordReservation is refused", want: "CONFIRMED", trouble: trouble{state: "RecordReservation", kind: commitRefused}},
	{rule: "ResolvePayment is refused", want: "COMPENSATED PAYMENT_PROVIDER_UNAVAILABLE", method: provider.Error, trouble: trouble{state: "ResolvePayment", kind: commitRefused}},
	{rule: "RecordPaymentFailure is refused", want: "COMPENSATED PAYMENT_DECLINED", method: provider.ChargeDeclined, trouble: trouble{state: "RecordPaymentFailure", kind: commitRefused}},
	{rule: "ConfirmOrder is refused", want: "CONFIRMED", trouble: trouble{state: "ConfirmOrder", kind: commitRefused}},
	{rule: "CommitReservation is refused", want: "CONFIRMED", trouble: trouble{state: "CommitReservation", kind: commitRefused}},
	{rule: "RefundPayment is refused", want: "CANCELLED CANCELLED_BY_CUSTOMER", meanwhile: happening{"ConfirmOrder", customerCancels}, trouble: trouble{state: "RefundPayment", kind: commitRefused}},
	{rule: "ReleaseStock is refused", want: "COMPENSATED PAYMENT_DECLINED", method: provider.ChargeDeclined, trouble: trouble{state: "ReleaseStock", kind: commitRefused}},
	{rule: "CompensateOrder is refused", want: "COMPENSATED PAYMENT_DECLINED", method: provider.ChargeDeclined, trouble: trouble{state: "CompensateOrder", kind: commitRefused}},
	{rule: "FailOrder is refused", want: "FAILED INSUFFICIENT_STOCK", meanwhile: happening{"ReserveStock", otherBuysAll}, trouble: trouble{state: "FailOrder", kind: commitRefused}},
	{rule: "NotifyCustomer is refused", want: "CONFIRMED", trouble: trouble{state: "NotifyCustomer", kind: commitRefused}},
}

// products is how many products the scenario is about.
func (p *parity) products() int {
	n := 1
	for _, l := range p.basket() {
		n = max(n, l.product+1)
	}
	return n
}

func (p *parity) basket() []orderLine {
	if p.lines == nil {
		return []orderLine{{0, 1}}
	}
	return p.lines
}

// fails reports whether the charge counts as a failure of the provider, for the circuit breaker that all orders of a stage share.
func (p *parity) fails() bool {
	return slices.Contains([]string{provider.Error, provider.Timeout, provider.TimeoutCharged, provider.Late}, p.method)
}

func (p *parity) kills() bool { return p.trouble.kind == killedBefore || p.trouble.kind == killedAfter }

// maxFailing is below the number of failures in a row that opens the circuit (breaker.Config).
const maxFailing = 4

// batches are the scenarios that can run beside each other: no batch opens the circuit that it does not want open.
func batches(all []parity) [][]*parity {
	var opening, failing, others []*parity
	for i := range all {
		switch p := &all[i]; {
		case p.meanwhile.what == circuitOpens:
			opening = append(opening, p)
		case p.fails():
			failing = append(failing, p)
		default:
			others = append(others, p)
		}
	}
	first := min(maxFailing, len(failing))
	out := [][]*parity{slices.Concat(failing[:first], others)}
	out = slices.AppendSeq(out, slices.Chunk(failing[first:], maxFailing))
	return slices.AppendSeq(out, slices.Chunk(opening, 1))
}

// atOnce is how many orders are in the emulator at a time: each has a function's process or two.
const atOnce = 8

// inParity runs the scenarios on both engines and holds each against the other. It is alone with the circuit breaker that all charges share.
func inParity(t *testing.T, s *stage) {
	var mu sync.Mutex
	passed := map[*parity]string{}
	for _, batch := range batches(parities) {
		s.call(t, "POST", "/admin/breakers/"+app.ChargeBreaker+"/reset", nil).is(http.StatusOK)
		var running sync.WaitGroup
		turn := make(chan struct{}, atOnce)
		for _, p := range batch {
			turn <- struct{}{}
			running.Go(func() {
				defer func() { <-turn }()
				t.Run(p.rule, func(t *testing.T) {
					if line := s.onBoth(t, p); !t.Failed() {
						mu.Lock()
						defer mu.Unlock()
						passed[p] = line
					}
				})
			})
		}
		running.Wait()
	}
	var report strings.Builder
	table := tabwriter.NewWriter(&report, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "scenario\tstates\texecutions\tthe order\ton Step Functions")
	for i := range parities {
		if line, ok := passed[&parities[i]]; ok {
			fmt.Fprintln(table, line)
		}
	}
	table.Flush()
	t.Logf("%d of %d scenarios come to what they have to on Step Functions and on flow\n%s", len(passed), len(parities), report.String())
}

// onBoth brings an order through the scenario on each engine, and returns the report's line of it.
func (s *stage) onBoth(t *testing.T, p *parity) string {
	t.Helper()
	if p.kills() && runtime.GOOS != "linux" {
		t.Skip("whose process is at a connection is known on Linux alone")
	}
	local := p.runOnFlow(t)
	began := time.Now()
	aws := s.runOnStepFunctions(t, p)
	took := time.Since(began)
	p.compare(t, aws, local)
	return fmt.Sprintf("%s\t%d\t%s\t%s\t%.1f s", p.rule, len(aws.states), strings.Join(aws.ends, ", "), aws.order(), took.Seconds())
}

// compare requires the same way and the same end of both, and the end that the scenario is to have.
func (p *parity) compare(t *testing.T, aws, local passage) {
	t.Helper()
	if p.onFlow == "" {
		aws.same(t, local)
	}
	onFlow := cmp.Or(p.onFlow, p.want)
	if aws.order() != p.want || local.order() != onFlow {
		t.Errorf("it ends %s on Step Functions and %s on flow, want %s and %s", aws.order(), local.order(), p.want, onFlow)
	}
}

// request is the scenario's order.
func (p *parity) request(products []string) apigen.OrderRequest {
	r := basket(p.method)
	for _, l := range p.basket() {
		r.Items = append(r.Items, apigen.OrderRequestItem{ProductID: products[l.product], Quantity: int64(l.pieces)})
	}
	return r
}

func TestEveryTaskHasItsTrouble(t *testing.T) {
	var machine struct {
		States map[string]struct{ Type string }
	}
	if err := json.Unmarshal(saga.Definition(saga.LocalResources()), &machine); err != nil {
		t.Fatal(err)
	}
	for name, state := range machine.States {
		if state.Type != "Task" {
			continue
		}
		for _, kind := range []kind{storeAway, replyLost, commitRefused} {
			if !slices.ContainsFunc(parities, func(p parity) bool { return p.trouble.state == name && p.trouble.kind == kind }) {
				t.Errorf("no scenario has trouble %d at %s", kind, name)
			}
		}
	}
}
