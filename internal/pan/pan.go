// Package pan finds what looks like a payment card's number, a primary account number, in a text: 13 to 19 digits whose last one is
// their check digit (ISO/IEC 7812-1, annex B: Luhn), written together or with single spaces or dashes between them.
//
// Who takes orders is sent such numbers by mistake: in a customer's id, a reason, a key. They belong to the payment provider and nowhere
// else, so they are refused where a text is read (httpapi) and struck out where one is logged (observe).
//
// It promises to find every such number that stands on its own or between other characters. It does not look for one inside a longer
// run of digits, nor in what has the shape of an id: a UUID, a ULID, or 16, 32, 40 or 64 hexadecimal digits with a letter among them. One in ten
// numbers has a good check digit by chance; without the exception one UUID in 8,000 would be refused as an Idempotency-Key, for no
// reason that its sender could see.
package pan

import "strings"

// The lengths of a card's number (ISO/IEC 7812-1 allows 8 to 19; no card that is issued has fewer than 13).
const (
	minDigits = 13
	maxDigits = 19
)

// Struck is what stands for a number that was struck out.
const Struck = "[card number]"

// In reports whether a card's number stands in the text.
func In(s string) bool {
	_, _, found := find(s, 0)
	return found
}

// Strike returns the text with each card's number replaced by Struck. A text without one is returned as it is.
func Strike(s string) string {
	from, to, found := find(s, 0)
	if !found {
		return s
	}
	var b strings.Builder
	end := 0
	for found {
		b.WriteString(s[end:from])
		b.WriteString(Struck)
		end = to
		from, to, found = find(s, end)
	}
	b.WriteString(s[end:])
	return Strike(b.String()) // what was an id beside a number may be none without it; each round leaves fewer digits
}

// few reports whether the text has too few digits for a card's number: most have, and it is what a text costs that is fine.
func few(s string) bool {
	n := 0
	for i := range len(s) {
		if digit(s[i]) {
			if n++; n == minDigits {
				return false
			}
		}
	}
	return true
}

// find is the first card's number at or behind the place.
func find(s string, at int) (from, to int, found bool) {
	if len(s)-at < minDigits || few(s[at:]) {
		return 0, 0, false
	}
	for i := at; i < len(s); i++ {
		if !digit(s[i]) {
			continue
		}
		if to := number(s, i); to > 0 && !partOfID(s, i, to) {
			return i, to, true
		}
		for i+1 < len(s) && digit(s[i+1]) { // a number begins where a group of digits begins
			i++
		}
	}
	return 0, 0, false
}

// number is where the longest card's number that begins at the place ends, at the end of a group of digits; 0 if none begins there.
func number(s string, at int) (end int) {
	var digits [maxDigits]byte
	n := 0
	for i := at; i < len(s); {
		for ; i < len(s) && digit(s[i]); i++ {
			if n == maxDigits {
				return end
			}
			digits[n] = s[i] - '0'
			n++
		}
		if n >= minDigits && luhn(digits[:n]) {
			end = i
		}
		if i+1 >= len(s) || s[i] != ' ' && s[i] != '-' || !digit(s[i+1]) {
			break
		}
		i++
	}
	return end
}

// luhn reports whether the last digit is the others' check digit.
func luhn(digits []byte) bool {
	sum := 0
	for i, d := range digits {
		n := int(d)
		if (len(digits)-i)%2 == 0 {
			if n *= 2; n > 9 {
				n -= 9
			}
		}
		sum += n
	}
	return sum%10 == 0
}

func digit(c byte) bool { return '0' <= c && c <= '9' }

func letter(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }

// partOfID reports whether what stands there belongs to an id.
func partOfID(s string, from, to int) bool {
	first, last := from, to
	for first > 0 && (digit(s[first-1]) || letter(s[first-1])) {
		first--
	}
	for last < len(s) && (digit(s[last]) || letter(s[last])) {
		last++
	}
	word := s[first:last]
	return ulid(word) || hash(word) || uuidAround(s, from, to)
}

// ulid reports whether the word is a ULID (https://github.com/ulid/spec) with a letter in it.
func ulid(word string) bool {
	if len(word) != 26 || word[0] > '7' {
		return false
	}
	letters := 0
	for i := range len(word) {
		switch c := word[i]; {
		case digit(c):
		case 'A' <= c && c <= 'Z' && c != 'I' && c != 'L' && c != 'O' && c != 'U':
			letters++
		default:
			return false
		}
	}
	return letters > 0
}

// hash reports whether the word is the hexadecimal form of a trace's or span's id or of a hash, with a letter in it.
func hash(word string) bool {
	switch len(word) {
	case 16, 32, 40, 64:
	default:
		return false
	}
	letters := 0
	for i := range len(word) {
		if !hex(word[i]) {
			return false
		}
		if letter(word[i]) {
			letters++
		}
	}
	return letters > 0
}

func hex(c byte) bool { return digit(c) || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F' }

// uuidAround reports whether a UUID (RFC 9562, section 4) covers the place: 8, 4, 4, 4 and 12 hexadecimal digits and nothing that goes on
// before or behind them.
func uuidAround(s string, from, to int) bool {
	const size = 36
	for first := max(0, to-size); first <= from && first+size <= len(s); first++ {
		before, behind := first-1, first+size
		if (before < 0 || !hex(s[before])) && (behind == len(s) || !hex(s[behind])) && uuid(s[first:behind]) {
			return true
		}
	}
	return false
}

func uuid(s string) bool {
	for i := range len(s) {
		switch i {
		case 8, 13, 18, 23:
			if s[i] != '-' {
				return false
			}
		default:
			if !hex(s[i]) {
				return false
			}
		}
	}
	return true
}
