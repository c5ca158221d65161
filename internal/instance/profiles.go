package instance

import (
	"net/http"
	"net/http/pprof"
)

// profiles are what looks into the process, such as `go tool pprof` does: where its time and memory go, what its goroutines wait for. Who may
// look is package httpapi's to say.
//
// They are named one by one, and not taken from http.DefaultServeMux, on which everything that is imported can put a path: importing
// net/http/pprof does, and nothing serves that. Two of its own are absent: cmdline, since a command line may hold what is nobody's business,
// and symbol, which profiles of Go do without. The list, which is Go's, has links to both all the same.
func profiles() map[string]http.HandlerFunc {
	all := map[string]http.HandlerFunc{"": pprof.Index, "profile": pprof.Profile, "trace": pprof.Trace}
	for _, name := range []string{"allocs", "block", "goroutine", "heap", "mutex", "threadcreate"} {
		all[name] = pprof.Handler(name).ServeHTTP
	}
	return all
}
