package monitoring_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// operands are what the parts of a rule's expression compare with a number: of `a < 1 and b >= 2` they are a and b. A comparison leaves out the
// series that it does not hold for, so the rule itself finds nothing as long as all is well.
//
// It knows the shape that our rules have, parts of the form `x op number` with `and` or `or` between them, and refuses any other.
func operands(expr string) ([]string, error) {
	var found []string
	for _, part := range split(expr) {
		var ops []token
		for _, t := range part {
			switch {
			case slices.Contains([]string{"on", "ignoring", "unless", "bool"}, t.text):
				return nil, fmt.Errorf("%q in %q is not looked for", t.text, expr)
			case slices.Contains(comparisons, t.text):
				ops = append(ops, t)
			}
		}
		if len(ops) != 1 || ops[0].depth != 0 {
			return nil, fmt.Errorf("%d comparisons in a part of %q, want one, at its end", len(ops), expr)
		}
		left, right := expr[part[0].from:ops[0].from], expr[ops[0].to:part[len(part)-1].to]
		if _, err := strconv.ParseFloat(strings.TrimSpace(right), 64); err != nil {
			return nil, fmt.Errorf("%q in %q is no number", right, expr)
		}
		if left = strings.TrimSpace(left); left == "" {
			return nil, fmt.Errorf("nothing is compared in %q", expr)
		}
		found = append(found, left)
	}
	return found, nil
}

var comparisons = []string{"==", "!=", ">=", "<=", ">", "<"}

// A token is a word, a selector in braces, a text, or one or two signs.
type token struct {
	text     string
	from, to int
	depth    int // of the parentheses around it
}

// split are the tokens of each part of an expression, without the `and` or `or` between them.
func split(expr string) [][]token {
	parts := [][]token{nil}
	depth := 0
	for at := 0; at < len(expr); {
		n := next(expr[at:])
		t := token{expr[at : at+n], at, at + n, depth}
		at += n
		switch t.text {
		case "(", "[":
			depth++
		case ")", "]":
			depth--
			t.depth--
		}
		switch last := len(parts) - 1; {
		case strings.TrimSpace(t.text) == "":
		case t.depth == 0 && (t.text == "and" || t.text == "or"):
			parts = append(parts, nil)
		default:
			parts[last] = append(parts[last], t)
		}
	}
	return parts
}

// next is the length of the token that a text begins with.
func next(text string) int {
	word := func(r rune) bool {
		return r == '_' || r == ':' || r == '.' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
	}
	if n := len(text) - len(strings.TrimLeftFunc(text, word)); n > 0 {
		return n
	}
	if text[0] == '{' { // whatever compares in it does so with texts
		quoted := false
		for i := range len(text) {
			switch {
			case text[i] == '"':
				quoted = !quoted
			case text[i] == '}' && !quoted:
				return i + 1
			}
		}
	}
	for _, c := range comparisons {
		if strings.HasPrefix(text, c) {
			return len(c)
		}
	}
	return 1
}

func TestAnExpressionIsTakenApart(t *testing.T) {
	for expr, want := range map[string]string{
		`a > 0`:                   "a",
		`a{b="c and d > 1"} == 1`: `a{b="c and d > 1"}`,
		"sum by (job) (rate(a{b!~\"}\"}[5m])) / c < .9\nand\nc >= 10": "sum by (job) (rate(a{b!~\"}\"}[5m])) / c; c",
		`a > 0 or (b) == 1 and c != 1e3`:                              "a; (b); c",
		`round(100 * a / b, 0.1) < 95`:                                "round(100 * a / b, 0.1)",
		`android >= 3`:                                                "android",
		`a`:                                                           "", // what is there to be judged?
		`a > 0 and b`:                                                 "",
		`a > b`:                                                       "",
		`0 < a`:                                                       "",
		`a > bool 0`:                                                  "",
		`(a > 0) / b > 1`:                                             "",
		`(a > 0)`:                                                     "",
		`a > 1 > 0`:                                                   "",
		`a > 0 unless b > 1`:                                          "",
		`a > 0 and on (job) b > 1`:                                    "",
		`> 0`:                                                         "",
		`a > 0 and`:                                                   "",
	} {
		got, err := operands(expr)
		if joined := strings.Join(got, "; "); joined != want || (err == nil) != (want != "") {
			t.Errorf("%s is %q and %v, want %q", expr, joined, err, want)
		}
	}
}
