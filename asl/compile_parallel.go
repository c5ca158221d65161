package asl

import "fmt"

// maxNesting bounds how deep Parallel and Map states stand within one another, and with it the recursion over a machine and over its scopes.
// AWS states no limit; nobody writes five.
const maxNesting = 25

func (c *compiler) parallel(s *state, o *fields) {
	s.next = c.next(o)
	s.parameters = c.arguments(o, "")
	c.result(s, o)
	for _, each := range o.objects("Branches", true) {
		each.text("Comment")
		s.branches = append(s.branches, c.inner(each))
		each.done()
	}
	s.leaving = c.leaving(o, "")
}

// result compiles what a state does with its result and with its failures.
func (c *compiler) result(s *state, o *fields) {
	s.selector = c.payload(o, "ResultSelector")
	s.resultPath = c.placement(o)
	s.retry = c.retriers(o)
	s.catch = c.catchers(o)
}

// inner compiles a branch or a processor: a flow within the one that is being compiled. Its states go to one another only.
func (c *compiler) inner(o *fields) *flow {
	states, targets, partial := c.states, c.targets, c.partial
	defer func() {
		c.states, c.targets, c.partial = states, targets, partial
		c.depth--
	}()
	c.partial = false
	if c.depth++; c.depth > maxNesting {
		c.problem(o.ptr, fmt.Sprintf("Parallel and Map states stand more than %d deep within one another", maxNesting))
		o.ignore("StartAt", "States")
		return &flow{}
	}
	return c.flow(o)
}
