package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

// redrawEvery is as often as an eye follows; a bar that is drawn at each step flickers, and costs more than many steps.
const redrawEvery = 100 * time.Millisecond

// A progress is a bar on a terminal. Its zero value is silent, and so is one whose output is no terminal, or that of --json: what a
// program reads, or a log keeps, has no bar in it. It is safe for concurrent use.
type progress struct {
	to    io.Writer // nil: silent
	label string
	total int // 0: not known
	now   func() time.Time

	mu    sync.Mutex
	done  int
	drawn time.Time
	note  string
	width int // of what stands on the line
}

// progress is a bar of total steps on stderr.
func (c *cli) progress(label string, total int) *progress {
	p := &progress{label: label, total: total, now: time.Now}
	if f, ok := c.err.(*os.File); ok && !c.JSON && total > 0 && terminal(f) {
		p.to = f
	}
	return p
}

// counter is a progress whose end is not known.
func (c *cli) counter(label string) *progress {
	p := c.progress(label, 1)
	p.total = 0
	return p
}

// terminal reports whether the file is a terminal, or another device without an end, such as /dev/null, where a bar hurts nobody.
func terminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// step says that n more are done.
func (p *progress) step(n int) {
	if p.to == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done += n
	if now := p.now(); now.Sub(p.drawn) >= redrawEvery {
		p.drawn = now
		p.draw()
	}
}

// at says that so many are done by now, and something about it.
func (p *progress) at(done int, note string) {
	if p.to == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done, p.note = done, note
	if now := p.now(); now.Sub(p.drawn) >= redrawEvery {
		p.drawn = now
		p.draw()
	}
}

// end takes the bar off the line: what was done is said by who did it.
func (p *progress) end() {
	if p.to == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	_, _ = fmt.Fprint(p.to, "\r"+strings.Repeat(" ", p.width)+"\r") // a terminal that went away needs no bar
	p.width = 0
}

// draw writes the line anew, in one write and over the old one, so that it is never seen half drawn.
func (p *progress) draw() {
	const cells = 30
	line := fmt.Sprintf("%s: %d", p.label, p.done)
	if p.total > 0 {
		done := min(p.done, p.total)
		full := cells * done / p.total
		line = fmt.Sprintf("%s [%s%s] %d of %d", p.label, strings.Repeat("#", full), strings.Repeat(".", cells-full), done, p.total)
	}
	if p.note != "" {
		line += "  " + p.note
	}
	pad := strings.Repeat(" ", max(0, p.width-len(line)))
	p.width = len(line)
	_, _ = fmt.Fprint(p.to, "\r"+line+pad)
}
