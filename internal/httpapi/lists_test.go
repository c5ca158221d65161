package httpapi_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/utkarsh698/cloudflow/internal/jcs"
	"github.com/utkarsh698/cloudflow/internal/order"
)

func orderOf(customer string) string {
	return `{"customer_id":"` + customer + `","items":[{"product_id":"KEYBD-01","quantity":1}]}`
}

// A listing is a page of either list.
type listing struct {
	Orders     []order.Summary
	Products   []struct{ ProductID string }
	NextCursor string `json:"next_cursor"`
}

func (s *shop) list(path string, headers ...string) (l listing) {
	s.t.Helper()
	a := s.send("GET", path, "", headers...)
	if err := json.Unmarshal([]byte(a.body), &l); err != nil || a.status != 200 {
		s.t.Fatalf("GET %s: %d %s, %v", path, a.status, a.body, err)
	}
	return l
}

// all goes through the pages and returns the ids.
func (s *shop) all(query string, headers ...string) (ids []string) {
	s.t.Helper()
	cursor := ""
	for range 1000 {
		l := s.list("/orders?limit=7"+query+cursor, headers...)
		for _, o := range l.Orders {
			ids = append(ids, o.OrderID)
		}
		if l.NextCursor == "" {
			return ids
		}
		cursor = "&cursor=" + l.NextCursor
	}
	s.t.Fatal("the list does not end")
	return nil
}

func newestFirst(ids []string) []string {
	out := slices.Clone(ids)
	slices.Reverse(out)
	return out
}

func TestOrdersAreListed(t *testing.T) {
	s := newShop(t)
	s.send("PUT", "/products/KEYBD-01", `{"name":"Keyboard","unit_price_cents":8999,"stock":500}`)
	var all []string
	of := map[string][]string{}
	for n := range 40 {
		customer := []string{"ada", "bob"}[n%2]
		id := s.place(orderOf(customer))
		if n%4 == 0 {
			s.does(s.orders.Fail(t.Context(), order.Task{OrderID: id, Caught: "InsufficientStock"}))
		}
		all, of[customer] = append(all, id), append(of[customer], id)
	}
	ada, bob := []string{"Authorization", "ada"}, []string{"Authorization", "bob"}
	for _, c := range []struct {
		rule    string
		query   string
		headers []string
		want    []string
	}{
		{"an operator lists all, the newest first", "", nil, newestFirst(all)},
		{"or one customer's", "&customer_id=bob", nil, newestFirst(of["bob"])},
		{"a customer lists its own", "", ada, newestFirst(of["ada"])},
		{"also by name", "&customer_id=bob", bob, newestFirst(of["bob"])},
		{"of another customer it sees what it sees of one that there is not", "&customer_id=bob", ada, nil},
		{"which is nothing", "&customer_id=nobody", ada, nil},
		{"nor does an operator see anything there", "&customer_id=nobody", nil, nil},
		{"by status", "&status=PENDING&customer_id=bob", nil, newestFirst(of["bob"])},
		{"by a status that no order is in", "&status=FAILED", bob, nil},
	} {
		t.Run(c.rule, func(t *testing.T) {
			if got := s.all(c.query, c.headers...); !slices.Equal(got, c.want) {
				t.Errorf("%d orders %v, want %d %v", len(got), got, len(c.want), c.want)
			}
		})
	}
	t.Run("a page says as little of another's list as of none", func(t *testing.T) {
		if a, b := s.send("GET", "/orders?customer_id=bob", "", ada...), s.send("GET", "/orders?customer_id=nobody", "", ada...); a.body != b.body {
			t.Errorf("%s and %s", a.body, b.body)
		}
	})
	t.Run("a row says why its order failed", func(t *testing.T) {
		l := s.list("/orders?status=FAILED&limit=1")
		if len(l.Orders) != 1 || l.Orders[0].FailureReason != "INSUFFICIENT_STOCK" || l.Orders[0].Version != 3 || l.NextCursor == "" {
			t.Errorf("%+v", l)
		}
	})
	t.Run("without a limit a page has 50", func(t *testing.T) {
		for range 15 {
			all = append(all, s.place(orderOf("ada")))
		}
		if l := s.list("/orders"); len(l.Orders) != 50 || l.NextCursor == "" {
			t.Errorf("%d", len(l.Orders))
		}
	})
	t.Run("a cursor is good for its caller and its query, whatever the limit", func(t *testing.T) {
		cursor := s.list("/orders?limit=3", ada...).NextCursor
		if l := s.list("/orders?limit=4&cursor="+cursor, ada...); len(l.Orders) != 4 {
			t.Errorf("%+v", l)
		}
		if l := s.list("/orders?customer_id=ada&cursor="+cursor, ada...); len(l.Orders) == 0 {
			t.Errorf("%+v", l)
		}
		feed := strings.Fields(s.send("GET", "/events", "", "Authorization", "ada").body) // its last word is an id
		for _, c := range []struct {
			rule, path string
			headers    []string
		}{
			{"another customer's", "/orders?cursor=" + cursor, bob},
			{"an operator's", "/orders?cursor=" + cursor, nil},
			{"an operator's, of that customer", "/orders?customer_id=ada&cursor=" + cursor, nil},
			{"of another status", "/orders?status=FAILED&cursor=" + cursor, ada},
			{"of another customer's list", "/orders?customer_id=bob&cursor=" + cursor, ada},
			{"of the products", "/products?cursor=" + cursor, ada},
			{"of a log", "/orders/" + all[0] + "/events?cursor=" + cursor, ada},
			{"torn", "/orders?cursor=" + cursor[:len(cursor)-1], ada},
			{"edited", "/orders?cursor=" + url.QueryEscape(cursor[:5]+"!"+cursor[6:]), ada},
			{"the feed's", "/orders?cursor=" + feed[len(feed)-1], ada},
			{"a text", "/orders?cursor=next", ada},
			{"empty", "/orders?cursor=", ada},
			{"a NUL", "/orders?cursor=%00", ada},
		} {
			a := s.send("GET", c.path, "", c.headers...)
			if p := a.problem(t); a.status != 400 || p["error"] != "BAD_REQUEST" || p["field"] != "cursor" {
				t.Errorf("%s: %d %s", c.rule, a.status, a.body)
			}
		}
	})
}

func TestListsNameTheParameterThatIsWrong(t *testing.T) {
	s := newShop(t)
	s.send("PUT", "/products/KEYBD-01", keyboard)
	id := s.place(oneLine)
	for _, list := range []string{"/orders", "/products", "/orders/" + id + "/events"} {
		for _, c := range []struct{ query, field string }{
			{"limit=abc", "limit"},
			{"limit=0", "limit"},
			{"limit=-1", "limit"},
			{"limit=101", "limit"},
			{"limit=1.5", "limit"},
			{"limit=99999999999999999999", "limit"},
			{"limit=", "limit"},
			{"limit=1&limit=2", "limit"},
			{"cursor=x&cursor=y", "cursor"},
			{"cursor=x", "cursor"},
			{"page=2", "page"},
		} {
			a := s.send("GET", list+"?"+c.query, "")
			if p := a.problem(t); a.status != 400 || p["error"] != "BAD_REQUEST" || p["field"] != c.field {
				t.Errorf("%s?%s: %d %s", list, c.query, a.status, a.body)
			}
		}
	}
	for _, c := range []struct{ query, field string }{
		{"status=DONE", "status"},
		{"status=confirmed", "status"},
		{"status=", "status"},
		{"customer_id=bob&status=DONE", "status"},
		{"customer_id=bob&limit=0", "limit"},
		{"customer_id=bob&cursor=x", "cursor"},
		{"status=FAILED&status=PENDING", "status"},
		{"customer_id=", "customer_id"},
		{"customer_id=a%20b", "customer_id"},
		{"customer_id=a%00", "customer_id"},
		{"customer_id=" + strings.Repeat("a", 65), "customer_id"},
		{"customer_id=%23", "customer_id"},
	} {
		for _, caller := range []string{"", "ada"} {
			a := s.send("GET", "/orders?"+c.query, "", "Authorization", caller)
			if p := a.problem(t); a.status != 400 || p["error"] != "BAD_REQUEST" || p["field"] != c.field {
				t.Errorf("%s: %d %s", c.query, a.status, a.body)
			}
		}
	}
}

func TestProductsAreListedInPages(t *testing.T) {
	s := newShop(t)
	for n := range 11 {
		s.send("PUT", fmt.Sprintf("/products/P-%02d", n), keyboard)
	}
	var ids []string
	path := "/products?limit=4"
	for range 3 {
		a := s.send("GET", path, "")
		for _, p := range a.problem(t)["products"].([]any) {
			ids = append(ids, p.(map[string]any)["product_id"].(string))
		}
		next, _ := a.problem(t)["next_cursor"].(string)
		path = "/products?limit=4&cursor=" + next
	}
	if len(ids) != 11 || !slices.IsSorted(ids) || !strings.HasSuffix(path, "=") {
		t.Errorf("%v, and then %s", ids, path)
	}
}

// A reader of the log needs nothing of ours to check it: SHA-256, and the canonical form of RFC 8785.
func TestALogIsShownSoThatItsReaderCanCheckIt(t *testing.T) {
	s := newShop(t)
	s.send("PUT", "/products/KEYBD-01", keyboard)
	id := s.place(`{"customer_id":"ada","items":[{"product_id":"KEYBD-01","quantity":1}]}`, "Idempotency-Key", "<k>", "Authorization", "ada")
	s.does(s.orders.Record(t.Context(), order.RecordTask{Task: order.Task{OrderID: id}, Event: order.PaymentFailed, Error: "PaymentDeclined"}))
	s.does(s.orders.Compensate(t.Context(), order.Task{OrderID: id}))
	var types []string
	previous, path := "", "/orders/"+id+"/events?limit=3"
	for range 2 {
		a := s.send("GET", path, "", "Authorization", "ada")
		if a.status != 200 {
			t.Fatalf("%d %s", a.status, a.body)
		}
		v, ok := jcs.Decode(a.body)
		if !ok {
			t.Fatalf("no JSON: %s", a.body)
		}
		page := v.(map[string]any)
		for _, e := range page["events"].([]any) {
			event := e.(map[string]any)
			hash, _ := event["hash"].(string)
			if link, _ := event["previous_hash"].(string); link != previous {
				t.Errorf("%v is chained to %q, want %q", event["version"], link, previous)
			}
			delete(event, "hash")
			delete(event, "previous_hash")
			text, err := hex.DecodeString(previous)
			if err != nil {
				t.Fatal(err)
			}
			sum := sha256.Sum256(jcs.Append(text, event))
			if previous = hex.EncodeToString(sum[:]); previous != hash {
				t.Errorf("%v has the hash %s, computed %s", event["version"], hash, previous)
			}
			types = append(types, event["type"].(string))
		}
		next, _ := page["next_cursor"].(string)
		path = "/orders/" + id + "/events?cursor=" + next
	}
	if got := strings.Join(types, " "); got != "ORDER_CREATED PAYMENT_FAILED STOCK_RELEASED ORDER_COMPENSATED" || !strings.HasSuffix(path, "=") {
		t.Errorf("%s, and then %s", got, path)
	}
	t.Run("another's log is that of an order that there is not", func(t *testing.T) {
		for _, path := range []string{"/orders/" + id + "/events", "/orders/" + orderID + "/events", "/orders/a%20b/events"} {
			a := s.send("GET", path, "", "Authorization", "bob")
			if a.status != 404 || a.problem(t)["error"] != "NOT_FOUND" {
				t.Errorf("%s: %d %s", path, a.status, a.body)
			}
		}
		foreign, unknown := s.send("GET", "/orders/"+id+"/events", "", "Authorization", "bob"), s.send("GET", "/orders/"+orderID+"/events", "", "Authorization", "bob")
		if f, u := strings.ReplaceAll(foreign.body, id, ""), strings.ReplaceAll(unknown.body, orderID, ""); withoutCorrelation(f) != withoutCorrelation(u) {
			t.Errorf("%s and %s", f, u)
		}
	})
}

func withoutCorrelation(problem string) string {
	before, after, _ := strings.Cut(problem, `"correlation_id":"`)
	_, after, _ = strings.Cut(after, `"`)
	return before + after
}
