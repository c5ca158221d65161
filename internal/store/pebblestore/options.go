package pebblestore

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/utkarsh698/cloudflow/internal/store"
)

// NoMinFree, as Options.MinFreeBytes, lets commits go on until the disk is full.
const NoMinFree = ^uint64(0)

const (
	defaultMinFree       = 256 << 20
	defaultFeedRetention = 24 * time.Hour
)

// Options of a Store. The zero value feeds nothing and is otherwise what the binary runs with.
type Options struct {
	FS            vfs.FS                 // nil: the operating system's
	Feed          func(store.Key) bool   // the items whose changes the feed delivers; nil: none
	FeedKeys      func(store.Key) bool   // of these too, but the key alone, which is a fifth of the bytes; nil: none
	FeedRetention time.Duration          // how long changes are kept; 0: 24 h
	Now           func() time.Time       // nil: time.Now
	Logger        *slog.Logger           // nil: slog.Default
	MinFreeBytes  uint64                 // below it commits answer fault.Unavailable; 0: 256 MiB; NoMinFree: never
	FreeBytes     func() (uint64, error) // what is free for the directory; nil: asks the file system
	Fatal         func(error)            // ends the process, since the state of the disk is unknown; nil: logs and exits with 1
	Watch         Watch                  // is told how long commits take; the zero Watch: nobody is

	tune func(*pebble.Options) // tests make everything small with it
}

// A Watch is told how long commits take, after whoever waits for them has been answered. Its functions are called from several goroutines at
// once, must not call the store, and are quick: what they take, the next commit of that caller or the next group waits. nil: not told.
type Watch struct {
	// Committed is told of each transaction that was applied, on its caller's goroutine: how long it took from the entrance of the committer's
	// queue until that caller heard that it is durable.
	Committed func(took time.Duration)
	// Synced is told of each group: what writing and syncing it took, and how many transactions it holds.
	Synced func(took time.Duration, commits int)
}

func (o Options) withDefaults(dir string) Options {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	none := func(store.Key) bool { return false }
	if o.Feed == nil {
		o.Feed = none
	}
	if o.FeedKeys == nil {
		o.FeedKeys = none
	}
	if o.FeedRetention == 0 {
		o.FeedRetention = defaultFeedRetention
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	switch o.MinFreeBytes {
	case 0:
		o.MinFreeBytes = defaultMinFree
	case NoMinFree:
		o.MinFreeBytes = 0
	}
	if o.FreeBytes == nil {
		fs := o.FS
		o.FreeBytes = func() (uint64, error) {
			usage, err := fs.GetDiskUsage(dir)
			return usage.AvailBytes, err
		}
	}
	if o.Fatal == nil {
		log := o.Logger
		o.Fatal = func(err error) {
			log.Error("the store cannot write: ending without an answer; the next start recovers", "error", err)
			os.Exit(1)
		}
	}
	return o
}

// pebbleOptions are set for commits of a few kilobytes that are read again soon, on a small machine that Pebble shares
// with everything else. What is not named keeps Pebble's default.
func (s *Store) pebbleOptions() *pebble.Options {
	o := &pebble.Options{
		FS:     orderly{s.opts.FS},
		Lock:   s.lock,
		Logger: pebbleLogger{s},
		// Pinned, so that a new Pebble does not change the files of a running installation by itself: an upgrade is a new
		// formatVersion. This one frames the WAL so that a torn tail and damage in the middle are told apart, and checks
		// the footers of tables; the later ones are about values in files of their own, which are not used.
		FormatMajorVersion: pebble.FormatTableFormatV6,
		// Seconds of full load: a table in memory is flushed rarely, and most reads of a commit (a head item, a
		// counter) find their item in it. Four of them may wait, so that a slow flush does not stop commits at once.
		MemTableSize:                64 << 20,
		MemTableStopWritesThreshold: 4,
		// For what is older: status queries and lists.
		CacheSize: 256 << 20,
		// Reads look into every sublevel of L0, so it is kept shallow. Writes stop only when compaction is far behind.
		L0CompactionThreshold: 4,
		L0StopWritesThreshold: 24,
		// L1 in the size of what L0 holds then, as the tuning guides of RocksDB and Pebble ask.
		LBaseMaxBytes: 64 << 20,
		// The second only when the first falls behind: on two cores compaction competes with orders.
		CompactionConcurrencyRange: func() (lower, upper int) { return 1, 2 },
		// Tables go to the disk piece by piece: a flush that is written back at one stroke makes every WAL sync wait behind it.
		BytesPerSync: 1 << 20,
		// WALBytesPerSync is absent: every batch is synced as it is. So is WALMinSyncInterval: the committer groups
		// whatever waits, and a pause would only add to the latency of a lone commit.

		// Space comes back soon after a trim of the feed, though little is written.
		FlushDelayDeleteRange: 10 * time.Minute,
		EventListener: &pebble.EventListener{
			BackgroundError: s.backgroundError,
		},
	}
	for i := range o.Levels {
		// Half of a commit's reads ask for a key that is not there (Absent: a new order, a new hold). A filter, at 10
		// bits a key and 1 % of false hits, answers them without touching a table; on the last level too, where Pebble's
		// advice is to save it, because such reads are not rare here.
		o.Levels[i].IndexBlockSize = 256 << 10
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		// The same everywhere: what is read most is young and on no particular level, and Snappy costs
		// little. zstd below would save a third of the disk for several times the processor time of a compaction.
		o.Levels[i].Compression = func() *sstable.CompressionProfile { return sstable.SnappyCompression }
	}
	if s.opts.tune != nil {
		s.opts.tune(o)
	}
	return o
}

// backgroundError takes what went wrong in a flush or a compaction. Pebble tries those again, and nothing that was
// answered depends on them: it is in the WAL. So the process lives; but while the disk is full it must not take more in.
func (s *Store) backgroundError(err error) {
	if errors.Is(err, syscall.ENOSPC) {
		s.space.full()
	}
	if more, due := s.trouble.due(s.opts.Now()); due {
		s.log.Error("a flush or a compaction failed and will be tried again", "error", err, "failed_since_last_said", more)
	}
}

// troubleEvery is how often a failing flush is logged: Pebble tries again at once, and a process without a free file
// descriptor has been seen to fail 12,000 times a second. That log would fill the disk that is short already.
const troubleEvery = 10 * time.Second

// A trouble is one that comes again and again.
type trouble struct {
	mu   sync.Mutex
	said time.Time
	more int // not said since then
}

// due reports whether it is time to say it, and how often it was not said meanwhile.
func (t *trouble) due(now time.Time) (more int, due bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if since := now.Sub(t.said); since >= 0 && since < troubleEvery {
		t.more++
		return 0, false
	}
	more, t.more, t.said = t.more, 0, now
	return more, true
}

// pebbleLogger keeps Pebble's chatter about flushes and compactions away, and makes what it calls fatal the store's.
type pebbleLogger struct{ s *Store }

func (pebbleLogger) Infof(string, ...any) {}

func (l pebbleLogger) Errorf(format string, args ...any) {
	l.s.log.Error("pebble", "error", fmt.Sprintf(format, args...))
}

func (l pebbleLogger) Fatalf(format string, args ...any) {
	for _, arg := range args {
		if err, ok := arg.(error); ok {
			l.s.fatal(fmt.Errorf("pebblestore: %w", err))
			return
		}
	}
	l.s.fatal(fmt.Errorf("pebblestore: "+format, args...))
}
