package jsonata

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

func now(c *call, args []any) any {
	return c.formatTime(float64(c.scope.Now.UnixMilli()), args[0], args[1])
}

func millis(c *call, args []any) any { return float64(c.scope.Now.UnixMilli()) }

func fromMillis(c *call, args []any) any {
	return c.formatTime(float(args[0]), args[1], args[2])
}

// maxMillis is what a Date of JavaScript holds: 100 million days on either side of 1970.
const maxMillis = 8.64e15

const isoPicture = "[Y0001]-[M01]-[D01]T[H01]:[m01]:[s01].[f001][Z01:01t]"

func (c *call) formatTime(millis float64, picture, zone any) string {
	if !(math.Abs(millis) <= maxMillis) {
		c.refuse("first", nil)
	}
	p, ok := text(picture)
	if !ok {
		p = isoPicture
	}
	offset := 0
	if z, ok := text(zone); ok {
		offset = c.zoneOffset(z)
	}
	t := time.UnixMilli(int64(millis)).UTC().Add(time.Duration(offset) * time.Minute)
	var out strings.Builder
	for _, part := range c.timePicture(p) {
		c.meter.spend(1)
		if part.component == 0 {
			out.WriteString(part.literal)
		} else {
			out.WriteString(c.formatPart(t, offset, part))
		}
	}
	return out.String()
}

// zoneOffset reads +hhmm as minutes. The reference counts the minutes of a negative one with the wrong sign; here -0530 is five and a half hours.
func (c *call) zoneOffset(zone string) int {
	n, err := strconv.Atoi(leadingDigits.FindString(zone))
	if err != nil || n < -9999 || n > 9999 {
		c.refuse("timezone", zone)
	}
	return n/100*60 + n%100
}

// timePart is a literal, or a marker such as [Y0001] with what its modifiers say.
type timePart struct {
	literal            string
	component          byte
	presentation       string
	second             byte // the second presentation modifier: a, t, c or o
	names              bool
	letters            letterCase
	minWidth, maxWidth int // 0 where none is given
	integer            *integerFormat
	digits             int // of a year, month or day: how many, or -1
}

var defaultPresentation = map[byte]string{
	'Y': "1", 'M': "1", 'D': "1", 'd': "1", 'F': "n", 'W': "1", 'w': "1", 'X': "1", 'x': "1", 'H': "1", 'h': "1",
	'P': "n", 'm': "01", 's': "01", 'f': "1", 'Z': "01:01", 'z': "01:01", 'C': "n", 'E': "n",
}

// timePicture reads a picture of XPath's format-dateTime, F&O 3.1, section 9.8.
func (c *call) timePicture(picture string) []timePart {
	if len(picture) > maxPicture {
		c.refuse("picture", picture)
	}
	var parts []timePart
	literal := func(s string) {
		if s != "" {
			parts = append(parts, timePart{literal: strings.ReplaceAll(s, "]]", "]")})
		}
	}
	for {
		before, after, found := strings.Cut(picture, "[")
		literal(before)
		if !found {
			return parts
		}
		if strings.HasPrefix(after, "[") {
			literal("[")
			picture = after[1:]
			continue
		}
		marker, rest, closed := strings.Cut(after, "]")
		if !closed {
			c.fail("D3135", details{})
		}
		parts = append(parts, c.timeMarker(strings.Join(strings.Fields(marker), "")))
		picture = rest
	}
}

func (c *call) timeMarker(marker string) timePart {
	if marker == "" {
		c.fail("D3132", details{value: ""})
	}
	p := timePart{component: marker[0], digits: -1}
	modifiers := marker[1:]
	if comma := strings.LastIndexByte(modifiers, ','); comma >= 0 {
		least, most, _ := strings.Cut(modifiers[comma+1:], "-")
		p.minWidth, p.maxWidth = width(least), width(most)
		modifiers = modifiers[:comma]
	}
	switch last := len(modifiers) - 1; {
	case last < 0:
		p.presentation = defaultPresentation[p.component]
	case last > 0 && strings.IndexByte("atco", modifiers[last]) >= 0:
		p.presentation, p.second = modifiers[:last], modifiers[last]
	default:
		p.presentation = modifiers
	}
	if _, known := defaultPresentation[p.component]; !known || p.presentation == "" {
		c.fail("D3132", details{value: string(p.component)})
	}
	c.presentation(&p)
	return p
}

func width(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return 0
	}
	return min(n, maxPicture)
}

func (c *call) presentation(p *timePart) {
	isInteger := strings.IndexByte("YMDdFWwXxHhmsf", p.component) >= 0
	switch {
	case p.component == 'Z' || p.component == 'z':
		p.integer = c.integerPicture(p.presentation)
	case p.presentation[0] == 'n':
		p.names, p.letters = true, lower
	case strings.HasPrefix(p.presentation, "Nn"):
		p.names, p.letters = true, title
	case p.presentation[0] == 'N':
		p.names, p.letters = true, upper
	case isInteger:
		pattern := p.presentation
		if p.second != 0 {
			pattern += ";" + string(p.second)
		}
		p.integer = c.integerPicture(pattern)
		p.integer.mandatory = max(p.integer.mandatory, p.minWidth)
		if strings.IndexByte("YMD", p.component) < 0 {
			return
		}
		if p.maxWidth > 0 {
			p.digits, p.integer.mandatory = p.maxWidth, p.maxWidth
		} else if n := p.integer.mandatory + p.integer.optional; n >= 2 {
			p.digits = n
		}
	}
}

func (c *call) formatPart(t time.Time, offset int, p timePart) string {
	switch p.component {
	case 'Z', 'z':
		return c.formatZone(offset, p)
	case 'P':
		marker := "am"
		if t.Hour() >= 12 {
			marker = "pm"
		}
		if p.names && p.letters == upper {
			return strings.ToUpper(marker)
		}
		return marker
	case 'C', 'E':
		return "ISO"
	}
	value := component(t, p.component)
	if p.names {
		return c.partName(p, value)
	}
	if p.component == 'Y' && p.digits != -1 {
		value %= int(math.Pow10(min(p.digits, 9)))
	}
	return c.formatInteger(float64(value), p.integer)
}

func (c *call) partName(p timePart, value int) string {
	var name string
	switch p.component {
	case 'M', 'x':
		name = time.Month(value).String()
	case 'F':
		name = time.Weekday(value % 7).String()
	default:
		c.fail("D3133", details{value: string(p.component)})
	}
	name = p.letters.apply(name)
	if p.maxWidth > 0 && len(name) > p.maxWidth {
		name = name[:p.maxWidth]
	}
	return name
}

func (c *call) formatZone(offset int, p timePart) string {
	if offset == 0 && p.second == 't' {
		return "Z"
	}
	prefix := "+"
	if offset < 0 {
		prefix, offset = "-", -offset
	}
	if p.component == 'z' {
		prefix = "GMT" + prefix
	}
	hours, minutes := offset/60, offset%60
	switch n := p.integer.mandatory; {
	case p.integer.regular > 0, n == 3, n == 4:
		return prefix + c.formatInteger(float64(hours*100+minutes), p.integer)
	case n == 1, n == 2:
		text := prefix + c.formatInteger(float64(hours), p.integer)
		if minutes != 0 {
			text += ":" + c.formatInteger(float64(minutes), &integerFormat{zero: '0', mandatory: 2})
		}
		return text
	default:
		c.fail("D3134", details{value: n})
		return ""
	}
}

// component is the value of a component of a date. Days count from Monday as 1; weeks are those of ISO 8601, and those of a month are counted alike.
func component(t time.Time, component byte) int {
	switch component {
	case 'Y':
		return t.Year()
	case 'M':
		return int(t.Month())
	case 'D':
		return t.Day()
	case 'd':
		return t.YearDay()
	case 'F':
		return (int(t.Weekday())+6)%7 + 1
	case 'W':
		_, week := t.ISOWeek()
		return week
	case 'X':
		year, _ := t.ISOWeek()
		return year
	case 'w':
		return (thursday(t).Day()-1)/7 + 1
	case 'x':
		return int(thursday(t).Month())
	case 'H':
		return t.Hour()
	case 'h':
		return (t.Hour()+11)%12 + 1
	case 'm':
		return t.Minute()
	case 's':
		return t.Second()
	case 'f':
		return t.Nanosecond() / 1e6
	}
	return 0
}

// thursday is the Thursday of t's week: a week belongs to the month, and to the year, that has its Thursday.
func thursday(t time.Time) time.Time {
	return t.AddDate(0, 0, 3-(int(t.Weekday())+6)%7)
}

var isoTime = regexp.MustCompile(`^(\d{4})(?:-([01]\d))?(?:-([0-3]\d))?(?:T([0-2]\d):([0-5]\d):([0-5]\d))?(?:\.(\d+))?(Z|[+-][0-2]\d:?[0-5]\d)?$`)

func toMillis(c *call, s string, args []any) any {
	if picture, ok := text(args[1]); ok {
		return c.parseTime(s, picture)
	}
	m := isoTime.FindStringSubmatch(s)
	if m == nil {
		c.fail("D3110", details{value: s})
	}
	number := func(s string, otherwise int) int {
		if s == "" {
			return otherwise
		}
		n, _ := strconv.Atoi(s)
		return n
	}
	year, month, day := number(m[1], 0), number(m[2], 1), number(m[3], 1)
	hour, minute, second := number(m[4], 0), number(m[5], 0), number(m[6], 0)
	milli := number((m[7] + "000")[:3], 0)
	t := time.Date(year, time.Month(month), day, hour, minute, second, milli*1e6, time.UTC)
	midnight := hour == 24 && minute == 0 && second == 0 && milli == 0
	if int(t.Month()) != month && !midnight || month == 0 || month > 12 || day == 0 || t.Day() != day && !midnight || hour > 24 || hour == 24 && !midnight {
		c.fail("D3110", details{value: s})
	}
	return float64(t.UnixMilli() - int64(zoneMinutes(m[8]))*60_000)
}

func zoneMinutes(zone string) int {
	if zone == "" || zone == "Z" {
		return 0
	}
	n, _ := strconv.Atoi(strings.ReplaceAll(zone[1:], ":", ""))
	n = n/100*60 + n%100
	if zone[0] == '-' {
		return -n
	}
	return n
}
