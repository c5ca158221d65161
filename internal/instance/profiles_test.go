package instance_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime/pprof"
	"strings"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/api"
	"github.com/utkarsh698/cloudflow/internal/auth"
	"github.com/utkarsh698/cloudflow/internal/auth/apikey"
	"github.com/utkarsh698/cloudflow/internal/instance"
)

// split opens an instance that serves nothing yet, with a listener for operators and API keys.
func split(t *testing.T) *instance.Instance {
	t.Helper()
	i, err := instance.Open(instance.Config{Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler), Access: instance.Access{Keys: true, Split: true}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := i.Close(); err != nil {
			t.Error(err)
		}
	})
	return i
}

// bearerOf is a new key with those scopes, as a header.
func bearerOf(t *testing.T, i *instance.Instance, scopes ...auth.Scope) string {
	t.Helper()
	_, text, err := i.Keys.Create(t.Context(), apikey.Request{Subject: "s", Scopes: auth.ScopesOf(scopes...)})
	if err != nil {
		t.Fatal(err)
	}
	return "Bearer " + text
}

func asked(h http.Handler, method, path, bearer string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://127.0.0.1"+path, nil)
	if bearer != "" {
		r.Header.Set("Authorization", bearer)
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec
}

var profileNames = []string{"", "allocs", "block", "goroutine", "heap", "mutex", "threadcreate", "profile?seconds=1", "trace?seconds=1"}

func TestProfilesAreForOperatorsOnTheirListener(t *testing.T) {
	i := split(t)
	ops, customer := bearerOf(t, i, auth.ScopeAdmin), bearerOf(t, i, auth.ScopeOrdersRead, auth.ScopeOrdersWrite)
	for _, name := range profileNames {
		path := "/debug/pprof/" + name
		for _, c := range []struct {
			side   http.Handler
			bearer string
			status int
		}{
			{i.Admin, ops, http.StatusOK}, {i.Admin, customer, http.StatusForbidden}, {i.Admin, "", http.StatusUnauthorized},
			{i.Admin, "Bearer cfk_00000000_" + strings.Repeat("A", 43), http.StatusUnauthorized},
			{i.Handler, ops, http.StatusNotFound}, {i.Handler, customer, http.StatusNotFound}, {i.Handler, "", http.StatusNotFound},
		} {
			rec := asked(c.side, http.MethodGet, path, c.bearer)
			if rec.Code != c.status {
				t.Errorf("GET %s is answered %d, want %d: %.200s", path, rec.Code, c.status, rec.Body)
			}
			if c.status != http.StatusOK && rec.Header().Get("Content-Type") != "application/problem+json" {
				t.Errorf("GET %s is refused with %s", path, rec.Header().Get("Content-Type"))
			}
		}
	}
	t.Run("what is not named is not there", func(t *testing.T) {
		for _, path := range []string{
			"/debug", "/debug/", "/debug/pprof", "/debug/vars", "/debug/requests", "/debug/pprof/cmdline", "/debug/pprof/symbol", "/debug/pprof/no-such", "/debug/pprof/heap/x",
			"/debug/pprof//heap", "/debug//pprof/", "/debug/pprof/../pprof/heap", "/debug/pprof/heap/",
		} {
			if rec := asked(i.Admin, http.MethodGet, path, ops); rec.Code != http.StatusNotFound {
				t.Errorf("%s is answered %d: %.200s", path, rec.Code, rec.Body)
			}
		}
		if strings.Contains(string(api.Spec), "/debug") {
			t.Error("the contract names it")
		}
	})
	t.Run("they are read, for a time that has an end", func(t *testing.T) {
		if rec := asked(i.Admin, http.MethodPost, "/debug/pprof/heap", ops); rec.Code != http.StatusMethodNotAllowed {
			t.Errorf("POST is answered %d", rec.Code)
		}
		for _, query := range []string{"seconds=31", "seconds=0", "seconds=-1", "seconds=0.5", "seconds=1e9", "seconds=x", "rate=1", "seconds=1&seconds=2"} {
			if rec := asked(i.Admin, http.MethodGet, "/debug/pprof/profile?"+query, ops); rec.Code != http.StatusBadRequest {
				t.Errorf("%s is answered %d", query, rec.Code)
			}
		}
	})
	t.Run("a profile is one", func(t *testing.T) {
		rec := asked(i.Admin, http.MethodGet, "/debug/pprof/heap", ops)
		z, err := gzip.NewReader(bytes.NewReader(rec.Body.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		if text, err := io.ReadAll(z); err != nil || !bytes.Contains(text, []byte("inuse_space")) {
			t.Errorf("%d bytes, %v", len(text), err)
		}
	})
}

func TestWithoutAListenerForOperatorsThereAreNoProfiles(t *testing.T) {
	w := keyed(t)
	for _, name := range profileNames {
		w.call("GET", "/debug/pprof/"+name, nil).is(http.StatusNotFound).problem("NOT_FOUND")
	}
	development := newWorld(t)
	development.call("GET", "/debug/pprof/heap", nil).is(http.StatusNotFound).problem("NOT_FOUND")
}

// The longest profile takes nearly as long as an answer may, and a stop does not wait for it.
func TestAProfileEndsWithTheDrain(t *testing.T) {
	i := split(t)
	ops := bearerOf(t, i, auth.ScopeAdmin)
	var listeners [2]net.Listener
	for n := range listeners {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listeners[n] = l
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- i.ServeSplit(ctx, listeners[0], listeners[1]) }()
	began := time.Now()
	type outcome struct {
		status int
		err    error
	}
	got := make(chan outcome, 1)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+listeners[1].Addr().String()+"/debug/pprof/trace?seconds=30", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", ops)
	go func() {
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			got <- outcome{0, err}
			return
		}
		_, err = io.Copy(io.Discard, resp.Body)
		got <- outcome{resp.StatusCode, errors.Join(err, resp.Body.Close())}
	}()
	eventually(t, "the trace has begun", func() bool {
		var stacks bytes.Buffer
		if err := pprof.Lookup("goroutine").WriteTo(&stacks, 1); err != nil {
			t.Fatal(err)
		}
		return strings.Contains(stacks.String(), "net/http/pprof.sleep")
	})
	stop()
	if o := <-got; o.err != nil || o.status != http.StatusOK {
		t.Errorf("the trace is answered %d, %v", o.status, o.err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 25*time.Second {
		t.Errorf("the stop has waited for it: %s", took)
	}
}
