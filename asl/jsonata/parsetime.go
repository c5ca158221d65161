package jsonata

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// timeReader is a part of a picture for reading: what it looks like, and what it means.
type timeReader struct {
	component byte
	pattern   string
	read      func(s string) (float64, bool)
}

// parseTime reads a timestamp by a picture. What does not fit has no value.
func (c *call) parseTime(s, picture string) any {
	var readers []timeReader
	var pattern strings.Builder
	pattern.WriteString("(?i)^")
	parts := c.timePicture(picture)
	c.meter.spend(50*len(picture) + len(parts)*len(s))
	for _, part := range parts {
		r := c.timeReader(part)
		readers = append(readers, r)
		pattern.WriteString("(" + r.pattern + ")")
	}
	re, err := regexp.Compile(pattern.String() + "$")
	if err != nil {
		c.refuse("second", picture)
	}
	groups := re.FindStringSubmatch(s)
	if groups == nil {
		return undefined
	}
	components := map[byte]int{}
	read := false
	for i, r := range readers {
		if r.read == nil {
			continue
		}
		read = true
		if v, ok := r.read(groups[i+1]); ok {
			if v > 1e9 { // no component is so large, and what is left of it as an int differs between processors
				c.refuse("first", s)
			}
			components[r.component] = int(v)
		}
	}
	if !read {
		return undefined
	}
	t, ok := c.timeOf(components)
	if !ok {
		c.refuse("first", s)
	}
	return t
}

func (c *call) timeReader(p timePart) timeReader {
	r := timeReader{component: p.component}
	switch {
	case p.component == 0:
		r.pattern = regexp.QuoteMeta(p.literal)
	case p.component == 'Z' || p.component == 'z':
		c.zoneReader(&r, p)
	case p.integer != nil:
		r.pattern = c.integerPattern(p)
		r.read = func(s string) (float64, bool) { return c.parseInteger(s, p.integer) }
	default:
		c.nameReader(&r, p)
	}
	return r
}

func (c *call) zoneReader(r *timeReader, p timePart) {
	separator := ""
	if p.integer.regular > 0 {
		separator = p.integer.groups[0].character
	}
	r.pattern = "[-+][0-9]+" + regexp.QuoteMeta(separator)
	if separator != "" {
		r.pattern += "[0-9]+"
	}
	if p.component == 'z' {
		r.pattern = "GMT" + r.pattern
	}
	r.read = func(s string) (float64, bool) {
		if p.component == 'z' {
			s = s[len("GMT"):]
		}
		digits := strings.ReplaceAll(s[1:], separator, "")
		if separator == "" && len(digits) <= 2 {
			digits += "00"
		}
		if len(digits) > 4 {
			return 0, false
		}
		return float64(zoneMinutes(s[:1] + digits)), true
	}
}

func (c *call) nameReader(r *timeReader, p timePart) {
	values := map[string]int{}
	short := func(name string) string {
		if p.maxWidth > 0 {
			return name[:min(p.maxWidth, len(name))]
		}
		return name
	}
	switch p.component {
	case 'M', 'x':
		for m := time.January; m <= time.December; m++ {
			values[strings.ToLower(short(m.String()))] = int(m)
		}
	case 'F':
		for d := 1; d <= 7; d++ {
			values[strings.ToLower(short(time.Weekday(d%7).String()))] = d
		}
	case 'P':
		values = map[string]int{"am": 0, "pm": 1}
	default:
		c.fail("D3133", details{value: string(p.component)})
	}
	r.pattern = "[a-zA-Z]+"
	r.read = func(s string) (float64, bool) {
		v, ok := values[strings.ToLower(s)]
		return float64(v), ok
	}
}

func (c *call) integerPattern(p timePart) string {
	f := p.integer
	switch f.primary {
	case 'a':
		return "[a-z]+"
	case 'i':
		return "[mdclxvi]+"
	case 'w':
		return `(?:[a-z]+|[\-, ])+`
	case '?':
		c.fail("D3130", details{value: f.token})
	}
	pattern := "[0-9]"
	switch n := p.digits; {
	case n > 0 && f.optional == 0:
		pattern += "{" + strconv.Itoa(n) + "}"
	case n > 0:
		pattern += "{" + strconv.Itoa(max(n-f.optional, 0)) + "," + strconv.Itoa(n) + "}"
	default:
		pattern += "+"
	}
	if f.ordinal {
		pattern += "(?:th|st|nd|rd)"
	}
	return pattern
}

// timeOf makes a time of components. Those above the largest that is given are today's, those below the smallest are zero; a gap between is an error, and
// so are dates by weeks, which the reference does not read either. ok says whether a Date of JavaScript can hold it.
func (c *call) timeOf(v map[byte]int) (millis float64, ok bool) {
	date, clock := "YMD", "Hmsf"
	has := func(letters string) bool {
		for i := range len(letters) {
			if _, ok := v[letters[i]]; ok {
				return true
			}
		}
		return false
	}
	only := func(allowed, needed string) bool {
		given := has(needed)
		for _, l := range []byte("YXMxWwdD") {
			if _, ok := v[l]; ok && strings.IndexByte(allowed, l) < 0 {
				return false
			}
		}
		return given
	}
	switch {
	case only("YMD", "YMD"):
	case only("Yd", "Yd"):
		date = "Yd"
	case has("XxWw"):
		c.fail("D3136", details{})
	}
	if has("hP") && !has("H") {
		clock = "Phmsf"
	}
	c.complete(v, date+clock)
	if clock == "Phmsf" {
		v['H'] = v['h']%12 + 12*v['P']
	}
	month, day := max(v['M'], 1), v['D']
	if date == "Yd" {
		month, day = 1, v['d']
	}
	t := time.Date(v['Y'], time.Month(month), day, v['H'], v['m'], v['s'], 0, time.UTC)
	if t.Year() > 300_000 { // behind the last year of a Date, and far before a count of milliseconds overflows
		return 0, false
	}
	millis = float64(t.UnixMilli() + int64(v['f']) - int64(v['Z']+v['z'])*60_000)
	return millis, math.Abs(millis) <= maxMillis
}

func (c *call) complete(v map[byte]int, order string) {
	started, ended := false, false
	for _, l := range []byte(order) {
		_, given := v[l]
		switch {
		case given && ended:
			c.fail("D3136", details{})
		case given:
			started = true
		case started:
			ended = true
			v[l] = 0
			if strings.IndexByte("MDd", l) >= 0 {
				v[l] = 1
			}
		default:
			v[l] = component(c.scope.Now.UTC(), l)
		}
	}
}
