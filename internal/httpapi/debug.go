package httpapi

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/utkarsh698/cloudflow/internal/auth"
	"github.com/utkarsh698/cloudflow/internal/fault"
)

// debugPath begins what looks into the process. It is in no document: what is there is Go's, and changes with Go.
const debugPath = "/debug/pprof/"

// debugPolicy is that of all profiles. They are of several media types, and `go tool pprof` asks for none.
var debugPolicy = policy{scope: auth.ScopeAdmin, anyType: true, query: []string{"seconds", "debug", "gc"}}

// getDebug answers from Config.Debug. A profile of some seconds ends when the server is about to stop, with what it has by then.
func (s *server) getDebug(w http.ResponseWriter, r *http.Request) {
	x := of(w)
	profile, there := s.debug[r.PathValue("profile")]
	if !there {
		s.refuse(x, r, errNoRoute)
		return
	}
	if text := r.URL.Query().Get("seconds"); text != "" {
		// net/http/pprof takes 30 s for what it cannot read.
		seconds, err := strconv.Atoi(text)
		if most := int(maxProfile / time.Second); err != nil || seconds < 1 || seconds > most {
			s.refuse(x, r, fault.New(fault.BadRequest, "seconds is a whole number from 1 to %d.", most).With("field", "seconds"))
			return
		}
	}
	s.log.InfoContext(r.Context(), "Profile asked for", "path", r.URL.Path, "actor", x.principal.Subject, "correlation_id", x.correlationID)
	x.outlast(maxProfile)
	ctx, cancel := context.WithTimeout(r.Context(), maxProfile+time.Minute) // of writing it
	defer cancel()
	defer s.drain.onStart(cancel)()
	x.Header().Set("Cache-Control", noStore)
	profile(x, r.WithContext(ctx))
}
