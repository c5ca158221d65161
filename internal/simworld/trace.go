package simworld

import (
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
)

// Violations are what was found.
func (w *World) Violations() []string { return w.violations }

// Happened is how often each kind of trouble and of outcome came about: a test that asserts nothing of it may pass over a world in which nothing
// happened.
func (w *World) Happened() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.happened)
}

// Trace is what happened, a line an event.
func (w *World) Trace() string { return strings.Join(w.lines, "\n") }

// TraceHash is a short name for the trace, to compare two worlds by.
func (w *World) TraceHash() uint64 {
	h := fnv.New64a()
	for _, line := range w.lines {
		_, _ = h.Write([]byte(line))
	}
	return h.Sum64()
}

// note counts what happened.
func (w *World) note(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.happened[what]++
}

func (w *World) tracef(format string, args ...any) {
	line := w.clock.world().UTC().Format("02 15:04:05.000 ") + fmt.Sprintf(format, args...)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines = append(w.lines, line)
}

func (w *World) violate(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	w.tracef("VIOLATION %s", text)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.violations = append(w.violations, text)
}

// String is the config, a line a part, without the parts that are empty: with the seed, all that is needed to see a failure again.
func (c Config) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d, steps apart: %t, late captures after %s", c.Seed, c.Apart, c.LateAfter)
	if c.Failing != "" {
		fmt.Fprintf(&b, ", failing: %s", c.Failing)
	}
	fmt.Fprintf(&b, ", keepers: %t, reviews abandoned: %t\n", c.Keepers, c.Abandon)
	for _, at := range slices.Sorted(maps.Keys(c.Faults)) {
		fmt.Fprintf(&b, "fault at point %d: %s\n", at, c.Faults[at])
	}
	fmt.Fprintf(&b, "clock: %+v\n", c.Clock)
	lines(&b, "good", c.Goods)
	lines(&b, "wish", c.Wishes)
	lines(&b, "visit", c.Visits)
	lines(&b, "outage", c.Outages)
	lines(&b, "full disk", c.Disk)
	lines(&b, "bug", c.Bugs)
	return b.String()
}

func lines[T any](b *strings.Builder, what string, all []T) {
	for i, v := range all {
		fmt.Fprintf(b, "%s %d: %+v\n", what, i, v)
	}
}
