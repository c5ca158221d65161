package asl

import (
	"cmp"
	"encoding/json"
	"strconv"
	"strings"
)

// CompareNumbers compares two JSON numbers. Integers are compared exactly, whatever their length: an identifier beyond
// 2^53 must not equal its neighbour. With a fraction or an exponent on either side both are compared as float64.
func CompareNumbers(a, b json.Number) int {
	if isInteger(string(a)) && isInteger(string(b)) {
		return compareIntegers(string(a), string(b))
	}
	x, _ := strconv.ParseFloat(string(a), 64) // out of range: an infinity, which orders as it should
	y, _ := strconv.ParseFloat(string(b), 64)
	return cmp.Compare(x, y)
}

func isInteger(s string) bool { return !strings.ContainsAny(s, ".eE") }

func compareIntegers(a, b string) int {
	a, aNegative := strings.CutPrefix(a, "-")
	b, bNegative := strings.CutPrefix(b, "-")
	switch {
	case a == "0" && b == "0":
		return 0
	case aNegative && !bNegative:
		return -1
	case !aNegative && bNegative:
		return 1
	}
	// JSON writes no leading zeros: the longer one is the larger.
	order := cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
	if aNegative {
		return -order
	}
	return order
}
