package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/utkarsh698/cloudflow/internal/auth"
	"github.com/utkarsh698/cloudflow/internal/fault"
)

const (
	us     = "https://shop.example"
	issuer = "https://issuer.example"
)

var t0 = time.Date(2026, 1, 15, 10, 30, 0, 0, time.UTC)

// Keys of all kinds, made once: RSA takes its time.
var material = sync.OnceValue(func() map[string]crypto.Signer {
	one, _ := rsa.GenerateKey(rand.Reader, 2048)
	two, _ := rsa.GenerateKey(rand.Reader, 2048)
	weak, _ := rsa.GenerateKey(rand.Reader, 1024)
	ec, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ec384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	return map[string]crypto.Signer{"rsa": one, "attacker": two, "weak": weak, "ec": ec, "ec384": ec384, "ed": ed}
})

// published is a key as its issuer publishes it.
func published(name, id string, change ...func(*jose.JSONWebKey)) jose.JSONWebKey {
	k := jose.JSONWebKey{Key: material()[name].Public(), KeyID: id, Use: "sig"}
	for _, f := range change {
		f(&k)
	}
	return k
}

func jwks(keys ...jose.JSONWebKey) string {
	text, err := json.Marshal(jose.JSONWebKeySet{Keys: keys})
	if err != nil {
		panic(err)
	}
	return string(text)
}

// An issuerServer publishes a set on loopback and counts who asks.
type issuerServer struct {
	*httptest.Server
	set    atomic.Pointer[string]
	asked  atomic.Int64
	answer atomic.Pointer[http.HandlerFunc] // nil: the set
}

func newIssuer(t *testing.T, set string) *issuerServer {
	s := &issuerServer{}
	s.set.Store(&set)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		if f := s.answer.Load(); f != nil {
			(*f)(w, r)
			return
		}
		fmt.Fprint(w, *s.set.Load())
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *issuerServer) answers(f http.HandlerFunc) { s.answer.Store(&f) }

func (s *issuerServer) publishes(set string) {
	s.set.Store(&set)
	s.answer.Store(nil)
}

// A world is a verifier, its issuer and a clock.
type world struct {
	*Verifier
	t      *testing.T
	issuer *issuerServer
	now    time.Time
}

func newWorld(t *testing.T, set string) *world {
	w := &world{t: t, issuer: newIssuer(t, set), now: t0}
	keys, err := Keys(w.issuer.URL, w.clock, nil)
	if err != nil {
		t.Fatal(err)
	}
	algorithms, err := ParseAlgorithms(DefaultAlgorithms)
	if err != nil {
		t.Fatal(err)
	}
	w.Verifier, err = New(Config{Issuer: issuer, Audience: us, Algorithms: algorithms, Keys: keys, Now: w.clock})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) clock() time.Time { return w.now }

// everyKind is a set with a key of each kind.
func everyKind() string {
	return jwks(published("rsa", "r1"), published("ec", "e1"), published("ed", "d1"), published("ec384", "e3"))
}

// good are the claims of a good token; changed replaces some and takes away what is nil.
func good(changed map[string]any) map[string]any {
	c := map[string]any{
		"iss": issuer, "aud": us, "sub": "ada", "scope": "openid orders:read orders:write",
		"iat": t0.Unix(), "nbf": t0.Unix(), "exp": t0.Add(5 * time.Minute).Unix(),
	}
	maps.Copy(c, changed)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

// sign makes a token with a library, as issuers do.
func sign(t *testing.T, alg jose.SignatureAlgorithm, key, id string, claims any, header map[string]any) string {
	t.Helper()
	o := &jose.SignerOptions{ExtraHeaders: map[jose.HeaderKey]any{"kid": id, "typ": "JWT"}}
	for name, v := range header {
		if o.ExtraHeaders[jose.HeaderKey(name)] = v; v == nil {
			delete(o.ExtraHeaders, jose.HeaderKey(name))
		}
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: material()[key]}, o)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := s.Sign(text)
	if err != nil {
		t.Fatal(err)
	}
	compact, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return compact
}

// forge makes a token by hand, with a signature of the forger's choice.
func forge(header, claims any, signature func(signed string) []byte) string {
	part := func(v any) string {
		text, _ := json.Marshal(v)
		return base64.RawURLEncoding.EncodeToString(text)
	}
	signed := part(header) + "." + part(claims)
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature(signed))
}

func (w *world) passes(text string) auth.Principal {
	w.t.Helper()
	who, err := w.Verify(w.t.Context(), text)
	if err != nil {
		w.t.Fatalf("refused: %v", err)
	}
	return who
}

// refuses requires that the token is not taken, that the log has the reason, and that the caller is told nothing.
func (w *world) refuses(text, reason string) {
	w.t.Helper()
	who, err := w.Verify(w.t.Context(), text)
	var refusal *fault.Error
	if !errors.As(err, &refusal) || refusal.Kind != fault.Unauthorized || who != (auth.Principal{}) {
		w.t.Fatalf("answered %+v, %v", who, err)
	}
	if refusal.Message != "The credentials are not valid." || !strings.Contains(fmt.Sprint(refusal.Err), reason) {
		w.t.Errorf("the caller is told %q, the log %v; want %q", refusal.Message, refusal.Err, reason)
	}
	if len(err.Error()) > 1000 {
		w.t.Errorf("the reason has %d bytes", len(err.Error()))
	}
}

func TestAGoodToken(t *testing.T) {
	w := newWorld(t, everyKind())
	t.Run("of each allowed algorithm is taken", func(t *testing.T) {
		for alg, key := range map[jose.SignatureAlgorithm][2]string{jose.RS256: {"rsa", "r1"}, jose.PS256: {"rsa", "r1"}, jose.ES256: {"ec", "e1"}, jose.EdDSA: {"ed", "d1"}} {
			who := w.passes(sign(t, alg, key[0], key[1], good(nil), nil))
			if who.Subject != "ada" || who.Scopes != auth.ScopesOf(auth.ScopeOrdersRead, auth.ScopeOrdersWrite) {
				t.Errorf("%s: %+v", alg, who)
			}
		}
	})
	for rule, c := range map[string]struct {
		claims map[string]any
		want   auth.Scopes
	}{
		"a list of scopes is read, too":                      {map[string]any{"scope": nil, "scopes": []string{"orders:read", "email"}}, auth.ScopesOf(auth.ScopeOrdersRead)},
		"without scopes it is somebody who may do nothing":   {map[string]any{"scope": nil}, 0},
		"a scope is its whole name, in its own letters":      {map[string]any{"scope": "orders:reader Orders:Read admins orders:read,orders:write"}, 0},
		"an audience may be a list":                          {map[string]any{"aud": []string{"https://other.example", us}, "scope": "admin"}, auth.ScopesOf(auth.ScopeAdmin)},
		"a clock that is 29 s ahead does not end it early":   {map[string]any{"exp": t0.Add(-29 * time.Second).Unix(), "scope": ""}, 0},
		"a clock that is 29 s behind does not begin it late": {map[string]any{"nbf": t0.Add(29 * time.Second).Unix(), "iat": t0.Add(29 * time.Second).Unix(), "scope": ""}, 0},
	} {
		t.Run(rule, func(t *testing.T) {
			if who := w.passes(sign(t, jose.ES256, "ec", "e1", good(c.claims), nil)); who.Scopes != c.want {
				t.Errorf("%v", who.Scopes.List())
			}
		})
	}
	t.Run("of the type of access tokens is taken, and one without a type", func(t *testing.T) {
		for _, typ := range []any{"at+jwt", "application/at+jwt", "jwt", nil} {
			w.passes(sign(t, jose.ES256, "ec", "e1", good(nil), map[string]any{"typ": typ}))
		}
	})
}

func TestABadClaim(t *testing.T) {
	w := newWorld(t, everyKind())
	for rule, c := range map[string]struct {
		claims map[string]any
		reason string
	}{
		"it is over":                  {map[string]any{"exp": t0.Add(-31 * time.Second).Unix()}, "expired"},
		"it never ends":               {map[string]any{"exp": nil}, "never ends"},
		"it has not begun":            {map[string]any{"nbf": t0.Add(31 * time.Second).Unix()}, "not valid yet"},
		"it was made in the future":   {map[string]any{"iat": t0.Add(31 * time.Second).Unix()}, "issued in the future"},
		"an end that is a text":       {map[string]any{"exp": "tomorrow"}, "token: "},
		"an end beyond all time":      {map[string]any{"exp": json.Number("1e300")}, "token: "},
		"it is for another":           {map[string]any{"aud": "https://other.example"}, "audience"},
		"it is for others":            {map[string]any{"aud": []string{us + "/", us + ".example"}}, "audience"},
		"it is for nobody":            {map[string]any{"aud": nil}, "audience"},
		"it is of another issuer":     {map[string]any{"iss": issuer + "/"}, "issuer"},
		"it is of no issuer":          {map[string]any{"iss": nil}, "issuer"},
		"it is about nobody":          {map[string]any{"sub": nil}, "customer's id"},
		"a subject with a space":      {map[string]any{"sub": "ada lovelace"}, "customer's id"},
		"a subject of an index":       {map[string]any{"sub": "#"}, "customer's id"},
		"a subject with a line break": {map[string]any{"sub": "ada\n"}, "customer's id"},
		"a subject of 65 letters":     {map[string]any{"sub": strings.Repeat("a", 65)}, "customer's id"},
		"a subject of thousands":      {map[string]any{"sub": strings.Repeat("a", 4000)}, "customer's id"},
		"a subject that is a number":  {map[string]any{"sub": 7}, "token: "},
		"a scope that is a list":      {map[string]any{"scope": []string{"admin"}}, "token: "},
		"scopes that are a text":      {map[string]any{"scopes": "admin"}, "token: "},
		"an audience that is true":    {map[string]any{"aud": true}, "token: "},
	} {
		t.Run(rule, func(t *testing.T) { w.refuses(sign(t, jose.ES256, "ec", "e1", good(c.claims), nil), c.reason) })
	}
	t.Run("claims that are no object", func(t *testing.T) {
		w.refuses(sign(t, jose.ES256, "ec", "e1", []string{"ada"}, nil), "token: ")
	})
}
