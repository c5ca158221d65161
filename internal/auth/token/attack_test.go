package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// Each is an attack on verifiers of JWTs that once worked somewhere (RFC 8725, section 2).
func TestAForgedToken(t *testing.T) {
	w := newWorld(t, everyKind())
	admin := good(map[string]any{"scope": "admin"})
	w.passes(sign(t, jose.RS256, "rsa", "r1", admin, nil)) // it is the forgery that is refused
	head := func(alg, kid string) map[string]any { return map[string]any{"alg": alg, "kid": kid, "typ": "JWT"} }
	nothing := func(string) []byte { return nil }

	t.Run("with the algorithm none, in whatever letters, is refused", func(t *testing.T) {
		for _, none := range []string{"none", "None", "NONE", "nOnE", ""} {
			w.refuses(forge(head(none, "r1"), admin, nothing), "algorithm")
		}
	})
	t.Run("made with the issuer's public key as a secret is refused", func(t *testing.T) {
		der, err := x509.MarshalPKIXPublicKey(material()["rsa"].Public())
		if err != nil {
			t.Fatal(err)
		}
		published, _ := published("rsa", "r1").MarshalJSON()
		for _, secret := range [][]byte{der, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), published, []byte(everyKind()), nil} {
			w.refuses(forge(head("HS256", "r1"), admin, func(signed string) []byte {
				mac := hmac.New(sha256.New, secret)
				mac.Write([]byte(signed))
				return mac.Sum(nil)
			}), "algorithm")
		}
	})
	t.Run("that brings its own key is refused", func(t *testing.T) {
		own, _ := json.Marshal(jose.JSONWebKey{Key: material()["attacker"].Public(), KeyID: "r1"})
		w.refuses(sign(t, jose.RS256, "attacker", "r1", admin, map[string]any{"jwk": json.RawMessage(own)}), "cryptographic")
	})
	t.Run("that says where its key is to be had is refused, and nobody goes there", func(t *testing.T) {
		var asked atomic.Int64
		elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			asked.Add(1)
			_, _ = w.Write([]byte(jwks(published("attacker", "r1"))))
		}))
		defer elsewhere.Close()
		for _, name := range []string{"jku", "x5u"} {
			w.refuses(sign(t, jose.RS256, "attacker", "r1", admin, map[string]any{name: elsewhere.URL}), "cryptographic")
			w.refuses(sign(t, jose.RS256, "attacker", "mine", admin, map[string]any{name: elsewhere.URL}), `no key "mine"`)
		}
		if asked.Load() != 0 {
			t.Error("it went there")
		}
	})
	t.Run("with a certificate of its own is refused", func(t *testing.T) {
		w.refuses(sign(t, jose.RS256, "attacker", "r1", admin, map[string]any{"x5c": []string{"bm8gY2VydGlmaWNhdGU="}}), "token: ")
	})
	t.Run("of a key that the issuer does not have, or of another of its keys, is refused", func(t *testing.T) {
		w.refuses(sign(t, jose.RS256, "attacker", "r2", admin, nil), `no key "r2"`)
		w.refuses(sign(t, jose.RS256, "attacker", "r1", admin, nil), "cryptographic")
		w.refuses(sign(t, jose.RS256, "rsa", "e1", admin, nil), "token: ")
		w.refuses(sign(t, jose.ES256, "ec", "d1", admin, nil), "token: ")
		w.refuses(sign(t, jose.RS256, "rsa", "../../etc/passwd", admin, nil), "no key")
		w.refuses(sign(t, jose.RS256, "rsa", strings.Repeat("k", 3000), admin, nil), "no key")
	})
	t.Run("that names no key is refused", func(t *testing.T) {
		w.refuses(sign(t, jose.RS256, "rsa", "", admin, map[string]any{"kid": nil}), "names no key")
	})
	t.Run("of an algorithm that is not allowed is refused, though the key would do", func(t *testing.T) {
		w.refuses(sign(t, jose.RS512, "rsa", "r1", admin, nil), "algorithm")
		w.refuses(sign(t, jose.ES384, "ec384", "e3", admin, nil), "algorithm")
	})
	t.Run("with an extension that has to be understood is refused, also one that the library knows", func(t *testing.T) {
		rsaSigned := func(header map[string]any) string {
			return forge(header, admin, func(signed string) []byte {
				sum := sha256.Sum256([]byte(signed))
				sig, err := rsa.SignPKCS1v15(rand.Reader, material()["rsa"].(*rsa.PrivateKey), crypto.SHA256, sum[:])
				if err != nil {
					t.Fatal(err)
				}
				return sig
			})
		}
		w.passes(rsaSigned(head("RS256", "r1")))
		for _, crit := range []any{[]string{"exp"}, []string{"b64"}, []string{}, "b64"} {
			h := head("RS256", "r1")
			h["crit"], h["b64"] = crit, true
			w.refuses(rsaSigned(h), "token: ")
		}
	})
	t.Run("of another purpose is refused, though the issuer signed it", func(t *testing.T) {
		for _, typ := range []any{"logout+jwt", "dpop+jwt", "secevent+jwt", "JOSE", 7} {
			w.refuses(sign(t, jose.RS256, "rsa", "r1", admin, map[string]any{"typ": typ}), "type")
		}
	})
	t.Run("with a signature of zeros is refused", func(t *testing.T) { // CVE-2022-21449
		w.refuses(forge(head("ES256", "e1"), admin, func(string) []byte { return make([]byte, 64) }), "token: ")
	})
	t.Run("with a signature in another form is refused", func(t *testing.T) {
		w.refuses(forge(head("ES256", "e1"), admin, func(signed string) []byte {
			sum := sha256.Sum256([]byte(signed))
			der, err := ecdsa.SignASN1(rand.Reader, material()["ec"].(*ecdsa.PrivateKey), sum[:])
			if err != nil {
				t.Fatal(err)
			}
			return der
		}), "token: ")
	})
	t.Run("whose claims or header were changed is refused", func(t *testing.T) {
		parts := strings.Split(sign(t, jose.ES256, "ec", "e1", good(nil), nil), ".")
		claims, _ := json.Marshal(admin)
		w.refuses(parts[0]+"."+base64.RawURLEncoding.EncodeToString(claims)+"."+parts[2], "token: ")
		header, _ := json.Marshal(map[string]any{"alg": "ES256", "kid": "e1", "x": 1})
		w.refuses(base64.RawURLEncoding.EncodeToString(header)+"."+parts[1]+"."+parts[2], "token: ")
		w.refuses(parts[0]+"."+parts[1]+".", "token: ")
	})
	t.Run("with a member twice is refused", func(t *testing.T) {
		text := sign(t, jose.ES256, "ec", "e1", json.RawMessage(`{"iss":"`+issuer+`","aud":"`+us+`","exp":9999999999,"sub":"ada","sub":"bob"}`), nil)
		w.refuses(text, "token: ")
	})
	t.Run("that is too long, or no token at all, is refused", func(t *testing.T) {
		long := sign(t, jose.ES256, "ec", "e1", good(map[string]any{"x": strings.Repeat("x", 8<<10)}), nil)
		w.refuses(long, "over 8192")
		for _, text := range []string{"", ".", "..", "...", "a.b.c", "{}", `{"payload":"","signatures":[]}`, strings.Repeat(".", 8000), "\x00", strings.Repeat("A", 8192)} {
			w.refuses(text, "token: ")
		}
	})
	t.Run("that is encrypted is refused", func(t *testing.T) {
		e, err := jose.NewEncrypter(jose.A128GCM, jose.Recipient{Algorithm: jose.RSA_OAEP, Key: material()["rsa"].Public()}, nil)
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := e.Encrypt([]byte("{}"))
		if err != nil {
			t.Fatal(err)
		}
		text, err := sealed.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		w.refuses(text, "token: ")
	})
}

func TestWhatCannotBeConfigured(t *testing.T) {
	t.Run("an algorithm that is symmetric, none, or unknown", func(t *testing.T) {
		for _, name := range []string{"HS256", "HS512", "none", "", "RS256,HS256", "rs256", "RS256;ES256", "ML-DSA-44"} {
			if allowed, err := ParseAlgorithms(name); err == nil {
				t.Errorf("%q is %v", name, allowed)
			}
		}
		if _, err := New(Config{Issuer: "i", Audience: "a", Keys: &KeySet{}, Algorithms: []jose.SignatureAlgorithm{jose.HS256}}); err == nil {
			t.Error("HS256 is allowed")
		}
	})
	t.Run("a verifier without an issuer, an audience, keys or algorithms", func(t *testing.T) {
		whole := Config{Issuer: "i", Audience: "a", Keys: &KeySet{}, Algorithms: []jose.SignatureAlgorithm{jose.ES256}}
		for name, without := range map[string]func(*Config){
			"issuer": func(c *Config) { c.Issuer = "" }, "audience": func(c *Config) { c.Audience = "" },
			"keys": func(c *Config) { c.Keys = nil }, "algorithms": func(c *Config) { c.Algorithms = nil },
		} {
			c := whole
			if without(&c); func() error { _, err := New(c); return err }() == nil {
				t.Errorf("without %s it is made", name)
			}
		}
	})
	t.Run("keys that come over the wire in the clear, or from nowhere", func(t *testing.T) {
		for _, place := range []string{
			"http://issuer.example/jwks", "http://localhost.issuer.example/jwks", "http://127.0.0.1.issuer.example/", "ftp://127.0.0.1/jwks",
			"https://", "https:///jwks", "https://user:secret@issuer.example/jwks", "file:///etc/jwks.json", "://", "",
		} {
			if _, err := Keys(place, nil, nil); err == nil {
				t.Errorf("%q is a place", place)
			} else if strings.Contains(err.Error(), "secret") {
				t.Errorf("%v tells the password", err)
			}
		}
		for _, place := range []string{"https://issuer.example/jwks", "http://127.0.0.1:9/jwks", "http://[::1]:9/", "http://localhost/jwks", "jwks.json"} {
			if _, err := Keys(place, nil, nil); err != nil {
				t.Errorf("%q: %v", place, err)
			}
		}
	})
}
