package sender_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"mime/quotedprintable"
	"net"
	netmail "net/mail"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"github.com/utkarsh698/cloudflow/internal/certtest"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/notification"
	"github.com/utkarsh698/cloudflow/internal/sender"
)

func email() notification.Email {
	return notification.Email{
		OrderID:       "ord-1",
		CorrelationID: "corr-1",
		Kind:          notification.OrderConfirmed,
		MessageID:     "ord-1.v5@cloudflow",
		Date:          time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC),
		To:            "jane.doe@example.com",
		Subject:       "Your order ord-1 is confirmed",
		Text:          "Thank you.\n.\nÜber USD 12.50.\n",
	}
}

func TestLogWritesOneLineWithoutTheRecipient(t *testing.T) {
	var b bytes.Buffer
	l := sender.NewLog(slog.New(slog.NewJSONHandler(&b, nil)))
	if err := l.Send(t.Context(), email()); err != nil {
		t.Fatal(err)
	}
	line := b.String()
	for _, want := range []string{`"order_id":"ord-1"`, `"correlation_id":"corr-1"`, `"message_id":"ord-1.v5@cloudflow"`, "notification_service"} {
		if !strings.Contains(line, want) {
			t.Errorf("no %s in %s", want, line)
		}
	}
	if strings.Contains(line, "jane") || strings.Count(line, "\n") != 1 {
		t.Errorf("wrote %s", line)
	}
}

func TestSMTP(t *testing.T) {
	t.Run("the relay gets the message", func(t *testing.T) {
		r := startRelay(t, relayOptions{})
		if err := r.sender(t, sender.Plain).Send(t.Context(), email()); err != nil {
			t.Fatal(err)
		}
		m := r.only(t)
		if m.from != "orders@example.com" || len(m.to) != 1 || m.to[0] != "jane.doe@example.com" {
			t.Errorf("envelope from %q to %q", m.from, m.to)
		}
		for name, want := range map[string]string{
			"Message-Id": "<ord-1.v5@cloudflow>", "Subject": "Your order ord-1 is confirmed", "To": "<jane.doe@example.com>",
			"From": `"CloudFlow" <orders@example.com>`, "Date": "Fri, 01 May 2026 12:00:00 +0000", "Auto-Submitted": "auto-generated",
		} {
			if got := m.Header.Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		if got := m.text(t); got != "Thank you.\n.\nÜber USD 12.50.\n" {
			t.Errorf("text %q", got)
		}
	})
	t.Run("it works over STARTTLS and over TLS, with a password", func(t *testing.T) {
		for _, policy := range []sender.TLSPolicy{sender.STARTTLS, sender.TLS} {
			r := startRelay(t, relayOptions{tls: policy, password: "s3cret"})
			if err := r.sender(t, policy).Send(t.Context(), email()); err != nil {
				t.Fatalf("%s: %v", policy, err)
			}
			r.only(t)
		}
	})
	t.Run("a wrong password is an error that does not show it", func(t *testing.T) {
		r := startRelay(t, relayOptions{tls: sender.STARTTLS, password: "another"})
		err := r.sender(t, sender.STARTTLS).Send(t.Context(), email())
		if err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("a relay without STARTTLS gets no message where TLS is asked for", func(t *testing.T) {
		r := startRelay(t, relayOptions{})
		if err := r.sender(t, sender.STARTTLS).Send(t.Context(), email()); err == nil {
			t.Error("sent")
		}
		if n := len(r.messages()); n != 0 {
			t.Errorf("%d messages", n)
		}
	})
	t.Run("a certificate that nobody vouches for ends the connection", func(t *testing.T) {
		r := startRelay(t, relayOptions{tls: sender.TLS})
		r.roots = x509.NewCertPool()
		if err := r.sender(t, sender.TLS).Send(t.Context(), email()); err == nil {
			t.Error("sent")
		}
	})
}

func TestSMTPFailures(t *testing.T) {
	temporary := &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 7, 1}, Message: "jane.doe@example.com: greylisted"}
	lasting := &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no jane.doe@example.com here"}
	cases := []struct {
		rule    string
		options relayOptions
		kind    fault.Kind
		text    string
	}{
		{"451 to RCPT is temporary", relayOptions{rcpt: temporary}, fault.Transient, "451 4.7.1"},
		{"550 to RCPT is lasting", relayOptions{rcpt: lasting}, fault.Internal, "550 5.1.1"},
		{"451 after DATA is temporary", relayOptions{data: temporary}, fault.Transient, "451 4.7.1"},
		{"554 after DATA is lasting", relayOptions{data: &smtp.SMTPError{Code: 554, Message: "jane.doe@example.com is spam"}}, fault.Internal, "554"},
		{"a connection that drops after DATA is temporary", relayOptions{dropAfterData: 1}, fault.Transient, "connection"},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			r := startRelay(t, c.options)
			err := r.sender(t, sender.Plain).Send(t.Context(), email())
			if !fault.Is(err, c.kind) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("error %v, kind %s; want %s and %q", err, fault.KindOf(err), c.kind, c.text)
			}
			if err != nil && strings.Contains(err.Error(), "jane") {
				t.Errorf("the error quotes the recipient: %v", err)
			}
		})
	}
	t.Run("nobody listens", func(t *testing.T) {
		r := startRelay(t, relayOptions{})
		s := r.sender(t, sender.Plain)
		_ = r.listener.Close()
		if err := s.Send(t.Context(), email()); !fault.Is(err, fault.Transient) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("after a lost reply the repeat has the same Message-ID", func(t *testing.T) {
		r := startRelay(t, relayOptions{dropAfterData: 1})
		s := r.sender(t, sender.Plain)
		if err := s.Send(t.Context(), email()); err == nil {
			t.Fatal("the reply was lost, and yet it is known")
		}
		if err := s.Send(t.Context(), email()); err != nil {
			t.Fatal(err)
		}
		got := r.messages()
		if len(got) != 2 || got[0].Header.Get("Message-Id") != got[1].Header.Get("Message-Id") {
			t.Errorf("%d messages: %+v", len(got), got)
		}
	})
	t.Run("a relay that hangs costs one timeout, and the context ends it earlier", func(t *testing.T) {
		for _, stage := range []string{"greeting", "rcpt"} {
			r := startRelay(t, relayOptions{hang: stage})
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			if err := r.sender(t, sender.Plain).Send(ctx, email()); !fault.Is(err, fault.Transient) {
				t.Errorf("%s: %v", stage, err)
			}
		}
	})
}

func TestHostileRecipients(t *testing.T) {
	r := startRelay(t, relayOptions{})
	s := r.sender(t, sender.Plain)
	for _, to := range []string{
		"", "jane", "jane@", "@example.com", "jane@example.com, mallory@example.com", "Jane <jane@example.com>", "<jane@example.com>",
		"jane@example.com\r\nBcc: mallory@example.com", "jane@example.com\nX: y", "jane@example.com>\r\nRCPT TO:<mallory@example.com",
		"jane doe@example.com", "jane@example.com\x00", "jane@example.com (comment)", "group:jane@example.com;", `"jane\" doe"@example.com`,
		"jane@" + strings.Repeat("x", 300) + ".com", "jane@example.com\u2028",
	} {
		e := email()
		e.To = to
		err := s.Send(t.Context(), e)
		if !fault.Is(err, fault.ValidationFailed) {
			t.Errorf("%q: %v", to, err)
		} else if to != "" && strings.Contains(err.Error(), to) {
			t.Errorf("the error quotes the recipient: %v", err)
		}
	}
	for _, spoil := range []func(*notification.Email){
		func(e *notification.Email) { e.Subject = "a\r\nBcc: mallory@example.com" },
		func(e *notification.Email) { e.MessageID = "a>\r\nBcc: mallory@example.com" },
		func(e *notification.Email) { e.MessageID = "" },
	} {
		e := email()
		spoil(&e)
		if err := s.Send(t.Context(), e); !fault.Is(err, fault.Internal) {
			t.Errorf("%+v: %v", e, err)
		}
	}
	if n := len(r.messages()); n != 0 {
		t.Errorf("the relay got %d messages", n)
	}
	e := email()
	e.Text = "\r\n.\r\nMAIL FROM:<mallory@example.com>\r\n"
	if err := s.Send(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	r.only(t)
}

func TestNewSMTPRefuses(t *testing.T) {
	good := sender.SMTPConfig{Host: "relay.example.com", TLS: sender.STARTTLS, From: "orders@example.com"}
	cases := map[string]func(*sender.SMTPConfig){
		"no host":                func(c *sender.SMTPConfig) { c.Host = "" },
		"no sender":              func(c *sender.SMTPConfig) { c.From = "" },
		"a sender of two lines":  func(c *sender.SMTPConfig) { c.From = "a@example.com\r\nBcc: b@example.com" },
		"an unknown policy":      func(c *sender.SMTPConfig) { c.TLS = "maybe" },
		"a port that is none":    func(c *sender.SMTPConfig) { c.Port = 70000 },
		"a password without TLS": func(c *sender.SMTPConfig) { c.TLS, c.Username = sender.Plain, "u" },
	}
	if _, err := sender.NewSMTP(good); err != nil {
		t.Fatal(err)
	}
	for rule, spoil := range cases {
		t.Run(rule, func(t *testing.T) {
			c := good
			spoil(&c)
			if _, err := sender.NewSMTP(c); err == nil {
				t.Error("taken")
			}
		})
	}
}

// relay is an SMTP server in this process, with the faults that a test asks for.
type relay struct {
	relayOptions
	server   *smtp.Server
	listener net.Listener
	port     int
	roots    *x509.CertPool

	mu  sync.Mutex
	got []received
}

type relayOptions struct {
	tls           sender.TLSPolicy
	password      string
	rcpt, data    error
	dropAfterData int    // connections that drop once the data was taken
	hang          string // "greeting", "rcpt": until the client goes
}

type received struct {
	from string
	to   []string
	*netmail.Message
}

func (m received) text(t *testing.T) string {
	t.Helper()
	b, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(b), "\r\n", "\n")
}

func startRelay(t *testing.T, o relayOptions) *relay {
	t.Helper()
	r := &relay{relayOptions: o, roots: x509.NewCertPool()}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.listener = l
	r.port = l.Addr().(*net.TCPAddr).Port
	r.server = smtp.NewServer(r)
	r.server.Domain = "relay.example.com"
	r.server.ErrorLog = quiet{}
	if o.tls != "" {
		r.server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate(t, r.roots)}, MinVersion: tls.VersionTLS12}
	}
	if o.tls == sender.TLS {
		l = tls.NewListener(l, r.server.TLSConfig)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		if o.hang == "greeting" {
			hangUp(l)
			return
		}
		_ = r.server.Serve(l)
	}()
	t.Cleanup(func() {
		_ = l.Close()
		_ = r.server.Close()
		<-served
	})
	return r
}

// hangUp accepts connections, says nothing, and waits until the client has gone.
func hangUp(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, conn)
		_ = conn.Close()
	}
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}
func (quiet) Println(...any)        {}

func (r *relay) sender(t *testing.T, policy sender.TLSPolicy) *sender.SMTP {
	t.Helper()
	c := sender.SMTPConfig{Host: "127.0.0.1", Port: r.port, TLS: policy, From: "CloudFlow <orders@example.com>", Timeout: 5 * time.Second,
		TLSConfig: &tls.Config{ServerName: "127.0.0.1", RootCAs: r.roots, MinVersion: tls.VersionTLS12}}
	if policy != sender.Plain && r.password != "" {
		c.Username, c.Password = "cloudflow", "s3cret"
	}
	s, err := sender.NewSMTP(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (r *relay) messages() []received {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.got
}

func (r *relay) only(t *testing.T) received {
	t.Helper()
	got := r.messages()
	if len(got) != 1 {
		t.Fatalf("the relay got %d messages, want 1", len(got))
	}
	return got[0]
}

// NewSession implements smtp.Backend.
func (r *relay) NewSession(c *smtp.Conn) (smtp.Session, error) {
	return &session{relay: r, conn: c}, nil
}

type session struct {
	relay *relay
	conn  *smtp.Conn
	m     received
	known bool
}

func (s *session) AuthMechanisms() []string {
	if s.relay.password == "" {
		return nil
	}
	return []string{sasl.Plain}
}

func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, username, password string) error {
		if username != "cloudflow" || password != s.relay.password {
			return errors.New("no")
		}
		s.known = true
		return nil
	}), nil
}

func (s *session) Mail(from string, _ *smtp.MailOptions) error {
	if s.relay.password != "" && !s.known {
		return smtp.ErrAuthRequired
	}
	s.m = received{from: from}
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	if s.relay.hang == "rcpt" {
		_, _ = io.Copy(io.Discard, s.conn.Conn())
	}
	s.m.to = append(s.m.to, to)
	return s.relay.rcpt
}

func (s *session) Data(data io.Reader) error {
	b, err := io.ReadAll(data)
	if err != nil {
		return err
	}
	if s.relay.data != nil {
		return s.relay.data
	}
	if s.m.Message, err = netmail.ReadMessage(bytes.NewReader(b)); err != nil {
		return err
	}
	s.relay.mu.Lock()
	defer s.relay.mu.Unlock()
	s.relay.got = append(s.relay.got, s.m)
	if s.relay.dropAfterData > 0 {
		s.relay.dropAfterData--
		_ = s.conn.Conn().Close()
	}
	return nil
}

func (s *session) Reset()        { s.m = received{} }
func (s *session) Logout() error { return nil }

// certificate makes one for 127.0.0.1 that vouches for itself.
func certificate(t *testing.T, roots *x509.CertPool) tls.Certificate {
	t.Helper()
	public, private := certtest.SelfSigned(t, 1)
	roots.AppendCertsFromPEM(public)
	pair, err := tls.X509KeyPair(public, private)
	if err != nil {
		t.Fatal(err)
	}
	return pair
}
