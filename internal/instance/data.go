package instance

import (
	"context"
	"io"

	"github.com/utkarsh698/cloudflow/internal/export"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/retention"
)

// data is everything that the instance keeps, as the HTTP API asks for it.
type data struct{ i *Instance }

func (d data) Erase(ctx context.Context, customerID, actor string) (order.Erasure, error) {
	return d.i.App.Orders.Erase(ctx, customerID, actor)
}

func (d data) Backup(ctx context.Context, w io.Writer) error { return d.i.Dir.Backup(ctx, w) }

func (d data) ExportOrders(ctx context.Context, w io.Writer, o export.Options) error {
	return export.Orders(ctx, d.i.Dir.Store, w, o)
}

func (d data) ExportEvents(ctx context.Context, w io.Writer, o export.Options) error {
	return export.Events(ctx, d.i.Dir.Store, w, o)
}

func (d data) LookAtRetention(ctx context.Context) (retention.Report, error) {
	return d.i.Retention.Look(ctx)
}

func (d data) Retain(ctx context.Context) (retention.Report, error) { return d.i.Retention.Run(ctx) }
