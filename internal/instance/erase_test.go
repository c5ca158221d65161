package instance_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/utkarsh698/cloudflow/internal/datadir"
	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/instance"
	"github.com/utkarsh698/cloudflow/internal/notification"
	"github.com/utkarsh698/cloudflow/internal/observe"
	"github.com/utkarsh698/cloudflow/internal/sender"
)

// An smtpRelay is an SMTP server that takes mail, or turns it away quoting the address, as servers do.
type smtpRelay struct {
	mu    sync.Mutex
	away  bool
	taken []string // addresses
	smtp  *sender.SMTP
}

func startRelay(t *testing.T) *smtpRelay {
	t.Helper()
	r := &smtpRelay{}
	server := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return session{r}, nil }))
	server.Domain = "relay.example.test"
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(l)
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-served
	})
	r.smtp, err = sender.NewSMTP(sender.SMTPConfig{
		Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port, TLS: sender.Plain, From: "orders@example.test",
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *smtpRelay) goesAway(away bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.away = away
}

// took is how many mails to an address were taken.
func (r *smtpRelay) took(address string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, to := range r.taken {
		if to == address {
			n++
		}
	}
	return n
}

type session struct{ r *smtpRelay }

func (session) Mail(string, *smtp.MailOptions) error { return nil }

func (s session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.r.mu.Lock()
	defer s.r.mu.Unlock()
	if s.r.away {
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 2, 1}, Message: "<" + to + ">: try later"}
	}
	s.r.taken = append(s.r.taken, to)
	return nil
}

func (session) Data(r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return err
}

func (session) Reset()        {}
func (session) Logout() error { return nil }

// A forgetting is an instance whose customers are to be forgotten: its directory, its relay, its log and the hour it has.
type forgetting struct {
	*world
	t     *testing.T
	path  string
	relay *smtpRelay
	book  *logbook
	ahead time.Duration // of the real clock
}

// restarts stops the instance and starts it so much later: what is due by then is done.
func (f *forgetting) restarts(later time.Duration) {
	f.t.Helper()
	if f.world != nil {
		f.end()
	}
	f.ahead += later
	ahead := f.ahead
	f.world = openWorld(f.t, f.path, func(c *instance.Config) {
		c.Sender, c.Log = f.relay.smtp, observe.NewLogger(f.book, slog.LevelDebug, nil)
		c.Now = func() time.Time { return time.Now().Add(ahead) }
	})
}

func (f *forgetting) logs() []byte {
	f.book.mu.Lock()
	defer f.book.mu.Unlock()
	return bytes.Clone(f.book.text.Bytes())
}

// letters are the dead letters.
func (f *forgetting) letters() int {
	f.t.Helper()
	letters, _, err := f.i.App.DeadLetters().List(f.t.Context(), "", 100)
	if err != nil {
		f.t.Fatal(err)
	}
	return len(letters)
}

// waiting is how many notifications are queued, after a failed try or before one.
func (f *forgetting) waiting() int {
	f.t.Helper()
	stats, err := f.i.App.Queue.Stats(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	return stats.Ready + stats.InFlight
}

const (
	emailOf = "canary.%s.7f3a@example.test"
	phoneOf = "+4915155500%s"
)

// order is an order of a customer who can be reached.
func (f *forgetting) order(method, customerID, n string) apigen.OrderRequest {
	r := request(method, "A")
	r.CustomerID = customerID
	r.Contact = &apigen.Contact{Email: ptr(fmt.Sprintf(emailOf, n)), Phone: ptr(fmt.Sprintf(phoneOf, n))}
	return r
}

// live places orders with every outcome, whose messages are delivered, tried again, dead and still waiting.
func (f *forgetting) live(customerID string) (ids []string) {
	f.t.Helper()
	f.restarts(0)
	f.product("A", 100)
	f.product("LAST", 1)
	both := func(method, n string) { ids = append(ids, f.place(f.order(method, customerID, n)).OrderID) }
	both(visa, "01")
	both(declined, "02")
	both("pm_sim_timeout_charged", "03")
	cancelled := f.accepted(f.order("pm_sim_slow", customerID, "04"), "Idempotency-Key", "k")
	f.call("POST", "/orders/"+cancelled+"/cancel", nil).is(http.StatusAccepted)
	f.outcome(cancelled)
	f.rest() // these are delivered
	f.relay.goesAway(true)
	both(visa, "05")
	eventually(f.t, "the relay turns a message away", func() bool { return f.book.has("Notification failed") })
	for range 3 { // it is tried three times, and then it is a dead letter
		tried := bytes.Count(f.logs(), []byte(`"Notification failed"`)) // before the start, which may try at once
		f.restarts(time.Hour)
		eventually(f.t, "it is tried again, or given up", func() bool {
			return f.letters() == 1 || bytes.Count(f.logs(), []byte(`"Notification failed"`)) > tried
		})
	}
	eventually(f.t, "it is given up", func() bool { return f.letters() == 1 })
	both(visa, "06")
	eventually(f.t, "a message waits", func() bool { return f.waiting() == 1 })
	return append(ids, cancelled)
}

// backup copies the running instance into a directory.
func (w *world) backup(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "backup")
	a := w.call("POST", "/admin/backup", nil).is(http.StatusOK)
	if _, err := datadir.Unpack(bytes.NewReader(a.body), dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// What an erasure promises: no contact can be read from the data directory, a backup in which it was made too, or the logs.
func TestAfterAnErasureNoContactIsLeft(t *testing.T) {
	t.Parallel()
	f := &forgetting{t: t, path: t.TempDir(), relay: startRelay(t), book: &logbook{}}
	const customer, other = "cust-forgotten", "cust-kept"
	ids := f.live(customer)
	f.place(f.order(visa, other, "90"))
	backup := f.backup(t)
	keys := map[string][]byte{}
	for _, c := range []string{customer, other} {
		key, err := f.i.Dir.ContactKeys.Key(c, false)
		if err != nil {
			t.Fatal(err)
		}
		keys[c] = bytes.Clone(key)
	}
	contacts := []canary{newCanary("any address", []byte("7f3a@example.test")), newCanary("any phone", []byte("+4915155500"))}
	for _, n := range []string{"01", "02", "03", "04", "05", "06", "90"} {
		contacts = append(contacts, newCanary("address "+n, fmt.Appendf(nil, emailOf, n)), newCanary("phone "+n, fmt.Appendf(nil, phoneOf, n)))
	}
	forgotten, kept := newCanary("the key", keys[customer]), newCanary("the other's key", keys[other])

	t.Run("before it no contact stands anywhere in the clear, and each key in the two key files alone", func(t *testing.T) {
		for _, s := range scan(t, contacts, f.logs(), f.path, backup) {
			t.Errorf("%s in %s", s.canary, s.place)
		}
		seen := scan(t, []canary{forgotten, kept}, f.logs(), f.path, backup)
		for _, s := range seen {
			if !strings.HasSuffix(s.place, "contacts.keys (plain)") {
				t.Errorf("%s in %s", s.canary, s.place)
			}
		}
		if len(seen) != 4 {
			t.Errorf("the keys were seen %d times: %v", len(seen), seen)
		}
	})
	first := into[apigen.Erasure](f.call("POST", "/admin/customers/"+customer+"/erase", nil).is(http.StatusOK))
	if err := datadir.EraseIn(backup, customer); err != nil {
		t.Fatal(err)
	}
	nothing := func(what string) {
		t.Helper()
		for _, s := range scan(t, append(contacts, forgotten), f.logs(), f.path, backup) {
			t.Errorf("%s: %s in %s", what, s.canary, s.place)
		}
		if seen := scan(t, []canary{kept}, f.logs(), f.path, backup); len(seen) != 2 {
			t.Errorf("%s: the key of somebody else was seen %d times: %v", what, len(seen), seen)
		}
	}
	nothing("while it runs")
	t.Run("the orders, the totals and the books are as they were", func(t *testing.T) {
		for _, id := range ids {
			if o := f.call("GET", "/orders/"+id, nil).is(http.StatusOK).order(); o.CustomerID != customer || o.TotalCents != 1000 {
				t.Errorf("%+v", o)
			}
		}
		if r := into[apigen.VerifyReport](f.call("GET", "/admin/verify", nil)); !r.Ok {
			t.Errorf("verify: %+v", r)
		}
	})
	t.Run("what was queued, and what was dead, goes to the log, and the record says why", func(t *testing.T) {
		if n, err := f.i.App.DeadLetters().Redrive(t.Context()); n != 1 || err != nil {
			t.Fatalf("%d %v", n, err)
		}
		f.relay.goesAway(false)
		f.restarts(time.Hour)
		f.rest()
		erased := 0
		for _, id := range ids {
			o := f.call("GET", "/orders/"+id, nil).order()
			record, err := f.i.App.Notifications.Show(t.Context(), id, o.Version)
			if err != nil || !record.Delivered() {
				t.Errorf("%s: %+v %v", id, record, err)
			}
			if record.Status == notification.ContactErased && record.Channel == "log" {
				erased++
			}
		}
		if erased != 2 {
			t.Errorf("%d records say that the contact was erased", erased)
		}
		if n := f.relay.took(fmt.Sprintf(emailOf, "05")) + f.relay.took(fmt.Sprintf(emailOf, "06")); n != 0 {
			t.Errorf("the relay was given %d mails of a customer who is erased", n)
		}
		if n := f.relay.took(fmt.Sprintf(emailOf, "90")); n != 1 {
			t.Errorf("the relay was given %d mails of a customer who is not", n)
		}
	})
	t.Run("a repeat is answered like the first, and so is a customer who never was", func(t *testing.T) {
		again := into[apigen.Erasure](f.call("POST", "/admin/customers/"+customer+"/erase", nil).is(http.StatusOK))
		nobody := into[apigen.Erasure](f.call("POST", "/admin/customers/nobody/erase", nil).is(http.StatusOK))
		if again.CustomerID != customer || nobody.CustomerID != "nobody" || !again.ErasedAt.After(first.ErasedAt) {
			t.Errorf("%+v %+v %+v", first, again, nobody)
		}
	})
	f.restarts(0)
	nothing("after a restart")
	f.end()
	nothing("when it has stopped")
	for _, s := range scanItems(t, append(contacts, forgotten), f.path) {
		t.Errorf("%s in the item %s", s.canary, s.place)
	}
	t.Run("a backup in which it was made is whole, and holds no contact when it is restored", func(t *testing.T) {
		restored := filepath.Join(t.TempDir(), "restored")
		if _, err := datadir.Restore(t.Context(), backup, restored); err != nil {
			t.Fatal(err)
		}
		for _, s := range scan(t, append(contacts, forgotten), nil, restored) {
			t.Errorf("%s in %s", s.canary, s.place)
		}
		for _, s := range scanItems(t, append(contacts, forgotten), restored) {
			t.Errorf("%s in the item %s", s.canary, s.place)
		}
	})
	t.Run("a customer who comes back is reached under a new key", func(t *testing.T) {
		f.restarts(0)
		f.place(f.order(visa, customer, "07"))
		address := fmt.Sprintf(emailOf, "07")
		eventually(t, "the mail arrives", func() bool { return f.relay.took(address) == 1 })
		f.rest()
		key, err := f.i.Dir.ContactKeys.Key(customer, false)
		if err != nil || bytes.Equal(key, keys[customer]) {
			t.Errorf("the key is the old one: %v", err)
		}
	})
}
