package asl

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// enterWait starts the timer of a Wait state, even for a time that is past: the driver's clock is not the engine's.
func (x *Execution) enterWait(sc *scope) outcome {
	in, size, f := x.selected(sc, sc.state.inputPath, sc.input, sc.inputSize)
	if f != nil {
		return fails(f)
	}
	w, e := sc.state.wait, &env{x: x, scope: sc, input: in, bound: size}
	at := x.now
	switch {
	case w.seconds != nil:
		at = at.Add(time.Duration(*w.seconds) * time.Second)
	case w.timestamp != nil:
		at = *w.timestamp
	case w.secondsQuery != nil:
		n, f := w.secondsQuery.integer(e, 0, maxSeconds)
		if f != nil {
			return fails(f)
		}
		at = at.Add(time.Duration(n) * time.Second)
	case w.timeQuery != nil:
		if at, f = w.timeQuery.timestamp(e); f != nil {
			return fails(f)
		}
	case w.secondsAt != nil:
		v, found, f := w.secondsAt.lookup(e)
		if f != nil {
			return fails(f)
		}
		if !found {
			return fails(runtimeFailure("The SecondsPath parameter does not reference an input value: " + w.secondsAt.text))
		}
		number, _ := v.(json.Number)
		n, err := strconv.ParseInt(string(number), 10, 64)
		if err != nil {
			return fails(runtimeFailure(fmt.Sprintf("The SecondsPath parameter cannot be parsed as a long value: %s == %s", w.secondsAt.text, plain(v))))
		}
		if n < 0 || n > maxSeconds {
			return fails(runtimeFailure(fmt.Sprintf("The SecondsPath parameter references an invalid value: %s == %d", w.secondsAt.text, n)))
		}
		at = at.Add(time.Duration(n) * time.Second)
	default:
		v, found, f := w.timeAt.lookup(e)
		if f != nil {
			return fails(f)
		}
		if !found {
			return fails(runtimeFailure("The TimestampPath parameter does not reference an input value: " + w.timeAt.text))
		}
		s, _ := v.(string)
		t, ok := parseTimestamp(s)
		if !ok {
			return fails(runtimeFailure(fmt.Sprintf("The TimestampPath parameter does not reference a valid ISO-8601 extended offset date-time format string: %s == %s", w.timeAt.text, plain(v))))
		}
		at = t
	}
	x.command(Command{Kind: StartTimer, State: sc.state.name, At: at}, sc)
	return waits
}

func (x *Execution) waited(sc *scope) outcome {
	in, size, f := x.selected(sc, sc.state.inputPath, sc.input, sc.inputSize)
	return outcome{failure: f, output: in, size: size, next: sc.state.next}
}

// plain is a value as Java's toString of a JSON node has it, and with it AWS's messages: a string without quotes, all else as JSON.
func plain(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	return string(AppendJSON(nil, v))
}
