package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"

	"github.com/spf13/pflag"

	"github.com/utkarsh698/cloudflow/internal/auth"
	"github.com/utkarsh698/cloudflow/internal/auth/token"
	"github.com/utkarsh698/cloudflow/internal/certs"
	"github.com/utkarsh698/cloudflow/internal/instance"
)

// accessSettings are who may call, and by which way.
type accessSettings struct {
	AdminAddr string   `env:"ADMIN_ADDR" help:"where serve listens for operators alone (--admin-addr); empty: on ADDR with the rest"`
	Auth      []string `env:"AUTH" help:"what callers prove who they are with: keys, jwt or keys,jwt (--auth); empty: development mode"`
	Issuer    string   `env:"JWT_ISSUER" help:"who makes the JWTs, exactly as in their iss (--jwt-issuer)"`
	Audience  string   `env:"JWT_AUDIENCE" help:"what their aud must be or hold (--jwt-audience)"`
	JWKS      string   `env:"JWT_KEYS" help:"the issuer's public keys: a JWKS file, or its https URL (--jwt-keys)"`
	Algs      string   `env:"JWT_ALGORITHMS" envDefault:"RS256,PS256,ES256,EdDSA" help:"what they may be signed with (--jwt-algorithms)"`
	CORS      []string `env:"CORS_ORIGIN" help:"origins whose pages may call from a browser, with commas between them (--cors-origin)"`
	TLSCert   string   `env:"TLS_CERT" help:"the certificate that serve answers with, PEM, its chain behind it (--tls-cert); empty: no TLS"`
	TLSKey    string   `env:"TLS_KEY" help:"its private key, PEM (--tls-key)"`
}

// What --auth can name.
const (
	authKeys = "keys"
	authJWT  = "jwt"
)

func (a *accessSettings) flags(flags *pflag.FlagSet) {
	flags.StringVar(&a.AdminAddr, "admin-addr", a.AdminAddr, "where to listen for operators alone: then /admin, /metrics and /debug/pprof/ are there and nowhere else")
	flags.StringSliceVar(&a.Auth, "auth", a.Auth, "what callers prove who they are with: keys, jwt or keys,jwt; none is development mode, on loopback only")
	flags.StringVar(&a.Issuer, "jwt-issuer", a.Issuer, "who makes the JWTs, exactly as in their iss")
	flags.StringVar(&a.Audience, "jwt-audience", a.Audience, "what the JWTs' aud must be or hold")
	flags.StringVar(&a.JWKS, "jwt-keys", a.JWKS, "the issuer's public keys: a JWKS file, or its https URL")
	flags.StringVar(&a.Algs, "jwt-algorithms", a.Algs, "what JWTs may be signed with")
	flags.StringSliceVar(&a.CORS, "cors-origin", a.CORS, "an origin whose pages may call from a browser, such as https://shop.example; may be repeated")
	flags.StringVar(&a.TLSCert, "tls-cert", a.TLSCert, "the certificate to answer with, PEM, its chain behind it; read again when it changes")
	flags.StringVar(&a.TLSKey, "tls-key", a.TLSKey, "the certificate's private key, PEM")
}

// check refuses settings that contradict each other or would let in who should not be.
func (a *accessSettings) check(addr string) error {
	for _, kind := range a.Auth {
		if kind != authKeys && kind != authJWT {
			return usagef("--auth %q is not keys, jwt or keys,jwt", kind)
		}
	}
	jwt := a.with(authJWT)
	switch {
	case jwt && (a.Issuer == "" || a.Audience == "" || a.JWKS == ""):
		return usagef("--auth jwt wants --jwt-issuer, --jwt-audience and --jwt-keys: without one of them anybody's token would do")
	case !jwt && (a.Issuer != "" || a.Audience != "" || a.JWKS != ""):
		return usagef("--jwt-issuer, --jwt-audience and --jwt-keys mean nothing without --auth jwt")
	case (a.TLSCert == "") != (a.TLSKey == ""):
		return usagef("--tls-cert and --tls-key go together")
	}
	if _, err := token.ParseAlgorithms(a.Algs); err != nil {
		return usagef("--jwt-algorithms: %v", err)
	}
	origins := http.NewCrossOriginProtection() // it knows what a browser sends as its origin
	for _, origin := range a.CORS {
		if err := origins.AddTrustedOrigin(origin); err != nil {
			return usagef("--cors-origin %q is not an origin such as https://shop.example", origin)
		}
	}
	if err := a.reachable("--addr", addr); err != nil {
		return err
	}
	if a.AdminAddr == "" {
		return nil
	}
	return a.reachable("--admin-addr", a.AdminAddr)
}

func (a *accessSettings) with(kind string) bool { return slices.Contains(a.Auth, kind) }

// reachable refuses an address that others can reach where nobody has to prove anything: this takes orders and money.
func (a *accessSettings) reachable(flag, addr string) error {
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return usagef("%s %q is not host:port, such as 127.0.0.1:8080", flag, addr)
	}
	if len(a.Auth) > 0 || auth.Loopback(addr) {
		return nil
	}
	return fmt.Errorf("%s %s can be reached from other machines, and there is no authentication; name one with --auth, or use 127.0.0.1", flag, addr)
}

// access is what the settings say, with the files read.
func (a *accessSettings) access(ctx context.Context, log *slog.Logger) (instance.Access, error) {
	out := instance.Access{Keys: a.with(authKeys), CORS: a.CORS, Split: a.AdminAddr != ""}
	log = log.With("service", "cloudflow")
	if a.TLSCert != "" {
		files, err := certs.Open(a.TLSCert, a.TLSKey, nil, log)
		if err != nil {
			return out, err
		}
		out.TLS = files.Config()
	}
	if !a.with(authJWT) {
		return out, nil
	}
	algorithms, err := token.ParseAlgorithms(a.Algs)
	if err != nil {
		return out, err
	}
	keys, err := token.Keys(a.JWKS, nil, log)
	if err != nil {
		return out, usagef("--jwt-keys: %v", err)
	}
	if err := keys.Begin(ctx); err != nil {
		return out, fmt.Errorf("the keys of --jwt-keys: %w", err)
	}
	out.Tokens, err = token.New(token.Config{Issuer: a.Issuer, Audience: a.Audience, Algorithms: algorithms, Keys: keys})
	return out, err
}

// listeners are where customers and operators (nil: there, too) come in.
func (c *cli) listeners(ctx context.Context) (customers, operators net.Listener, err error) {
	var config net.ListenConfig
	if customers, err = config.Listen(ctx, "tcp", c.Addr); err != nil {
		return nil, nil, fmt.Errorf("cannot listen on %s: %w; is another instance running? choose with --addr", c.Addr, err)
	}
	if c.Access.AdminAddr == "" {
		return customers, nil, nil
	}
	if operators, err = config.Listen(ctx, "tcp", c.Access.AdminAddr); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("cannot listen on %s: %w; choose with --admin-addr", c.Access.AdminAddr, err), customers.Close())
	}
	return customers, operators, nil
}

// listening says where calls are taken, whose, and what an operator may not have meant.
func (c *cli) listening(ctx context.Context, i *instance.Instance, log *slog.Logger, customers, operators net.Listener) error {
	scheme := "http://"
	if c.Access.TLSCert != "" {
		scheme = "https://"
	}
	say := func(level slog.Level, text string, attrs ...slog.Attr) {
		log.LogAttrs(ctx, level, text, append([]slog.Attr{slog.String("service", "cloudflow")}, attrs...)...)
	}
	if len(c.Access.Auth) == 0 {
		say(slog.LevelInfo, "Development mode: without authentication everybody on this machine is admin")
	}
	if c.Access.with(authKeys) {
		keys, err := i.Keys.List(ctx, "", 1)
		if err != nil {
			return err
		}
		if len(keys) == 0 {
			say(slog.LevelWarn, "There is no API key yet; make the first with `cloudflow key create --data DIR` while this is stopped")
		}
	}
	exposed := !auth.Loopback(c.Addr) || operators != nil && !auth.Loopback(c.Access.AdminAddr)
	if exposed && c.Access.TLSCert == "" {
		say(slog.LevelWarn, "Credentials come in the clear: set --tls-cert and --tls-key, or see to it that only a proxy with TLS reaches this address")
	}
	attrs := []slog.Attr{slog.String("url", scheme+customers.Addr().String())}
	if operators != nil {
		attrs = append(attrs, slog.String("admin_url", scheme+operators.Addr().String()))
	}
	say(slog.LevelInfo, "Listening", append(attrs, slog.String("data", c.Data), slog.Bool("development", len(c.Access.Auth) == 0))...)
	return nil
}
