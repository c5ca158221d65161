package invariant

import (
	"strings"

	"github.com/utkarsh698/cloudflow/internal/bus/storebus"
	"github.com/utkarsh698/cloudflow/internal/idempotency"
	"github.com/utkarsh698/cloudflow/internal/inventory"
	"github.com/utkarsh698/cloudflow/internal/notification"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/payment"
	"github.com/utkarsh698/cloudflow/internal/retention"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// This file reads the tables beside that of the orders.

func (s *Snapshot) addStock(e store.Entry) {
	switch {
	case strings.Contains(e.Key.PK, "#"): // the list of products
	case e.Key.SK == "product":
		s.products[e.Key.PK] = true
	case e.Key.SK == "stock":
		st, err := inventory.DecodeStock(e.Item)
		if err != nil {
			s.unreadable("I1", e, err)
			return
		}
		s.stock[e.Key.PK] = stockFacts{st.Initial, st.Restocked, st.Available, st.Held, st.Sold, st.Archived}
	}
}

func (s *Snapshot) addHold(e store.Entry) {
	if id, listed := inventory.ActiveHold(e.Key); listed {
		s.aging[id] = true
		return
	}
	if e.Key.SK != "hold" {
		return
	}
	h, err := inventory.DecodeHold(e.Item)
	if err != nil {
		s.unreadable("I2", e, err)
		return
	}
	facts := holdFacts{state: h.State, lines: map[string]int64{}, createdAt: h.CreatedAt}
	for _, l := range h.Lines {
		facts.lines[l.ProductID] += l.Quantity
	}
	s.holds[e.Key.PK] = facts
}

func (s *Snapshot) addPayment(e store.Entry) {
	row, err := payment.DecodeRow(e)
	if err != nil {
		s.unreadable("I3", e, err)
		return
	}
	s.payments[e.Key.PK] = row
}

// addAnswer reads the records of orders' keys; those of other routes name no order.
func (s *Snapshot) addAnswer(e store.Entry) {
	if hash, ok := strings.CutPrefix(e.Key.PK, "client#"); ok {
		if ref := idempotency.Decode(e.Item).Result.Ref; strings.HasPrefix(ref, "ord-") {
			s.answers[hash] = ref
		}
	}
}

func (s *Snapshot) addExecution(e store.Entry) {
	if strings.HasPrefix(e.Key.PK, "open#") {
		s.indexed[e.Key.SK] = true
		return
	}
	if e.Key.SK != "head" {
		return
	}
	s.executions[e.Key.PK] = true
	if e.Item.Str("status") == "RUNNING" {
		s.running[e.Key.PK] = true
		s.open[order.OfExecution(e.Key.PK)] = true
	}
}

func (s *Snapshot) addMessage(e store.Entry) {
	m, ok := storebus.Decode(e)
	switch {
	case !ok:
	case m.Place == storebus.Dead:
		s.dead[m.ID] = true
	default:
		s.queued[m.ID] = true
	}
}

func (s *Snapshot) addRetention(e store.Entry) {
	if id, ok := retention.Deleting(e); ok {
		s.deleting[id] = true
	}
	if before, ok := retention.DeletedBefore(e); ok {
		s.deletedBefore = before
	}
}

func (s *Snapshot) addRecord(e store.Entry) {
	r := notification.DecodeRecord(e)
	if r.Delivered() {
		s.notified[messageID(r.OrderID, r.Version)] = true
	}
}

// message is the order's notification.
func (o *orderFacts) message() string { return messageID(o.id, o.state.TerminalVersion) }

func messageID(orderID string, version int64) string {
	return notification.Message{OrderID: orderID, Version: version}.MessageID()
}
