package jsonata

import "strings"

// kind says what a node is.
type kind int

const (
	kindEnd kind = iota
	kindName
	kindVariable
	kindString
	kindNumber
	kindLiteral
	kindRegexp
	kindWildcard
	kindDescendant
	kindParent
	kindPlaceholder // the ? of a partial application
	kindKeyword     // and, or, in where a field's name stands
	kindBinary
	kindMinus
	kindArray
	kindObject
	kindBlock
	kindCall
	kindPartial
	kindLambda
	kindTailCall
	kindCondition
	kindTransform
	kindBind
	kindApply
	kindPath
	kindSort
)

// node is a node of the tree: first as the parser makes it, then as compile has rewritten it for evaluation.
type node struct {
	kind  kind
	pos   int
	text  string // a name, a variable, a string, a binary operator
	value any    // of a literal
	regex *regex

	lhs, rhs, third *node      // operands; condition, then, else; pattern, update, delete
	nodes           []*node    // steps, arguments, elements, expressions
	pairs           [][2]*node // of an object
	terms           []term     // of an order-by
	params          []string   // of a lambda
	signature       *signature // of a lambda

	keepArray     bool // [] was written
	predicates    []*node
	group         *node // an object to group by
	stages        []stage
	keepSingleton bool
	cons          bool
	tuple         bool
	focus, index  string
	ancestor      *slot
	slot          *slot   // of a parent
	seeking       []*slot // parents that are to be found further out
}

type term struct {
	descending bool
	expr       *node
}

// stage is what follows a step: a filter, or a binding of the position.
type stage struct {
	filter *node
	index  string
}

// bindingPowers are those of the operators that stand between their operands.
var bindingPowers = map[string]int{
	".": 75, "[": 80, "{": 70, "(": 80, "@": 80, "#": 80, "?": 20,
	"+": 50, "-": 50, "*": 60, "/": 60, "%": 60, "&": 50,
	"=": 40, "<": 40, ">": 40, "^": 40, "!=": 40, "<=": 40, ">=": 40, "~>": 40, "in": 40,
	"and": 30, "or": 25, ":=": 10,
}

// parser is a Pratt parser, "top down operator precedence".
type parser struct {
	lexer lexer
	token token
	depth int
}

func parse(source string) *node {
	p := &parser{lexer: lexer{source: source}}
	p.advance(false)
	n := p.expression(0)
	if p.token.kind != tokenEnd {
		fail("S0201", p.token.end, details{token: p.token.shown()})
	}
	return n
}

// shown is how a message names a token.
func (t token) shown() any {
	switch t.kind {
	case tokenNumber, tokenLiteral:
		return t.value
	case tokenEnd:
		return "(end)"
	case tokenRegexp:
		return map[string]any{} // what JSON makes of a regular expression
	default:
		return t.text
	}
}

func (p *parser) advance(infix bool) { p.token = p.lexer.next(infix) }

func (p *parser) at(op string) bool { return p.token.kind == tokenOperator && p.token.text == op }

// expect passes an operator that has to stand here.
func (p *parser) expect(op string, infix bool) {
	if !p.at(op) {
		if p.token.kind == tokenEnd {
			fail("S0203", p.token.end, details{token: "(end)", value: op})
		}
		fail("S0202", p.token.end, details{token: p.token.shown(), value: op})
	}
	p.advance(infix)
}

func (p *parser) expression(power int) *node {
	if p.depth++; p.depth > maxLevels {
		fail(codeDeep, p.token.end, details{})
	}
	t := p.token
	p.advance(true)
	left := p.prefix(t)
	// Each turn puts the tree so far one level deeper, and a path or a sum of many operands is written without any nesting.
	for turns := 0; p.token.kind == tokenOperator && power < bindingPowers[p.token.text]; turns++ {
		if turns > maxOperands {
			fail(codeDeep, p.token.end, details{})
		}
		t = p.token
		p.advance(false)
		left = p.infix(t, left)
	}
	p.depth--
	return left
}

// prefix makes a node of a token that starts an expression.
func (p *parser) prefix(t token) *node {
	n := &node{pos: t.end, text: t.text, value: t.value}
	switch t.kind {
	case tokenEnd:
		n.kind = kindEnd
	case tokenName:
		n.kind = kindName
	case tokenVariable:
		n.kind = kindVariable
	case tokenString:
		n.kind = kindString
	case tokenNumber:
		n.kind = kindNumber
	case tokenLiteral:
		n.kind = kindLiteral
	case tokenRegexp:
		n.kind, n.regex = kindRegexp, t.regex
	case tokenOperator:
		return p.prefixOperator(n)
	}
	return n
}

func (p *parser) prefixOperator(n *node) *node {
	switch n.text {
	case "and", "or", "in":
		n.kind = kindKeyword
	case "*":
		n.kind = kindWildcard
	case "**":
		n.kind = kindDescendant
	case "%":
		n.kind = kindParent
	case "-":
		n.kind, n.lhs = kindMinus, p.expression(70)
	case "(":
		n.kind, n.nodes = kindBlock, p.block()
	case "[":
		n.kind, n.nodes = kindArray, p.elements()
	case "{":
		n.kind, n.pairs = kindObject, p.members()
	case "|":
		p.transform(n)
	default:
		fail("S0211", n.pos, details{token: n.text})
	}
	return n
}

func (p *parser) block() []*node {
	var expressions []*node
	for !p.at(")") {
		expressions = append(expressions, p.expression(0))
		if !p.at(";") {
			break
		}
		p.advance(false)
	}
	p.expect(")", true)
	return expressions
}

func (p *parser) elements() []*node {
	var elements []*node
	for !p.at("]") {
		e := p.expression(0)
		if p.at("..") {
			e = &node{kind: kindBinary, text: "..", pos: p.token.end, lhs: e}
			p.advance(false)
			e.rhs = p.expression(0)
		}
		elements = append(elements, e)
		if !p.at(",") {
			break
		}
		p.advance(false)
		if p.at("]") {
			fail("S0211", p.token.end, details{token: "]"})
		}
	}
	p.expect("]", true)
	return elements
}

func (p *parser) members() [][2]*node {
	var pairs [][2]*node
	for !p.at("}") {
		name := p.expression(0)
		p.expect(":", false)
		pairs = append(pairs, [2]*node{name, p.expression(0)})
		if !p.at(",") {
			break
		}
		p.advance(false)
		if p.at("}") {
			fail("S0211", p.token.end, details{token: "}"})
		}
	}
	p.expect("}", true)
	return pairs
}

// transform reads |pattern|update, delete|.
func (p *parser) transform(n *node) {
	n.kind, n.lhs = kindTransform, p.expression(0)
	p.expect("|", false)
	n.rhs = p.expression(0)
	if p.at(",") {
		p.advance(false)
		n.third = p.expression(0)
	}
	p.expect("|", false)
}

// infix makes a node of an operator behind its left operand.
func (p *parser) infix(t token, left *node) *node {
	n := &node{kind: kindBinary, text: t.text, pos: t.end, lhs: left}
	switch t.text {
	case "(":
		return p.call(n, left)
	case "[":
		return p.predicate(n, left)
	case "{":
		n.pairs = p.members()
	case "^":
		n.terms = p.orderBy()
	case ":=":
		if left.kind != kindVariable {
			fail("S0212", left.pos, details{token: left.text})
		}
		n.rhs = p.expression(bindingPowers[":="] - 1) // right associative
	case "@", "#":
		n.rhs = p.expression(bindingPowers[t.text])
		if n.rhs.kind != kindVariable {
			fail("S0214", n.rhs.pos, details{token: t.text})
		}
	case "?":
		n.kind, n.rhs = kindCondition, p.expression(0)
		if p.at(":") {
			p.advance(false)
			n.third = p.expression(0)
		}
	default:
		n.rhs = p.expression(bindingPowers[t.text])
	}
	return n
}

// predicate reads [expression], or [], which says that the result stays an array.
func (p *parser) predicate(n, left *node) *node {
	if !p.at("]") {
		n.rhs = p.expression(0)
		p.expect("]", true)
		return n
	}
	step := left
	for step.kind == kindBinary && step.text == "[" {
		step = step.lhs
	}
	step.keepArray = true
	p.advance(true)
	return left
}

func (p *parser) orderBy() []term {
	p.expect("(", false)
	var terms []term
	for {
		t := term{descending: p.at(">")}
		if p.at("<") || p.at(">") {
			p.advance(false)
		}
		t.expr = p.expression(0)
		terms = append(terms, t)
		if !p.at(",") {
			break
		}
		p.advance(false)
	}
	p.expect(")", true)
	return terms
}

// call reads the arguments of a call or a partial application, or a function's definition.
func (p *parser) call(n, procedure *node) *node {
	n.kind = kindCall
	for !p.at(")") {
		if p.at("?") {
			n.kind = kindPartial
			n.nodes = append(n.nodes, &node{kind: kindPlaceholder, pos: p.token.end, text: "?"})
			p.advance(false)
		} else {
			n.nodes = append(n.nodes, p.expression(0))
		}
		if !p.at(",") {
			break
		}
		p.advance(false)
		if p.at(")") {
			fail("S0211", p.token.end, details{token: ")"})
		}
	}
	p.expect(")", true)
	if procedure.kind == kindName && (procedure.text == "function" || procedure.text == "λ") {
		p.lambda(n)
	}
	return n
}

func (p *parser) lambda(n *node) {
	for i, param := range n.nodes {
		if param.kind != kindVariable {
			fail("S0208", param.pos, details{token: param.text, value: i + 1})
		}
		n.params = append(n.params, param.text)
	}
	n.kind, n.nodes, n.lhs = kindLambda, nil, nil
	if p.at("<") {
		n.signature = p.signature()
	}
	p.expect("{", false)
	n.rhs = p.expression(0)
	p.expect("}", false)
}

// signature reads <s-n?:s>, which the lexer sees as operators and names.
func (p *parser) signature() *signature {
	position, depth := p.token.end, 1
	var text strings.Builder
	text.WriteByte('<')
	for depth > 0 && !p.at("{") && p.token.kind != tokenEnd {
		p.advance(false)
		if p.at(">") {
			depth--
		} else if p.at("<") {
			depth++
		}
		text.WriteString(p.token.text)
	}
	p.expect(">", false)
	return parseSignature(text.String(), position)
}
