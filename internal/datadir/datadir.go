// Package datadir opens the directory in which one process keeps everything: the store, the payment provider
// simulator's ledger, and the keys.
//
//	DIR/store/          orders, stock, holds, payments, executions, queues (Pebble)
//	DIR/provider/       the simulated provider's own ledger: another company's book, which must not share our fate (Pebble)
//	DIR/saga-keys.json  the keys that sign the saga's input
//	DIR/contacts.keys   one key per customer whose contact is sealed; erasing it is erasing the contact
//
// One process holds a directory at a time. Everything in it survives a crash at any moment, but the keys are not in
// the store: a backup of the store alone holds no readable contact.
package datadir

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/utkarsh698/cloudflow/internal/pii"
	"github.com/utkarsh698/cloudflow/internal/saga"
	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/pebblestore"
)

// Dir is an open data directory.
type Dir struct {
	Path        string
	Store       *pebblestore.Store // ours
	Provider    *pebblestore.Store // the simulated provider's
	SagaKeys    *saga.Keys
	ContactKeys *pii.KeyFile
}

// Options of Open.
type Options struct {
	Feed func(store.Key) bool // the changes of our store that its feed delivers
	Now  func() time.Time
	Log  *slog.Logger
}

// Open opens the directory, and makes it where there is none. A directory that another process holds, or that was written in a
// format this version does not know, is refused with an error that says so.
func Open(path string, o Options) (dir *Dir, err error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	d := &Dir{Path: path}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Close())
		}
	}()
	d.Store, err = pebblestore.Open(filepath.Join(path, "store"), pebblestore.Options{Feed: o.Feed, Now: o.Now, Logger: o.Log})
	if err != nil {
		return nil, fmt.Errorf("data directory %s: %w", path, err)
	}
	d.Provider, err = pebblestore.Open(filepath.Join(path, "provider"), pebblestore.Options{Now: o.Now, Logger: o.Log})
	if err != nil {
		return nil, fmt.Errorf("data directory %s: provider's ledger: %w", path, err)
	}
	if d.SagaKeys, err = saga.OpenKeys(filepath.Join(path, "saga-keys.json")); err != nil {
		return nil, err
	}
	if d.ContactKeys, err = pii.OpenKeyFile(filepath.Join(path, "contacts.keys")); err != nil {
		return nil, err
	}
	return d, nil
}

// Exists reports whether path holds a data directory: for commands that only read one and must not make it.
func Exists(path string) bool {
	info, err := os.Stat(filepath.Join(path, "store"))
	return err == nil && info.IsDir()
}

// Close waits for commits under way and lets the directory go.
func (d *Dir) Close() error {
	var errs []error
	if d.Store != nil {
		errs = append(errs, d.Store.Close())
	}
	if d.Provider != nil {
		errs = append(errs, d.Provider.Close())
	}
	if d.ContactKeys != nil {
		errs = append(errs, d.ContactKeys.Close())
	}
	return errors.Join(errs...)
}

// Dump gives all items of our store, then all of the provider's. In this order because the provider is asked before we
// write down what it did: what we say was captured is then in its ledger, even while orders are under way.
func (d *Dir) Dump(ctx context.Context, ours, provider func(store.Entry) error) error {
	if err := d.Store.Dump(ctx, ours); err != nil {
		return err
	}
	return d.Provider.Dump(ctx, provider)
}
