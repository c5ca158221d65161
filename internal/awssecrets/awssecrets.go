// Package awssecrets reads secrets of AWS Secrets Manager, keeps them for a while, and rotates them.
//
// It promises: who asks gets a value at once if there is one, and the one who comes after its time to live has it looked at again, on his own
// time and at most once at once; all others have the old one meanwhile. While Secrets Manager fails the old value counts, up to a limit; then the
// error says so. A secret that was rotated comes with the value before it, so that what was signed with that still verifies. No error and no
// log line quotes a value.
//
// There is no goroutine: a Lambda function is frozen between two events, and what runs beside its handler stops in the middle of a call.
package awssecrets

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"github.com/utkarsh698/cloudflow/internal/awscall"
	"github.com/utkarsh698/cloudflow/internal/fault"
)

// The stages of a secret's versions.
const (
	current  = "AWSCURRENT"
	previous = "AWSPREVIOUS"
	pending  = "AWSPENDING"
)

// The defaults of a Config.
const (
	DefaultTTL      = 5 * time.Minute
	DefaultMaxStale = time.Hour
	// pace is the least time from one look to the next, whatever asks for it: a flood of signatures with unknown keys is one call. Before it
	// was ever had nothing works, and firstPace is soon enough.
	pace      = 10 * time.Second
	firstPace = time.Second
)

// Config of a Secret.
type Config struct {
	ID       string         // its name or ARN
	TTL      time.Duration  // after which it is looked at again, default DefaultTTL
	MaxStale time.Duration  // since it was last had, after which it counts no more, default DefaultMaxStale
	Calls    awscall.Limits // of each call; default 1 s a try, three tries: a caller waits for it
	Now      func() time.Time
	Log      *slog.Logger
}

// A Value is what a secret holds.
type Value struct {
	Current  []byte
	Previous []byte // before the last rotation; nil if there was none
	Version  string // of Current
}

// A Secret is one secret of Secrets Manager. It is safe for concurrent use.
type Secret struct {
	c      Config
	client *secretsmanager.Client

	mu      sync.Mutex
	value   Value
	had     time.Time     // when the value was last had or confirmed; zero: never
	tried   time.Time     // when it was last asked for
	err     error         // of the last look
	looking chan struct{} // closed when the look that is under way ends; nil: none is
}

// Open returns the secret. It asks nobody.
func Open(config aws.Config, c Config) *Secret {
	if c.TTL <= 0 {
		c.TTL = DefaultTTL
	}
	if c.MaxStale <= 0 {
		c.MaxStale = DefaultMaxStale
	}
	if c.Calls == (awscall.Limits{}) {
		c.Calls = awscall.Limits{Try: time.Second, Attempts: 3, Pause: 500 * time.Millisecond}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Secret{c: c, client: secretsmanager.NewFromConfig(awscall.Bounded(config, c.Calls))}
}

// Get returns the value. fault.Transient and fault.Throttled: it was never had, or not for too long, and cannot be had now; fault.Internal: and Secrets
// Manager refuses, such as for a secret that does not exist.
func (s *Secret) Get(ctx context.Context) (Value, error) { return s.get(ctx, false) }

// Fresh is Get after a look, unless there was one in the last ten seconds.
func (s *Secret) Fresh(ctx context.Context) (Value, error) { return s.get(ctx, true) }

func (s *Secret) get(ctx context.Context, fresh bool) (Value, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.c.Now()
	usable := !s.had.IsZero() && now.Sub(s.had) < s.c.MaxStale
	due := now.Sub(s.tried) >= pace && (fresh || s.err != nil || now.Sub(s.had) >= s.c.TTL)
	if s.had.IsZero() {
		due = now.Sub(s.tried) >= firstPace
	}
	switch {
	case s.looking != nil && (fresh || !usable):
		s.wait(ctx)
	case s.looking == nil && due:
		s.look(ctx)
	}
	if !s.had.IsZero() && s.c.Now().Sub(s.had) < s.c.MaxStale {
		return s.value, nil
	}
	err := s.err
	if err == nil {
		err = ctx.Err()
	}
	switch {
	case s.had.IsZero():
		return Value{}, fault.Wrap(kindOf(err), err, "the secret %s cannot be had", s.c.ID)
	default:
		return Value{}, fault.Wrap(kindOf(err), err, "the secret %s cannot be had for %v", s.c.ID, s.c.Now().Sub(s.had).Round(time.Second))
	}
}

func kindOf(err error) fault.Kind {
	if err == nil {
		return fault.Transient
	}
	return fault.KindOf(err)
}

// wait waits for the look that is under way. The caller holds mu.
func (s *Secret) wait(ctx context.Context) {
	looking := s.looking
	s.mu.Unlock()
	defer s.mu.Lock()
	select {
	case <-looking:
	case <-ctx.Done():
	}
}

// look asks for the value. The caller holds mu.
func (s *Secret) look(ctx context.Context) {
	done := make(chan struct{})
	s.looking, s.tried = done, s.c.Now()
	had := s.value
	s.mu.Unlock()
	// A caller that goes does not take the answer from those who wait for it, too.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.c.Calls.Total())
	value, err := s.fetch(ctx, had)
	cancel()
	s.mu.Lock()
	s.looking = nil
	close(done)
	switch {
	case err != nil && s.err == nil: // an outage is said once, and so is its end
		s.c.Log.LogAttrs(ctx, slog.LevelWarn, "A secret cannot be read; the last one counts", slog.String("secret", s.c.ID), slog.Any("error", err))
	case err == nil && s.err != nil && !s.had.IsZero():
		s.c.Log.LogAttrs(ctx, slog.LevelInfo, "A secret can be read again", slog.String("secret", s.c.ID))
	}
	if s.err = err; err == nil {
		s.value, s.had = value, s.c.Now()
	}
}

// fetch reads the value, and the one before it if it is another than the one that we had: no more calls than needed, since each has a price.
func (s *Secret) fetch(ctx context.Context, had Value) (Value, error) {
	text, version, err := s.read(ctx, current)
	if err != nil || version == had.Version && had.Version != "" {
		had.Current = text
		return had, err
	}
	before, _, err := s.read(ctx, previous)
	var none *types.ResourceNotFoundException
	if err != nil && !errors.As(err, &none) {
		return Value{}, err
	}
	return Value{Current: text, Previous: before, Version: version}, nil
}

func (s *Secret) read(ctx context.Context, stage string) (text []byte, version string, err error) {
	out, err := s.client.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &s.c.ID, VersionStage: aws.String(stage)})
	if err != nil {
		return nil, "", awscall.Fault(err, "awssecrets: read "+stage)
	}
	return textOf(out), aws.ToString(out.VersionId), nil
}

func textOf(out *secretsmanager.GetSecretValueOutput) []byte {
	if out.SecretString != nil {
		return []byte(*out.SecretString)
	}
	return out.SecretBinary
}
