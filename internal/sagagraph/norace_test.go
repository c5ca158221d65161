//go:build !race

package sagagraph

const slower = 1
