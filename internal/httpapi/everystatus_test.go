package httpapi_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/auth"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/httpapi"
	"github.com/utkarsh698/cloudflow/internal/instance"
	"github.com/utkarsh698/cloudflow/internal/inventory"
	"github.com/utkarsh698/cloudflow/internal/limit"
	"github.com/utkarsh698/cloudflow/internal/saga"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// Every call and every status that the document declares for it is provoked once, and the answer held against the document: its status,
// media type, headers and body. What a whole system can be brought to answer is asked of a real instance; what wants a broken world
// is asked of the handlers over fakes.
//
// A new call needs a row in everyCall, and one in provocations for each status that byStatus does not know how to provoke.
func TestEveryStatusOfTheDocumentIsProvoked(t *testing.T) {
	doc, err := document()
	if err != nil {
		t.Fatal(err)
	}
	real := startInstance(t)
	left := make(map[string]bool, len(provocations))
	for key := range provocations {
		left[key] = true
	}
	provoked := 0
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			for status := range op.Responses.Map() {
				key := method + " " + path + " " + status
				delete(left, key)
				provoke := provocations[key]
				if provoke == nil {
					provoke = byStatus[status]
				}
				if provoke == nil {
					t.Errorf("nothing provokes %s: add a row to provocations", key)
					continue
				}
				provoked++
				t.Run(key, func(t *testing.T) {
					s := &stage{t: t, instance: real, method: method, call: everyCall[method+" "+path], answered: map[string]bool{}}
					provoke(s)
					if !s.answered[key] {
						t.Errorf("it was answered %v", s.answered)
					}
				})
			}
		}
	}
	for key := range left {
		t.Errorf("the document does not declare %s", key)
	}
	t.Logf("%d pairs of call and status", provoked)
}

// A stage is where one row is played.
type stage struct {
	t        *testing.T
	instance *realInstance
	method   string
	call     refusal // a good request of the call, from everyCall
	answered map[string]bool
}

// real is the contract over the real instance.
func (s *stage) real() *contract { return s.watched(newContract(s.t, s.instance.Handler)) }

// fakes is the contract over the fakes.
func (s *stage) fakes(change func(w *world, c *httpapi.Config)) *contract {
	w := newWorld()
	w.execution = failedExecution()
	return s.watched(w.serve(s.t, func(c *httpapi.Config) { change(w, c) }))
}

func (s *stage) watched(c *contract) *contract {
	c.answered = s.answered
	return c
}

// good sends the call's good request, with more headers.
func (s *stage) good(c *contract, headers ...string) answer {
	return c.send(s.method, s.call.path, s.call.body, append(slices.Clone(s.call.headers), headers...)...)
}

// send asks the real instance with the row's method.
func (s *stage) send(path, body string, headers ...string) answer {
	s.t.Helper()
	return s.real().send(s.method, path, body, headers...)
}

// byStatus provokes a status of any call that declares it, unless provocations has a row for the call.
var byStatus = map[string]func(*stage){
	"400": func(s *stage) {
		c, sep := s.real(), "?"
		if strings.Contains(s.call.path, "?") {
			sep = "&"
		}
		c.send(s.method, s.call.path+sep+"no_such_parameter=1", s.call.body, s.call.headers...)
	},
	"401": func(s *stage) { s.good(s.callers(fault.New(fault.Unauthorized, "Who are you?"))) },
	"403": func(s *stage) {
		s.good(s.fakes(func(_ *world, c *httpapi.Config) {
			c.Principal = func(*http.Request) (auth.Principal, error) { return auth.Principal{Subject: "nobody"}, nil }
		}))
	},
	"404": func(s *stage) { s.good(s.real()) }, // what everyCall asks for is not there
	"406": func(s *stage) { s.good(s.real(), "Accept", "image/png") },
	"413": func(s *stage) {
		s.real().send(s.method, s.call.path, strings.Repeat(" ", 1<<16+1), s.call.headers...)
	},
	"415": func(s *stage) {
		r := request(s.method, s.call.path, "{}", s.call.headers...)
		r.Header.Set("Content-Type", "text/plain")
		s.real().do(r)
	},
	"429": func(s *stage) {
		c := s.fakes(func(_ *world, c *httpapi.Config) {
			c.Limits.PerAddress = limit.Rate{PerSecond: 1, Burst: 1}
			c.Principal = func(*http.Request) (auth.Principal, error) { return auth.Anonymous, nil }
		})
		c.send("GET", "/health", "")
		s.good(c)
	},
	"500": func(s *stage) { s.good(s.fakes(func(w *world, _ *httpapi.Config) { w.err = errors.New("a bug") })) },
	"503": func(s *stage) {
		s.good(s.fakes(func(w *world, _ *httpapi.Config) { w.err = fault.New(fault.Unavailable, "The store is away.") }))
	},
}

// callers is a server that cannot tell who calls.
func (s *stage) callers(err error) *contract {
	return s.fakes(func(_ *world, c *httpapi.Config) {
		c.Principal = func(*http.Request) (auth.Principal, error) { return auth.Principal{}, err }
	})
}

// rebound asks in development mode as a page would whose name was made to point at this machine.
func (s *stage) rebound() {
	r := request(s.method, s.call.path, s.call.body, s.call.headers...)
	r.Host = "evil.example"
	s.real().do(r)
}

// sendToken sends the call's good request with another token.
func (s *stage) sendToken(token string) {
	s.send(s.call.path, strings.Replace(s.call.body, noTask, token, 1))
}

// orderInBody is a body of POST /orders.
func orderInBody(product string, quantity int) string {
	return `{"customer_id":"cust-1","items":[{"product_id":"` + product + `","quantity":` + strconv.Itoa(quantity) + `}]}`
}

// provocations are the statuses that a call has to itself, by "METHOD /path STATUS".
var provocations = map[string]func(*stage){
	"POST /orders 200": func(s *stage) {
		s.send("/orders", orderInBody("SHOE", 1), "Prefer", "wait=20", "Idempotency-Key", "every-200")
	},
	"POST /orders 202": func(s *stage) { s.send("/orders", orderInBody("SHOE", 1)) },
	"POST /orders 409": func(s *stage) { s.send("/orders", orderInBody("SHOE", 10000)) },
	"POST /orders 422": func(s *stage) { s.send("/orders", orderInBody("NO-SUCH", 1)) },
	"POST /orders 503": func(s *stage) {
		c := s.real()
		c.send("POST", "/admin/breakers/payment-charge/trip", "")
		defer c.send("POST", "/admin/breakers/payment-charge/reset", "")
		s.send("/orders", orderInBody("SHOE", 1))
	},

	"GET /orders 200":                   func(s *stage) { s.send("/orders?status=CONFIRMED&limit=1", "") },
	"GET /orders/{order_id}/events 200": func(s *stage) { s.send("/orders/"+s.instance.confirmed+"/events?limit=2", "") },
	// A stream of the real instance has no end; that of the fakes has.
	"GET /events 200": func(s *stage) { s.good(s.fakes(func(*world, *httpapi.Config) {})) },

	"GET /orders/{order_id} 200": func(s *stage) { s.send("/orders/"+s.instance.confirmed, "") },
	"GET /orders/{order_id} 304": func(s *stage) { s.send("/orders/"+s.instance.confirmed, "", "If-None-Match", `"v4"`) },

	"POST /orders/{order_id}/cancel 202": func(s *stage) {
		c := s.real()
		c.send("PUT", "/admin/faults", `{"latency_ms":300}`) // so long it is not decided
		defer c.send("PUT", "/admin/faults", `{}`)
		s.send("/orders/"+s.instance.place(s.t)+"/cancel", "")
	},
	"POST /orders/{order_id}/cancel 409": func(s *stage) { s.send("/orders/"+s.instance.confirmed+"/cancel", "") },

	"GET /products 403":              (*stage).rebound,
	"GET /products/{product_id} 403": (*stage).rebound,
	"GET /products 200":              func(s *stage) { s.send("/products?limit=1", "") },
	"GET /products/{product_id} 200": func(s *stage) { s.send("/products/SHOE", "") },
	"PUT /products/{product_id} 200": func(s *stage) { s.send("/products/SHOE", `{"name":"Shoe","unit_price_cents":1000}`) },
	"PUT /products/{product_id} 201": func(s *stage) { s.send("/products/SOCK", `{"name":"Sock","unit_price_cents":100,"stock":7}`) },
	"PUT /products/{product_id} 404": func(s *stage) { s.send("/products/..", `{"name":"Up","unit_price_cents":100}`) },
	"PUT /products/{product_id} 409": func(s *stage) { s.send("/products/SHOE", `{"name":"Shoe","unit_price_cents":1000,"stock":1}`) },
	"PUT /products/{product_id} 412": func(s *stage) {
		s.send("/products/SHOE", `{"name":"Shoe","unit_price_cents":1000}`, "If-Match", `"v99"`)
	},
	"PUT /products/{product_id} 422": func(s *stage) { s.send("/products/SHOE", `{"name":"Shoe","unit_price_cents":0}`) },
	"POST /products/{product_id}/restock 200": func(s *stage) {
		s.send("/products/SHOE/restock", `{"quantity":1}`, "Idempotency-Key", "every-200")
		s.send("/products/SHOE/restock", `{"quantity":1}`, "Idempotency-Key", "every-200") // replayed
	},
	"POST /products/{product_id}/restock 422": func(s *stage) { s.send("/products/SHOE/restock", `{"quantity":-1}`, "Idempotency-Key", "k") },

	"GET /admin/breakers 200":              func(s *stage) { s.good(s.real()) },
	"GET /admin/breakers 500":              func(s *stage) { s.good(s.callers(errors.New("a bug"))) }, // with the store away it shows what it goes by
	"GET /admin/breakers 503":              func(s *stage) { s.good(s.callers(fault.New(fault.Unavailable, "The keys are away."))) },
	"POST /admin/breakers/{name}/trip 200": func(s *stage) { s.send("/admin/breakers/payment-refund/trip", "") },
	"POST /admin/breakers/{name}/trip 404": func(s *stage) { s.send("/admin/breakers/no-such/trip", "") },
	"POST /admin/breakers/{name}/reset 200": func(s *stage) {
		s.send("/admin/breakers/payment-refund/reset", "")
	},
	"POST /admin/breakers/{name}/reset 404": func(s *stage) { s.send("/admin/breakers/no-such/reset", "") },

	"GET /admin/sagas 200":                     func(s *stage) { s.send("/admin/sagas?status=FAILED&limit=1", "") },
	"GET /admin/sagas/{order_id} 200":          func(s *stage) { s.send("/admin/sagas/"+s.instance.failed, "") },
	"POST /admin/sagas/{order_id}/redrive 202": func(s *stage) { s.send("/admin/sagas/"+s.instance.failed+"/redrive", `{"reason":"try"}`) },
	"POST /admin/sagas/{order_id}/redrive 409": func(s *stage) { s.send("/admin/sagas/"+s.instance.confirmed+"/redrive", `{"reason":"try"}`) },
	"POST /admin/sagas/{order_id}/redrive 422": func(s *stage) { s.send("/admin/sagas/"+s.instance.failed+"/redrive", `{"reason":""}`) },

	"GET /admin/tasks 200":            func(s *stage) { s.instance.ask(s.t); s.send("/admin/tasks?limit=1", "") },
	"POST /admin/tasks/success 200":   func(s *stage) { s.sendToken(s.instance.ask(s.t)) },
	"POST /admin/tasks/failure 200":   func(s *stage) { s.sendToken(s.instance.ask(s.t)) },
	"POST /admin/tasks/heartbeat 200": func(s *stage) { s.sendToken(s.instance.ask(s.t)) },
	"POST /admin/tasks/success 409":   func(s *stage) { s.sendToken(s.instance.closed(s.t)) },
	"POST /admin/tasks/failure 409":   func(s *stage) { s.sendToken(s.instance.closed(s.t)) },
	"POST /admin/tasks/heartbeat 409": func(s *stage) { s.sendToken(s.instance.closed(s.t)) },
	"POST /admin/tasks/success 422":   func(s *stage) { s.sendToken("") },
	"POST /admin/tasks/failure 422":   func(s *stage) { s.sendToken("") },
	"POST /admin/tasks/heartbeat 422": func(s *stage) { s.sendToken("") },

	"GET /admin/dlq 200":          func(s *stage) { s.good(s.real()) },
	"POST /admin/dlq/redrive 200": func(s *stage) { s.good(s.real()) },
	"POST /admin/dlq/redrive 422": func(s *stage) { s.send("/admin/dlq/redrive", `{"ids":[]}`) },
	"GET /admin/faults 200":       func(s *stage) { s.good(s.real()) },
	"GET /admin/faults 404":       func(s *stage) { s.good(s.fakes(func(_ *world, c *httpapi.Config) { c.Faults = nil })) },
	"PUT /admin/faults 200":       func(s *stage) { s.send("/admin/faults", `{"latency_ms":1}`); s.send("/admin/faults", `{}`) },
	"PUT /admin/faults 404":       func(s *stage) { s.good(s.fakes(func(_ *world, c *httpapi.Config) { c.Faults = nil })) },
	"PUT /admin/faults 422":       func(s *stage) { s.send("/admin/faults", `{"status":418}`) },

	"POST /admin/customers/{customer_id}/erase 200": func(s *stage) { s.good(s.real()) },
	"POST /admin/customers/{customer_id}/erase 422": func(s *stage) { s.send("/admin/customers/ada@example.test/erase", "") },
	"POST /admin/backup 200":                        func(s *stage) { s.good(s.real()) },
	"GET /admin/retention 200":                      func(s *stage) { s.good(s.real()) },
	"POST /admin/retention 200":                     func(s *stage) { s.good(s.real()) },
	"GET /admin/export/orders 200": func(s *stage) {
		s.good(s.real())
		s.send("/admin/export/orders?format=ndjson", "")
	},
	"GET /admin/export/events 200": func(s *stage) { s.good(s.real()) },

	"GET /admin/keys 200":             func(s *stage) { s.good(s.real()) },
	"POST /admin/keys 201":            func(s *stage) { s.good(s.real()) },
	"POST /admin/keys 422":            func(s *stage) { s.send("/admin/keys", `{"subject":"cust-001","scopes":["orders:eat"]}`) },
	"DELETE /admin/keys/{key_id} 200": func(s *stage) { s.good(s.fakes(func(*world, *httpapi.Config) {})) },

	"GET /admin/verify 200":              func(s *stage) { s.good(s.real()) },
	"GET /admin/payments/{order_id} 200": func(s *stage) { s.send("/admin/payments/"+s.instance.confirmed, "") },

	"GET /metrics 200":        func(s *stage) { s.good(s.real()) },
	"GET /docs 200":           func(s *stage) { s.good(s.real()) },
	"GET /docs 304":           func(s *stage) { s.good(s.real(), "If-None-Match", s.good(s.real()).header.Get("ETag")) },
	"GET /docs/style.css 200": func(s *stage) { s.good(s.real()) },
	"GET /docs/style.css 304": func(s *stage) { s.good(s.real(), "If-None-Match", s.good(s.real()).header.Get("ETag")) },

	"GET /health 200": func(s *stage) { s.good(s.real()) },
	"GET /ready 200":  func(s *stage) { s.good(s.real()) },
	"GET /ready 503": func(s *stage) {
		s.good(s.fakes(func(_ *world, c *httpapi.Config) { c.Recovering = func() bool { return true } }))
	},
	"GET /openapi.yaml 200": func(s *stage) { s.good(s.real()) },
	"GET /openapi.yaml 304": func(s *stage) {
		s.good(s.real(), "If-None-Match", s.good(s.real()).header.Get("ETag"))
	},
}

// A realInstance is an instance at work, with a shelf of shoes and two orders that the rows know.
type realInstance struct {
	*instance.Instance
	confirmed string // an order
	failed    string // an order whose saga waits for a person
}

func startInstance(t *testing.T) *realInstance {
	t.Helper()
	i, err := instance.Open(instance.Config{Dir: t.TempDir(), Saga: askingSaga(t), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	worked := make(chan error, 1)
	go func() { worked <- i.App.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := errors.Join(<-worked, i.Close()); err != nil {
			t.Error(err)
		}
	})
	r := &realInstance{Instance: i}
	c := newContract(t, i.Handler)
	if a := c.send("PUT", "/products/SHOE", `{"name":"Shoe","unit_price_cents":1000,"stock":50}`); a.status != http.StatusCreated {
		t.Fatalf("%d %s", a.status, a.body)
	}
	r.confirmed = r.place(t, "Prefer", "wait=20")
	if a := c.send("GET", "/orders/"+r.confirmed, ""); !strings.Contains(a.body, `"CONFIRMED"`) {
		t.Fatalf("%d %s", a.status, a.body)
	}
	r.failed = r.fail(t)
	return r
}

// place places an order and returns its id.
func (r *realInstance) place(t *testing.T, headers ...string) string {
	t.Helper()
	a := newContract(t, r.Handler).send("POST", "/orders", orderInBody("SHOE", 1), headers...)
	id, _ := a.problem(t)["order_id"].(string)
	if a.status > http.StatusAccepted {
		t.Fatalf("%d %s", a.status, a.body)
	}
	return id
}

// askingSaga is the order saga with a state between the reservation and the charge that somebody has to answer, for more than one pair of shoes.
func askingSaga(t *testing.T) []byte {
	t.Helper()
	text := string(saga.Definition(saga.LocalResources()))
	for from, to := range map[string]string{
		`"ResultPath": null,
      "Next": "ChargePayment"`: `"ResultPath": null, "Next": "IsLarge"`,
		`"States": {`: `"States": {
			"IsLarge": {"Type": "Choice", "Choices": [{"Variable": "$.total_cents", "NumericGreaterThan": 1000, "Next": "FraudCheck"}], "Default": "ChargePayment"},
			"FraudCheck": {"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken", "Parameters": {"order_id.$": "$.order_id"},
				"ResultPath": "$.fraud", "Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "ReleaseStock"}], "Next": "ChargePayment"},`,
	} {
		if strings.Count(text, from) != 1 {
			t.Fatalf("the saga has %d of %s", strings.Count(text, from), from)
		}
		text = strings.Replace(text, from, to, 1)
	}
	return []byte(text)
}

// ask places an order that somebody has to answer, and returns its task's token.
func (r *realInstance) ask(t *testing.T) (token string) {
	t.Helper()
	c := newContract(t, r.Handler)
	placed := c.send("POST", "/orders", orderInBody("SHOE", 2)).problem(t)
	soon(t, "the task waits for its answer", func() bool {
		tasks, _ := c.send("GET", "/admin/tasks?limit=100", "").problem(t)["tasks"].([]any)
		for _, task := range tasks {
			if task, _ := task.(map[string]any); task["order_id"] == placed["order_id"] {
				token, _ = task["token"].(string)
			}
		}
		return token != ""
	})
	return token
}

// closed is the token of a task that was answered.
func (r *realInstance) closed(t *testing.T) (token string) {
	t.Helper()
	token = r.ask(t)
	if a := newContract(t, r.Handler).send("POST", "/admin/tasks/failure", `{"token":"`+token+`"}`); a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.body)
	}
	return token
}

// fail makes an order whose saga fails: its stock is taken back while the card is charged, so that what is sold cannot leave.
func (r *realInstance) fail(t *testing.T) string {
	t.Helper()
	c := newContract(t, r.Handler)
	c.send("PUT", "/admin/faults", `{"only":"capture","latency_ms":500}`)
	defer c.send("PUT", "/admin/faults", `{}`)
	before := r.App.Provider.Attempts().Capture
	id := r.place(t)
	soon(t, "the card is charged", func() bool { return r.App.Provider.Attempts().Capture > before })
	effect, err := r.App.Inventory.Release(t.Context(), inventory.Request{OrderID: id, Lines: []inventory.Line{{ProductID: "SHOE", Quantity: 1}}})
	if err == nil {
		_, err = store.Commit(t.Context(), r.Dir.Store, effect)
	}
	if err != nil {
		t.Fatal(err)
	}
	soon(t, "its saga fails", func() bool {
		return strings.Contains(c.send("GET", "/admin/sagas?status=FAILED", "").body, id)
	})
	return id
}

// soon asks every few milliseconds until the answer is yes.
func soon(t *testing.T, what string, yes func() bool) {
	t.Helper()
	limit := time.NewTimer(30 * time.Second)
	defer limit.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !yes() {
		select {
		case <-limit.C:
			t.Fatalf("it does not happen that %s", what)
		case <-tick.C:
		}
	}
}
