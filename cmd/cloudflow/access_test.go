package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/utkarsh698/cloudflow/internal/certtest"
	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
)

// as runs a command against the service with a credential.
func (s *service) as(credential string, args ...string) result {
	s.t.Helper()
	return invoke(s.t, []string{"CLOUDFLOW_URL=" + s.url, "CLOUDFLOW_TOKEN=" + credential}, args...)
}

// firstKey makes an operator's key in the directory of a stopped instance, which it makes.
func firstKey(t *testing.T, dir string) string {
	t.Helper()
	r := invoke(t, nil, "key", "create", "--data", dir, "--subject", "ops", "--scopes", "admin").exits(0).hints("of ops (admin)", "shown this once")
	if !regexp.MustCompile(`^cfk_[0-9a-z]{8}_[A-Za-z0-9_-]{43}\n$`).MatchString(r.out) {
		t.Fatalf("it prints %q", r.out)
	}
	return strings.TrimSpace(r.out)
}

// From an empty directory to a customer's own key, by what the help says.
func TestServeWithKeys(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	ops := firstKey(t, dir)
	s := serve(t, dir, "--auth", "keys", "--demo")
	if log := s.log.String(); strings.Contains(log, "Development mode") || !strings.Contains(log, `"development":false`) || strings.Contains(log, ops) {
		t.Errorf("it says %s", log)
	}
	s.cli("order", "list").exits(1).hints("UNAUTHORIZED (401)", "CLOUDFLOW_TOKEN")
	s.as("cfk_00000000_wrong", "order", "list").exits(1).hints("UNAUTHORIZED (401)")
	made := one[apigen.KeyCreated](s.as(ops, "key", "create", "--subject", "ada", "--scopes", "orders:read,orders:write", "--label", "app",
		"--expires-in", "1h", "--json").exits(0))
	if made.ExpiresAt == nil || time.Until(*made.ExpiresAt) > time.Hour {
		t.Errorf("made %+v", made)
	}
	o := one[apigen.Order](s.as(made.Key, "order", "place", "--customer", "ada", "--item", "MOUSE-01=1", "--wait", "20s", "--json").exits(0))
	s.as(made.Key, "order", "list").exits(0).prints(o.OrderID)
	s.as(made.Key, "order", "place", "--customer", "bob", "--item", "MOUSE-01=1").exits(1).hints("FORBIDDEN (403)")
	s.as(made.Key, "key", "list").exits(1).hints("FORBIDDEN (403)")
	s.as(ops, "key", "list").exits(0).prints("ada", "good until", "app", "orders:read,orders:write")
	s.as(ops, "key", "revoke", made.KeyID).exits(0).prints("revoked")
	s.as(made.Key, "order", "list").exits(1).hints("UNAUTHORIZED (401)")
	s.as(ops, "key", "list").exits(0).prints("revoked")
	s.as(ops, "verify").exits(0)
	invoke(t, nil, "key", "create", "--data", dir, "--subject", "x", "--scopes", "admin").exits(1).hints("in use")
}

func TestServeSaysWhoMayCall(t *testing.T) {
	t.Parallel()
	t.Run("development mode in one line", func(t *testing.T) {
		t.Parallel()
		if log := serve(t, t.TempDir()).log.String(); strings.Count(log, "Development mode") != 1 || !strings.Contains(log, `"development":true`) {
			t.Errorf("it says %s", log)
		}
	})
	t.Run("that nobody has a key yet", func(t *testing.T) {
		t.Parallel()
		if log := serve(t, t.TempDir(), "--auth", "keys").log.String(); !strings.Contains(log, "cloudflow key create --data") {
			t.Errorf("it says %s", log)
		}
	})
	t.Run("that credentials come in the clear, where others can listen", func(t *testing.T) {
		t.Parallel()
		s := serve(t, t.TempDir(), "--auth", "keys", "--addr", "0.0.0.0:0") // it is asked nothing
		if log := s.log.String(); !strings.Contains(log, "in the clear") {
			t.Errorf("it says %s", log)
		}
	})
}

func TestServeRefusesAccessThatContradictsItself(t *testing.T) {
	t.Parallel()
	jwt := []string{"--auth", "jwt", "--jwt-issuer", "i", "--jwt-audience", "a", "--jwt-keys", "/no/such/file"}
	with := func(more ...string) []string { return append(append([]string{}, jwt...), more...) }
	for _, c := range []struct {
		args []string
		code int
		hint string
	}{
		{[]string{"--auth", "password"}, 2, `--auth "password" is not keys, jwt or keys,jwt`},
		{[]string{"--auth", "keys,"}, 2, `--auth ""`},
		{[]string{"--auth", "jwt"}, 2, "--jwt-issuer, --jwt-audience and --jwt-keys"},
		{jwt[:6], 2, "anybody's token would do"},
		{[]string{"--auth", "keys", "--jwt-issuer", "i"}, 2, "without --auth jwt"},
		{with("--jwt-algorithms", "HS256"), 2, `"HS256" is not an algorithm`},
		{with("--jwt-algorithms", "none"), 2, `"none" is not an algorithm`},
		{with("--jwt-keys", "http://192.0.2.1/jwks"), 2, "not https"},
		{jwt, 1, "no such file"},
		{[]string{"--tls-cert", "c.pem"}, 2, "go together"},
		{[]string{"--tls-cert", "/no/c.pem", "--tls-key", "/no/k.pem"}, 1, "/no/c.pem"},
		{[]string{"--cors-origin", "shop.example"}, 2, "such as https://shop.example"},
		{[]string{"--cors-origin", "*"}, 2, "such as https://shop.example"},
		{[]string{"--admin-addr", "9090"}, 2, "--admin-addr"},
		{[]string{"--admin-addr", "0.0.0.0:0"}, 1, "no authentication"},
	} {
		dir := filepath.Join(t.TempDir(), "data")
		invoke(t, nil, append([]string{"serve", "--addr", "127.0.0.1:0", "--data", dir}, c.args...)...).exits(c.code).hints(c.hint)
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			t.Errorf("%v: the data directory was touched: %v", c.args, err)
		}
	}
	for _, c := range []struct {
		args []string
		hint string
	}{
		{[]string{"--scopes", "admin"}, "--subject is missing"},
		{[]string{"--subject", "a"}, "--scopes is missing; there are orders:read"},
		{[]string{"--subject", "a b", "--scopes", "admin"}, "--subject"},
		{[]string{"--subject", "a", "--scopes", "root"}, `"root" is not a scope`},
		{[]string{"--subject", "a", "--scopes", "admin", "--expires-in", "-1h"}, "past"},
		{[]string{"--subject", "a", "--scopes", "admin", "--data", ""}, "--data is empty"},
		{[]string{"--subject", "a", "--scopes", "admin", "--data", "d", "--url", "http://127.0.0.1:1"}, "exclude each other"},
	} {
		invoke(t, nil, append([]string{"key", "create"}, c.args...)...).exits(2).hints(c.hint)
	}
}

// The routes of operators are on their own address and nowhere else.
func TestServeWithOperatorsApart(t *testing.T) {
	t.Parallel()
	s := serve(t, t.TempDir(), "--demo", "--admin-addr", "127.0.0.1:0")
	_, rest, _ := strings.Cut(s.log.String(), `"admin_url":"`)
	url, _, ok := strings.Cut(rest, `"`)
	if !ok || url == s.url {
		t.Fatalf("it says %s", s.log)
	}
	o := s.place("--item", "MOUSE-01=1")
	s.cli("saga", "show", o.OrderID).exits(1).hints("NOT_FOUND (404)")
	s.cli("saga", "show", o.OrderID, "--url", url).exits(0).prints("SUCCEEDED")
	s.cli("order", "get", o.OrderID, "--url", url).exits(1).hints("NOT_FOUND (404)")
	s.cli("verify", "--url", url).exits(0)
	s.cli("trace", o.OrderID, "--admin-url", url).exits(0).prints("ChargePayment", "29.99 USD charged")
	if r := s.cli("trace", o.OrderID).exits(0).hints("--admin-url"); strings.Contains(r.out, "charge") {
		t.Errorf("it speaks of what it was not told: %s", r.out)
	}
}

// Tokens of an issuer whose keys are in a file, and change in it.
func TestServeWithTokens(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	jwks := filepath.Join(dir, "jwks.json")
	old, fresh := newSigner(t, "k1"), newSigner(t, "k2")
	old.publishedIn(jwks)
	s := serve(t, filepath.Join(dir, "data"), "--demo", "--auth", "keys,jwt", "--jwt-issuer", "https://id.shop.example", "--jwt-audience", "cloudflow",
		"--jwt-keys", jwks)
	ada := old.token("ada", "orders:read orders:write openid", "cloudflow", time.Hour)
	o := one[apigen.Order](s.as(ada, "order", "place", "--customer", "ada", "--item", "MOUSE-01=1", "--wait", "20s", "--json").exits(0))
	s.as(old.token("bob", "orders:read", "cloudflow", time.Hour), "order", "get", o.OrderID).exits(1).hints("NOT_FOUND (404)")
	s.as(old.token("ops", "admin", "cloudflow", time.Hour), "verify").exits(0)
	for rule, text := range map[string]string{
		"over":                    old.token("ada", "admin", "cloudflow", -time.Hour),
		"for somebody else":       old.token("ada", "admin", "another", time.Hour),
		"of a key not published":  fresh.token("ada", "admin", "cloudflow", time.Hour),
		"changed":                 ada[:len(ada)-4] + "AAAA",
		"without a signature":     ada[:strings.LastIndex(ada, ".")+1],
		"not a token":             "let-me-in",
		"an API key that is none": "cfk_00000000_" + strings.Repeat("A", 43),
	} {
		t.Run("a token is refused that is "+rule, func(t *testing.T) {
			invoke(t, []string{"CLOUDFLOW_URL=" + s.url, "CLOUDFLOW_TOKEN=" + text}, "order", "list").exits(1).hints("UNAUTHORIZED (401)")
		})
	}
	fresh.publishedIn(jwks)
	next := fresh.token("ada", "orders:read", "cloudflow", time.Hour)
	eventually(t, "the issuer's new key counts", func() bool { return s.as(next, "order", "get", o.OrderID).code == 0 })
	s.as(ada, "order", "get", o.OrderID).exits(1).hints("UNAUTHORIZED (401)")
}

// A signer is an issuer's key.
type signer struct {
	t   *testing.T
	id  string
	key *ecdsa.PrivateKey
}

func newSigner(t *testing.T, id string) *signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &signer{t, id, key}
}

// publishedIn makes the file the set with this key alone.
func (s *signer) publishedIn(path string) {
	s.t.Helper()
	text, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: s.key.Public(), KeyID: s.id, Use: "sig"}}})
	if err == nil {
		err = os.WriteFile(path+".new", text, 0o600)
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *signer) token(subject, scope, audience string, lasts time.Duration) string {
	s.t.Helper()
	o := (&jose.SignerOptions{}).WithHeader("kid", s.id).WithType("at+jwt")
	sign, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: s.key}, o)
	if err != nil {
		s.t.Fatal(err)
	}
	now := time.Now()
	text, err := json.Marshal(map[string]any{
		"iss": "https://id.shop.example", "aud": audience, "sub": subject, "scope": scope, "iat": now.Unix(), "exp": now.Add(lasts).Unix(),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	signed, err := sign.Sign(text)
	if err != nil {
		s.t.Fatal(err)
	}
	compact, err := signed.CompactSerialize()
	if err != nil {
		s.t.Fatal(err)
	}
	return compact
}

// TLS, with a certificate that is replaced while it serves. The commands reach it by SSL_CERT_FILE as every Go program does, which is
// read once a process; here the caller is the test's own.
func TestServeWithTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	roots := x509.NewCertPool()
	roots.AddCert(certificate(t, cert, key, 1))
	s := serve(t, filepath.Join(dir, "data"), "--tls-cert", cert, "--tls-key", key, "--auth", "keys")
	if !strings.HasPrefix(s.url, "https://127.0.0.1:") {
		t.Fatalf("it listens on %s", s.url)
	}
	serial := func() int64 {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true}, Timeout: patience}
		resp, err := client.Get(s.url + "/health") //nolint:noctx // the client has its time
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("/health is answered %s", resp.Status)
		}
		return resp.TLS.PeerCertificates[0].SerialNumber.Int64()
	}
	if n := serial(); n != 1 {
		t.Errorf("the certificate is %d", n)
	}
	roots.AddCert(certificate(t, cert, key, 2))
	eventually(t, "the new certificate is served", func() bool { return serial() == 2 })
	s.cli("order", "list").exits(1).hints("certificate", "SSL_CERT_FILE")
	plain := strings.Replace(s.url, "https", "http", 1)
	invoke(t, nil, "order", "list", "--url", plain).exits(1)
}

// certificate makes one, and puts it and its key into the files.
func certificate(t *testing.T, cert, key string, serial int64) *x509.Certificate {
	t.Helper()
	public, private := certtest.SelfSigned(t, serial)
	for path, text := range map[string][]byte{key: private, cert: public} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	block, _ := pem.Decode(public)
	made, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return made
}
