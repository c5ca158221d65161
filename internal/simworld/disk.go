package simworld

import (
	"sync"
	"time"

	"github.com/utkarsh698/cloudflow/internal/fault"
)

// A FullDisk is our disk running full. pebblestore sees that coming and refuses writes with fault.Unavailable as long as little is left, and
// reads go on. Where something else takes the last bytes at once its log cannot be written: that ends the process without an answer, and
// none can open the store until somebody makes space.
type FullDisk struct {
	From int           // the commit, from 1, that finds it full
	For  time.Duration // until there is space again
	Dies bool          // the last bytes are gone
	Kept bool          // of Dies: what could not be synced is there at the next start all the same
}

// A disk counts the commits and refuses those that find it full.
type disk struct {
	full []FullDisk
	note func(what string)

	mu      sync.Mutex
	commits int
	until   time.Time // it is full; zero or past: it is not
	dead    bool      // and cannot be opened
}

// A diskAnswer is what becomes of a write.
type diskAnswer uint8

const (
	written diskAnswer = iota
	refused
	lost       // and the process dies
	keptByLuck // the same, but it is written
)

// write is asked before each commit.
func (d *disk) write() diskAnswer {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.commits++
	if time.Now().Before(d.until) {
		d.note("write refused by a full disk")
		return refused
	}
	d.dead = false
	for _, f := range d.full {
		if f.From != d.commits {
			continue
		}
		d.until, d.dead = time.Now().Add(f.For), f.Dies
		switch {
		case f.Dies && f.Kept:
			d.note("died of a full disk, written")
			return keptByLuck
		case f.Dies:
			d.note("died of a full disk, not written")
			return lost
		}
		d.note("write refused by a full disk")
		return refused
	}
	return written
}

// isFull reports whether writes are refused now.
func (d *disk) isFull() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return time.Now().Before(d.until)
}

// keepsDown is for how long no process can start.
func (d *disk) keepsDown() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.dead {
		return 0
	}
	return max(time.Until(d.until), 0)
}

// mayBeFull is for how long it is full in a whole life.
func (d *disk) mayBeFull() (all time.Duration) {
	for _, f := range d.full {
		all += f.For
	}
	return all
}

var errDiskFull = fault.New(fault.Unavailable, "the store takes no writes: its disk is nearly full") // as pebblestore has it
