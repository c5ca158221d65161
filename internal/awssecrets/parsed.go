package awssecrets

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/utkarsh698/cloudflow/internal/fault"
)

// A Parsed is what a secret's value means, such as the saga's keys:
//
//	parsed := awssecrets.Parse(secret, saga.ParseKeys)
//	keys, err := saga.FollowKeys(parsed.Follow)
type Parsed[T any] struct {
	secret *Secret
	parse  func(text []byte, others ...[]byte) (T, error)

	mu      sync.Mutex
	version string // that was parsed last
	good    T      // the last that could be
	has     bool
}

// Parse reads the secret's value with parse, which gets the current text and then, if there is one, the text before it. Its error must quote
// neither.
func Parse[T any](s *Secret, parse func(text []byte, others ...[]byte) (T, error)) *Parsed[T] {
	return &Parsed[T]{secret: s, parse: parse}
}

// Get is what the secret's value means now; it is parsed once for each version. Where a new version cannot be used the last good one counts, and a line in
// the log says so. fault.Internal: there is none.
func (p *Parsed[T]) Get(ctx context.Context) (T, error) { return p.get(ctx, p.secret.Get) }

// Fresh is Get of a value that was just looked at.
func (p *Parsed[T]) Fresh(ctx context.Context) (T, error) { return p.get(ctx, p.secret.Fresh) }

// Follow is Get or Fresh, for who has no context. The calls end by themselves.
func (p *Parsed[T]) Follow(fresh bool) (T, error) {
	if fresh {
		return p.Fresh(context.Background())
	}
	return p.Get(context.Background())
}

func (p *Parsed[T]) get(ctx context.Context, get func(context.Context) (Value, error)) (none T, err error) {
	value, err := get(ctx)
	if err != nil {
		return none, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.has && p.version == value.Version {
		return p.good, nil
	}
	var others [][]byte
	if value.Previous != nil {
		others = [][]byte{value.Previous}
	}
	good, err := p.parse(value.Current, others...)
	switch {
	case err == nil:
		p.good, p.has = good, true
	case !p.has:
		return none, fault.Wrap(fault.Internal, err, "the secret %s, version %s, cannot be used", p.secret.c.ID, value.Version)
	default:
		p.secret.c.Log.LogAttrs(ctx, slog.LevelError, "A new version of a secret cannot be used; the last good one counts",
			slog.String("secret", p.secret.c.ID), slog.String("version", value.Version), slog.Any("error", err))
	}
	p.version = value.Version
	return p.good, nil
}

// String names the secret, and shows nothing of it.
func (v Value) String() string { return fmt.Sprintf("secret of version %s", v.Version) }

// GoString is String: a value shows itself in no verb of fmt.
func (v Value) GoString() string { return v.String() }
