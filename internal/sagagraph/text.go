package sagagraph

import (
	"encoding/xml"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The sizes of text, in pixels.
const (
	nameSize   = 13
	detailSize = 10
	maxDetail  = 36 // characters of a resource; a state's name has at most 80 and is shown whole
)

// boxWidth is what a state's texts need, and what is inside of it. It is even, so that a box has a middle.
func boxWidth(n Node) int {
	pad := boxPad
	if n.Type == "Choice" {
		pad += notch
	}
	w := max(textWidth(shown(n.Name), nameSize), textWidth(detail(n), detailSize)) + 2*pad
	inside := insideWidth(n)
	return max(minBox, w+w%2, inside+inside%2)
}

// insideWidth is how wide the flows inside of a state are, side by side.
func insideWidth(n Node) int {
	sum := 0
	for _, g := range n.Inside {
		sum += g.Width
	}
	return sum
}

// heightOf is what a state's texts need, and below them what is inside of it.
func heightOf(n Node) int {
	highest := 0
	for _, g := range n.Inside {
		highest = max(highest, g.Height)
	}
	return boxHeight + highest
}

// detail is the line below a state's name: what a task calls, else the type.
func detail(n Node) string {
	if n.Resource == "" {
		return n.Type
	}
	text := []rune(shown(n.Resource[strings.LastIndexAny(n.Resource, ":/")+1:]))
	if len(text) == 0 {
		return n.Type
	}
	if len(text) > maxDetail {
		text = append(text[:maxDetail-1], '…')
	}
	return string(text)
}

// textWidth estimates how wide a text is in a bold sans-serif font: there is no font to ask where a page is written. It is
// rather too wide than too narrow. The unit is a hundredth of the font's size.
func textWidth(text string, size int) int {
	sum := 0
	for _, r := range text {
		switch {
		case strings.ContainsRune("iljI.,:;|!'`()[]", r):
			sum += 36
		case r == 'W':
			sum += 112
		case strings.ContainsRune("mwM@%", r):
			sum += 104
		case unicode.IsUpper(r):
			sum += 76
		case unicode.Is(unicode.Mn, r):
		case r < utf8.RuneSelf:
			sum += 64
		case r < 0x1100:
			sum += 76
		default: // where the wide scripts and the pictures begin
			sum += 110
		}
	}
	return (sum*size + 99) / 100
}

// shown is a text on one line: what moves the pen or turns the direction of writing is shown as a mark in its place.
func shown(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsGraphic(r) {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}

// escape makes a text safe in an element and in an attribute. What XML cannot hold becomes the replacement character.
func escape(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // a strings.Builder takes everything
	return b.String()
}

// id is a state's id: its name where that is made of letters, digits, - and _, with .x and the number for any other character.
// Two names never have the same.
func id(name string) string {
	var b strings.Builder
	b.WriteString("state-")
	for _, r := range name {
		if r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r) || r == '-' || r == '_') {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, ".x%x.", r)
		}
	}
	return b.String()
}
