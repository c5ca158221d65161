//go:build !race

package browsertest

const raceFactor = 1
