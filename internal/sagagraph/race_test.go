//go:build race

package sagagraph

// slower is what the race detector makes of a second, on a machine that has other work too.
const slower = 10
