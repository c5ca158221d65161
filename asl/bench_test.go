package asl

import (
	"fmt"
	"testing"
	"time"
)

// orderInput has the size and shape of an order's execution.
const orderInput = `{"order_id":"01JZ3YF0Q8RZ6X1W2V3U4T5S6R","lines":[{"product_id":"widget-1","quantity":2},{"product_id":"gadget-9","quantity":1}],
"total_cents":4599,"currency":"EUR","payment_method":"tok_visa","correlation_id":"6d1f0c9e-6f2f-4f0c-9a3b-0a2b7c8d9e0f","mac":"k1:0b9c2a4d5e6f708192a3b4c5d6e7f8090a1b2c3d4e5f60718293a4b5c6d7e8f9"}`

func mustDecode(tb testing.TB, text string) any {
	tb.Helper()
	v, err := DecodeJSON([]byte(text))
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

// benchmarkLoop steps a machine that never ends: a new execution is started, untimed, when the history is nearly full.
func benchmarkLoop(b *testing.B, states string) {
	m, err := Parse([]byte(`{"StartAt":"A","States":{` + states + `}}`))
	if err != nil {
		b.Fatal(err)
	}
	start := Start{Input: mustDecode(b, orderInput), Time: time.Unix(0, 0)}
	result := mustDecode(b, `{"payment_id":"pay_1","captured":true,"refunded_cents":0}`)
	x, commands := m.Start(start)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if x.events > maxEvents-1000 {
			b.StopTimer()
			x, commands = m.Start(start)
			b.StartTimer()
		}
		if commands, err = x.Step(Event{Kind: TaskSucceeded, ID: commands[0].ID, Time: start.Time, Output: result}); err != nil {
			b.Fatal(err)
		}
	}
}

const (
	benchTask = `"Type":"Task","Resource":"r","Parameters":{"task":"order.record","input.$":"$"},"TimeoutSeconds":20,
		"Retry":[{"ErrorEquals":["Transient"],"MaxAttempts":600}],"ResultPath":%s,"Next":%q`
	benchEnd = `,"End":{"Type":"Succeed"}`
)

// BenchmarkTaskState is one Step over a task's answer: the exit of its state and the entry of the next.
func BenchmarkTaskState(b *testing.B) {
	for _, resultPath := range []string{`null`, `"$.payment"`} {
		b.Run("ResultPath="+resultPath, func(b *testing.B) {
			benchmarkLoop(b, fmt.Sprintf(`"A":{`+benchTask+`,"Catch":[{"ErrorEquals":["Never"],"Next":"End"}]}`, resultPath, "A")+benchEnd)
		})
	}
}

// BenchmarkChoice is the same Step with ten Choice states of three rules on the way.
func BenchmarkChoice(b *testing.B) {
	states := fmt.Sprintf(`"A":{`+benchTask+`,"Catch":[{"ErrorEquals":["Never"],"Next":"End"}]}`, `"$.payment"`, "C0") + benchEnd
	for i := range 10 {
		next := fmt.Sprintf("C%d", i+1)
		if i == 9 {
			next = "A"
		}
		states += fmt.Sprintf(`,"C%d":{"Type":"Choice","Choices":[
			{"Variable":"$.payment.captured","BooleanEquals":false,"Next":"End"},
			{"Variable":"$.currency","StringEquals":"USD","Next":"End"},
			{"And":[{"Variable":"$.resume_at","IsPresent":false},{"Variable":"$.total_cents","NumericGreaterThan":100}],"Next":%q}]}`, i, next)
	}
	benchmarkLoop(b, states)
}

// BenchmarkPass is the same Step with ten Pass states on the way.
func BenchmarkPass(b *testing.B) {
	states := fmt.Sprintf(`"A":{`+benchTask+`,"Catch":[{"ErrorEquals":["Never"],"Next":"End"}]}`, `null`, "P0") + benchEnd
	for i := range 10 {
		next := fmt.Sprintf("P%d", i+1)
		if i == 9 {
			next = "A"
		}
		states += fmt.Sprintf(`,"P%d":{"Type":"Pass","Parameters":{"id.$":"$.order_id","n":1},"ResultPath":"$.p","Next":%q}`, i, next)
	}
	benchmarkLoop(b, states)
}

// BenchmarkMap is a whole execution of a Map over 1,000 items, each a task: its start and a Step for each answer. The tasks are answered one by
// one, or all that are open at a time, and the driver steps a clone first as one that commits does.
func BenchmarkMap(b *testing.B) {
	items := make([]any, 1000)
	for i := range items {
		items[i] = mustNumber(i)
	}
	for _, mode := range []string{"INLINE", "DISTRIBUTED"} {
		for _, clones := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/clones=%t", mode, clones), func(b *testing.B) {
				m := mustParse(b, `{"StartAt":"M","States":{"M":{"Type":"Map","ItemSelector":{"n.$":"$$.Map.Item.Value"},"ItemProcessor":{"ProcessorConfig":{"Mode":"`+mode+`"},
					"StartAt":"T","States":{"T":{"Type":"Task","Resource":"r","End":true}}},"End":true}}}`)
				b.ReportAllocs()
				for range b.N {
					x, open := m.Start(Start{Input: items, Time: time.Unix(0, 0)})
					for i := 0; i < len(open); i++ {
						if clones {
							x = x.Clone()
						}
						commands, err := x.Step(Event{Kind: TaskSucceeded, ID: open[i].ID, Output: items[i]})
						if err != nil {
							b.Fatal(err)
						}
						open = append(open, commands...)
					}
					if x.Status() != StatusSucceeded {
						b.Fatal(x.Failure())
					}
				}
			})
		}
	}
}

// BenchmarkPath is one evaluation: of the loop that finds one node, and of the search that finds many.
func BenchmarkPath(b *testing.B) {
	for _, text := range []string{"$.lines[1].quantity", "$.lines[*].quantity", "$.lines[?(@.quantity > 1)]"} {
		b.Run(text, func(b *testing.B) {
			p, err := compilePath(text, new(int))
			if err != nil {
				b.Fatal(err)
			}
			e := &env{input: mustDecode(b, orderInput)}
			b.ReportAllocs()
			for range b.N {
				e.work = 0
				if _, _, found, _ := p.find(e); !found {
					b.Fatal("not found")
				}
			}
		})
	}
}

func BenchmarkDecodeJSON(b *testing.B) {
	b.ReportAllocs()
	for range b.N {
		if _, err := DecodeJSON([]byte(orderInput)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendJSON(b *testing.B) {
	v, buf := mustDecode(b, orderInput), []byte(nil)
	b.ReportAllocs()
	for range b.N {
		buf = AppendJSON(buf[:0], v)
	}
}
