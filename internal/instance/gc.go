package instance

import (
	"os"
	"runtime/debug"
)

// The collector's pace. An order leaves some 100 KB of garbage. Where Pebble's memtables and cache are part of Go's heap, as in the
// binary, which is built without cgo, Go's default lets about 1,500 orders pass between two collections, and this twice as
// many. With cgo they are C's memory, the heap is small, and the default would collect after every 400. memoryLimit
// keeps the price in bounds: near it the collector runs as often as it must.
const (
	gcPercent   = 200
	memoryLimit = 1 << 30
)

// TuneGC sets the collector's pace for a process that serves orders, unless GOGC or GOMEMLIMIT say otherwise.
func TuneGC() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
}
