package pebblestore

import (
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/utkarsh698/cloudflow/internal/fault"
)

// spaceEvery is how often the free space is looked at: in a second a fast disk takes less than the default mark, so it
// does not run full in between, and one system call a second costs nothing.
const spaceEvery = time.Second

// A space watches the disk. The committer alone asks it, before a group; so nothing runs while nothing is written.
type space struct {
	free    func() (uint64, error)
	min     uint64
	log     *slog.Logger
	checked time.Time
	forced  atomic.Bool // Pebble met a full disk: low until the next look says otherwise
	low     atomic.Bool
	failed  bool // the last look failed, and that was logged
}

// refuse returns fault.Unavailable while the disk is nearly full.
func (p *space) refuse(now time.Time) error {
	if since := now.Sub(p.checked); since >= spaceEvery || since < 0 {
		p.checked = now
		p.look()
	}
	if p.forced.Load() || p.low.Load() {
		return fault.New(fault.Unavailable, "the store takes no writes: its disk is nearly full")
	}
	return nil
}

func (p *space) look() {
	p.forced.Store(false)
	if p.min == 0 {
		return
	}
	free, err := p.free()
	switch {
	case errors.Is(err, vfs.ErrUnsupported):
		p.low.Store(false)
	case err != nil:
		// Not to know is no reason to stop: a disk that is really full makes itself felt.
		if !p.failed {
			p.log.Warn("cannot tell how much of the disk is free", "error", err)
		}
		p.low.Store(false)
	default:
		if low := free < p.min; p.low.Swap(low) != low {
			p.log.Warn("free space of the disk", "free_bytes", free, "needed_bytes", p.min, "refusing_writes", low)
		}
	}
	p.failed = err != nil
}

// full is told by Pebble, from any goroutine.
func (p *space) full() { p.forced.Store(true) }
