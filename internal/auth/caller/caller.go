// Package caller says who sent an HTTP request: it takes the credentials off it and asks whoever can check them.
//
// It promises: one request has one credential, sent as RFC 6750 says (Authorization: Bearer) or as X-Api-Key; what is not checked is not let
// in. Credentials stand in headers that no browser sends by itself, so a page of somebody else's cannot use them (no CSRF).
//
// Development is the other way: nobody proves anything. It holds only for requests that a page in a browser could not have sent to a
// machine that is not its own.
package caller

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/utkarsh698/cloudflow/internal/auth"
	"github.com/utkarsh698/cloudflow/internal/auth/apikey"
	"github.com/utkarsh698/cloudflow/internal/fault"
)

// A Verifier says who a credential stands for: fault.Unauthorized (auth.Refused), or that it cannot be checked now.
type Verifier interface {
	Verify(ctx context.Context, credential string) (auth.Principal, error)
}

// Credentials is the principal of requests that have to prove who sends them. A nil Verifier knows nobody.
type Credentials struct {
	Keys   Verifier // of API keys
	Tokens Verifier // of JWTs
}

// Principal says who sent the request. fault.Unauthorized: it brought no credential (auth.ErrMissing), or one that is not good;
// fault.BadRequest: it brought several, and which of them counts would be a guess.
func (c Credentials) Principal(r *http.Request) (auth.Principal, error) {
	credential, err := credentialOf(r.Header)
	if err != nil {
		return auth.Principal{}, err
	}
	verifier := c.Tokens
	if strings.HasPrefix(credential, apikey.Prefix) {
		verifier = c.Keys
	}
	if verifier == nil {
		return auth.Principal{}, auth.Refused(errors.New("this kind of credential is not taken here"))
	}
	return verifier.Verify(r.Context(), credential)
}

// Given reports whether the request brought a credential, good or bad.
func Given(h http.Header) bool { return len(h["Authorization"]) > 0 || len(h["X-Api-Key"]) > 0 }

func credentialOf(h http.Header) (string, error) {
	lines, keys := h["Authorization"], h["X-Api-Key"]
	switch {
	case len(lines)+len(keys) == 0:
		return "", auth.ErrMissing
	case len(lines)+len(keys) > 1:
		return "", fault.New(fault.BadRequest, "Send one credential: Authorization or X-Api-Key, once.").With("field", "Authorization")
	case len(keys) == 1:
		if !strings.HasPrefix(keys[0], apikey.Prefix) {
			return "", auth.Refused(errors.New("X-Api-Key holds no API key"))
		}
		return keys[0], nil
	}
	scheme, credential, _ := strings.Cut(lines[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", auth.Refused(errors.New("the scheme of Authorization is not Bearer"))
	}
	return strings.TrimLeft(credential, " "), nil
}
