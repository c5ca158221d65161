package observe

import (
	"io"
	"sync"
	"time"
)

const (
	// gatherTime is the least time between two writes. At thousands of orders a second there is a line each 40 µs, and a call of the system for
	// each costs as much as making it. A line after a quiet moment does not wait.
	gatherTime = time.Millisecond
	// maxGathered is when who logs waits for the writing: a terminal, or a pipe that nobody reads.
	maxGathered = 1 << 20
)

// A Writer gathers lines and writes many of them at once. A line is written within milliseconds, one of level ERROR or above before its call
// returns (NewLogger asks for that), and all by Close. kill -9 takes with it what the last milliseconds have gathered.
//
// It never fails for its caller: what cannot be written is lost.
type Writer struct {
	w    io.Writer
	kick chan struct{} // takes one: there is something to write
	end  chan struct{}
	done chan struct{}

	writing sync.Mutex // held across a write, which keeps the order

	mu     sync.Mutex
	room   *sync.Cond // of mu: what was gathered has been taken
	lines  []byte
	spare  []byte
	closed bool
}

// NewWriter returns a Writer to w, which is called by one goroutine at a time. Close it.
func NewWriter(w io.Writer) *Writer {
	l := &Writer{w: w, kick: make(chan struct{}, 1), end: make(chan struct{}), done: make(chan struct{})}
	l.room = sync.NewCond(&l.mu)
	go l.run()
	return l
}

// Write takes whole lines.
func (l *Writer) Write(p []byte) (int, error) {
	l.mu.Lock()
	for len(l.lines) > maxGathered && !l.closed {
		l.room.Wait()
	}
	if l.closed {
		l.mu.Unlock()
		l.writing.Lock()
		defer l.writing.Unlock()
		return l.w.Write(p)
	}
	first := len(l.lines) == 0
	l.lines = append(l.lines, p...)
	l.mu.Unlock()
	if first {
		select {
		case l.kick <- struct{}{}:
		default:
		}
	}
	return len(p), nil
}

// Flush writes what is gathered, before it returns.
func (l *Writer) Flush() {
	l.writing.Lock()
	defer l.writing.Unlock()
	l.mu.Lock()
	lines := l.lines
	l.lines, l.spare = l.spare[:0], nil
	l.room.Broadcast()
	l.mu.Unlock()
	if len(lines) > 0 {
		_, _ = l.w.Write(lines)
	}
	l.mu.Lock()
	l.spare = lines
	l.mu.Unlock()
}

// Close writes what is gathered and ends the gathering: what comes later is written as it comes.
func (l *Writer) Close() {
	l.mu.Lock()
	closed := l.closed
	l.closed = true
	l.room.Broadcast()
	l.mu.Unlock()
	if !closed {
		close(l.end)
	}
	<-l.done
	l.Flush()
}

func (l *Writer) run() {
	defer close(l.done)
	pause := time.NewTimer(gatherTime)
	defer pause.Stop()
	for {
		select {
		case <-l.kick:
		case <-l.end:
			return
		}
		l.Flush()
		pause.Reset(gatherTime)
		select {
		case <-pause.C:
		case <-l.end:
			return
		}
	}
}
