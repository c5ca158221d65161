// Package token verifies the JWTs (RFC 7519) of an issuer that the operator has named.
//
// It promises: who is let in holds a token that the issuer signed with a key of its published set, for us, that is not over and has begun. Which
// key and which algorithms count is for our configuration to say and never for the token: an algorithm must be on the allow-list and be
// that of the key, keys and addresses of keys that a token brings along (jwk, jku, x5c, x5u) are not looked at, a critical extension
// (crit) is refused, for we know none, and so is a token without a key id.
//
// It refuses HMAC and "none" whatever the configuration says: with HMAC, whoever can check a token can make one.
//
// It keeps nothing that could be lost. A token cannot be called back; it is over when it is over, so the issuer is to make them short.
package token

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/utkarsh698/cloudflow/internal/auth"
)

const (
	// Leeway is how far the issuer's clock may be from ours, either way: what a machine without a time service loses in a month.
	Leeway = 30 * time.Second
	// maxBytes bounds a token before it is looked into. One with RSA-4096 and two dozen claims has 2 KiB; a header may have 16.
	maxBytes = 8 << 10
)

// algorithms are those that can be allowed: signatures that only the issuer can make.
var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
}

// DefaultAlgorithms are what today's issuers sign with.
const DefaultAlgorithms = "RS256,PS256,ES256,EdDSA"

// ParseAlgorithms reads names with commas between them.
func ParseAlgorithms(text string) ([]jose.SignatureAlgorithm, error) {
	var allowed []jose.SignatureAlgorithm
	for name := range strings.SplitSeq(text, ",") {
		alg := jose.SignatureAlgorithm(strings.TrimSpace(name))
		if !slices.Contains(algorithms, alg) {
			return nil, fmt.Errorf("%q is not an algorithm that can be allowed; there are %v", alg, algorithms)
		}
		allowed = append(allowed, alg)
	}
	return allowed, nil
}

// Config of a Verifier. All but Now is required.
type Config struct {
	Issuer     string // iss must be exactly this
	Audience   string // aud must be this, or a list with this in it
	Algorithms []jose.SignatureAlgorithm
	Keys       *KeySet
	Now        func() time.Time // nil: time.Now
}

// A Verifier says who a token stands for. It is safe for concurrent use.
type Verifier struct{ c Config }

// New returns a Verifier. It fails if something is missing without which any token would do.
func New(c Config) (*Verifier, error) {
	if c.Issuer == "" || c.Audience == "" || c.Keys == nil || len(c.Algorithms) == 0 {
		return nil, errors.New("token: issuer, audience, algorithms and keys are all needed")
	}
	for _, alg := range c.Algorithms {
		if !slices.Contains(algorithms, alg) {
			return nil, fmt.Errorf("token: the algorithm %s cannot be allowed", alg)
		}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Verifier{c}, nil
}

// Run keeps the issuer's keys current until ctx ends.
func (v *Verifier) Run(ctx context.Context) error { return v.c.Keys.Run(ctx) }

// Look reads the issuer's keys if they are old, or were never had: for who has no time to leave Run to, such as a function that is frozen
// between two calls. It waits for them, 5 s at most.
func (v *Verifier) Look(ctx context.Context) { v.c.Keys.refresh(ctx, false) }

// claims are those that count here.
type claims struct {
	jwt.Claims
	Scope  string   `json:"scope"`  // RFC 8693, section 4.2: names with spaces between them
	Scopes []string `json:"scopes"` // as some issuers have it
}

// Verify says who the token stands for: its subject, with those of our scopes that it names. fault.Unauthorized: it is not good, for
// the reason that the log has; fault.Unavailable: the issuer's keys could not be had yet.
func (v *Verifier) Verify(ctx context.Context, text string) (auth.Principal, error) {
	if len(text) > maxBytes {
		return auth.Principal{}, refused("it has %d bytes, over %d", len(text), maxBytes)
	}
	signed, err := jwt.ParseSigned(text, v.c.Algorithms)
	if err != nil {
		return auth.Principal{}, refused("%w", err)
	}
	header := signed.Headers[0] // the compact form has one
	if err := checkHeader(header); err != nil {
		return auth.Principal{}, refused("%w", err)
	}
	key, err := v.c.Keys.key(ctx, header.KeyID)
	if err != nil {
		return auth.Principal{}, err
	}
	if key.Algorithm != "" && key.Algorithm != header.Algorithm {
		return auth.Principal{}, refused("the key %q is for %s, not for %s", shorten(header.KeyID), key.Algorithm, header.Algorithm)
	}
	var c claims
	if err := signed.Claims(key.Key, &c); err != nil {
		return auth.Principal{}, refused("%w", err)
	}
	if err := v.check(c); err != nil {
		return auth.Principal{}, refused("%w", err)
	}
	return auth.Principal{Subject: c.Subject, Scopes: c.scopes()}, nil
}

// checkHeader refuses what is signed well and is no access token, or says that it cannot be understood without knowing more than we do.
func checkHeader(h jose.Header) error {
	if h.KeyID == "" {
		return errors.New("it names no key (kid)")
	}
	for _, name := range []jose.HeaderKey{"crit", "b64"} {
		if _, there := h.ExtraHeaders[name]; there {
			return fmt.Errorf("its header has %q", name)
		}
	}
	typ, there := h.ExtraHeaders[jose.HeaderType]
	if !there {
		return nil
	}
	name, _ := typ.(string)
	switch strings.TrimPrefix(strings.ToLower(name), "application/") {
	case "jwt", "at+jwt": // RFC 9068, section 4; other types are signed with the same keys, and are not for this
		return nil
	}
	return fmt.Errorf("its type is %q", shorten(fmt.Sprint(typ)))
}

func (v *Verifier) check(c claims) error {
	if c.Expiry == nil {
		return errors.New("it never ends (no exp)")
	}
	expected := jwt.Expected{Issuer: v.c.Issuer, AnyAudience: jwt.Audience{v.c.Audience}, Time: v.c.Now()}
	if err := c.ValidateWithLeeway(expected, Leeway); err != nil {
		return err
	}
	if !auth.ValidSubject(c.Subject) {
		return fmt.Errorf("its subject %q cannot be a customer's id", shorten(c.Subject))
	}
	return nil
}

// scopes are those of ours; an issuer has others, which are nothing here.
func (c claims) scopes() auth.Scopes {
	var set auth.Scopes
	for _, name := range append(strings.Fields(c.Scope), c.Scopes...) {
		set |= auth.ScopesOf(auth.Scope(name))
	}
	return set
}

func refused(reason string, args ...any) error {
	return auth.Refused(fmt.Errorf("token: "+reason, args...))
}

// shorten cuts what a stranger wrote, for the log.
func shorten(text string) string {
	const most = 64
	if len(text) > most {
		return text[:most] + "..."
	}
	return text
}
