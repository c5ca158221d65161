package instance_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/httpapi"
	"github.com/utkarsh698/cloudflow/internal/instance"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/provider"
	"github.com/utkarsh698/cloudflow/internal/store"
)

func TestConnectionsAreLimited(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *instance.Config) { c.Limits = &httpapi.Limits{Connections: 12} }) // 3 of one address
	w.http.CloseIdleConnections()
	var open []net.Conn
	for range 3 {
		c := w.dial()
		defer c.Close()
		open = append(open, c)
	}
	serves := func(c net.Conn) bool {
		if _, err := io.WriteString(c, head("GET", "/health")); err != nil {
			return false
		}
		var first [12]byte
		_, err := io.ReadFull(c, first[:])
		return err == nil && string(first[:]) == "HTTP/1.1 200"
	}
	for n, c := range open {
		if !serves(c) {
			t.Errorf("connection %d is not served", n)
		}
	}
	beyond := w.dial()
	defer beyond.Close()
	if serves(beyond) {
		t.Error("a fourth connection of one address is served")
	}
	open[0].Close()
	eventually(t, "a connection that was closed makes room for another", func() bool {
		c := w.dial()
		defer c.Close()
		return serves(c)
	})
}

// The places of a caller's open orders through the whole saga: taken with the order, given back at its end, whatever that is.
func TestOpenOrdersAreLimitedThroughTheSaga(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.product("A", 100)
	place := func(caller, method string) (string, error) {
		p, err := w.i.App.Orders.Place(context.Background(), order.PlaceRequest{
			CustomerID: caller, Principal: caller, OpenLimit: 3, PaymentMethod: method, Lines: []order.RequestLine{{ProductID: "A", Quantity: 1}},
		})
		return p.OrderID, err
	}
	var ids []string
	for range 3 {
		id, err := place("ada", provider.Slow)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	if _, err := place("ada", visa); !fault.Is(err, fault.TooManyOpenOrders) {
		t.Errorf("a fourth open order: %v", err)
	}
	if _, err := place("bob", declined); err != nil {
		t.Errorf("another caller: %v", err)
	}
	w.call("POST", "/orders/"+ids[0]+"/cancel", nil).is(http.StatusAccepted)
	for _, id := range ids {
		w.outcome(id)
	}
	w.rest() // and verify holds counters and rows together
	it, err := w.i.Dir.Store.Get(context.Background(), store.Key{Table: order.Table, PK: "holder#ada", SK: "open"}, store.Strong)
	if err != nil || it == nil || order.OpenCount(it) != 0 {
		t.Errorf("ada has %v open, %v", it, err)
	}
	if _, err := place("ada", visa); err != nil {
		t.Errorf("after their end: %v", err)
	}
	w.rest()
}
