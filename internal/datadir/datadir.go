// Package datadir opens the directory in which one process keeps everything: the store, the payment provider
// simulator's ledger, and the keys.
//
//	DIR/store/          orders, stock, holds, payments, executions, queues (Pebble)
//	DIR/provider/       the simulated provider's own ledger: another company's book, which must not share our fate (Pebble)
//	DIR/saga-keys.json  the keys that sign the saga's input
//	DIR/contacts.keys   one key per customer whose contact is sealed; erasing it is erasing the contact
//	DIR/MOVED.json      only where the shop has moved elsewhere: where to. Such a directory is read, and served no more
//
// One process holds a directory at a time. Everything in it survives a crash at any moment, but the keys are not in
// the store: a copy of the store alone holds no readable contact.
//
// A backup (Dir.Backup, Unpack, Restore) is a directory with the same parts and a manifest. It holds the keys, so an erasure has to be made
// in it too: EraseIn.
package datadir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/utkarsh698/cloudflow/internal/pii"
	"github.com/utkarsh698/cloudflow/internal/saga"
	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/pebblestore"
)

// The parts of a data directory.
const (
	storeDir        = "store"
	providerDir     = "provider"
	sagaKeysFile    = "saga-keys.json"
	contactKeysFile = "contacts.keys"
)

// ErrIncomplete is in the chain of Open's error if a part of a directory in use is missing.
var ErrIncomplete = errors.New("the data directory is incomplete")

// Dir is an open data directory.
type Dir struct {
	Path        string
	Store       *pebblestore.Store // ours
	Provider    *pebblestore.Store // the simulated provider's
	SagaKeys    *saga.Keys
	ContactKeys *pii.KeyFile

	now     func() time.Time
	copying sync.Mutex // held by the one backup that is under way
}

// Options of Open.
type Options struct {
	FeedKeys func(store.Key) bool // the items of our store whose changes its feed names
	KeepFeed time.Duration        // how long the feed does; 0: the store's default
	Now      func() time.Time
	Log      *slog.Logger
	Moved    bool // open a directory whose shop has moved, too: to read it, not to take orders

	Watch, WatchProvider pebblestore.Watch // are told how long commits of either store take
}

// Open opens the directory, and makes it where there is none. A directory that another process holds, that was written in a
// format this version does not know, of which a part is missing, or whose shop has moved (ErrMoved), is refused with an error that says so.
func Open(path string, o Options) (dir *Dir, err error) {
	d := &Dir{Path: path, now: o.Now}
	if d.now == nil {
		d.now = time.Now
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Close())
		}
	}()
	if err := storeThere(path); err != nil {
		return nil, err
	}
	// Makes path, too, and syncs it into the directory above, which os.MkdirAll does not: else a crash could take it away.
	d.Store, err = pebblestore.Open(filepath.Join(path, storeDir), pebblestore.Options{FeedKeys: o.FeedKeys, FeedRetention: o.KeepFeed, Now: o.Now, Logger: o.Log, Watch: o.Watch})
	if err != nil {
		return nil, fmt.Errorf("data directory %s: %w", path, err)
	}
	if !o.Moved {
		if err := d.stay(); err != nil {
			return nil, err
		}
	}
	// The store is locked, so nobody else is making a backup here.
	if err := os.RemoveAll(filepath.Join(path, checkpointDir)); err != nil {
		return nil, fmt.Errorf("data directory %s: what is left of a backup: %w", path, err)
	}
	if err := d.complete(); err != nil {
		return nil, err
	}
	d.Provider, err = pebblestore.Open(filepath.Join(path, providerDir), pebblestore.Options{Now: o.Now, Logger: o.Log, Watch: o.WatchProvider})
	if err != nil {
		return nil, fmt.Errorf("data directory %s: provider's ledger: %w", path, err)
	}
	if d.SagaKeys, err = saga.OpenKeys(filepath.Join(path, sagaKeysFile)); err != nil {
		return nil, err
	}
	if d.ContactKeys, err = pii.OpenKeyFile(filepath.Join(path, contactKeysFile)); err != nil {
		return nil, err
	}
	return d, nil
}

// complete refuses a directory that is in use and has lost a part: an empty one in its place would look well, and be a loss
// that only shows later. Without the keys that signed it, every order under way ends in review; without the ledger, no money has
// ever been captured.
func (d *Dir) complete() error {
	used := errors.New("there is an item")
	switch err := d.Store.Dump(context.Background(), func(store.Entry) error { return used }); {
	case err == nil:
		return nil // new, or the process died before its first commit: all parts are made before that
	case !errors.Is(err, used):
		return fmt.Errorf("data directory %s: %w", d.Path, err)
	}
	for _, part := range []string{providerDir, sagaKeysFile, contactKeysFile} {
		if _, err := os.Stat(filepath.Join(d.Path, part)); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("data directory %s: %w: %s is not there, and the store was used with it; put it back from a backup",
				d.Path, ErrIncomplete, part)
		}
	}
	return nil
}

// storeThere refuses a directory that has lost its store: the ledger is made after it, so without one it never was in use. A new
// store would take orders as if there had been none, and what was captured for the lost ones would belong to nobody.
func storeThere(path string) error {
	if Exists(path) {
		return nil
	}
	if _, err := os.Stat(filepath.Join(path, providerDir)); err == nil {
		return fmt.Errorf("data directory %s: %w: %s is not there, and %s is; put it back from a backup", path, ErrIncomplete, storeDir, providerDir)
	}
	return nil
}

// Exists reports whether path holds a data directory: for commands that only read one and must not make it.
func Exists(path string) bool {
	info, err := os.Stat(filepath.Join(path, storeDir))
	return err == nil && info.IsDir()
}

// StorePath is where the files of our store are.
func (d *Dir) StorePath() string { return filepath.Join(d.Path, storeDir) }

// ProviderPath is where the files of the simulated provider's store are.
func (d *Dir) ProviderPath() string { return filepath.Join(d.Path, providerDir) }

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
