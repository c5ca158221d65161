package eventlog

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/utkarsh698/cloudflow/internal/jcs"
)

var errForm = errors.New("not an event in canonical form")

// parse reads what appendCanonical wrote. Since that form is fixed there is nothing to search for but the data's end: a status
// query decodes every event of its order.
func parse(text string) (Event, error) {
	p := parser{rest: text}
	var e Event
	p.literal(`{"actor":`)
	e.Actor = p.str()
	p.literal(`,"correlation_id":`)
	e.CorrelationID = p.str()
	p.literal(`,"data":`)
	// Inside a string a quote would have a backslash before it, and behind the timestamp no object follows: the last
	// occurrence is the member itself.
	const timestamp = `,"timestamp":"`
	i := strings.LastIndex(p.rest, timestamp)
	if p.bad || i < 0 {
		return Event{}, errForm
	}
	data, err := object(p.rest[:i])
	if err != nil {
		return Event{}, err
	}
	e.Data, p.rest = data, p.rest[i+len(timestamp)-1:]
	if e.Timestamp, err = time.Parse(Layout, p.str()); err != nil {
		return Event{}, errForm
	}
	p.literal(`,"type":`)
	e.Type = p.str()
	p.literal(`,"version":`)
	number, ok := strings.CutSuffix(p.rest, "}")
	if e.Version, err = strconv.ParseInt(number, 10, 64); err != nil || !ok || p.bad || e.Version < 1 {
		return Event{}, errForm
	}
	return e, nil
}

// object decodes an object or null, with numbers as json.Number.
func object(text string) (map[string]any, error) {
	v, ok := jcs.Decode(text)
	if ok && v == nil {
		return nil, nil
	}
	m, isObject := v.(map[string]any)
	if !isObject {
		return nil, errForm
	}
	return m, nil
}

// A parser eats its text from the front; once something was wrong it is bad for good.
type parser struct {
	rest string
	bad  bool
}

func (p *parser) literal(s string) {
	rest, ok := strings.CutPrefix(p.rest, s)
	if !ok {
		p.bad = true
		return
	}
	p.rest = rest
}

func (p *parser) str() string {
	if p.bad || p.rest == "" || p.rest[0] != '"' {
		p.bad = true
		return ""
	}
	plain := true
	for i := 1; i < len(p.rest); i++ {
		switch p.rest[i] {
		case '\\':
			plain = false
			i++
		case '"':
			quoted := p.rest[:i+1]
			p.rest = p.rest[i+1:]
			if plain {
				return quoted[1:i]
			}
			var s string
			p.bad = json.Unmarshal([]byte(quoted), &s) != nil
			return s
		}
	}
	p.bad = true
	return ""
}
