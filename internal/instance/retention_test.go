package instance_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/instance"
)

// An instance whose clock is years ahead of its orders deletes them, and the books agree.
func TestAfterYearsOrdersAreDeleted(t *testing.T) {
	t.Parallel()
	path := t.TempDir()
	later := func(d time.Duration) *world {
		return openWorld(t, path, func(c *instance.Config) { c.Now = func() time.Time { return time.Now().Add(d) } })
	}
	w := later(0)
	w.product("A", 1000)
	var ids []string
	for range 40 {
		ids = append(ids, w.place(request(visa, "A")).OrderID, w.place(request(declined, "A")).OrderID)
	}
	w.rest()
	w.end()

	w = later(100 * 24 * time.Hour)
	if r := into[apigen.Retention](w.call("POST", "/admin/retention", nil).is(http.StatusOK)); r.Executions != 80 || r.Orders != 0 {
		t.Errorf("after 100 days: %+v", r)
	}
	w.call("GET", "/admin/sagas/"+ids[0], nil).is(http.StatusNotFound)
	w.rest()
	w.end()

	w = later(8 * 365 * 24 * time.Hour)
	w.place(request(visa, "A"))
	looked := into[apigen.Retention](w.call("GET", "/admin/retention", nil).is(http.StatusOK))
	if r := into[apigen.Retention](w.call("POST", "/admin/retention", nil).is(http.StatusOK)); r.Orders != 80 || r.Orders != looked.Orders {
		t.Errorf("after eight years: %+v, and before %+v", r, looked)
	}
	w.call("GET", "/orders/"+ids[0], nil).is(http.StatusNotFound)
	w.stock("A", 1000-41, 0, 41)
	if r := w.rest(); r.Orders != 1 {
		t.Errorf("%d orders are left", r.Orders)
	}
}
