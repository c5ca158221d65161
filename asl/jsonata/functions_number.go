package jsonata

import (
	"encoding/json"
	"math"
	"math/big"
	"regexp"
	"strconv"
	"strings"
)

func sum(c *call, list, args []any) any {
	total := 0.0
	for _, v := range list {
		total += float(v)
	}
	c.meter.spend(len(list))
	return total
}

func average(c *call, list, args []any) any {
	if len(list) == 0 {
		return undefined
	}
	return sum(c, list, args).(float64) / float64(len(list))
}

func largest(c *call, list, _ []any) any  { return c.extreme(list, 1) }
func smallest(c *call, list, _ []any) any { return c.extreme(list, -1) }

// extreme is the largest or the smallest number itself, so that it keeps its text.
func (c *call) extreme(list []any, sign int) any {
	if len(list) == 0 {
		return undefined
	}
	c.meter.spend(len(list))
	best := list[0]
	for _, v := range list[1:] {
		if compareNumbers(v, best)*sign > 0 {
			best = v
		}
	}
	return best
}

var (
	decimalText = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?([Ee][-+]?[0-9]+)?$`)
	prefixText  = regexp.MustCompile(`^(0[xX][0-9A-Fa-f]+|0[oO][0-7]+|0[bB][01]+)$`)
)

func toNumber(c *call, args []any) any {
	switch v := args[0].(type) {
	case undefinedValue, float64, json.Number:
		return v
	case bool:
		if v {
			return 1.0
		}
		return 0.0
	case string:
		if f, err := strconv.ParseFloat(v, 64); err == nil && decimalText.MatchString(v) {
			return f
		}
		if prefixText.MatchString(v) {
			n, _ := new(big.Int).SetString(v, 0)
			f, _ := new(big.Float).SetInt(n).Float64()
			return f
		}
	}
	c.fail("D3030", details{value: args[0]})
	return nil
}

// unary applies f to the argument. An integer that f would not change keeps its text.
func unary(v any, f func(float64) float64) any {
	if _, ok := integerText(v); ok && f(float(v)) == float(v) {
		return v
	}
	return f(float(v))
}

func floor(c *call, args []any) any { return unary(args[0], math.Floor) }
func ceil(c *call, args []any) any  { return unary(args[0], math.Ceil) }
func abs(c *call, args []any) any   { return unary(args[0], math.Abs) }

func roundFunction(c *call, args []any) any {
	precision := 0
	if isNumber(args[1]) {
		precision = whole(args[1])
	}
	return unary(args[0], func(f float64) float64 { return round(f, precision) })
}

// round rounds half to even. The point is moved in the decimal text, since 4.515 * 100 is not 451.5.
func round(f float64, precision int) float64 {
	if math.IsInf(f, 0) || math.IsNaN(f) {
		return f
	}
	precision = max(min(precision, 400), -400)
	result := math.RoundToEven(shifted(f, precision))
	if math.IsInf(result, 0) {
		return f // no digits so far behind the point
	}
	return shifted(result, -precision) + 0 // no -0
}

func shifted(f float64, by int) float64 {
	if by == 0 {
		return f
	}
	mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(f, 'e', -1, 64), "e")
	n, _ := strconv.Atoi(exponent)
	f, _ = strconv.ParseFloat(mantissa+"e"+strconv.Itoa(n+by), 64)
	return f
}

func sqrt(c *call, args []any) any {
	if float(args[0]) < 0 {
		c.fail("D3060", details{value: args[0]})
	}
	return math.Sqrt(float(args[0]))
}

func power(c *call, args []any) any {
	result := math.Pow(float(args[0]), float(args[1]))
	if math.IsInf(result, 0) || math.IsNaN(result) {
		c.fail("D3061", details{value: args[0], exp: args[1]})
	}
	return result
}

func formatBase(c *call, args []any) any {
	radix := 10.0
	if isNumber(args[1]) {
		radix = round(float(args[1]), 0)
	}
	if radix < 2 || radix > 36 {
		c.fail("D3100", details{value: radix})
	}
	f := round(float(args[0]), 0)
	if math.IsInf(f, 0) || math.IsNaN(f) {
		c.fail("D1001", details{})
	}
	n, _ := big.NewFloat(f).Int(nil)
	return n.Text(int(radix))
}
