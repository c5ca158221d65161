package asl

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	reservedVariable = "states"
	maxVariableName  = 80       // characters
	maxVariables     = 10 << 20 // bytes of all variables of an execution. Those of one Assign are a payload: maxPayload
)

// leaving is what a way out of a state says: the state itself, a Choice rule or a Catcher.
type leaving struct {
	assign *objectTemplate // Assign; nil: none
	output expr            // JSONata's Output; nil: none
}

// assignment compiles Assign. at is where o stands in its state: "" or "Catch[0]/".
func (c *compiler) assignment(o *fields, at string) *objectTemplate {
	const name = "Assign"
	v := o.value(name)
	if !o.has(name) {
		return nil
	}
	m, ok := v.(map[string]any)
	if !ok {
		o.problem(name, "an object is expected, not "+typeName(v))
		return nil
	}
	for _, key := range sortedNames(m) {
		c.declare(o.at(name).to(key), key, strings.HasPrefix(at, "Catch["))
	}
	if c.jsonata {
		return c.queryMembers(o.at(name), at+name, m)
	}
	return c.memberTemplates(o.at(name), m)
}

// declare checks the name of a variable and notes that it is assigned in the flow being compiled. One that a Catcher
// assigns may be assigned inside, too: AWS takes the same names in a Parallel's Catch and in its branches.
func (c *compiler) declare(ptr *pointer, name string, inCatch bool) {
	if !c.jsonata {
		name = strings.TrimSuffix(name, ".$")
	}
	switch {
	case name == reservedVariable:
		c.problem(ptr, "The variable 'states' is reserved")
	case !isVariableName(name):
		c.problem(ptr, fmt.Sprintf("'%s' is no name for a variable: a letter is expected, then letters, digits and underscores, at most %d characters", name, maxVariableName))
	}
	if inCatch {
		c.variables.caught = append(c.variables.caught, target{ptr, name})
	} else {
		c.variables.own = append(c.variables.own, target{ptr, name})
	}
}

// isVariableName follows the Unicode identifiers (UAX #31), as AWS documents it: no underscore at the beginning.
func isVariableName(name string) bool {
	if name == "" || utf8.RuneCountInString(name) > maxVariableName {
		return false
	}
	for i, r := range name {
		start := unicode.In(r, unicode.L, unicode.Nl, unicode.Other_ID_Start)
		if !start && (i == 0 || !unicode.In(r, unicode.Mn, unicode.Mc, unicode.Nd, unicode.Pc, unicode.Other_ID_Continue)) {
			return false
		}
	}
	return true
}

// declared are the variables that a flow assigns, its Catchers and the flows inside of it.
type declared struct{ own, caught, inner []target }

// leave checks the flow's variables: no flow inside may assign one that this one assigns.
func (d *declared) leave(c *compiler, outer *declared) {
	own := make(map[string]bool, len(d.own))
	for _, t := range d.own {
		own[t.name] = true
	}
	for _, t := range d.inner {
		if own[t.name] {
			c.coded(t.ptr, DuplicateVariableName, "The variable name '"+t.name+"' was already defined in a parent scope.")
		}
	}
	if outer != nil {
		outer.inner = slices.Concat(outer.inner, d.own, d.caught, d.inner)
	}
}

// undefinedVariable is the failure over a path into a variable that no state has set.
func undefinedVariable(name string) *failure {
	return runtimeFailure("The variable '$" + name + "' is not defined.")
}

// evaluateAssign is what the way out assigns: every expression sees the variables as they were when the state was entered.
func (x *Execution) evaluateAssign(way *leaving, e *env) (map[string]any, *failure) {
	if way.assign == nil {
		return nil, nil
	}
	v, bound, f := way.assign.eval(e)
	if f != nil {
		return nil, f
	}
	assigned, _ := v.(map[string]any)
	if bound > maxPayload && sizeOf(v, maxPayload) > maxPayload || !e.scope.holds(assigned) {
		f = tooLarge("The state/task '" + e.scope.state.name + "' assigned variables")
		f.terminal, f.located = true, true
	}
	return assigned, f
}

// holds reports whether the variables of the scope's execution stay within the limit when the assigned ones are set.
func (sc *scope) holds(assigned map[string]any) bool {
	whole, more := sc.around(), sc.growth(assigned)
	if whole.heldAtMost+more > maxVariables {
		whole.heldAtMost = whole.held() // some have vanished with their scopes
	}
	return whole.heldAtMost+more <= maxVariables
}

// around is the scope of the whole execution: a distributed Map's iteration is one of its own.
func (sc *scope) around() *scope {
	for sc.parent != nil && !sc.apart {
		sc = sc.parent
	}
	return sc
}

// held is the size of all variables in the scope and in those of its execution inside of it.
func (sc *scope) held() int {
	size := sc.varsSize
	if sc.fork == nil {
		return size
	}
	for inner := range sc.fork.running.all() {
		if !inner.apart {
			size += inner.held()
		}
	}
	return size
}

// growth is by how much the scope's variables grow when the assigned ones are set.
func (sc *scope) growth(assigned map[string]any) (size int) {
	for name, v := range assigned {
		size += sizeOf(v, maxPayload) - sc.vars[name].size
	}
	return size
}

// set sets variables, all at once, when their state is left. The map is a new one: clones share the old one.
func (sc *scope) set(assigned map[string]any) {
	if len(assigned) == 0 {
		return
	}
	vars, before := make(map[string]variable, len(sc.vars)+len(assigned)), sc.varsSize
	maps.Copy(vars, sc.vars)
	for name, v := range assigned {
		size := sizeOf(v, maxPayload)
		sc.varsSize += size - vars[name].size
		vars[name] = variable{v, size}
	}
	sc.vars = vars
	sc.around().heldAtMost += sc.varsSize - before
}
