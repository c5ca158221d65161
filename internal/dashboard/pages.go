package dashboard

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/sagagraph"
)

// A page is what every template gets.
type page struct {
	Title       string
	Here        string // the entry of the menu
	Development bool
	Problem     *refusal
	Data        any
}

// parse reads the templates: each page has the layout around it.
func parse() (map[string]*template.Template, error) {
	layout, err := template.New("layout.html").Funcs(helpers).Funcs(loadHelpers).ParseFS(files, "templates/layout.html", "templates/parts.html", "templates/servicemap.html")
	if err != nil {
		return nil, err
	}
	pages := map[string]*template.Template{}
	for _, name := range []string{"home", "orders", "order", "operations", "load", "reset", "problem"} {
		t, err := layout.Clone()
		if err != nil {
			return nil, err
		}
		if pages[name], err = t.ParseFS(files, "templates/"+name+".html"); err != nil {
			return nil, err
		}
	}
	return pages, nil
}

// show writes a page, whole or not at all.
func (d *server) show(w http.ResponseWriter, status int, name string, p *page) error {
	p.Development = d.c.Development
	var text bytes.Buffer
	if err := d.pages[name].ExecuteTemplate(&text, "layout.html", p); err != nil {
		return fmt.Errorf("dashboard: page %s: %w", name, err)
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = text.WriteTo(w) // a visitor who has gone cannot be told
	return nil
}

// homeData is the first page.
type homeData struct {
	Scenarios []scenario
	Run       *runData
	Products  []apigen.Product
	Breakers  []apigen.Breaker
	Key       string // of the form: sent twice, it is one order
	Methods   []method
}

// runData is a scenario as it stands now.
type runData struct {
	run
	After int64
	Story *story // of its order; nil: it was refused
}

// A method is a payment method of the simulator, with what it does.
type method struct{ Name, Says string }

var methods = []method{
	{"pm_card_visa", "a good card"},
	{"pm_card_chargeDeclined", "declined"},
	{"pm_sim_slow", "answers after 3 s"},
	{"pm_sim_error", "answers 500, nothing charged"},
	{"pm_sim_timeout_charged", "charged, and the answer is lost"},
	{"pm_sim_timeout", "no answer, nothing charged"},
	{"pm_sim_late", "charged after we gave up"},
}

func (d *server) home(v *visit, w http.ResponseWriter) error {
	if !d.c.Development {
		return see(w, v.r, "/dashboard/operations")
	}
	data := homeData{Scenarios: scenarios, Key: newKey(), Methods: methods}
	var err error
	r, played := d.runs.get(v.r.URL.Query().Get("run"))
	if played {
		data.Run = &runData{run: r}
		if r.OrderID != "" {
			if data.Run.Story, err = v.story(r.OrderID, 0); err != nil {
				return err
			}
		}
	}
	// The shelf after the story: what has ended has given its stock back.
	if data.Products, data.Breakers, err = v.shelf(); err != nil {
		return err
	}
	for _, p := range data.Products {
		if played && p.ProductID == r.Scenario.Product {
			data.Run.After = p.Available
		}
	}
	return d.show(w, http.StatusOK, "home", &page{Title: "See a saga work", Here: "home", Data: data})
}

// shelf is the catalogue's first page, and the circuits.
func (v *visit) shelf() ([]apigen.Product, []apigen.Breaker, error) {
	var products apigen.ProductList
	err := v.call(&products, func(api *apigen.Client) (*http.Response, error) {
		return api.ListProducts(v.r.Context(), &apigen.ListProductsParams{Limit: ptr(24)})
	})
	if err != nil {
		return nil, nil, err
	}
	var breakers apigen.BreakerList
	err = v.call(&breakers, func(api *apigen.Client) (*http.Response, error) { return api.ListBreakers(v.r.Context()) })
	return products.Products, breakers.Breakers, err
}

// placeOrder takes the free form.
func (d *server) placeOrder(v *visit, w http.ResponseWriter) error {
	if !d.c.Development {
		return errNotHere
	}
	quantity, err := strconv.ParseInt(strings.TrimSpace(v.r.PostForm.Get("quantity")), 10, 64)
	if err != nil {
		return badForm("The quantity %.40q is not a whole number.", v.r.PostForm.Get("quantity"))
	}
	order := apigen.OrderRequest{
		CustomerID: strings.TrimSpace(v.r.PostForm.Get("customer")), PaymentMethod: ptr(v.r.PostForm.Get("method")),
		Items: []apigen.OrderRequestItem{{ProductID: v.r.PostForm.Get("product"), Quantity: quantity}},
	}
	if email := strings.TrimSpace(v.r.PostForm.Get("email")); email != "" {
		order.Contact = &apigen.Contact{Email: &email}
	}
	key := v.r.PostForm.Get("key")
	if key == "" {
		key = newKey()
	}
	var accepted apigen.OrderAccepted
	err = v.call(&accepted, func(api *apigen.Client) (*http.Response, error) {
		return api.PlaceOrder(v.r.Context(), &apigen.PlaceOrderParams{IdempotencyKey: &key}, order)
	})
	if err != nil {
		return err
	}
	return see(w, v.r, "/dashboard/orders/%s", url.PathEscape(accepted.OrderID))
}

func badForm(format string, args ...any) error {
	return &refusal{Status: http.StatusUnprocessableEntity, Code: "VALIDATION_FAILED", Message: fmt.Sprintf(format, args...)}
}

// ordersData is a page of orders.
type ordersData struct {
	Status, Customer, Search string
	Statuses                 []string
	Orders                   []apigen.OrderSummary
	Next                     string // the query of the next page; "" if there is none
	First                    bool
}

// statuses are those an order can have, REVIEW for those that wait for a person.
var statuses = []string{"PENDING", "CONFIRMED", "COMPENSATED", "FAILED", "CANCELLED", "REVIEW"}

// ordersPage is how many orders a page has; with what comes live it stays at that.
const ordersPage = 50

func (d *server) orders(v *visit, w http.ResponseWriter) error {
	q := v.r.URL.Query()
	if id := strings.TrimSpace(q.Get("id")); id != "" {
		return see(w, v.r, "/dashboard/orders/%s", url.PathEscape(id))
	}
	data := ordersData{Status: q.Get("status"), Customer: strings.TrimSpace(q.Get("customer")), Statuses: statuses, First: q.Get("cursor") == ""}
	params := &apigen.ListOrdersParams{Limit: ptr(ordersPage)}
	if data.Status != "" {
		params.Status = ptr(apigen.OrderStatus(data.Status))
	}
	if data.Customer != "" {
		params.CustomerID = &data.Customer
	}
	if !data.First {
		params.Cursor = ptr(q.Get("cursor"))
	}
	var list apigen.OrderList
	err := v.call(&list, func(api *apigen.Client) (*http.Response, error) { return api.ListOrders(v.r.Context(), params) })
	if err != nil {
		return err
	}
	data.Orders = list.Orders
	if list.NextCursor != nil {
		next := url.Values{"cursor": {*list.NextCursor}}
		for name, value := range map[string]string{"status": data.Status, "customer": data.Customer} {
			if value != "" {
				next.Set(name, value)
			}
		}
		data.Next = next.Encode()
	}
	return d.show(w, http.StatusOK, "orders", &page{Title: "Orders", Here: "orders", Data: data})
}

// A story is an order with everything that is known of how it went.
type story struct {
	Order        apigen.Order // as it is, or as it was at Version
	Version      int64        // 0: as it is
	Newest       int64
	Created      time.Time
	Ended        *time.Time
	Saga         *apigen.Saga // nil: it has not begun
	Spans        []span
	Graph        template.HTML
	Log          []apigen.LogEvent
	Chain        string // what is wrong with the log's chain; "" if nothing is
	ChainChecked bool
	Notification *Notification
	Payment      *apigen.Payment
	Lines        []string // the last log lines
	Replays      int      // how often it was answered again, of those lines
}

// Pending reports whether something is still to come.
func (s *story) Pending() bool {
	return s.Order.Status == apigen.OrderStatusPENDING || s.Saga == nil || s.Saga.Status == apigen.SagaStatusRUNNING
}

// Untold reports whether the customer may be told any moment. After some seconds the relay is away, and the live feed says what comes of it.
func (s *story) Untold() bool {
	return s.Ended != nil && s.Notification == nil && time.Since(*s.Ended) < 10*time.Second
}

func (v *visit) story(id string, version int64) (*story, error) {
	s := &story{Version: version}
	params := &apigen.GetOrderParams{}
	if version > 0 {
		params.Version = &version
	}
	err := v.call(&s.Order, func(api *apigen.Client) (*http.Response, error) { return api.GetOrder(v.r.Context(), id, params) })
	if err != nil {
		return nil, err
	}
	var log apigen.OrderLog
	err = v.call(&log, func(api *apigen.Client) (*http.Response, error) {
		return api.ListOrderEvents(v.r.Context(), id, &apigen.ListOrderEventsParams{Limit: ptr(100)})
	})
	if err != nil {
		return nil, err
	}
	if s.Log = log.Events; len(s.Log) > 0 {
		last := s.Log[len(s.Log)-1]
		s.Created, s.Newest = s.Log[0].Timestamp, last.Version
		s.Ended = endOf(s.Log)
	}
	if err := v.saga(s, id); err != nil {
		return nil, err
	}
	return s, nil
}

// endOf is when the order was decided; what comes behind that in a log is a redrive. nil: it is not.
func endOf(log []apigen.LogEvent) *time.Time {
	for _, e := range log {
		switch e.Type {
		case apigen.OrderEventTypeORDERCONFIRMED, apigen.OrderEventTypeORDERCOMPENSATED, apigen.OrderEventTypeORDERFAILED, apigen.OrderEventTypeORDERCANCELLED:
			return &e.Timestamp
		default:
		}
	}
	return nil
}

// saga adds the current execution. An order has one from its first moment, but an operator's eyes may be faster than a replica.
func (v *visit) saga(s *story, id string) error {
	var saga apigen.Saga
	err := v.call(&saga, func(api *apigen.Client) (*http.Response, error) { return api.GetSaga(v.r.Context(), id, nil) })
	var no *refusal
	switch {
	case errors.As(err, &no) && no.Status == http.StatusNotFound:
		return nil
	case err != nil:
		return err
	}
	s.Saga = &saga
	s.Spans = spansOf(saga, v.d.undoes, v.d.c.Now())
	steps := make([]sagagraph.Step, len(saga.History))
	for i, e := range saga.History {
		steps[i] = sagagraph.Step{Type: e.Type, State: deref(e.State)}
	}
	var drawing strings.Builder
	if err := v.d.c.Graph.SVG(&drawing, sagagraph.PathOf(steps)); err != nil {
		return err
	}
	s.Graph = template.HTML(drawing.String()) //nolint:gosec // sagagraph escapes every text that it is given
	return nil
}

// undoes reports whether a state belongs to the compensation.
func (d *server) undoes(state string) bool {
	for _, n := range d.c.Graph.Nodes {
		if n.Name == state {
			return n.Compensation
		}
	}
	return false
}

func (d *server) order(v *visit, w http.ResponseWriter) error {
	id := v.r.PathValue("id")
	version, _ := strconv.ParseInt(v.r.URL.Query().Get("version"), 10, 64) // what is no version is the newest
	s, err := v.story(id, max(0, version))
	if err != nil {
		return err
	}
	if err := v.around(s); err != nil {
		return err
	}
	return d.show(w, http.StatusOK, "order", &page{Title: "Order " + s.Order.OrderID, Here: "orders", Data: s})
}

// around adds what stands beside an order: the money, the message, the chain, the log lines.
func (v *visit) around(s *story) error {
	ctx, id := v.r.Context(), s.Order.OrderID
	var payment apigen.Payment
	err := v.call(&payment, func(api *apigen.Client) (*http.Response, error) { return api.GetPayment(ctx, id) })
	var no *refusal
	switch {
	case err == nil:
		s.Payment = &payment
	case !errors.As(err, &no) || no.Status != http.StatusNotFound:
		return err
	}
	if v.d.c.Chain != nil {
		s.ChainChecked = true
		if err := v.d.c.Chain(ctx, id); err != nil {
			s.Chain = err.Error()
		}
	}
	if err := v.notified(ctx, s); err != nil {
		return err
	}
	if s.Notification != nil && s.Saga != nil {
		s.Spans = append(s.Spans, told(s.Notification, *s.Ended, s.Saga.StartedAt, v.d.c.Now()))
	}
	if v.d.c.Log == nil {
		return nil
	}
	s.Lines = v.d.c.Log(`"order_id":"` + id + `"`)
	for _, line := range s.Lines {
		if strings.Contains(line, `"message":"`+replayedMessage+`"`) {
			s.Replays++
		}
	}
	if s.Saga != nil {
		addLines(s.Spans, s.Lines, s.Saga.StartedAt)
	}
	return nil
}

// replayedMessage is what the API logs when it answers a key's stored answer.
const replayedMessage = "Order answered again"

func (v *visit) notified(ctx context.Context, s *story) error {
	if v.d.c.Notification == nil || s.Ended == nil {
		return nil
	}
	for i := len(s.Log) - 1; i >= 0; i-- { // the event that the message tells of is one of the last
		n, ok, err := v.d.c.Notification(ctx, s.Order.OrderID, s.Log[i].Version)
		if err != nil {
			return err
		}
		if ok {
			s.Notification = &n
			return nil
		}
	}
	return nil
}

func (d *server) cancelOrder(v *visit, w http.ResponseWriter) error {
	id := v.r.PathValue("id")
	err := v.call(nil, func(api *apigen.Client) (*http.Response, error) { return api.CancelOrder(v.r.Context(), id) })
	if err != nil {
		return err
	}
	return see(w, v.r, "/dashboard/orders/%s", url.PathEscape(id))
}
