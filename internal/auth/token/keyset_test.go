package token

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/utkarsh698/cloudflow/internal/fault"
)

// by is a good token that a key of the name has signed.
func (w *world) by(name, kid string) string {
	alg := map[string]jose.SignatureAlgorithm{"rsa": jose.RS256, "attacker": jose.RS256, "ec": jose.ES256, "ed": jose.EdDSA, "weak": jose.RS256}[name]
	return sign(w.t, alg, name, kid, good(nil), nil)
}

func TestRotation(t *testing.T) {
	t.Run("a new key is asked for when a token first names it", func(t *testing.T) {
		w := newWorld(t, jwks(published("ec", "e1")))
		w.passes(w.by("ec", "e1"))
		w.issuer.publishes(jwks(published("ec", "e1"), published("ed", "d1")))
		w.now = w.now.Add(urlPace)
		w.passes(w.by("ed", "d1"))
		if n := w.issuer.asked.Load(); n != 2 {
			t.Errorf("asked %d times", n)
		}
	})
	t.Run("a key that is withdrawn counts no more", func(t *testing.T) {
		w := newWorld(t, jwks(published("ec", "e1"), published("ed", "d1")))
		w.passes(w.by("ed", "d1"))
		w.issuer.publishes(jwks(published("ec", "e1")))
		w.now = w.now.Add(urlPace)
		w.refuses(w.by("ec", "e9"), "no key") // which has the set read again
		w.refuses(w.by("ed", "d1"), "no key")
		w.passes(w.by("ec", "e1"))
	})
	t.Run("a look has old keys read again, and young ones not", func(t *testing.T) {
		w := newWorld(t, jwks(published("ec", "e1"), published("ed", "d1")))
		w.passes(w.by("ed", "d1"))
		w.issuer.publishes(jwks(published("ec", "e1")))
		w.now = w.now.Add(urlEvery - 1)
		w.Look(t.Context())
		w.passes(w.by("ed", "d1"))
		w.now = w.now.Add(1)
		w.Look(t.Context())
		w.refuses(w.by("ed", "d1"), "no key")
	})
	t.Run("a flood of unknown keys is one question in ten seconds", func(t *testing.T) {
		w := newWorld(t, jwks(published("ec", "e1")))
		var g sync.WaitGroup
		for i := range 200 {
			g.Go(func() {
				if _, err := w.Verify(t.Context(), w.by("ec", fmt.Sprint("made-up-", i))); !fault.Is(err, fault.Unauthorized) {
					t.Errorf("%v", err)
				}
			})
		}
		g.Wait()
		if n := w.issuer.asked.Load(); n != 1 {
			t.Errorf("asked %d times", n)
		}
		w.now = w.now.Add(urlPace - 1)
		w.refuses(w.by("ec", "made-up"), "no key")
		if n := w.issuer.asked.Load(); n != 1 {
			t.Errorf("asked %d times before the ten seconds were over", n)
		}
		w.now = w.now.Add(1)
		w.refuses(w.by("ec", "made-up"), "no key")
		if n := w.issuer.asked.Load(); n != 2 {
			t.Errorf("asked %d times after them", n)
		}
	})
	t.Run("callers who come while the keys are being read wait for them", func(t *testing.T) {
		w := newWorld(t, "")
		come, answer := make(chan struct{}), make(chan struct{})
		w.issuer.answers(func(rw http.ResponseWriter, _ *http.Request) {
			close(come)
			<-answer
			fmt.Fprint(rw, jwks(published("ec", "e1")))
		})
		text := w.by("ec", "e1")
		var g sync.WaitGroup
		verify := func(ctx context.Context) error {
			_, err := w.Verify(ctx, text)
			return err
		}
		// The first one hangs up: that is no reason to fail the others.
		impatient, hangUp := context.WithCancel(t.Context())
		g.Go(func() { _ = verify(impatient) })
		<-come
		for range 8 {
			g.Go(func() {
				if err := verify(t.Context()); err != nil {
					t.Errorf("%v", err)
				}
			})
		}
		hangUp()
		close(answer)
		g.Wait()
	})
	t.Run("it is read again every five minutes, and no more often while all is well", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var reads []time.Duration
			begin := time.Now()
			set := newKeySet(source{name: "s", every: urlEvery, pace: urlPace, read: func(context.Context) ([]byte, error) {
				reads = append(reads, time.Since(begin))
				return []byte(everyKind()), nil
			}}, nil, nil)
			ctx, stop := context.WithTimeout(t.Context(), 11*time.Minute)
			defer stop()
			if err := set.Run(ctx); err != nil || len(reads) != 3 || reads[0] != 0 || reads[1] != 5*time.Minute || reads[2] != 10*time.Minute {
				t.Errorf("read at %v, %v", reads, err)
			}
		})
	})
}

func TestAnIssuerThatIsAway(t *testing.T) {
	ways := map[string]http.HandlerFunc{
		"it answers 500":     func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"it answers no JSON": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") },
		"it has no key":      func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"keys":[]}`) },
		"it answers null":    func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `null`) },
		"it has one key id twice": func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, jwks(published("ec", "k"), published("ed", "k")))
		},
		"it redirects": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
		},
		"it hangs up": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"its set has a megabyte": func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"keys":[], "x":"`, strings.Repeat("x", 1<<20), `"}`)
		},
		"it says that nothing is changed": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotModified) },
	}
	for rule, way := range ways {
		t.Run("the last good keys count when "+rule, func(t *testing.T) {
			w := newWorld(t, jwks(published("ec", "e1")))
			w.passes(w.by("ec", "e1"))
			w.issuer.answers(way)
			w.now = w.now.Add(urlPace)
			w.refuses(w.by("ed", "d1"), "no key")
			w.passes(w.by("ec", "e1"))
			if n := w.issuer.asked.Load(); n < 2 || n > 3 { // net/http tries again on a connection that was hung up
				t.Errorf("asked %d times", n)
			}
			w.issuer.publishes(jwks(published("ed", "d1")))
			w.now = w.now.Add(urlPace)
			w.passes(w.by("ed", "d1"))
		})
		t.Run("nobody is let in, and nobody called wrong, when from the beginning "+rule, func(t *testing.T) {
			w := newWorld(t, "")
			w.issuer.answers(way)
			if _, err := w.Verify(t.Context(), w.by("ec", "e1")); !fault.Is(err, fault.Unavailable) {
				t.Errorf("%v", err)
			}
			w.issuer.publishes(jwks(published("ec", "e1")))
			w.now = w.now.Add(urlPace)
			w.passes(w.by("ec", "e1"))
		})
	}
	t.Run("that it is away is logged once, and that it is back", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var log bytes.Buffer
			begin, reads := time.Now(), 0
			set := newKeySet(source{name: "s", every: urlEvery, pace: urlPace, read: func(context.Context) ([]byte, error) {
				if reads++; time.Since(begin) < time.Minute {
					return nil, context.DeadlineExceeded
				}
				return []byte(everyKind()), nil
			}}, nil, slog.New(slog.NewJSONHandler(&log, nil)))
			ctx, stop := context.WithTimeout(t.Context(), 2*time.Minute)
			defer stop()
			if err := set.Run(ctx); err != nil || reads != 7 { // at 0, 10 .. 60 s
				t.Errorf("%d reads, %v", reads, err)
			}
			if text := log.String(); strings.Count(text, "\n") != 2 || !strings.Contains(text, "cannot be read") || !strings.Contains(text, "can be read again") {
				t.Errorf("%s", text)
			}
		})
	})
	t.Run("that does not answer is given up after five seconds", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			set := newKeySet(source{name: "s", every: urlEvery, pace: urlPace, read: func(ctx context.Context) ([]byte, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}}, nil, nil)
			begin := time.Now()
			if _, err := set.key(t.Context(), "k"); !fault.Is(err, fault.Unavailable) || time.Since(begin) != fetchTime {
				t.Errorf("%v after %s", err, time.Since(begin))
			}
		})
	})
}

func TestKeysThatAreNotUsed(t *testing.T) {
	private, err := (&jose.JSONWebKey{Key: material()["ed"], KeyID: "private"}).MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	for kid, text := range map[string]string{
		"enc":     jwks(published("ec", "enc", func(k *jose.JSONWebKey) { k.Use = "enc" }), published("rsa", "r1")),
		"weak":    jwks(published("weak", "weak"), published("rsa", "r1")),
		"private": `{"keys":[` + string(private) + `,` + strings.TrimPrefix(jwks(published("rsa", "r1")), `{"keys":[`),
		"oct":     `{"keys":[{"kty":"oct","kid":"oct","k":"c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"},` + strings.TrimPrefix(jwks(published("rsa", "r1")), `{"keys":[`),
		"new":     `{"keys":[{"kty":"QUANTUM","kid":"new"},7,` + strings.TrimPrefix(jwks(published("rsa", "r1")), `{"keys":[`),
	} {
		t.Run(kid, func(t *testing.T) {
			w := newWorld(t, text)
			w.passes(w.by("rsa", "r1")) // one that cannot be used does not spoil the others
			w.refuses(w.by("ed", kid), "no key")
		})
	}
	t.Run("for another algorithm than it is published for", func(t *testing.T) {
		w := newWorld(t, jwks(published("rsa", "r1", func(k *jose.JSONWebKey) { k.Algorithm = "PS256" })))
		w.refuses(w.by("rsa", "r1"), "is for PS256")
		w.passes(sign(t, jose.PS256, "rsa", "r1", good(nil), nil))
	})
}

func TestAFileOfKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jwks.json")
	write := func(text string) {
		draft := path + ".new"
		if err := os.WriteFile(draft, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(draft, path); err != nil {
			t.Fatal(err)
		}
	}
	w := newWorld(t, "")
	keys, err := Keys(path, w.clock, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.c.Keys = keys
	t.Run("that is not there is an error when it is loaded", func(t *testing.T) {
		if err := keys.Load(t.Context()); err == nil {
			t.Error("it is there")
		}
	})
	t.Run("is read again when it has changed", func(t *testing.T) {
		write(jwks(published("ec", "e1")))
		w.passes(w.by("ec", "e1"))
		write(jwks(published("ed", "d1")))
		w.now = w.now.Add(fileEvery)
		keys.refresh(t.Context(), false)
		w.passes(w.by("ed", "d1"))
		w.refuses(w.by("ec", "e1"), "no key")
	})
	t.Run("that is broken, or gone, leaves the last good keys", func(t *testing.T) {
		for _, spoil := range []func(){func() { write("{") }, func() { _ = os.Remove(path) }} {
			spoil()
			for range 3 {
				w.now = w.now.Add(fileEvery)
				keys.refresh(t.Context(), false)
				w.passes(w.by("ed", "d1"))
			}
			if !keys.failing {
				t.Error("nothing is wrong, it seems")
			}
		}
		write(jwks(published("ec", "e1")))
		w.now = w.now.Add(fileEvery)
		w.passes(w.by("ec", "e1"))
		if keys.failing {
			t.Error("it is still called broken")
		}
	})
	t.Run("of over 256 KiB is not read", func(t *testing.T) {
		write(jwks(published("ed", "d1")) + strings.Repeat(" ", maxSetBytes))
		w.now = w.now.Add(fileEvery)
		w.refuses(w.by("ed", "d1"), "no key")
		w.passes(w.by("ec", "e1"))
	})
}
