//go:build race

package browsertest

// raceFactor is how much slower everything may be: the race detector takes the processors that the browser needs, too.
const raceFactor = 3
