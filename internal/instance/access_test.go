package instance_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/utkarsh698/cloudflow/internal/auth"
	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/instance"
)

// orderOf is an order of one piece of A in that customer's name.
func orderOf(customer string) apigen.OrderRequest {
	r := request(visa, "A")
	r.CustomerID = customer
	return r
}

// Two customers, an operator and a program that only reads, each with a key: everybody has what is theirs, and nobody learns from an answer
// whether there is something that is not.
func TestEverybodyHasTheirOwn(t *testing.T) {
	t.Parallel()
	ops := keyed(t)
	ops.product("A", 100)
	ada, bob := ops.as("ada"), ops.as("bob")
	hers := ada.place(orderOf("ada"))
	his := bob.place(orderOf("bob"))

	t.Run("a customer is shown its own orders, an operator everybody's", func(t *testing.T) {
		for _, c := range []struct {
			who    *world
			query  string
			orders []string
		}{
			{ada, "", []string{hers.OrderID}}, {bob, "", []string{his.OrderID}}, {ada, "?customer_id=ada", []string{hers.OrderID}},
			{ops, "", []string{his.OrderID, hers.OrderID}}, {ops, "?customer_id=bob", []string{his.OrderID}},
		} {
			list := into[apigen.OrderList](c.who.call("GET", "/orders"+c.query, nil).is(http.StatusOK))
			if len(list.Orders) != len(c.orders) {
				t.Fatalf("%s: %d orders", c.query, len(list.Orders))
			}
			for i, id := range c.orders {
				if list.Orders[i].OrderID != id {
					t.Errorf("%s: order %d is %s, want %s", c.query, i, list.Orders[i].OrderID, id)
				}
			}
		}
		for _, who := range []*world{ada, ops} {
			who.call("GET", "/orders/"+hers.OrderID, nil).is(http.StatusOK)
			who.call("GET", "/orders/"+hers.OrderID+"/events", nil).is(http.StatusOK)
		}
	})
	t.Run("another's order is answered as one that there is not, on every route that names one", func(t *testing.T) {
		const none = "ord-00000000000000000000000000"
		for _, c := range []struct{ method, path string }{
			{"GET", "/orders/ID"}, {"GET", "/orders/ID?version=1"}, {"GET", "/orders/ID?min_version=4"}, {"GET", "/orders/ID?as_of=2026-01-01T00:00:00Z"},
			{"GET", "/orders/ID/events"}, {"POST", "/orders/ID/cancel"},
		} {
			var answers [2]answer
			for i, id := range []string{hers.OrderID, none} {
				answers[i] = bob.call(c.method, strings.Replace(c.path, "ID", id, 1), nil).is(http.StatusNotFound)
				answers[i].problem("NOT_FOUND")
				answers[i].body = bytes.ReplaceAll(answers[i].body, []byte(id), []byte("ID"))
				answers[i].body = bytes.ReplaceAll(answers[i].body, []byte(answers[i].header.Get("X-Correlation-Id")), nil)
				for _, varies := range []string{"X-Correlation-Id", "Traceparent", "Date"} {
					answers[i].header.Del(varies)
				}
			}
			if !bytes.Equal(answers[0].body, answers[1].body) || len(answers[0].header) != len(answers[1].header) {
				t.Errorf("%s %s: another's %s %v\n none %s %v", c.method, c.path, answers[0].body, answers[0].header, answers[1].body, answers[1].header)
			}
		}
		ended(t, ada.call("GET", "/orders/"+hers.OrderID, nil).order(), "CONFIRMED", confirmedLog)
	})
	t.Run("the same key of two callers is two keys", func(t *testing.T) {
		if one, two := ada.accepted(orderOf("ada"), "Idempotency-Key", "k"), bob.accepted(orderOf("bob"), "Idempotency-Key", "k"); one == two {
			t.Errorf("both are answered %s", one)
		}
		again := ada.call("POST", "/orders", orderOf("ada"), "Idempotency-Key", "k")
		if again.header.Get("Idempotent-Replayed") != "true" {
			t.Errorf("ada's repeat is answered %d %v", again.status, again.header)
		}
	})
	t.Run("a page's end is no beginning for another caller", func(t *testing.T) {
		page := into[apigen.OrderList](ada.call("GET", "/orders?limit=1", nil).is(http.StatusOK))
		if page.NextCursor == nil {
			t.Fatal("there is no second page")
		}
		p := bob.call("GET", "/orders?limit=1&cursor="+*page.NextCursor, nil).is(http.StatusBadRequest).problem("BAD_REQUEST")
		if p.Field == nil || *p.Field != "cursor" {
			t.Errorf("%+v", p)
		}
	})
	t.Run("the live feed tells a customer of its own orders alone", func(t *testing.T) {
		f := &follower{t: t, told: map[string][]feedEvent{}}
		f.follow(bob)
		defer f.leave()
		ada.place(orderOf("ada"))
		id := bob.place(orderOf("bob")).OrderID
		eventually(t, "bob is told of his order", func() bool {
			f.mu.Lock()
			defer f.mu.Unlock()
			return len(f.told[id]) == 4
		})
		f.mu.Lock()
		defer f.mu.Unlock()
		for id := range f.told {
			bob.call("GET", "/orders/"+id, nil).is(http.StatusOK)
		}
	})
	ops.rest()
}

// What a key may do ends where its scopes do, and a key that was revoked ends at once.
func TestAKeyIsGoodForItsScopesAndUntilItIsRevoked(t *testing.T) {
	t.Parallel()
	ops := keyed(t)
	ops.product("A", 10)
	stock := apigen.ProductPut{Name: "B", UnitPriceCents: 1}
	reader, writer, shop := ops.as("ada", auth.ScopeOrdersRead), ops.as("ada", auth.ScopeOrdersWrite), ops.as("shelf", auth.ScopeProductsWrite)

	id := writer.accepted(orderOf("ada"))
	writer.call("GET", "/orders/"+id, nil).is(http.StatusForbidden).problem("FORBIDDEN")
	reader.call("GET", "/orders/"+id, nil).is(http.StatusOK)
	reader.call("POST", "/orders", orderOf("ada")).is(http.StatusForbidden).problem("FORBIDDEN")
	shop.call("PUT", "/products/B", stock).is(http.StatusCreated)
	shop.call("POST", "/orders", orderOf("shelf")).is(http.StatusForbidden)
	writer.call("PUT", "/products/B", stock).is(http.StatusForbidden)
	for _, path := range []string{"/admin/keys", "/admin/sagas", "/admin/tasks", "/admin/dlq", "/admin/verify", "/admin/export/orders", "/admin/retention", "/metrics"} {
		shop.call("GET", path, nil).is(http.StatusForbidden)
		ops.call("GET", path, nil).is(http.StatusOK)
	}

	keys := into[apigen.KeyList](ops.call("GET", "/admin/keys", nil).is(http.StatusOK))
	for _, k := range keys.Keys {
		if k.Subject == "shelf" {
			ops.call("DELETE", "/admin/keys/"+k.KeyID, nil).is(http.StatusOK)
		}
	}
	shop.call("PUT", "/products/B", stock).is(http.StatusUnauthorized).problem("UNAUTHORIZED")
	reader.call("GET", "/orders/"+id, nil).is(http.StatusOK)
	ops.rest()
}

// Keys are in the directory: they count after a restart, and a revoked one does not.
func TestKeysSurviveARestart(t *testing.T) {
	t.Parallel()
	withKeys := func(c *instance.Config) { c.Access.Keys = true }
	dir := t.TempDir()
	w := openWorld(t, dir, withKeys)
	w.who = w.key("ops", auth.ScopeAdmin)
	gone := into[apigen.KeyCreated](w.call("POST", "/admin/keys", apigen.KeyRequest{Subject: "x", Scopes: []apigen.Scope{"admin"}}).is(http.StatusCreated))
	w.call("DELETE", "/admin/keys/"+gone.KeyID, nil).is(http.StatusOK)
	w.end()
	after := openWorld(t, dir, withKeys)
	after.who = w.who
	after.call("GET", "/admin/keys", nil).is(http.StatusOK)
	after.call("GET", "/admin/keys", nil, "Authorization", "Bearer "+gone.Key).is(http.StatusUnauthorized)
}
