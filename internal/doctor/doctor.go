// Package doctor says what a stopped data directory holds, and what of it looks wrong: the first look of whoever is called at night.
//
// It promises to change no item, and to read one state of each store. The state is that of the last commit; what only a running process
// knows, such as failures that a circuit has counted and not stored, it cannot tell. It judges by counting and not by the rules: whether the
// books are in order is package invariant's to say.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/utkarsh698/cloudflow/internal/auth/apikey"
	"github.com/utkarsh698/cloudflow/internal/breaker"
	"github.com/utkarsh698/cloudflow/internal/bus/storebus"
	"github.com/utkarsh698/cloudflow/internal/datadir"
	"github.com/utkarsh698/cloudflow/internal/flow"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/pebblestore"
)

// A Report is what was found.
type Report struct {
	Path          string           `json:"path"`
	Format        int              `json:"format"`
	StoreBytes    int64            `json:"store_bytes"`    // on disk
	ProviderBytes int64            `json:"provider_bytes"` // of the simulated provider's ledger
	FreeBytes     uint64           `json:"free_bytes"`     // of the file system
	MinFreeBytes  uint64           `json:"min_free_bytes"` // below it commits are refused
	Tables        []Table          `json:"tables"`         // ours, then the provider's, by name
	Orders        map[string]int64 `json:"orders"`         // by status; a status that no order has is not there
	Executions    Group            `json:"open_executions"`
	Queued        Group            `json:"queued"`
	Dead          Group            `json:"dead"`
	Feed          Feed             `json:"feed"`
	Keys          Keys             `json:"api_keys"`
	Breakers      []Breaker        `json:"breakers"`   // those that are not CLOSED
	Unreadable    []string         `json:"unreadable"` // the keys of the first items that cannot be decoded
	Wrong         []string         `json:"wrong"`      // a sentence each
}

// A Table is how much there is of one. Bytes are those of keys and attributes, before compression.
type Table struct {
	Name     string `json:"name"`
	Provider bool   `json:"provider,omitempty"` // it is the simulated provider's
	Items    int64  `json:"items"`
	Bytes    int64  `json:"bytes"`
}

// A Group is how many there are, and the oldest of them.
type Group struct {
	Count  int64      `json:"count"`
	Oldest string     `json:"oldest,omitempty"`
	Since  *time.Time `json:"since,omitempty"` // when the oldest began, or was sent
}

// Feed is what the live feed can be resumed over.
type Feed struct {
	Changes int64      `json:"changes"`
	Since   *time.Time `json:"since,omitempty"` // by the minute
}

// Keys are the API keys by whether they still open.
type Keys struct {
	Valid   int64 `json:"valid"`
	Expired int64 `json:"expired"`
	Revoked int64 `json:"revoked"`
}

// A Breaker is a circuit that is not closed.
type Breaker struct {
	Name      string     `json:"name"`
	State     string     `json:"state"`
	OpenUntil *time.Time `json:"open_until,omitempty"` // of one that is OPEN
}

// maxUnreadable is how many items that cannot be decoded are named: verify names all.
const maxUnreadable = 10

// Look opens the directory, which must be one (datadir.Exists), reads it and closes it. The errors are those of datadir.Open: another
// process holds it, the format is unknown, a part is missing.
func Look(ctx context.Context, path string, o datadir.Options) (report *Report, err error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	dir, err := datadir.Open(path, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, dir.Close()) }()
	l := &look{now: o.Now(), Report: &Report{
		Path: path, Format: pebblestore.FormatVersion, MinFreeBytes: pebblestore.MinFree, Orders: map[string]int64{},
		Tables: []Table{}, Breakers: []Breaker{}, Unreadable: []string{}, Wrong: []string{},
	}}
	if l.StoreBytes, err = sizeOf(dir.StorePath()); err != nil {
		return nil, err
	}
	if l.ProviderBytes, err = sizeOf(dir.ProviderPath()); err != nil {
		return nil, err
	}
	if l.FreeBytes, err = dir.Store.FreeBytes(); err != nil {
		return nil, fmt.Errorf("how much of the disk is free: %w", err)
	}
	if err := dir.Dump(ctx, l.ours, func(e store.Entry) error { l.count(e, true); return nil }); err != nil {
		return nil, err
	}
	feed, err := dir.Store.FeedExtent(ctx)
	if err != nil {
		return nil, err
	}
	if l.Feed.Changes = feed.Changes; feed.Changes > 0 {
		l.Feed.Since = &feed.Since
	}
	l.Wrong = l.judge(l.now)
	return l.Report, nil
}

type look struct {
	*Report
	now time.Time
}

// count adds an entry to its table. A dump comes by tables.
func (l *look) count(e store.Entry, provider bool) {
	n := len(l.Tables)
	if n == 0 || l.Tables[n-1].Name != e.Key.Table || l.Tables[n-1].Provider != provider {
		l.Tables = append(l.Tables, Table{Name: e.Key.Table, Provider: provider})
		n++
	}
	t := &l.Tables[n-1]
	t.Items++
	t.Bytes += int64(len(e.Key.PK) + len(e.Key.SK) + e.Item.Size())
}

func (l *look) ours(e store.Entry) error {
	l.count(e, false)
	var err error
	switch e.Key.Table {
	case order.Table:
		if order.IsHead(e.Key) {
			var head order.State
			if head, err = order.DecodeHead(e.Item); err == nil {
				l.Orders[head.Status]++
			}
		}
	case flow.Table:
		if x, ok := flow.Decode(e); ok && x.Open {
			l.Executions.add(x.Name, x.Started)
		}
	case storebus.Table:
		if m, ok := storebus.Decode(e); ok && m.Place == storebus.Dead {
			l.Dead.add(m.ID, m.SentAt)
		} else if ok {
			l.Queued.add(m.ID, m.SentAt)
		}
	case apikey.Table:
		var k apikey.Key
		if k, err = apikey.Decode(e); err == nil {
			l.Keys.add(k, l.now)
		}
	case breaker.Table:
		var b breaker.Stored
		if b, err = breaker.Decode(e); err == nil && b.State != breaker.Closed {
			l.Breakers = append(l.Breakers, brokenBy(b))
		}
	}
	if err != nil && len(l.Unreadable) < maxUnreadable {
		l.Unreadable = append(l.Unreadable, e.Key.String())
	}
	return nil
}

func brokenBy(b breaker.Stored) Breaker {
	out := Breaker{Name: b.Name, State: string(b.State)}
	if b.State == breaker.Open {
		out.OpenUntil = &b.OpenUntil
	}
	return out
}

func (g *Group) add(name string, since time.Time) {
	if g.Count++; g.Since == nil || since.Before(*g.Since) {
		g.Oldest, g.Since = name, &since
	}
}

func (k *Keys) add(key apikey.Key, now time.Time) {
	switch {
	case !key.RevokedAt.IsZero():
		k.Revoked++
	case !key.ExpiresAt.IsZero() && !now.Before(key.ExpiresAt):
		k.Expired++
	default:
		k.Valid++
	}
}

// sizeOf is what a directory's files hold. One that goes away meanwhile holds nothing: Pebble tidies up after it was opened.
func sizeOf(dir string) (n int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err == nil {
			n += info.Size()
		}
		return err
	})
	return n, err
}
