package pebblestore

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/utkarsh698/cloudflow/internal/store"
)

func TestAFlushThatKeepsFailing(t *testing.T) {
	t.Run("is said once in a while, and loses nothing", func(t *testing.T) {
		const failures = 1000
		var failed atomic.Int64
		often := make(chan struct{})
		fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind != errorfs.OpCreate || !strings.HasSuffix(op.Path, ".sst") || failed.Load() >= failures {
				return nil
			}
			if failed.Add(1) == failures {
				close(often)
			}
			return syscall.EMFILE
		}))
		log := &lockedBuffer{}
		began := time.Now()
		s := open(t, fs, Options{Logger: slog.New(slog.NewTextHandler(log, nil)), Now: func() time.Time { return began }})
		k := key("a", "b")
		for range 64 { // some memtables
			put(t, s, k, store.S("x", strings.Repeat("x", 4<<10)))
		}
		<-often
		if get(t, s, k) == nil {
			t.Error("the item is gone")
		}
		if n := strings.Count(log.String(), "will be tried again"); n != 1 {
			t.Errorf("said %d times", n)
		}
	})
	t.Run("is said again with how often it failed meanwhile", func(t *testing.T) {
		var tr trouble
		now := time.Now()
		for range 5 {
			tr.due(now)
		}
		if more, due := tr.due(now.Add(troubleEvery)); !due || more != 4 {
			t.Errorf("%d %v", more, due)
		}
		if _, due := tr.due(now.Add(-time.Hour)); !due {
			t.Error("a clock that is set back keeps it silent")
		}
	})
}

type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
