package sender

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	netmail "net/mail"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/wneessen/go-mail"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/notification"
)

// A TLSPolicy is how the connection to the relay is protected.
type TLSPolicy string

// The policies. There is none that uses TLS where it happens to be offered: whoever sits on the line can take the offer
// away.
const (
	STARTTLS TLSPolicy = "starttls" // required, on the submission port 587 (RFC 3207)
	TLS      TLSPolicy = "tls"      // from the first byte, port 465 (RFC 8314)
	Plain    TLSPolicy = "none"     // no protection and no password: for a relay on this host
)

// DefaultTimeout bounds a send: RFC 5321 allows a relay minutes for each command, but a notification can be tried again.
const DefaultTimeout = 10 * time.Second

// SMTPConfig says which relay, and who we are there.
type SMTPConfig struct {
	Host     string // of the relay
	Port     int    // default 587, 465 or 25, after the policy
	TLS      TLSPolicy
	Username string // "": no authentication
	Password string
	From     string        // such as `CloudFlow <orders@example.com>`
	Hello    string        // our name in EHLO, default "cloudflow"
	Timeout  time.Duration // of a whole send, default DefaultTimeout
	// TLSConfig is for tests and private authorities; nil verifies Host against the system's, TLS 1.2 at least.
	TLSConfig *tls.Config
}

// SMTP hands e-mails to a relay, each on a connection of its own: a connection that was idle may be dead without
// our knowing, and a message that was lost on one could not be told from one that was refused.
type SMTP struct {
	config SMTPConfig
	from   *netmail.Address
}

var _ notification.Sender = (*SMTP)(nil)

// NewSMTP checks the configuration and dials nothing.
func NewSMTP(c SMTPConfig) (*SMTP, error) {
	from, err := netmail.ParseAddress(c.From)
	if err != nil {
		return nil, fmt.Errorf("sender: the address to send from: %w", err)
	}
	if c.Host == "" {
		return nil, errors.New("sender: no SMTP host")
	}
	ports := map[TLSPolicy]int{STARTTLS: mail.DefaultPortTLS, TLS: mail.DefaultPortSSL, Plain: mail.DefaultPort}
	port, ok := ports[c.TLS]
	if !ok {
		return nil, fmt.Errorf("sender: SMTP TLS policy %q is none of starttls, tls, none", c.TLS)
	}
	if c.TLS == Plain && c.Username != "" {
		return nil, errors.New("sender: a password is not sent to an SMTP relay without TLS")
	}
	if c.Port == 0 {
		c.Port = port
	}
	if c.Timeout <= 0 {
		c.Timeout = DefaultTimeout
	}
	if c.Hello == "" {
		c.Hello = "cloudflow"
	}
	if c.TLSConfig == nil {
		c.TLSConfig = &tls.Config{ServerName: c.Host, MinVersion: tls.VersionTLS12}
	}
	s := &SMTP{config: c, from: from}
	if _, err := s.client(func(context.Context, string, string) (net.Conn, error) { return nil, net.ErrClosed }); err != nil {
		return nil, fmt.Errorf("sender: %w", err)
	}
	return s, nil
}

// Name is "smtp".
func (*SMTP) Name() string { return "smtp" }

// Send hands the e-mail to the relay. nil: the relay has answered the message's data with yes; what fails after that does
// not matter. After fault.Transient it may have been taken over all the same: a reply can be lost. fault.ValidationFailed:
// the address can be no e-mail address; fault.Internal: the relay's no is a lasting one.
func (s *SMTP) Send(ctx context.Context, e notification.Email) error {
	msg, err := s.message(e)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel() // closes the connection, see dial
	client, err := s.client(func(_ context.Context, network, address string) (net.Conn, error) {
		return s.dial(ctx, network, address)
	})
	if err != nil {
		return fault.Wrap(fault.Internal, err, "smtp")
	}
	conn, err := client.DialToSMTPClientWithContext(ctx)
	if err != nil { // the relay has not heard of the recipient yet, so the text may be shown
		return fault.Wrap(fault.Transient, err, "smtp: connect")
	}
	err = client.SendWithSMTPClient(conn, msg)
	if err == nil || msg.IsDelivered() {
		_ = client.CloseWithSMTPClient(conn) // QUIT is a courtesy
		return nil
	}
	return describe(err)
}

// message builds the e-mail. Nothing in it but the recipient comes from a customer.
func (s *SMTP) message(e notification.Email) (*mail.Msg, error) {
	to, err := address(e.To)
	if err != nil {
		return nil, err
	}
	if !printable(e.Subject) || !printable(e.MessageID) || strings.ContainsAny(e.MessageID, " <>") {
		return nil, fault.New(fault.Internal, "smtp: a subject or Message-ID that cannot stand in a header")
	}
	msg := mail.NewMsg(mail.WithNoDefaultUserAgent())
	msg.FromMailAddress(s.from)
	msg.ToMailAddress(to)
	msg.SetMessageIDWithValue(e.MessageID)
	msg.SetDateWithValue(e.Date)
	msg.Subject(e.Subject)
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: no out-of-office replies
	msg.SetBodyString(mail.TypeTextPlain, e.Text)
	return msg, nil
}

// address takes one bare address: no display name, no list, no comment, nothing that a header or a command could be
// made of.
func address(s string) (*netmail.Address, error) {
	bad := fault.New(fault.ValidationFailed, "smtp: the contact is no e-mail address").With("field", "contact.email")
	hostile := func(r rune) bool { return r == '<' || r == '>' || unicode.IsSpace(r) || !unicode.IsGraphic(r) }
	if len(s) > 254 || strings.ContainsFunc(s, hostile) {
		return nil, bad
	}
	a, err := netmail.ParseAddress(s)
	if err != nil || a.Name != "" || a.Address != s {
		return nil, bad
	}
	return a, nil
}

func printable(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

// client makes go-mail's client for one send.
func (s *SMTP) client(dial mail.DialContextFunc) (*mail.Client, error) {
	c := s.config
	options := []mail.Option{
		mail.WithPort(c.Port), mail.WithHELO(c.Hello), mail.WithTimeout(c.Timeout), mail.WithTLSConfig(c.TLSConfig),
		mail.WithDialContextFunc(dial),
		mail.WithoutNoop(), // the connection is new
	}
	switch c.TLS {
	case TLS:
		options = append(options, mail.WithSSL())
	case Plain:
		options = append(options, mail.WithTLSPolicy(mail.NoTLS))
	default:
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory))
	}
	if c.Username != "" {
		options = append(options, mail.WithUsername(c.Username), mail.WithPassword(c.Password),
			mail.WithOpportunisticSMTPAuth(mail.SMTPAuthSCRAMSHA256, mail.SMTPAuthPlain, mail.SMTPAuthLogin))
	}
	return mail.NewClient(c.Host, options...)
}

// dial connects, and closes the connection when ctx ends, whatever is going on on it: go-mail heeds a context while it
// dials only, and forgets to close after some errors.
func (s *SMTP) dial(ctx context.Context, network, address string) (net.Conn, error) {
	var dialer interface {
		DialContext(ctx context.Context, network, address string) (net.Conn, error)
	} = &net.Dialer{}
	if s.config.TLS == TLS {
		dialer = &tls.Dialer{Config: s.config.TLSConfig}
	}
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { _ = conn.Close() })
	return conn, nil
}

// describe says what went wrong in the relay's codes alone: its texts like to quote the recipient.
func describe(err error) error {
	var sent *mail.SendError
	if !errors.As(err, &sent) {
		return fault.New(fault.Transient, "smtp: the connection failed")
	}
	code := sent.ErrorCode()
	switch {
	case code == 0:
		return fault.New(fault.Transient, "smtp: %s: the connection failed", sent.Reason)
	case code < 500:
		return fault.New(fault.Transient, "smtp: %s: %s", sent.Reason, codes(sent))
	default:
		return fault.New(fault.Internal, "smtp: %s: %s", sent.Reason, codes(sent))
	}
}

// codes is such as "550 5.1.1" (RFC 3463).
func codes(e *mail.SendError) string {
	text := strconv.Itoa(e.ErrorCode())
	if enhanced := e.EnhancedStatusCode(); enhanced != "" {
		text += " " + enhanced
	}
	return text
}
