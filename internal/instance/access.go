package instance

import (
	"context"
	"crypto/tls"
	"net/http"

	"github.com/utkarsh698/cloudflow/internal/auth"
	"github.com/utkarsh698/cloudflow/internal/auth/apikey"
	"github.com/utkarsh698/cloudflow/internal/auth/caller"
	"github.com/utkarsh698/cloudflow/internal/auth/token"
)

// Access is who may call, and from where. The zero Access is development mode: everybody on this machine is admin, so its listeners must be
// on loopback. Whoever makes one sees to that.
type Access struct {
	Keys   bool            // API keys are taken
	Tokens *token.Verifier // takes JWTs; nil: none are
	CORS   []string        // origins whose pages may call from a browser
	TLS    *tls.Config     // of all listeners; nil: plain HTTP
	Split  bool            // routes for operators are on a listener of their own
}

// Development reports whether nobody has to prove anything.
func (a Access) Development() bool { return !a.Keys && a.Tokens == nil }

func (a Access) principal(keys *apikey.Keys) (func(*http.Request) (auth.Principal, error), error) {
	if a.Development() {
		return caller.Development(a.CORS...)
	}
	var c caller.Credentials
	if a.Keys {
		c.Keys = keys
	}
	if a.Tokens != nil {
		c.Tokens = a.Tokens
	}
	return c.Principal, nil
}

// run keeps the issuer's keys current until ctx ends.
func (a Access) run(ctx context.Context) error {
	if a.Tokens == nil {
		return nil
	}
	return a.Tokens.Run(ctx)
}
