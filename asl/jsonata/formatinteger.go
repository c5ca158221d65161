package jsonata

import (
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// integerFormat is a picture of XPath's format-integer (F&O 3.1, section 4.6), also of a component of a date.
type integerFormat struct {
	primary   byte // 0 for decimal digits, a letters, i roman, w words, ? for what is not supported
	letters   letterCase
	ordinal   bool
	zero      rune
	mandatory int
	optional  int
	groups    []group // from the right
	regular   int     // the distance of equal groups
	token     string
}

type letterCase int

const (
	lower letterCase = iota
	upper
	title
)

func (l letterCase) apply(s string) string {
	switch l {
	case upper:
		return strings.ToUpper(s)
	case lower:
		return strings.ToLower(s)
	default:
		return s
	}
}

type group struct {
	position  int // digits to the right of it
	character string
}

// zeros are the digits zero of Unicode's decimal groups that the reference knows.
var zeros = []rune{
	0x30, 0x0660, 0x06F0, 0x07C0, 0x0966, 0x09E6, 0x0A66, 0x0AE6, 0x0B66, 0x0BE6, 0x0C66, 0x0CE6, 0x0D66, 0x0DE6, 0x0E50, 0x0ED0, 0x0F20, 0x1040, 0x1090,
	0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90, 0x1B50, 0x1BB0, 0x1C40, 0x1C50, 0xA620, 0xA8D0, 0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0, 0xFF10,
}

func (c *call) integerPicture(picture string) *integerFormat {
	if len(picture) > maxPicture {
		c.refuse("picture", picture)
	}
	f := &integerFormat{}
	primary := picture
	if i := strings.LastIndexByte(picture, ';'); i >= 0 {
		primary, f.ordinal = picture[:i], strings.HasPrefix(picture[i+1:], "o")
	}
	switch primary {
	case "A", "I", "W":
		f.letters = upper
		f.primary = primary[0] | 0x20
	case "a", "i", "w":
		f.primary = primary[0]
	case "Ww":
		f.letters, f.primary = title, 'w'
	default:
		c.decimalPicture(f, primary)
	}
	return f
}

func (c *call) decimalPicture(f *integerFormat, primary string) {
	runes := []rune(primary)
	slices.Reverse(runes)
	for _, r := range runes {
		i := slices.IndexFunc(zeros, func(zero rune) bool { return zero <= r && r <= zero+9 })
		switch {
		case i >= 0 && f.mandatory > 0 && f.zero != zeros[i]:
			c.fail("D3131", details{})
		case i >= 0:
			f.zero = zeros[i]
			f.mandatory++
		case r == '#':
			f.optional++
		default:
			f.groups = append(f.groups, group{f.mandatory + f.optional, string(r)})
		}
	}
	if f.mandatory == 0 {
		f.primary, f.token = '?', primary
		return
	}
	var positions []int
	for _, g := range f.groups {
		if g.character != f.groups[0].character {
			return
		}
		positions = append(positions, g.position)
	}
	f.regular = regularGroups(positions)
}

func formatIntegerFunction(c *call, args []any) any {
	picture, _ := text(args[1])
	return c.formatInteger(math.Floor(float(args[0])), c.integerPicture(picture))
}

func (c *call) formatInteger(value float64, f *integerFormat) string {
	if math.IsNaN(value) || math.IsInf(value, 0) {
		c.fail("D1001", details{})
	}
	abs := math.Abs(value)
	var out string
	switch f.primary {
	case 'a':
		out = f.letters.apply(lettersOf(abs))
	case 'i':
		if abs > 1e6 {
			c.refuse("first", value) // a thousand letters M
		}
		out = f.letters.apply(romanOf(int(abs)))
	case 'w':
		if abs > 1e60 {
			c.refuse("first", value)
		}
		out = f.letters.apply(words(abs, f.ordinal))
	case '?':
		c.fail("D3130", details{value: f.token})
	default:
		out = f.decimal(abs)
	}
	if value < 0 {
		return "-" + out
	}
	return out
}

func (f *integerFormat) decimal(abs float64) string {
	digits := []rune(formatFloat(abs))
	for len(digits) < f.mandatory {
		digits = append([]rune{'0'}, digits...)
	}
	var out strings.Builder
	for i, r := range digits {
		left := len(digits) - i
		if i > 0 {
			out.WriteString(f.groupAt(left))
		}
		if '0' <= r && r <= '9' && f.zero != 0 {
			r += f.zero - '0'
		}
		out.WriteRune(r)
	}
	if !f.ordinal {
		return out.String()
	}
	return out.String() + ordinalSuffix(digits)
}

// groupAt is what stands before the last left digits.
func (f *integerFormat) groupAt(left int) string {
	if f.regular > 0 {
		if left%f.regular == 0 {
			return f.groups[0].character
		}
		return ""
	}
	for _, g := range f.groups {
		if g.position == left {
			return g.character
		}
	}
	return ""
}

func ordinalSuffix(digits []rune) string {
	last := digits[len(digits)-1]
	if len(digits) > 1 && digits[len(digits)-2] == '1' || last < '1' || last > '3' {
		return "th"
	}
	return []string{"st", "nd", "rd"}[last-'1']
}

func lettersOf(value float64) string {
	var letters []byte
	for value > 0 && len(letters) < 300 {
		letters = append(letters, 'a'+byte(math.Mod(value-1, 26)))
		value = math.Floor((value - 1) / 26)
	}
	slices.Reverse(letters)
	return string(letters)
}

var romanNumerals = []struct {
	value int
	text  string
}{{1000, "m"}, {900, "cm"}, {500, "d"}, {400, "cd"}, {100, "c"}, {90, "xc"}, {50, "l"}, {40, "xl"}, {10, "x"}, {9, "ix"}, {5, "v"}, {4, "iv"}, {1, "i"}}

func romanOf(value int) string {
	var out strings.Builder
	for _, n := range romanNumerals {
		for value >= n.value {
			out.WriteString(n.text)
			value -= n.value
		}
	}
	return out.String()
}

var (
	few = []string{
		"Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten",
		"Eleven", "Twelve", "Thirteen", "Fourteen", "Fifteen", "Sixteen", "Seventeen", "Eighteen", "Nineteen",
	}
	fewth = []string{
		"Zeroth", "First", "Second", "Third", "Fourth", "Fifth", "Sixth", "Seventh", "Eighth", "Ninth", "Tenth",
		"Eleventh", "Twelfth", "Thirteenth", "Fourteenth", "Fifteenth", "Sixteenth", "Seventeenth", "Eighteenth", "Nineteenth",
	}
	decades    = []string{"Twenty", "Thirty", "Forty", "Fifty", "Sixty", "Seventy", "Eighty", "Ninety"}
	magnitudes = []string{"Thousand", "Million", "Billion", "Trillion"}
)

// words writes a number as in "One Thousand, Two Hundred and Third".
func words(value float64, ordinal bool) string { return wordsAfter(value, false, ordinal) }

// wordsAfter writes what stands behind larger words.
func wordsAfter(value float64, after, ordinal bool) string {
	and, comma := "", ""
	if after {
		and, comma = " and ", ", "
	}
	small := few
	if ordinal {
		small = fewth
	}
	rest := func(of float64) string {
		if of > 0 {
			return wordsAfter(of, true, ordinal)
		}
		if ordinal {
			return "th"
		}
		return ""
	}
	switch {
	case value <= 19:
		return and + small[int(value)]
	case value < 100:
		word, remainder := decades[int(value)/10-2], math.Mod(value, 10)
		if remainder > 0 {
			return and + word + "-" + wordsAfter(remainder, false, ordinal)
		}
		if ordinal {
			word = strings.TrimSuffix(word, "y") + "ieth"
		}
		return and + word
	case value < 1000:
		return comma + few[int(value)/100] + " Hundred" + rest(math.Mod(value, 100))
	}
	magnitude := min(int(math.Floor(math.Log10(value)/3)), len(magnitudes))
	factor := math.Pow(1000, float64(magnitude))
	mantissa := math.Floor(value / factor)
	return comma + wordsAfter(mantissa, false, false) + " " + magnitudes[magnitude-1] + rest(value-mantissa*factor)
}

// wordValues are the values of the words, in small letters.
var wordValues = func() map[string]float64 {
	values := map[string]float64{"hundred": 100, "hundredth": 100}
	for i := range few {
		values[strings.ToLower(few[i])] = float64(i)
		values[strings.ToLower(fewth[i])] = float64(i)
	}
	for i, word := range decades {
		word = strings.ToLower(word)
		values[word] = float64(i+2) * 10
		values[strings.TrimSuffix(word, "y")+"ieth"] = float64(i+2) * 10
	}
	for i, word := range magnitudes {
		word = strings.ToLower(word)
		values[word] = math.Pow(1000, float64(i+1))
		values[word+"th"] = math.Pow(1000, float64(i+1))
	}
	return values
}()

var wordBreaks = regexp.MustCompile(`,\s|\sand\s|[\s\\-]`)

func numberOfWords(s string) (float64, bool) {
	segments := []float64{0}
	for _, word := range wordBreaks.Split(strings.ToLower(s), -1) {
		value, known := wordValues[word]
		if !known {
			return 0, false
		}
		top := &segments[len(segments)-1]
		switch {
		case value >= 100:
			*top *= value
		case *top >= 1000:
			segments = append(segments, value)
		default:
			*top += value
		}
	}
	total := 0.0
	for _, s := range segments {
		total += s
	}
	return total, true
}

func parseIntegerFunction(c *call, s string, args []any) any {
	c.meter.spend(len(s) + 1)
	picture, _ := text(args[1])
	value, ok := c.parseInteger(s, c.integerPicture(picture))
	if !ok {
		c.refuse("first", s)
	}
	return value
}

func (c *call) parseInteger(s string, f *integerFormat) (float64, bool) {
	switch f.primary {
	case 'a':
		value := 0.0
		for _, r := range s {
			value = value*26 + float64(unicodeLower(r)-'a'+1)
		}
		return value, !math.IsInf(value, 0)
	case 'i':
		return numberOfRoman(strings.ToUpper(s))
	case 'w':
		return numberOfWords(s)
	case '?':
		c.fail("D3130", details{value: f.token})
	}
	if f.ordinal && len(s) > 2 {
		s = s[:len(s)-2]
	}
	for _, g := range f.groups {
		s = strings.ReplaceAll(s, g.character, "")
	}
	digits := leadingDigits.FindString(strings.Map(func(r rune) rune {
		if f.zero <= r && r <= f.zero+9 {
			return r - f.zero + '0'
		}
		return r
	}, s))
	value, err := strconv.ParseFloat(digits, 64)
	return value, err == nil
}

var leadingDigits = regexp.MustCompile(`^\s*[-+]?[0-9]+`)

func unicodeLower(r rune) rune {
	if 'A' <= r && r <= 'Z' {
		return r + 'a' - 'A'
	}
	return r
}

func numberOfRoman(s string) (float64, bool) {
	total, most := 0.0, 1.0
	for i := len(s) - 1; i >= 0; i-- {
		value := map[byte]float64{'M': 1000, 'D': 500, 'C': 100, 'L': 50, 'X': 10, 'V': 5, 'I': 1}[s[i]]
		switch {
		case value == 0:
			return 0, false
		case value < most:
			total -= value
		default:
			most = value
			total += value
		}
	}
	return total, true
}
