package observe

import (
	"bytes"
	"sync"
)

// The size of a Tail: what is remembered of an order is gone once so many lines came after it. An order writes about ten lines of 250 bytes, so
// this is a few hundred orders, in at most 4 MiB.
const (
	tailLines = 4096
	tailBytes = 4 << 20
)

// A Tail is an io.Writer that remembers the last lines that were logged, for who looks at one order. It is no log: a restart, and a few seconds
// under load, forget everything. It stands where the log does, so it has what is written and nothing that a Sample has dropped: what is not to
// be formatted for the log is not formatted for a page that nobody may open. It is safe for concurrent use.
type Tail struct {
	mu    sync.Mutex
	lines [][]byte // a ring
	next  int
	size  int
}

// NewTail returns an empty Tail.
func NewTail() *Tail { return &Tail{lines: make([][]byte, tailLines)} }

// Write remembers one line. It never fails.
func (t *Tail) Write(line []byte) (int, error) {
	kept := bytes.Clone(bytes.TrimRight(line, "\n"))
	t.mu.Lock()
	defer t.mu.Unlock()
	t.put(kept)
	for oldest := t.next; t.size > tailBytes; oldest = (oldest + 1) % tailLines {
		t.size -= len(t.lines[oldest])
		t.lines[oldest] = nil
	}
	return len(line), nil
}

func (t *Tail) put(line []byte) {
	t.size += len(line) - len(t.lines[t.next])
	t.lines[t.next] = line
	t.next = (t.next + 1) % tailLines
}

// Lines are those with the text in them, such as an order's id, as they were written, the oldest first.
func (t *Tail) Lines(text string) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var found []string
	for i := range tailLines {
		if line := t.lines[(t.next+i)%tailLines]; bytes.Contains(line, []byte(text)) && len(line) > 0 {
			found = append(found, string(line))
		}
	}
	return found
}
