package jsonata

// An evaluation is bounded by counting and not by a clock, so that it ends the same way wherever and whenever it runs.
const (
	// maxExpression bounds an expression's text. A whole machine has 1 MiB on AWS; a payload 256 KiB.
	maxExpression = 256 << 10

	// maxLevels bounds the nesting of an expression, and with it the recursion of the parser and of everything that walks the tree. The corpus'
	// deepest expression has six levels.
	maxLevels = 250

	// maxOperands bounds a chain of operators that stand on one level, such as the steps of a path: it is parsed in a loop, but walked in recursion.
	maxOperands = 2000

	// maxParents bounds how often % stands in an expression: each is carried up the tree.
	maxParents = 100

	// maxCalls bounds the nesting of evaluations and calls: a function that calls itself, but not as the last thing it does. A user's call takes about
	// seven, so some 700 calls fit, and take some 10 MB of stack.
	maxCalls = 5000

	// maxWork bounds the steps of an evaluation: each node that is evaluated, each call, each item that is put into an array, each 32 bytes of a string that is
	// made, compared or given to a function, each character that a regular expression reads. A payload of 256 KiB has 131,000 items at most; thirty steps for each of them fit. It
	// takes a second or two, and bounds what an evaluation holds in memory to some 200 MB, if nothing of it becomes garbage.
	maxWork = 4_000_000

	// costOfObject is what an object costs that is made: its map takes as much memory as eight items and more.
	costOfObject = 8

	// maxNesting bounds how deep a value may be nested where it is walked, and so the recursion. It is what asl.DecodeJSON accepts.
	maxNesting = 512

	// maxPicture bounds a picture of a number or a date: its digits are digits of the result.
	maxPicture = 300

	// maxRange bounds a range such as [1..n]. The reference allows ten million (and says one million), which no payload can hold.
	maxRange = 1_000_000
)

// meter counts the work. A nil meter counts nothing: a message is written without one.
type meter struct {
	spent    int
	position int // of the node that is evaluated, for the error
}

func (m *meter) spend(n int) {
	if m == nil {
		return
	}
	if n > maxWork || m.spent > maxWork-n {
		fail(codeWork, m.position, details{})
	}
	m.spent += n
}

func (m *meter) spendBytes(n int) { m.spend(n/32 + 1) }
