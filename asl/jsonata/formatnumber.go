package jsonata

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

// numberFormat is the decimal format of $formatNumber, of XPath F&O 3.1, section 4.7.
type numberFormat struct {
	decimal, grouping, exponent, infinity, minus, nan, percent, perMille, zero, digit, separator string
	digits                                                                                       []string
}

func newNumberFormat(options any) numberFormat {
	f := numberFormat{decimal: ".", grouping: ",", exponent: "e", infinity: "Infinity", minus: "-", nan: "NaN", percent: "%", perMille: "\u2030", zero: "0", digit: "#", separator: ";"}
	m, _ := options.(map[string]any)
	for name, to := range map[string]*string{
		"decimal-separator": &f.decimal, "grouping-separator": &f.grouping, "exponent-separator": &f.exponent, "infinity": &f.infinity, "minus-sign": &f.minus,
		"NaN": &f.nan, "percent": &f.percent, "per-mille": &f.perMille, "zero-digit": &f.zero, "digit": &f.digit, "pattern-separator": &f.separator,
	} {
		if s, ok := m[name].(string); ok && s != "" {
			*to = s
		}
	}
	zero := []rune(f.zero)[0]
	for i := range rune(10) {
		f.digits = append(f.digits, string(zero+i))
	}
	return f
}

func (f *numberFormat) isDigit(c string) bool { return slices.Contains(f.digits, c) }

// isActive reports whether a character belongs to the number, and not to what stands around it.
func (f *numberFormat) isActive(c string) bool {
	return f.isDigit(c) || c == f.decimal || c == f.exponent || c == f.grouping || c == f.digit || c == f.separator
}

func (f *numberFormat) digitsIn(s string) (mandatory, optional int) {
	for _, r := range s {
		switch c := string(r); {
		case f.isDigit(c):
			mandatory++
		case c == f.digit:
			optional++
		}
	}
	return mandatory, optional
}

// subPicture is one of the two parts of a picture, for positive and for negative numbers.
type subPicture struct {
	text, prefix, suffix, active, mantissa, exponent, integer, fraction string

	hasExponent                          bool
	integerGroups, fractionGroups        []int
	regular                              int
	minInteger, minFraction, maxFraction int
	minExponent, scale                   int
}

func (f *numberFormat) split(picture string) *subPicture {
	p := &subPicture{text: picture}
	runes := []rune(picture)
	first := slices.IndexFunc(runes, func(r rune) bool { return f.isActive(string(r)) && string(r) != f.exponent })
	last := len(runes)
	for last > 0 && (!f.isActive(string(runes[last-1])) || string(runes[last-1]) == f.exponent) {
		last--
	}
	if first < 0 {
		first, last = 0, 0
	}
	p.prefix, p.active, p.suffix = string(runes[:first]), string(runes[first:last]), string(runes[last:])
	p.mantissa, p.exponent, p.hasExponent = strings.Cut(p.active, f.exponent)
	p.integer, p.fraction, _ = strings.Cut(p.mantissa, f.decimal)
	return p
}

// check returns the code of what is wrong with a sub-picture. Of several the last stands, as in the reference.
func (f *numberFormat) check(p *subPicture) (code string) {
	wrong := func(c string, is bool) {
		if is {
			code = c
		}
	}
	many := func(s string) bool { return strings.Count(p.text, s) > 1 }
	wrong("D3081", many(f.decimal))
	wrong("D3082", many(f.percent))
	wrong("D3083", many(f.perMille))
	percent, perMille := strings.Contains(p.text, f.percent), strings.Contains(p.text, f.perMille)
	wrong("D3084", percent && perMille)
	mandatory, optional := f.digitsIn(p.mantissa)
	wrong("D3085", mandatory+optional == 0)
	wrong("D3086", strings.ContainsFunc(p.active, func(r rune) bool { return !f.isActive(string(r)) }))
	if strings.Contains(p.text, f.decimal) {
		wrong("D3087", strings.Contains(p.text, f.grouping+f.decimal) || strings.Contains(p.text, f.decimal+f.grouping))
	} else {
		wrong("D3088", strings.HasSuffix(p.integer, f.grouping))
	}
	wrong("D3089", strings.Contains(p.text, f.grouping+f.grouping))
	if before, _, found := strings.Cut(p.integer, f.digit); found {
		mandatory, _ := f.digitsIn(before)
		wrong("D3090", mandatory > 0)
	}
	if i := strings.LastIndex(p.fraction, f.digit); i >= 0 {
		mandatory, _ := f.digitsIn(p.fraction[i:])
		wrong("D3091", mandatory > 0)
	}
	if p.hasExponent {
		wrong("D3092", p.exponent != "" && (percent || perMille))
		wrong("D3093", p.exponent == "" || strings.ContainsFunc(p.exponent, func(r rune) bool { return !f.isDigit(string(r)) }))
	}
	return code
}

func (f *numberFormat) analyse(p *subPicture) {
	for i := range p.integer {
		if strings.HasPrefix(p.integer[i:], f.grouping) {
			mandatory, optional := f.digitsIn(p.integer[i:])
			p.integerGroups = append(p.integerGroups, mandatory+optional)
		}
	}
	for i := range p.fraction {
		if strings.HasPrefix(p.fraction[i:], f.grouping) {
			mandatory, optional := f.digitsIn(p.fraction[:i])
			p.fractionGroups = append(p.fractionGroups, mandatory+optional)
		}
	}
	p.regular = regularGroups(p.integerGroups)
	p.minInteger, _ = f.digitsIn(p.integer)
	p.scale = p.minInteger
	mandatory, optional := f.digitsIn(p.fraction)
	p.minFraction, p.maxFraction = mandatory, mandatory+optional
	if p.minInteger == 0 && p.maxFraction == 0 {
		if p.hasExponent {
			p.minFraction, p.maxFraction = 1, 1
		} else {
			p.minInteger = 1
		}
	}
	if p.hasExponent && p.minInteger == 0 && strings.Contains(p.integer, f.digit) {
		p.minInteger = 1
	}
	if p.minInteger == 0 && p.minFraction == 0 {
		p.minFraction = 1
	}
	p.minExponent, _ = f.digitsIn(p.exponent)
}

// regularGroups is the distance of separators that stand at equal distances, or 0.
func regularGroups(positions []int) int {
	if len(positions) == 0 {
		return 0
	}
	factor := positions[0]
	for _, b := range positions[1:] {
		for a := factor; b != 0; {
			a, b = b, a%b
			factor = a
		}
	}
	for i := range positions {
		if factor == 0 || !slices.Contains(positions, (i+1)*factor) {
			return 0
		}
	}
	return factor
}

func formatNumber(c *call, args []any) any {
	f := newNumberFormat(args[2])
	picture, _ := text(args[1])
	if len(picture) > maxPicture {
		c.refuse("second", picture)
	}
	c.meter.spend(20 * (len(picture) + 1))
	parts := strings.Split(picture, f.separator)
	if len(parts) > 2 {
		c.fail("D3080", details{})
	}
	var pictures []*subPicture
	for _, part := range parts {
		p := f.split(part)
		if code := f.check(p); code != "" {
			c.fail(code, details{})
		}
		f.analyse(p)
		pictures = append(pictures, p)
	}
	if len(pictures) == 1 {
		negative := *pictures[0]
		negative.prefix = f.minus + negative.prefix
		pictures = append(pictures, &negative)
	}
	value := float(args[0])
	if value >= 0 {
		return f.format(value, pictures[0])
	}
	return f.format(value, pictures[1])
}

func (f *numberFormat) format(value float64, p *subPicture) string {
	switch {
	case math.IsNaN(value):
		return f.nan
	case math.IsInf(value, 0):
		return p.prefix + f.infinity + p.suffix
	case strings.Contains(p.text, f.percent):
		value *= 100
	case strings.Contains(p.text, f.perMille):
		value *= 1000
	}
	mantissa, exponent := value, 0
	if p.minExponent > 0 {
		mantissa, exponent = scaled(value, p.scale)
	}
	digits := f.localized(strconv.FormatFloat(math.Abs(round(mantissa, p.maxFraction)), 'f', p.maxFraction, 64))
	integer, fraction, _ := strings.Cut(digits, ".")
	integer, fraction = strings.TrimLeft(integer, f.zero), strings.TrimRight(fraction, f.zero)
	integer = f.padding(p.minInteger, integer) + integer
	fraction += f.padding(p.minFraction, fraction)
	out := p.prefix + f.groupInteger(integer, p)
	if strings.Contains(p.text, f.decimal) && fraction != "" {
		out += f.decimal + f.groupFraction(fraction, p)
	} else {
		out += fraction
	}
	if p.minExponent > 0 {
		power := f.localized(strconv.Itoa(max(exponent, -exponent)))
		out += f.exponent
		if exponent < 0 {
			out += f.minus
		}
		out += f.padding(p.minExponent, power) + power
	}
	return out + p.suffix
}

// scaled moves the point so that as many digits stand before it as the picture has.
func scaled(value float64, scale int) (mantissa float64, exponent int) {
	if value == 0 {
		return 0, 0
	}
	most, least := math.Pow(10, float64(scale)), math.Pow(10, float64(scale-1))
	for math.Abs(value) < least && exponent > -400 {
		value *= 10
		exponent--
	}
	for math.Abs(value) > most && exponent < 400 {
		value /= 10
		exponent++
	}
	return value, exponent
}

func (f *numberFormat) localized(digits string) string {
	if f.zero == "0" {
		return digits
	}
	var out strings.Builder
	for _, r := range digits {
		if '0' <= r && r <= '9' {
			out.WriteString(f.digits[r-'0'])
		} else {
			out.WriteRune(r)
		}
	}
	return out.String()
}

func (f *numberFormat) padding(size int, digits string) string {
	return strings.Repeat(f.zero, max(size-len([]rune(digits)), 0))
}

func (f *numberFormat) groupInteger(digits string, p *subPicture) string {
	runes := []rune(digits)
	var out strings.Builder
	for i, r := range runes {
		left := len(runes) - i // digits from here to the point
		if i > 0 && (p.regular > 0 && left%p.regular == 0 || p.regular == 0 && slices.Contains(p.integerGroups, left)) {
			out.WriteString(f.grouping)
		}
		out.WriteRune(r)
	}
	return out.String()
}

func (f *numberFormat) groupFraction(digits string, p *subPicture) string {
	var out strings.Builder
	for i, r := range []rune(digits) {
		if i > 0 && slices.Contains(p.fractionGroups, i) {
			out.WriteString(f.grouping)
		}
		out.WriteRune(r)
	}
	return out.String()
}
