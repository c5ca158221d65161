package caller

import (
	"net/http"

	"github.com/utkarsh698/cloudflow/internal/auth"
	"github.com/utkarsh698/cloudflow/internal/fault"
)

// Development is the principal where nobody proves anything, for an address of this machine alone: everybody is auth.Anonymous, an admin.
//
// Everybody on this machine includes its browser, and so every page that is open in it. Two things keep those out: a request must be
// addressed to this machine by a name of its own, or a page at a name whose address its owner changes to 127.0.0.1 would be of our
// origin (DNS rebinding); and a browser must not send what writes from a page of another origin (http.CrossOriginProtection).
// fault.Forbidden is what they hear. Pages of the trusted origins, which are those of --cors-origin, are let in.
func Development(trusted ...string) (func(*http.Request) (auth.Principal, error), error) {
	protection := http.NewCrossOriginProtection()
	for _, origin := range trusted {
		if err := protection.AddTrustedOrigin(origin); err != nil {
			return nil, err
		}
	}
	return func(r *http.Request) (auth.Principal, error) {
		if !auth.Loopback(r.Host) {
			return auth.Principal{}, errHost
		}
		if err := protection.Check(r); err != nil {
			return auth.Principal{}, errOrigin
		}
		return auth.Anonymous, nil
	}, nil
}

var (
	errHost = fault.New(fault.Forbidden,
		"There is no authentication here, so only requests to localhost, 127.0.0.1 or [::1] are answered.").With("field", "Host")
	errOrigin = fault.New(fault.Forbidden,
		"There is no authentication here, so pages of other origins may not write.").With("field", "Origin")
)
