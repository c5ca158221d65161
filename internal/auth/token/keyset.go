package token

import (
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/utkarsh698/cloudflow/internal/fault"
)

const (
	// fetchTime bounds one look at the source: an issuer that takes longer is away.
	fetchTime = 5 * time.Second
	// maxSetBytes bounds what is read of it; a key is under 2 KiB, with its certificates.
	maxSetBytes = 256 << 10
	// maxKeys bounds what is kept: an issuer has two, or four while it rotates.
	maxKeys = 64
	// minRSABits is what RFC 7518, section 3.3 asks for.
	minRSABits = 2048
)

// A KeySet is the issuer's published keys (JWKS, RFC 7517), as they were when they were last had. It is read again now and then (Run), and when
// a token names a key that is not in it, but not more often than once in the source's pace: a flood of made-up key ids is one
// request. If the issuer is away, or publishes what cannot be read, the last good set goes on counting.
type KeySet struct {
	source source
	now    func() time.Time
	log    *slog.Logger

	mu      sync.Mutex
	keys    map[string]jose.JSONWebKey // by id; nil: never had
	tried   time.Time                  // when it was last asked for
	failing bool                       // the last time it could not be had
	reading chan struct{}              // closed when the look that is under way ends; nil: none is
}

// A source is where the keys are published.
type source struct {
	name  string
	file  bool
	every time.Duration // how old the set gets
	pace  time.Duration // the least time from one look to the next
	read  func(ctx context.Context) ([]byte, error)
}

// errUnchanged is the answer of a source that knows that its text is what it was.
var errUnchanged = errors.New("unchanged")

func newKeySet(s source, now func() time.Time, log *slog.Logger) *KeySet {
	if now == nil {
		now = time.Now
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &KeySet{source: s, now: now, log: log}
}

// Load reads the set now.
func (s *KeySet) Load(ctx context.Context) error {
	text, err := s.source.read(ctx)
	if err == nil {
		err = s.take(text)
	}
	return err
}

// Begin reads the set if it is in a file, which should be there. An issuer may be away for a while: its keys are asked for by Run, and by the
// first token.
func (s *KeySet) Begin(ctx context.Context) error {
	if !s.source.file {
		return nil
	}
	return s.Load(ctx)
}

// Run reads the set again when it is old, or could not be had, until ctx ends.
func (s *KeySet) Run(ctx context.Context) error {
	ticker := time.NewTicker(s.source.pace)
	defer ticker.Stop()
	for {
		s.refresh(ctx, false)
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// key returns the key of that id. Unknown, the source is asked first, if it may be.
func (s *KeySet) key(ctx context.Context, id string) (jose.JSONWebKey, error) {
	if key, ok, _ := s.find(id); ok {
		return key, nil
	}
	s.refresh(ctx, true)
	key, ok, had := s.find(id)
	switch {
	case ok:
		return key, nil
	case !had:
		return key, fault.New(fault.Unavailable, "Credentials cannot be checked now.")
	}
	return key, refused("there is no key %q at %s", shorten(id), s.source.name)
}

func (s *KeySet) find(id string) (key jose.JSONWebKey, ok, had bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key, ok = s.keys[id]
	return key, ok, s.keys != nil
}

// refresh reads the set if it is missed, old or could not be had, and the source may be asked again. Who comes while another reads waits
// for that one.
func (s *KeySet) refresh(ctx context.Context, missed bool) {
	s.mu.Lock()
	if reading := s.reading; reading != nil {
		s.mu.Unlock()
		select {
		case <-reading:
		case <-ctx.Done():
		}
		return
	}
	age := s.now().Sub(s.tried)
	if !s.tried.IsZero() && (age < s.source.pace || !missed && !s.failing && age < s.source.every) {
		s.mu.Unlock()
		return
	}
	done := make(chan struct{})
	s.reading, s.tried = done, s.now()
	s.mu.Unlock()

	// A caller that hangs up does not take the answer from those who wait for it, too.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTime)
	defer cancel()
	err := s.Load(ctx)

	s.mu.Lock()
	defer s.mu.Unlock()
	failed := err != nil
	if errors.Is(err, errUnchanged) { // what could not be used then cannot now
		failed = s.failing
	}
	switch {
	case failed && !s.failing: // an outage is said once, and so is its end
		s.log.LogAttrs(ctx, slog.LevelWarn, "Signing keys cannot be read; the last good ones count",
			slog.String("source", s.source.name), slog.Int("keys", len(s.keys)), slog.Any("error", err))
	case !failed && s.failing:
		s.log.LogAttrs(ctx, slog.LevelInfo, "Signing keys can be read again", slog.String("source", s.source.name))
	}
	s.failing, s.reading = failed, nil
	close(done)
}

// take makes the text the set. A set without a key that can be used is refused like one that is no JSON: nobody publishes one on purpose.
func (s *KeySet) take(text []byte) error {
	var set struct{ Keys []json.RawMessage }
	if err := json.Unmarshal(text, &set); err != nil {
		return fmt.Errorf("%s is no JSON Web Key Set: %w", s.source.name, err)
	}
	keys := make(map[string]jose.JSONWebKey)
	for _, raw := range set.Keys {
		var key jose.JSONWebKey
		// What is of a kind that we do not know is for others (RFC 7517, section 5).
		if json.Unmarshal(raw, &key) != nil || !usable(key) {
			continue
		}
		if _, twice := keys[key.KeyID]; twice {
			return fmt.Errorf("%s has the key %q twice", s.source.name, shorten(key.KeyID))
		}
		if keys[key.KeyID] = key; len(keys) > maxKeys {
			return fmt.Errorf("%s has over %d keys", s.source.name, maxKeys)
		}
	}
	if len(keys) == 0 {
		return fmt.Errorf("%s has no key for signatures, with an id (kid) and public", s.source.name)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = keys
	return nil
}

// usable reports whether signatures may be checked with the key. A private key has no business in a published set, and a symmetric
// one would make its readers issuers.
func usable(key jose.JSONWebKey) bool {
	if key.KeyID == "" || key.Use != "" && key.Use != "sig" || !key.Valid() || !key.IsPublic() {
		return false
	}
	if k, ok := key.Key.(*rsa.PublicKey); ok {
		return k.N.BitLen() >= minRSABits
	}
	return true
}
