package httpapi

import (
	"net/http"
	"strconv"
	"time"
)

// Faults is the payment provider's simulator, for whoever wants to see an outage.
type Faults interface {
	Fault() Fault
	// SetFault begins an outage, or ends it with the zero Fault. fault.ValidationFailed names the field that is out of its bounds.
	SetFault(f Fault) error
}

// A Fault is an outage of the simulated provider: Faults in openapi.yaml.
type Fault struct {
	Only        string  `json:"only,omitempty"`
	Rate        float64 `json:"rate,omitempty"`
	Down        bool    `json:"down,omitempty"`
	Status      int     `json:"status,omitempty"`
	Hang        bool    `json:"hang,omitempty"`
	LatencyMS   int64   `json:"latency_ms,omitempty"`
	LoseReplies float64 `json:"lose_replies,omitempty"`
}

// MaxFaultLatency is longer than any caller waits for the provider.
const MaxFaultLatency = 2 * time.Minute

var faultShape = &shape{members: map[string]*shape{
	"only": scalar, "rate": scalar, "down": scalar, "status": scalar, "hang": scalar, "latency_ms": scalar, "lose_replies": scalar,
}}

// GetFaults shows the outage that is on.
func (s *server) GetFaults(w http.ResponseWriter, r *http.Request) {
	x := of(w)
	x.Header().Set("Cache-Control", noStore)
	s.replyJSON(x, r, http.StatusOK, s.faults.Fault())
}

// PutFaults begins, changes or ends an outage.
func (s *server) PutFaults(w http.ResponseWriter, r *http.Request) {
	x := of(w)
	f, err := faultOf(x.body)
	if err == nil {
		err = s.faults.SetFault(f)
	}
	if err != nil {
		s.refuse(x, r, err)
		return
	}
	s.log.WarnContext(r.Context(), "The simulated provider's outage was set by hand", "fault", f,
		"actor", x.principal.Subject, "correlation_id", x.correlationID)
	x.Header().Set("Cache-Control", noStore)
	s.replyJSON(x, r, http.StatusOK, s.faults.Fault())
}

func faultOf(body value) (Fault, error) {
	if err := faultShape.check(body, ""); err != nil {
		return Fault{}, err
	}
	var f form
	out := Fault{
		Only:        f.optionalText(body, "only"),
		Rate:        f.optionalFraction(body, "rate"),
		Down:        f.optionalBoolean(body, "down"),
		Hang:        f.optionalBoolean(body, "hang"),
		LoseReplies: f.optionalFraction(body, "lose_replies"),
	}
	if n := f.optionalInteger(body, "status"); n != nil {
		if *n != http.StatusTooManyRequests && (*n < 500 || *n > 599) {
			f.invalid("status", "must be 429, or 500 to 599")
		}
		out.Status = int(*n)
	}
	if n := f.optionalInteger(body, "latency_ms"); n != nil {
		if most := MaxFaultLatency.Milliseconds(); *n < 0 || *n > most {
			f.invalid("latency_ms", "must be 0 to "+strconv.FormatInt(most, 10))
		}
		out.LatencyMS = *n
	}
	return out, f.fault()
}

// optionalBoolean is false if there is no such member.
func (f *form) optionalBoolean(v value, name string) bool {
	m := v.get(name)
	if m.kind != absent && m.kind != boolean {
		f.invalid(f.field(name), "must be true or false")
	}
	return m.text == "true"
}

// optionalFraction is a share from 0 to 1; 0 if there is no such member.
func (f *form) optionalFraction(v value, name string) float64 {
	m := v.get(name)
	if m.kind == absent {
		return 0
	}
	share, err := strconv.ParseFloat(m.text, 64)
	if m.kind != number || err != nil || share < 0 || share > 1 {
		f.invalid(f.field(name), "must be a number from 0 to 1")
		return 0
	}
	return share
}
