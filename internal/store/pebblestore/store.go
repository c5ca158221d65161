package pebblestore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// Store is a store.Store, a store.Feed, a store.FeedReader and a store.Dumper in one directory. It is safe for concurrent use.
type Store struct {
	opts Options
	dir  string
	log  *slog.Logger
	lock *pebble.Lock
	db   *pebble.DB

	current atomic.Pointer[view] // what readers see; nil once closed
	views   sync.WaitGroup       // views whose snapshots are open

	entrance  sync.RWMutex // held for reading while a transaction enters the queue, so that Close does not close it meanwhile
	closing   bool         // guarded by entrance
	queue     chan *commit
	still     sync.Mutex    // held while a group is committed, and by Still
	over      sync.Pool     // of *store.Tx, whose transactions succeeded: nobody has them any more
	done      sync.Pool     // of *commit, which were answered: the same
	committed chan struct{} // closed when the committer has ended

	life  context.Context // ends when Close begins, or the store died
	end   context.CancelFunc
	feeds sync.WaitGroup // runners of the feed; Add only under entrance
	fed   broadcast      // wakes them
	space space
	died  sync.Once
	dead  atomic.Bool

	trouble trouble // of flushes and compactions

	stats counters
}

var (
	_ store.Store      = (*Store)(nil)
	_ store.Feed       = (*Store)(nil)
	_ store.FeedReader = (*Store)(nil)
	_ store.Dumper     = (*Store)(nil)
)

// Open opens the directory, and makes it if there is none. Its errors are ErrLocked, ErrFormat, or what the file system says.
func Open(dir string, opts Options) (*Store, error) {
	opts = opts.withDefaults(dir)
	if opts.FS == vfs.Default {
		// Pebble tells a second opening in this process by the directory's name, so there must be only one name.
		canonical, err := canonicalDir(dir)
		if err != nil {
			return nil, fmt.Errorf("pebblestore: %w", err)
		}
		dir = canonical
	}
	if err := makeDir(opts.FS, dir); err != nil {
		return nil, fmt.Errorf("pebblestore: make %s: %w", dir, err)
	}
	held, err := lock(opts.FS, dir)
	if err != nil {
		return nil, err
	}
	s := &Store{
		opts:      opts,
		dir:       dir,
		log:       opts.Logger,
		lock:      held,
		queue:     make(chan *commit, queueLength),
		committed: make(chan struct{}),
	}
	s.life, s.end = context.WithCancel(context.Background())
	s.space = space{free: opts.FreeBytes, min: opts.MinFreeBytes, log: opts.Logger}
	seq, err := s.open()
	if err != nil {
		s.end()
		return nil, errors.Join(err, held.Close())
	}
	s.publish(seq)
	go newCommitter(s, seq).run()
	return s, nil
}

// open opens the database and returns the number of the last commit.
func (s *Store) open() (seq uint64, err error) {
	defer func() {
		if r := recover(); r != nil { // Pebble panics where a directory cannot be synced
			err = fmt.Errorf("pebblestore: open %s: %v", s.dir, r)
		}
	}()
	if err := checkFormat(s.opts.FS, s.dir); err != nil {
		return 0, err
	}
	db, err := pebble.Open(s.dir, s.pebbleOptions())
	if err != nil {
		return 0, fmt.Errorf("pebblestore: open %s: %w", s.dir, err)
	}
	if seq, err = readSequence(db); err != nil {
		return 0, errors.Join(err, db.Close())
	}
	s.db = db
	return seq, nil
}

func readSequence(db *pebble.DB) (uint64, error) {
	b, closer, err := db.Get([]byte(keySequence))
	if errors.Is(err, pebble.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("pebblestore: read the last commit's number: %w", err)
	}
	if len(b) != 8 {
		return 0, errors.Join(fmt.Errorf("pebblestore: the last commit's number has %d bytes", len(b)), closer.Close())
	}
	return binary.BigEndian.Uint64(b), closer.Close()
}

func canonicalDir(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	real, err := filepath.EvalSymlinks(abs)
	if errors.Is(err, os.ErrNotExist) {
		return abs, nil
	}
	return real, err
}

// Close takes no more work, waits until what was accepted is answered and every reader has left, and closes the
// directory. Calls after it answer fault.Unavailable. A handler of the feed that runs now has its context cancelled
// and is waited for. The second Close does nothing.
func (s *Store) Close() error {
	s.entrance.Lock()
	if s.closing {
		s.entrance.Unlock()
		return nil
	}
	s.closing = true
	close(s.queue)
	s.entrance.Unlock()
	s.end()
	<-s.committed
	s.feeds.Wait()
	if last := s.current.Swap(nil); last != nil {
		last.release()
	}
	s.fed.wake() // readers of the feed, who now find that it is closed
	s.views.Wait()
	if s.dead.Load() {
		// The process is as good as ended; Pebble could wait for ever for a write that cannot be done.
		return fault.New(fault.Unavailable, "the store failed and was not closed")
	}
	if err := errors.Join(s.db.Close(), s.lock.Close()); err != nil {
		return fmt.Errorf("pebblestore: close %s: %w", s.dir, err)
	}
	return nil
}

// fatal ends the process, without an answer to anyone. Where Fatal returns, which only tests let it do, the store is dead.
func (s *Store) fatal(err error) {
	s.died.Do(func() {
		s.dead.Store(true)
		s.opts.Fatal(err)
		s.end()
	})
}

// Checkpoint writes a copy of the store, as of a commit that is synced by then, into a directory that must not exist. Files are
// linked where the file system can, so it is quick and takes little space at first. What Open accepts is complete.
func (s *Store) Checkpoint(dir string) error {
	v, err := s.acquire() // keeps Close away
	if err != nil {
		return err
	}
	defer v.release()
	if err := s.db.Checkpoint(dir, pebble.WithFlushedWAL()); err != nil {
		return fmt.Errorf("pebblestore: checkpoint to %s: %w", dir, err)
	}
	return writeFormat(s.opts.FS, dir)
}

// Still calls fn while no commit takes place: commits wait until it returns. Reads and a Checkpoint go on. It is for a copy of two stores
// that has to fit together, and as short as that: a commit waits for it as for a slow disk.
func (s *Store) Still(fn func() error) error {
	s.still.Lock()
	defer s.still.Unlock()
	return fn()
}

// Stats are counts since Open.
type Stats struct {
	Commits   uint64        // transactions that were applied
	Groups    uint64        // batches that were written and synced: Commits/Groups share one sync
	Bytes     uint64        // of those batches, before compression: what the WAL took
	Refusals  uint64        // transactions whose condition or floor did not hold
	Conflicts uint64        // runs that a changed read made void, each of which ran again or failed with fault.Transient
	SyncTime  time.Duration // spent on writing and syncing the batches
	Queued    int           // transactions that wait for the committer now
	Low       bool          // the disk is nearly full: commits answer fault.Unavailable
	DiskBytes uint64        // what the directory takes
}

type counters struct {
	commits, groups, bytes, refusals, conflicts, syncNanos atomic.Uint64
}

// Stats may be called at any time, also after Close.
func (s *Store) Stats() Stats {
	out := Stats{
		Commits:   s.stats.commits.Load(),
		Groups:    s.stats.groups.Load(),
		Bytes:     s.stats.bytes.Load(),
		Refusals:  s.stats.refusals.Load(),
		Conflicts: s.stats.conflicts.Load(),
		SyncTime:  time.Duration(s.stats.syncNanos.Load()),
		Queued:    len(s.queue),
		Low:       s.space.low.Load(),
	}
	if v, err := s.acquire(); err == nil {
		out.DiskBytes = s.db.Metrics().DiskSpaceUsage()
		v.release()
	}
	return out
}
