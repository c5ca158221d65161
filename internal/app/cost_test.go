package app_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"math"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/utkarsh698/cloudflow/internal/app"
	"github.com/utkarsh698/cloudflow/internal/breaker"
	"github.com/utkarsh698/cloudflow/internal/bus"
	"github.com/utkarsh698/cloudflow/internal/inventory"
	"github.com/utkarsh698/cloudflow/internal/notification"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/payment"
	"github.com/utkarsh698/cloudflow/internal/pii"
	"github.com/utkarsh698/cloudflow/internal/provider"
	"github.com/utkarsh698/cloudflow/internal/saga"
	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/memstore"
)

var update = flag.Bool("update", false, "write the counts and sums into docs/aws.md")

// A meter is a store that counts what DynamoDB would charge for it, as dynamostore asks for it (docs/decisions/0030).
type meter struct {
	*memstore.Store
	commits, items int                // requests that write, and the items that they write
	writes, reads  float64            // units
	table          map[string]float64 // write units by table
	partition      map[string]float64 // and by partition
	stored         map[store.Key]int  // bytes
}

// bytesOf is what DynamoDB counts of an item: with its key, the names of that, and the version.
func bytesOf(key store.Key, it store.Item) int {
	if it == nil {
		return 0
	}
	return len("pk") + len(key.PK) + len("sk") + len(key.SK) + it.Size() + len("_v") + 12
}

func started(bytes, unit int) float64 { return float64(max(1, (bytes+unit-1)/unit)) }

func (m *meter) read(key store.Key, it store.Item, c store.Consistency) {
	units := started(bytesOf(key, it), 4096)
	if c == store.Eventual {
		units /= 2
	}
	m.reads += units
}

func (m *meter) Get(ctx context.Context, key store.Key, c store.Consistency) (store.Item, error) {
	it, err := m.Store.Get(ctx, key, c)
	m.read(key, it, c)
	return it, err
}

func (m *meter) GetMany(ctx context.Context, keys []store.Key, c store.Consistency) ([]store.Item, error) {
	all, err := m.Store.GetMany(ctx, keys, c)
	for n, it := range all {
		m.read(keys[n], it, c)
	}
	return all, err
}

func (m *meter) Range(ctx context.Context, q store.Query) ([]store.Entry, error) {
	all, err := m.Store.Range(ctx, q)
	bytes := 0
	for _, e := range all {
		bytes += bytesOf(e.Key, e.Item)
	}
	units := started(bytes, 4096)
	if q.Consistency == store.Eventual {
		units /= 2
	}
	m.reads += units
	return all, err
}

// Update is dynamostore's: the reads one by one, and then one request with all that is to be written or checked.
func (m *meter) Update(ctx context.Context, fn func(*store.Tx) error) error {
	before := map[store.Key]store.Item{}
	look := func(key store.Key) (store.Item, uint64, error) {
		it, err := m.Store.Get(ctx, key, store.Strong)
		m.read(key, it, store.Strong)
		return it, 1, err
	}
	tx := store.NewTx(look)
	if err := fn(tx); err != nil {
		return err
	}
	if err := tx.Err(); err != nil {
		return err
	}
	keys, writes := []store.Key{}, 0
	for _, op := range tx.Ops() {
		keys = append(keys, op.Key)
		if op.Kind != store.OpCheck {
			writes++
		}
	}
	for _, r := range tx.Reads() {
		if !slices.Contains(keys, r.Key) {
			keys = append(keys, r.Key)
		}
	}
	for _, key := range keys {
		it, err := m.Store.Get(ctx, key, store.Strong)
		if err != nil {
			return err
		}
		before[key] = it
	}
	err := m.Store.Update(ctx, func(again *store.Tx) error {
		for _, op := range tx.Ops() {
			switch op.Kind {
			case store.OpPut:
				again.Put(op.Key, op.Item, op.Conds...)
			case store.OpDelete:
				again.Delete(op.Key, op.Conds...)
			case store.OpCheck:
				again.Check(op.Key, op.Conds...)
			case store.OpAdd:
				again.Add(op.Key, op.Deltas, op.Conds...)
			}
		}
		return nil
	})
	m.charge(ctx, keys, writes, before)
	return err
}

func (m *meter) charge(ctx context.Context, keys []store.Key, writes int, before map[store.Key]store.Item) {
	switch {
	case len(keys) == 0:
		return
	case writes == 0 && len(keys) == 1:
		m.read(keys[0], before[keys[0]], store.Strong)
		return
	case writes == 0:
		for _, key := range keys {
			m.reads += 2 * started(bytesOf(key, before[key]), 4096)
		}
		return
	}
	m.commits++
	m.items += writes
	each := 2.0
	if len(keys) == 1 {
		each = 1
	}
	for _, key := range keys {
		after, _ := m.Store.Get(ctx, key, store.Strong)
		size := max(bytesOf(key, before[key]), bytesOf(key, after))
		units := each * started(size, 1024)
		m.writes += units
		m.table[key.Table] += units
		m.partition[key.Table+" "+key.PK] += units
		m.stored[key] = bytesOf(key, after)
	}
}

// A cost is what one step of an order takes of DynamoDB.
type cost struct {
	step          string
	requests      int // that write
	items         int
	writes, reads float64
}

func (m *meter) of(step string, did func()) cost {
	m.commits, m.items, m.writes, m.reads = 0, 0, 0, 0
	did()
	return cost{step, m.commits, m.items, m.writes, m.reads}
}

// A letterbox takes the customers' messages once they are sent. SQS's stands outside of the commit.
type letterbox struct{ bodies [][]byte }

func (l *letterbox) Send(_ *store.Tx, m order.Message) error {
	n := notification.Message{
		OrderID: m.OrderID, CustomerID: m.CustomerID, Kind: notification.Kind(m.Kind), Version: m.Version, TotalCents: m.TotalCents,
		Currency: m.Currency, FailureReason: m.FailureReason, CorrelationID: m.CorrelationID, SealedContact: m.SealedContact,
	}
	body, err := n.Encode()
	l.bodies = append(l.bodies, body)
	return err
}

// unstarted is Step Functions as the order's commit sees it: the change feed starts the execution.
type unstarted struct{ order.Starter }

func (unstarted) Stage(*store.Tx, order.Start) error { return nil }
func (unstarted) Begin(string)                       {}

type quotes struct{ stock *inventory.Service }

func (q quotes) Quote(ctx context.Context, ids []string) (map[string]order.Quote, error) {
	found, err := q.stock.Quote(ctx, ids)
	out := map[string]order.Quote{}
	for id, x := range found {
		out[id] = order.Quote{UnitPriceCents: x.UnitPriceCents, Available: x.Available}
	}
	return out, err
}

// An awsWorld is the services as the functions have them, over a meter. The provider's ledger is a meter of its own.
type awsWorld struct {
	t             *testing.T
	meter, ledger *meter
	orders        *order.Service
	stock         *inventory.Service
	notes         *notification.Service
	table         saga.Table
	keys          *saga.Keys
	letters       *letterbox
	n             uint64
}

func newMeter() *meter {
	return &meter{Store: memstore.New(memstore.Options{}), table: map[string]float64{}, partition: map[string]float64{}, stored: map[store.Key]int{}}
}

func newAWSWorld(t *testing.T) *awsWorld {
	t.Helper()
	w := &awsWorld{t: t, meter: newMeter(), ledger: newMeter(), keys: signingKeys(t, "k1", "k"), letters: &letterbox{}}
	log := slog.New(slog.DiscardHandler)
	contacts := pii.NewStoreKeys(w.meter)
	charge := breaker.New(w.meter, app.ChargeBreaker, breaker.Config{CacheFor: time.Second, Now: time.Now, Log: log})
	sim := provider.New(provider.Config{Store: w.ledger, Now: time.Now})
	payments := payment.New(payment.Config{
		Store: w.meter, Gateway: sim, Ledger: sim, ChargeBreaker: charge,
		RefundBreaker: breaker.New(w.meter, app.RefundBreaker, breaker.Config{CacheFor: time.Second, Now: time.Now, Log: log}), Now: time.Now, Log: log,
	})
	w.stock = inventory.New(inventory.Config{Store: w.meter, Now: time.Now, Log: log})
	w.orders = order.New(order.Config{
		Store: w.meter, Catalog: quotes{w.stock}, Admission: charge, Saga: unstarted{}, Outbox: w.letters, Keys: contacts,
		Now: time.Now, NewID: w.newID, Currency: "USD", Log: log,
	})
	w.notes = notification.New(notification.Config{
		Store: w.meter, Keys: contacts, Sender: silentSender{}, NoContact: silentSender{}, Now: time.Now, Log: log,
	})
	w.table = saga.NewTable(w.keys, w.orders, w.stock, payments)
	pieces := int64(100)
	if _, _, err := w.stock.Put(t.Context(), inventory.PutProduct{ProductID: "KEYBD-01", Name: "Mechanical keyboard", UnitPriceCents: 8999, Stock: &pieces}); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *awsWorld) newID(prefix string) string {
	w.n++
	id := ulid.ULID{}
	_ = id.SetTime(uint64(time.Now().UnixMilli()))
	_ = id.SetEntropy(fmt.Appendf(nil, "%010d", w.n))
	return prefix + id.String()
}

// order takes an order to its end, and says what each step cost.
func (w *awsWorld) order(tasks []task) (all []cost) {
	w.t.Helper()
	must := func(err error) {
		if err != nil {
			w.t.Helper()
			w.t.Fatal(err)
		}
	}
	var id string
	correlation := w.newID("corr-")
	all = append(all, w.meter.of("POST /orders", func() {
		placed, err := w.orders.Place(w.t.Context(), order.PlaceRequest{
			CustomerID: "cust-001", Principal: "cust-001", Owner: "cust-001", OpenLimit: 100, CorrelationID: correlation,
			Lines:          []order.RequestLine{{ProductID: "KEYBD-01", Quantity: 1}},
			Contact:        &order.Contact{Email: "someone@shop.example"},
			IdempotencyKey: w.newID("key-"), Fingerprint: [32]byte{1},
		})
		must(err)
		id = placed.OrderID
	}))
	start := order.Start{
		Execution: id, OrderID: id, Lines: []order.Line{{ProductID: "KEYBD-01", Quantity: 1, UnitPriceCents: 8999}},
		TotalCents: 8999, Currency: "USD", PaymentMethod: order.DefaultPaymentMethod, CorrelationID: correlation,
	}
	input, err := w.keys.Start(start)
	must(err)
	for _, task := range tasks {
		all = append(all, w.meter.of("`"+task.name+"`", func() {
			parameters := map[string]any{"task": task.name, "input": input}
			if task.event != "" {
				parameters["event"] = task.event
			}
			effect, err := w.table.Do(w.t.Context(), parameters, id+"."+task.name)
			must(err)
			_, err = store.Commit(w.t.Context(), w.meter, effect)
			must(err)
		}))
	}
	body := w.letters.bodies[len(w.letters.bodies)-1]
	return append(all, w.meter.of("the customer is told", func() {
		failures, err := w.notes.Handle(w.t.Context(), []bus.Message{{ID: "m", Body: body, Receives: 1, SentAt: time.Now()}})
		must(err)
		if len(failures) > 0 {
			w.t.Fatal(failures[0].Err)
		}
	}))
}

// A task is one of those that a confirmed order's execution makes.
type task struct{ name, event, resource string }

// happy is the way of an order that is confirmed through the machine as it is deployed: how many states it enters, and its tasks.
func happy(t *testing.T) (entered int, tasks []task) {
	t.Helper()
	text, err := os.ReadFile("../saga/order.asl.json")
	if err != nil {
		t.Fatal(err)
	}
	var machine struct {
		StartAt string
		States  map[string]struct {
			Type, Next, Resource string
			Choices              []struct {
				IsPresent *bool
				Next      string
			}
			Parameters struct{ Task, Event string }
		}
	}
	if err := json.Unmarshal(text, &machine); err != nil {
		t.Fatal(err)
	}
	for at := machine.StartAt; at != ""; entered++ {
		state := machine.States[at]
		switch at = state.Next; state.Type {
		case "Choice": // the one for an order that was not resumed
			if len(state.Choices) == 0 || state.Choices[0].IsPresent == nil || *state.Choices[0].IsPresent {
				t.Fatalf("%+v is no choice between a start and a resume", state)
			}
			at = state.Choices[0].Next
		case "Task":
			tasks = append(tasks, task{state.Parameters.Task, state.Parameters.Event, state.Resource})
		case "Succeed":
			return entered + 1, tasks
		}
	}
	t.Fatal("the machine does not come to its end")
	return 0, nil
}

// A page is docs/aws.md: the tables that people keep are read, the others are written.
type page struct {
	t    *testing.T
	text string
}

const pagePath = "../../docs/aws.md"

func (p *page) place(name string) (from, to int) {
	p.t.Helper()
	begin := "<!-- " + name + " -->\n"
	from = strings.Index(p.text, begin)
	if from < 0 {
		p.t.Fatalf("%s has no place for %s", pagePath, name)
	}
	from += len(begin)
	return from, from + strings.Index(p.text[from:], "<!-- end -->")
}

// numbers are the rows of a table that people keep: the number in its second column by what stands in the first.
func (p *page) numbers(name string) map[string]float64 {
	p.t.Helper()
	from, to := p.place(name)
	all := map[string]float64{}
	for _, line := range strings.Split(p.text[from:to], "\n")[2:] {
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		if len(cells) < 2 {
			continue
		}
		n, err := strconv.ParseFloat(strings.ReplaceAll(cells[1], ",", ""), 64)
		if err != nil {
			p.t.Fatal(err)
		}
		all[cells[0]] = n
	}
	return all
}

// holds the table of that name to what was counted, or writes it.
func (p *page) holds(name, table string) {
	p.t.Helper()
	from, to := p.place(name)
	switch {
	case *update:
		p.text = p.text[:from] + table + p.text[to:]
	case p.text[from:to] != table:
		p.t.Errorf("the table %s of %s says\n%s\nand the code\n%s\ngo test ./internal/app -run Costs -update", name, pagePath, p.text[from:to], table)
	}
}

// number is n to three digits behind the point, with commas.
func number(n float64) string {
	text := strconv.FormatFloat(math.Round(n*1000)/1000, 'f', -1, 64)
	whole, rest, _ := strings.Cut(text, ".")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if rest != "" {
		return whole + "." + rest
	}
	return whole
}

var loads = []float64{10, 1000, 100_000} // orders a minute

const minutesOfAMonth = 43_800 // 730 hours, as AWS counts

// What an order costs on AWS is counted here from the code and the deployed machine. Prices, durations and sizes are what the page says.
func TestWhatAnOrderCostsOnAWS(t *testing.T) {
	text, err := os.ReadFile(pagePath)
	if err != nil {
		t.Fatal(err)
	}
	p := &page{t: t, text: string(text)}
	prices, fixed, assumed := p.numbers("prices"), p.numbers("fixed"), p.numbers("assumed")
	get := func(from map[string]float64, name string) float64 {
		n, ok := from[name]
		if !ok {
			t.Fatalf("%s does not say %q", pagePath, name)
		}
		return n
	}

	transitions, tasks := happy(t)
	w := newAWSWorld(t)
	w.order(tasks) // the first of a day and of a customer writes a little more
	before := w.meter.bytes()
	clear(w.meter.table)
	clear(w.meter.partition)
	steps := w.order(tasks)
	stored := w.meter.bytes() - before
	events := w.meter.events() / 2

	var b strings.Builder
	b.WriteString("| step | requests that write | items written | write units | read units |\n|---|---|---|---|---|\n")
	var sum cost
	for _, c := range steps {
		fmt.Fprintf(&b, "| %s | %d | %d | %s | %s |\n", c.step, c.requests, c.items, number(c.writes), number(c.reads))
		sum.requests, sum.items, sum.writes, sum.reads = sum.requests+c.requests, sum.items+c.items, sum.writes+c.writes, sum.reads+c.reads
	}
	fmt.Fprintf(&b, "| **an order** | %d | %d | %s | %s |\n", sum.requests, sum.items, number(sum.writes), number(sum.reads))
	p.holds("dynamodb", b.String())

	// Each function: how often an order invokes it.
	calls := map[string]float64{
		"authorizer": 1, "order-handler": 1, "stream": events, "notification-handler": 1,
	}
	for _, task := range tasks {
		calls[map[string]string{
			"${OrderHandlerArn}": "order-handler", "${InventoryHandlerArn}": "inventory-handler", "${PaymentHandlerArn}": "payment-handler",
		}[task.resource]]++
	}
	var invocations, gbSeconds, busy float64
	for function, n := range calls {
		took := get(assumed, function+", ms") / 1000
		invocations += n
		busy += n * took
		gbSeconds += n * took * get(assumed, function+", MB") / 1024
	}
	logged := get(assumed, "lines of the program, bytes an order") + invocations*get(assumed, "Lambda's own lines, bytes an invocation") +
		get(assumed, "API Gateway's line, bytes a request") + float64(transitions)*get(assumed, "Step Functions' lines, bytes a state") +
		get(assumed, "EMF, bytes an order")

	b.Reset()
	b.WriteString("| what | an order | USD a million orders |\n|---|---|---|\n")
	million := 0.0
	for _, row := range []struct {
		price string
		n     float64
	}{
		{"API Gateway, REST request", 1},
		{"WAF, request", 1},
		{"Lambda, invocation", invocations},
		{"Lambda on arm64, GB-second", gbSeconds},
		{"Step Functions, state transition", float64(transitions)},
		{"DynamoDB on demand, write request unit", sum.writes},
		{"DynamoDB on demand, read request unit", sum.reads},
		{"SQS, request", 3}, // send, receive, delete
		{"EventBridge, event put", events},
		{"SNS, publish", 1},
		{"CloudWatch Logs, GB taken in", logged / 1e9},
		{"X-Ray, trace recorded", get(assumed, "traces recorded, an order")},
	} {
		usd := row.n * get(prices, row.price)
		if !strings.Contains(row.price, "GB taken in") { // those are for a million
			million += usd
		} else {
			usd *= 1e6
			million += usd
		}
		shown := number(row.n)
		if strings.Contains(row.price, "GB taken in") {
			shown = number(math.Round(logged)) + " bytes"
		}
		fmt.Fprintf(&b, "| %s | %s | %.2f |\n", row.price, shown, usd)
	}
	fmt.Fprintf(&b, "| **sum** | | **%.2f** |\n", million)
	p.holds("order", b.String())

	standing := 0.0
	for _, usd := range fixed {
		standing += usd
	}
	b.Reset()
	b.WriteString("| orders a minute | orders a month | by orders, USD | by standing there, USD | **a month, USD** | kept anew each month, GB | that costs more each month, USD |\n|---|---|---|---|---|---|---|\n")
	for _, load := range loads {
		orders := load * minutesOfAMonth
		gb := orders * float64(stored) / 1e9
		fmt.Fprintf(&b, "| %s | %s | %s | %s | **%s** | %s | %s |\n", number(load), number(orders), number(math.Round(orders/1e6*million)), number(math.Round(standing)),
			number(math.Round(orders/1e6*million+standing)), number(math.Round(gb)), number(math.Round(gb*get(prices, "DynamoDB, GB-month with point-in-time recovery"))))
	}
	p.holds("months", b.String())

	hot := 0.0
	for partition, units := range w.meter.partition {
		if strings.HasPrefix(partition, inventory.Table+" ") {
			hot = max(hot, units)
		}
	}
	b.Reset()
	b.WriteString("| quota | a second | an order | reached at orders/s |")
	for _, load := range loads {
		fmt.Fprintf(&b, " at %s a minute |", number(load))
	}
	b.WriteString("\n|---|---|---|---|---|---|---|\n")
	for _, row := range []struct {
		quota string
		n     float64
	}{
		{"API Gateway, requests for one API key (ours)", 1},
		{"API Gateway, requests of a stage (ours)", 1},
		{"API Gateway, requests of an account", 1},
		{"Step Functions, StartExecution", 1},
		{"Step Functions, state transitions", float64(transitions)},
		{"Lambda, invocations at once", busy},
		{"DynamoDB, write units of a new table (`orders`)", w.meter.table[order.Table]},
		{"DynamoDB, write units of a table (`orders`)", w.meter.table[order.Table]},
		{"DynamoDB, write units of a partition: one product", hot},
		{"EventBridge, events put", events},
		{"notifications sent (ours)", 1},
	} {
		limit := get(p.numbers("limits"), row.quota)
		fmt.Fprintf(&b, "| %s | %s | %s | %s |", row.quota, number(limit), number(row.n), number(math.Floor(limit/row.n)))
		for _, load := range loads {
			used := load / 60 * row.n
			format := " %s |"
			if used > limit {
				format = " **%s** |"
			}
			fmt.Fprintf(&b, format, number(math.Round(used*10)/10))
		}
		b.WriteString("\n")
	}
	p.holds("quotas", b.String())

	// What the text says of these counts.
	for _, said := range []string{
		fmt.Sprintf("enters %d states", transitions), fmt.Sprintf("%s bytes stay", number(float64(stored))),
	} {
		if !strings.Contains(strings.Join(strings.Fields(p.text), " "), said) {
			t.Errorf("%s does not say: %s", pagePath, said)
		}
	}
	if *update {
		if err := os.WriteFile(pagePath, []byte(p.text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// The functions' memory is what is deployed.
func TestTheCostsAreOfTheFunctionsThatAreDeployed(t *testing.T) {
	text, err := os.ReadFile(pagePath)
	if err != nil {
		t.Fatal(err)
	}
	deployed := ""
	for _, file := range []string{"saga.go", "api.go"} {
		source, err := os.ReadFile("../../infra/" + file)
		if err != nil {
			t.Fatal(err)
		}
		deployed += string(source)
	}
	assumed := (&page{t: t, text: string(text)}).numbers("assumed")
	for function, variable := range map[string]string{
		"order-handler": "orderHandler", "inventory-handler": "inventoryHandler", "payment-handler": "paymentHandler",
		"notification-handler": "notificationHandler", "stream": "streamHandler", "authorizer": "authorizer",
	} {
		found := regexp.MustCompile(`(?s)name: ` + variable + `,.*?memory: (\d+)`).FindStringSubmatch(deployed)
		if found == nil || found[1] != strconv.FormatFloat(assumed[function+", MB"], 'f', 0, 64) {
			t.Errorf("%s has %v MB, and the page says %v", function, found, assumed[function+", MB"])
		}
	}
}

func (m *meter) bytes() (n int) {
	for _, size := range m.stored {
		n += size
	}
	return n
}

// events are those that the orders' logs hold: what the stream hands on.
func (m *meter) events() (n float64) {
	for key := range m.stored {
		if order.IsEvent(key) {
			n++
		}
	}
	return n
}
