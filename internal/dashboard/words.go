package dashboard

import (
	"encoding/json"
	"fmt"
	"html/template"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/timeline"
)

// helpers are what templates call.
var helpers = template.FuncMap{
	"money": money, "precise": precise, "times": times, "took": took, "clock": clock, "outcome": outcome, "short": short, "thousands": thousands, "bar": barOf, "doer": doer,
	"logLine": logLine, "dataOf": dataOf, "lower": strings.ToLower, "step": step, "until": func(t *time.Time) int64 { return seconds(t) },
	"age": age, "deref": deref, "values": values,
}

// money is cents for people: 149900 is 1,499.00.
func money(cents int64) string {
	sign := ""
	if cents < 0 {
		sign, cents = "-", -cents
	}
	return fmt.Sprintf("%s%s.%02d", sign, thousands(cents/100), cents%100)
}

func thousands(n int64) string {
	text := strconv.FormatInt(n, 10)
	start := 0
	if n < 0 {
		start = 1
	}
	for i := len(text) - 3; i > start; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// took is a duration for people: the journal's times are milliseconds, so less than one is "<1 ms".
func took(d time.Duration) string {
	switch {
	case d < 0:
		return "–"
	case d < time.Millisecond:
		return "<1 ms"
	case d < 10*time.Second:
		return thousands(d.Milliseconds()) + " ms"
	case d < 10*time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return d.Round(time.Second).String()
}

// precise is a short duration that was measured in this process: 0.31 ms.
func precise(d time.Duration) string {
	if d >= 10*time.Millisecond {
		return took(d)
	}
	return fmt.Sprintf("%.2f ms", float64(d.Microseconds())/1000)
}

// times is how often something was, once at least: once, twice, 3 times.
func times(n int64) string {
	switch n {
	case 1:
		return "once"
	case 2:
		return "twice"
	}
	return thousands(n) + " times"
}

// clock is a moment of a day, in UTC as the log has it.
func clock(t time.Time) string { return t.UTC().Format("15:04:05.000") }

// seconds is how long it is until then, at least 0.
func seconds(t *time.Time) int64 {
	if t == nil {
		return 0
	}
	return int64(math.Max(0, math.Ceil(time.Until(*t).Seconds())))
}

// age is how long ago a moment was, in whole seconds: 14m32s.
func age(t *time.Time) string { return max(0, time.Since(*t).Truncate(time.Second)).String() }

// outcome says in a sentence how an order stands.
func outcome(s *story) string {
	o := s.Order
	pieces := int64(0)
	for _, i := range o.Items {
		pieces += i.Quantity
	}
	inTime := ""
	if s.Ended != nil {
		inTime = " in " + took(s.Ended.Sub(s.Created))
	}
	amount := money(o.TotalCents) + " " + o.Currency
	reason := ""
	if o.FailureReason != nil {
		reason = because[*o.FailureReason]
	}
	switch o.Status {
	case apigen.OrderStatusCONFIRMED:
		return fmt.Sprintf("Confirmed%s: %s reserved and sold, %s charged.", inTime, countOf(pieces), amount)
	case apigen.OrderStatusCOMPENSATED:
		return fmt.Sprintf("Put back%s: %s, so the reserved stock went back to the shelf and nothing is charged.", inTime, orElse(reason, "something failed"))
	case apigen.OrderStatusFAILED:
		return fmt.Sprintf("Refused%s: %s. Nothing was reserved and nothing charged.", inTime, orElse(reason, "it could not be fulfilled"))
	case apigen.OrderStatusCANCELLED:
		return fmt.Sprintf("Cancelled%s: whatever was done for it was undone.", inTime)
	case apigen.OrderStatusREVIEW:
		return "A person has to look at it: the saga could not end by itself. What was done stays done until it is redriven."
	case apigen.OrderStatusPENDING:
	}
	if s.Saga != nil && s.Saga.AwaitsAnswer != nil {
		return asked(*s.Saga)
	}
	if s.Saga != nil && s.Saga.State != nil && *s.Saga.State != "" {
		return "Under way: the saga is at " + *s.Saga.State + "."
	}
	return "Under way."
}

// asked says what waits for an answer, and since when.
func asked(s apigen.Saga) string {
	since := s.UpdatedAt
	for _, e := range s.History {
		if strings.HasSuffix(e.Type, "Submitted") { // the last of them, if several wait
			since = e.Timestamp
		}
	}
	return fmt.Sprintf("Waiting since %s: somebody has to answer %s (cloudflow saga tasks).", since.UTC().Format("2006-01-02 15:04:05 UTC"), strings.Join(*s.AwaitsAnswer, ", "))
}

// because are the reasons that an order fails for, as a part of a sentence.
var because = map[apigen.FailureReason]string{
	apigen.FailureReasonPAYMENTDECLINED:            "the card was declined",
	apigen.FailureReasonINSUFFICIENTSTOCK:          "there was not enough stock",
	apigen.FailureReasonUNKNOWNPRODUCT:             "a product does not exist",
	apigen.FailureReasonINVENTORYUNAVAILABLE:       "the stock could not be asked for",
	apigen.FailureReasonPAYMENTPROVIDERUNAVAILABLE: "the payment provider could not be asked",
	apigen.FailureReasonCANCELLEDBYCUSTOMER:        "the customer cancelled it",
}

func orElse(text, other string) string {
	if text == "" {
		return other
	}
	return text
}

func countOf(n int64) string {
	if n == 1 {
		return "1 piece"
	}
	return thousands(n) + " pieces"
}

// short is the beginning of a hash.
func short(hash string) string { return hash[:min(12, len(hash))] }

// service is who does a task: the function's name in its ARN without what all have.
func service(resource string) string {
	return strings.TrimSuffix(timeline.Handler(resource), "-handler")
}

// doer is who does a task, in words.
func doer(resource string) string {
	if s := service(resource); s != timeline.ByHand {
		return s + " service"
	}
	return "whoever answers with its token"
}

// A bar is a span on the scale of its waterfall, in thousandths.
type bar struct{ WaitX, Wait, X, Width float64 }

// barOf is where a span lies. It is never too thin to be seen.
func barOf(s span, all []span) bar {
	end := time.Millisecond
	for _, a := range all {
		end = max(end, a.End)
	}
	at := func(d time.Duration) float64 { return math.Round(10000*float64(d)/float64(end)) / 10 }
	b := bar{X: at(s.Begin), Width: math.Max(4, at(s.End)-at(s.Begin)), Wait: at(s.Waits)}
	b.X = math.Min(b.X, 1000-b.Width)
	b.WaitX = math.Max(0, b.X-b.Wait)
	return b
}

// A logged is a log line taken apart for reading.
type logged struct{ Stamp, Time, Level, Service, Message, Rest string }

// logLine takes a line apart; what is none of ours is its rest.
func logLine(line string) logged {
	var members map[string]any
	if json.Unmarshal([]byte(line), &members) != nil {
		return logged{Rest: line}
	}
	take := func(name string) string {
		v, _ := members[name].(string)
		delete(members, name)
		return v
	}
	l := logged{Level: take("level"), Service: take("service"), Message: take("message")}
	l.Stamp = take("timestamp")
	if at, err := time.Parse(time.RFC3339Nano, l.Stamp); err == nil {
		l.Time = clock(at)
	}
	delete(members, "order_id")
	l.Rest = values(members)
	return l
}

// values are the members of an object as name=value, by name.
func values(members map[string]any) string {
	if len(members) == 0 {
		return ""
	}
	text, err := json.Marshal(members) // sorted by name
	if err != nil {
		return ""
	}
	return string(text)
}

func dataOf(e apigen.LogEvent) string {
	if e.Data == nil {
		return ""
	}
	return values(*e.Data)
}

// step numbers what is counted from 1 in a page.
func step(i int) int { return i + 1 }
