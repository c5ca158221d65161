package instance_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/instance"
	"github.com/utkarsh698/cloudflow/internal/notification"
	"github.com/utkarsh698/cloudflow/internal/observe"
)

// A logbook is what an instance has logged.
type logbook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// lines requires that each line is one JSON object.
func (l *logbook) lines(t *testing.T) []map[string]any {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []map[string]any
	for text := range strings.Lines(l.text.String()) {
		var m map[string]any
		if err := json.Unmarshal([]byte(text), &m); err != nil {
			t.Fatalf("%v in the line %s", err, text)
		}
		out = append(out, m)
	}
	return out
}

// has reports whether a line has that message.
func (l *logbook) has(message string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.text.String(), `"message":"`+message+`"`)
}

func TestTheLogTellsAnOrdersStory(t *testing.T) {
	t.Parallel()
	book := &logbook{}
	w := newWorld(t, func(c *instance.Config) { c.Log = observe.NewLogger(book, slog.LevelDebug, nil) })
	w.product("A", 5)
	r := request(visa, "A")
	r.Contact = &contact
	a := w.call("POST", "/orders", r, "Prefer", "wait=20", "X-Correlation-Id", "corr-of-the-caller").is(200)
	o := a.order()
	if h := a.header.Get("X-Correlation-Id"); h != "corr-of-the-caller" {
		t.Errorf("X-Correlation-Id is %q", h)
	}
	w.rest()
	// The line follows the commit that w.rest has seen.
	eventually(t, "the notification is reported", func() bool { return book.has("Notification sent") })

	ulid := strings.TrimPrefix(o.OrderID, "ord-")
	story := []struct{ service, message, member, value string }{
		{"order_service.handler", "Order created", "order_id", o.OrderID},
		{"order_service.handler", "SAGA execution started", "order_id", o.OrderID},
		{"inventory_service.handler", "Inventory reserved", "reservation_id", "res-" + ulid},
		{"payment_service.handler", "Payment charged", "payment_id", "pay-" + ulid},
		{"order_service.handler", "Order confirmed", "order_id", o.OrderID},
		{"notification_service", "Notification queued", "order_id", o.OrderID},
		{"notification_service", "Notification sent", "order_id", o.OrderID},
	}
	lines := book.lines(t)
	for _, s := range story {
		var found []map[string]any
		for _, l := range lines {
			if l["message"] == s.message {
				found = append(found, l)
			}
		}
		if len(found) != 1 {
			t.Errorf("%q was logged %d times", s.message, len(found))
			continue
		}
		l := found[0]
		if l["service"] != s.service || l["order_id"] != o.OrderID || l[s.member] != s.value || l["level"] != "INFO" ||
			l["correlation_id"] != "corr-of-the-caller" || l["timestamp"] == nil {
			t.Errorf("%q is the line %v", s.message, l)
		}
	}
	for _, l := range lines {
		if l["service"] == nil || l["service"] == "" {
			t.Errorf("a line without a service: %v", l)
		}
	}
	for _, e := range w.mail.emails {
		if e.CorrelationID != "corr-of-the-caller" {
			t.Errorf("the notification's correlation id is %q", e.CorrelationID)
		}
	}
}

func TestAnOrderWithoutACorrelationIDGetsOne(t *testing.T) {
	t.Parallel()
	book := &logbook{}
	w := newWorld(t, func(c *instance.Config) { c.Log = observe.NewLogger(book, nil, nil) })
	w.product("A", 5)
	o := w.place(request(declined, "A"))
	w.rest()
	ids, messages := map[any]int{}, map[any]int{}
	for _, l := range book.lines(t) {
		if l["order_id"] == o.OrderID {
			ids[l["correlation_id"]]++
			messages[l["message"]]++
		}
	}
	if len(ids) != 1 {
		t.Errorf("the order's lines have the correlation ids %v", ids)
	}
	for id := range ids {
		if text := fmt.Sprint(id); !strings.HasPrefix(text, "corr-") || len(text) != len("corr-")+26 {
			t.Errorf("the correlation id is %v", id)
		}
	}
	for _, m := range []string{"Order created", "Inventory reserved", "Payment declined", "Inventory released", "Order compensated", "Notification queued"} {
		if messages[m] != 1 {
			t.Errorf("%q was logged %d times for a declined order", m, messages[m])
		}
	}
}

// A customer's contact stands in no line, whatever happens: accepted, refused, declined, cancelled, and a relay that quotes it.
func TestNoContactInAnyLogLine(t *testing.T) {
	t.Parallel()
	const canary = "canary-7f3a"
	book := &logbook{}
	w := newWorld(t, func(c *instance.Config) { c.Log = observe.NewLogger(book, slog.LevelDebug, nil) })
	w.product("A", 100)
	with := func(r apigen.OrderRequest, email, phone string) apigen.OrderRequest {
		r.Contact = &apigen.Contact{Email: &email, Phone: &phone}
		return r
	}
	email, phone := canary+"@example.test", "+49151555001"
	w.place(with(request(visa, "A"), email, phone))
	w.place(with(request(declined, "A"), email, phone))
	id := w.accepted(with(request(visa, "A"), email, phone), "Idempotency-Key", "k")
	w.call("POST", "/orders/"+id+"/cancel", nil)
	w.outcome(id)
	for _, bad := range []apigen.OrderRequest{
		with(request(visa, "A"), canary, phone),
		with(request(visa, "A"), email, canary),
		with(request(visa, "NO-SUCH"), email, phone),
		with(request(visa, "A", "A"), email, phone),
	} {
		a := w.call("POST", "/orders", bad, "Idempotency-Key", "k")
		if a.status < 400 || bytes.Contains(a.body, []byte(canary)) {
			t.Errorf("answered %d %s", a.status, a.body)
		}
	}
	w.rest()
	w.mail.refusing(func(e notification.Email) error {
		return fault.New(fault.Transient, "450 4.2.1 <%s>: try later", e.To)
	})
	w.place(with(request(visa, "A"), email, phone))
	eventually(t, "the relay refuses", func() bool {
		for _, l := range book.lines(t) {
			if l["message"] == "Notification failed" {
				return true
			}
		}
		return false
	})
	w.end()
	noFileHolds(t, w.dir, canary)
	noFileHolds(t, w.dir, phone)
	book.mu.Lock()
	defer book.mu.Unlock()
	for text := range strings.Lines(book.text.String()) {
		if strings.Contains(text, canary) || strings.Contains(text, phone) {
			t.Errorf("a contact in the line %s", text)
		}
	}
}

// noFileHolds looks for a text in the bytes of each file: what was just written stands in Pebble's log as it is.
func noFileHolds(t *testing.T, dir, text string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if bytes.Contains(content, []byte(text)) {
			t.Errorf("%s holds a contact in the clear", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
