package instance

import (
	"context"

	"github.com/utkarsh698/cloudflow/internal/httpapi"
	"github.com/utkarsh698/cloudflow/internal/observe/trace"
	"github.com/utkarsh698/cloudflow/internal/order"
)

// tracedOrders makes a span of what customers ask the order service for: on AWS it is a function of its own, behind the gateway.
func tracedOrders(orders httpapi.Orders, tracer *trace.Tracer) httpapi.Orders {
	if tracer == nil {
		return orders
	}
	return orderHandler{orders, tracer}
}

type orderHandler struct {
	httpapi.Orders
	tracer *trace.Tracer
}

func (h orderHandler) begin(ctx context.Context, what string) (context.Context, *trace.Span) {
	return h.tracer.Start(ctx, trace.Internal, "order-handler", trace.String("cloudflow.call", what))
}

// Place goes on below the span, in the order's saga too.
func (h orderHandler) Place(ctx context.Context, r order.PlaceRequest) (placed order.Placed, err error) {
	ctx, span := h.begin(ctx, "place")
	defer func() {
		span.Set(trace.String(trace.AttrOrder, placed.OrderID))
		span.End(err)
	}()
	r.Trace = trace.PlaceOf(ctx).String()
	return h.Orders.Place(ctx, r)
}

func (h orderHandler) Cancel(ctx context.Context, orderID string, r order.CancelRequest) (view order.View, err error) {
	ctx, span := h.begin(ctx, "cancel")
	defer func() { span.End(err) }()
	return h.Orders.Cancel(ctx, orderID, r)
}

func (h orderHandler) Get(ctx context.Context, orderID string, q order.ViewQuery) (view order.View, err error) {
	ctx, span := h.begin(ctx, "get")
	defer func() { span.End(err) }()
	return h.Orders.Get(ctx, orderID, q)
}
