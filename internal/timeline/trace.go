package timeline

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
)

// An Account is what the interface tells of an order.
type Account struct {
	Order      apigen.Order
	Executions []apigen.Saga   // the oldest first, as many as there still are
	Payment    *apigen.Payment // nil: there is none
}

// A Trace is an order's way from the call that made it to its outcome.
type Trace struct {
	OrderID   string    `json:"order_id"`
	Status    string    `json:"status"`
	StartedAt time.Time `json:"started_at"` // when the order was created: the zero of all times
	TotalMS   int64     `json:"total_ms"`
	Ended     bool      `json:"ended"` // nothing is under way any more
	Segments  []Segment `json:"segments"`
	Result    []string  `json:"result"` // what has become of stock, money and customer, as far as it is known
}

// A Segment is a row of a trace.
type Segment struct {
	Who        string `json:"who"`  // such as inventory-handler; "saga" for what no handler does
	What       string `json:"what"` // such as ReserveStock
	Depth      int    `json:"depth,omitempty"`
	StartMS    int64  `json:"start_ms"`
	DurationMS int64  `json:"duration_ms"`
	Open       bool   `json:"open,omitempty"`    // it has not ended
	Waiting    bool   `json:"waiting,omitempty"` // nobody did anything
	Instant    bool   `json:"instant,omitempty"` // it is known when it was, and not how long it took
	Outcome    string `json:"outcome,omitempty"` // what came of it, for people
	Failed     bool   `json:"failed,omitempty"`  // Outcome is an error
}

// Who does what is no task of a handler.
const (
	whoAPI      = "api"
	whoSaga     = "saga"
	whoProvider = "provider"
)

// Tell puts an order's account in the order of time. now closes what is open.
func Tell(a Account, now time.Time) Trace {
	t := &teller{account: a, happened: map[apigen.OrderEventType]bool{}}
	for _, e := range a.Order.Events {
		t.happened[e.Type] = true
	}
	t.zero = t.start()
	t.add(Segment{Who: whoAPI, What: "order accepted", Instant: true, Outcome: "Created PENDING"}, 0, 0)
	running := false
	for i, s := range a.Executions {
		running = running || s.Status == apigen.SagaStatusRUNNING
		offset := s.StartedAt.Sub(t.zero)
		if i > 0 {
			t.add(Segment{Who: whoSaga, What: "redriven", Instant: true, Outcome: s.Execution}, offset, offset)
		}
		for _, row := range Of(s, nil, now) {
			t.span(row, offset)
		}
	}
	t.ledger()
	out := Trace{
		OrderID: a.Order.OrderID, Status: string(a.Order.Status), StartedAt: t.zero, Segments: t.segments,
		Ended: !running && a.Order.Status != apigen.OrderStatusPENDING && a.Order.Status != apigen.OrderStatusREVIEW,
	}
	for _, s := range t.segments {
		out.TotalMS = max(out.TotalMS, s.StartMS+s.DurationMS)
	}
	out.Result = t.result(out.Ended)
	return out
}

type teller struct {
	account  Account
	happened map[apigen.OrderEventType]bool
	zero     time.Time
	segments []Segment
}

// start is when the order was created. What was created by another clock than the saga's was not later than what the saga did.
func (t *teller) start() time.Time {
	var zero time.Time
	if len(t.account.Order.Events) > 0 {
		zero = t.account.Order.Events[0].Timestamp
	}
	for _, s := range t.account.Executions {
		if zero.IsZero() || s.StartedAt.Before(zero) {
			zero = s.StartedAt
		}
	}
	return zero
}

func (t *teller) add(s Segment, begin, end time.Duration) {
	begin = max(0, begin)
	s.StartMS, s.DurationMS = begin.Milliseconds(), max(0, end-begin).Milliseconds()
	t.segments = append(t.segments, s)
}

// span adds a row of an execution, and before an attempt the wait for it.
func (t *teller) span(row Span, offset time.Duration) {
	s := Segment{Who: Handler(row.Resource), What: row.State, Open: row.Open}
	if s.Who == "" {
		s.Who = whoSaga
	}
	switch {
	case row.Error != "":
		s.Outcome, s.Failed = row.Error, true
	case row.Open && row.Asks:
		s.Outcome = "waits for an answer"
	case row.Open:
		s.Outcome = "under way"
	case row.Attempt == 0:
		s.Outcome = t.outcome(row)
	}
	if row.Attempt > 0 {
		s.Depth, s.What = 1, fmt.Sprintf("attempt %d", row.Attempt)
		if row.Waits > 0 {
			t.add(Segment{Who: whoSaga, What: "wait", Depth: 1, Waiting: true}, offset+row.Begin-row.Waits, offset+row.Begin)
		}
	}
	t.add(s, offset+row.Begin, offset+row.End)
}

// outcomes are what states bring about, and the event that says so in the order's log. A state that ended well without it found nothing to do.
var outcomes = map[string]struct {
	events []apigen.OrderEventType
	words  string
}{
	"ReserveStock":         {[]apigen.OrderEventType{apigen.OrderEventTypeSTOCKRESERVED}, "Stock reserved"},
	"RecordReservation":    {[]apigen.OrderEventType{apigen.OrderEventTypeSTOCKRESERVED}, "Recorded STOCK_RESERVED"},
	"ChargePayment":        {[]apigen.OrderEventType{apigen.OrderEventTypePAYMENTCHARGED}, "Payment charged"},
	"ResolvePayment":       {nil, "Outcome of the charge found out"},
	"RecordPaymentFailure": {[]apigen.OrderEventType{apigen.OrderEventTypePAYMENTFAILED}, "Recorded PAYMENT_FAILED"},
	"ConfirmOrder":         {[]apigen.OrderEventType{apigen.OrderEventTypeORDERCONFIRMED}, "Status → CONFIRMED"},
	"CommitReservation":    {[]apigen.OrderEventType{apigen.OrderEventTypeORDERCONFIRMED}, "Stock sold"},
	"RefundPayment":        {[]apigen.OrderEventType{apigen.OrderEventTypePAYMENTREFUNDED}, "Payment refunded (compensation)"},
	"ReleaseStock":         {[]apigen.OrderEventType{apigen.OrderEventTypeSTOCKRELEASED}, "Stock released (compensation)"},
	"CompensateOrder":      {[]apigen.OrderEventType{apigen.OrderEventTypeORDERCOMPENSATED, apigen.OrderEventTypeORDERCANCELLED}, "Status → "},
	"FailOrder":            {[]apigen.OrderEventType{apigen.OrderEventTypeORDERFAILED}, "Status → FAILED"},
	notifyState:            {nil, "Notification queued"},
}

const notifyState = "NotifyCustomer"

func (t *teller) outcome(row Span) string {
	o, ok := outcomes[row.State]
	if !ok || o.events != nil && !slices.ContainsFunc(o.events, func(e apigen.OrderEventType) bool { return t.happened[e] }) {
		return "ok"
	}
	if strings.HasSuffix(o.words, " → ") {
		return o.words + string(t.account.Order.Status)
	}
	return o.words
}

// ledger puts each entry of the provider's book under the payment's state that was under way then; one that was under none, such as
// a late capture, stands by itself at the end. Both have milliseconds, so the end of a state counts to it.
func (t *teller) ledger() {
	if t.account.Payment == nil {
		return
	}
	under := map[int][]Segment{} // by the index of the segment that they stand behind
	last := len(t.segments) - 1
	for _, e := range t.account.Payment.Provider.Entries {
		at := max(0, e.At.Sub(t.zero))
		s := Segment{
			Who: whoProvider, What: string(e.Type), StartMS: at.Milliseconds(), Instant: true,
		}
		if e.AmountCents != 0 {
			s.Outcome = t.amount(e.AmountCents)
		}
		behind := t.paymentAt(s.StartMS)
		if behind < 0 {
			behind = last
		} else {
			s.Depth = 1
		}
		under[behind] = append(under[behind], s)
	}
	var all []Segment
	for i, s := range t.segments {
		all = append(all, s)
		entries := under[i]
		slices.SortStableFunc(entries, func(a, b Segment) int {
			return cmp.Or(cmp.Compare(b.Depth, a.Depth), cmp.Compare(a.StartMS, b.StartMS))
		})
		all = append(all, entries...)
	}
	t.segments = all
}

// paymentAt is the segment of the payment's handler that was under way, or the last of its attempts that had begun; -1: none was.
func (t *teller) paymentAt(ms int64) int {
	found := -1
	for i, s := range t.segments {
		if !strings.HasPrefix(s.Who, "payment") || s.StartMS > ms || ms > s.StartMS+s.DurationMS+1 {
			continue
		}
		if found < 0 || s.Depth > t.segments[found].Depth { // the first that fits, or an attempt of it
			found = i
		}
	}
	return found
}

// result says what is known to be so; what is not, it leaves out.
func (t *teller) result(ended bool) []string {
	said := []string{}
	o := t.account.Order
	switch {
	case t.happened[apigen.OrderEventTypeSTOCKRELEASED]:
		said = append(said, "Stock restored")
	case o.Status == apigen.OrderStatusCONFIRMED:
		said = append(said, "Stock sold")
	case ended && !t.happened[apigen.OrderEventTypeSTOCKRESERVED]:
		said = append(said, "No stock held")
	}
	if slices.ContainsFunc(t.segments, func(s Segment) bool { return s.What == notifyState && !s.Open && !s.Failed }) {
		said = append(said, "Customer's notification queued")
	}
	return append(said, t.money(ended)...)
}

// money goes by the provider's book, and only once nothing can come any more.
func (t *teller) money(ended bool) []string {
	p := t.account.Payment
	switch {
	case !ended, p == nil && len(t.account.Executions) == 0: // neither was found: perhaps it was not there that they are
		return nil
	case p == nil:
		return []string{"No charge made"}
	}
	switch p.Status {
	case apigen.PaymentStatusCAPTURING, apigen.PaymentStatusCANCELLING, apigen.PaymentStatusREFUNDING:
		return nil
	default:
	}
	captured, refunded := p.Provider.CapturedCents, p.Provider.RefundedCents
	switch {
	case captured == 0:
		return []string{"No charge made"}
	case refunded == captured:
		return []string{"Charge of " + t.amount(captured) + " refunded"}
	case refunded > 0:
		return []string{t.amount(captured) + " charged, " + t.amount(refunded) + " refunded"}
	}
	return []string{t.amount(captured) + " charged"}
}

func (t *teller) amount(cents int64) string {
	return fmt.Sprintf("%d.%02d %s", cents/100, cents%100, t.account.Order.Currency)
}
