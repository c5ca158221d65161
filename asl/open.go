package asl

import "iter"

// Open is what an execution waits for: its commands that are not answered yet. A value of it never changes, each Step makes another; both cost
// what the step does, however many commands are open. The zero Open is empty.
type Open struct {
	commands tree[number, *Command]
	timers   tree[due, *Command]
}

// Len is how many they are.
func (o Open) Len() int { return o.commands.size }

// Command is the one of that ID.
func (o Open) Command(id int64) (c Command, ok bool) {
	if p, ok := o.commands.get(number(id)); ok {
		return *p, true
	}
	return c, false
}

// After are those with an ID above that one, in the order of their IDs: After(0) are all.
func (o Open) After(id int64) iter.Seq[Command] {
	return func(yield func(Command) bool) {
		for c := range o.commands.after(number(id)) {
			if !yield(*c) {
				return
			}
		}
	}
}

// Timer is the one that is due first, the machine's own deadline among them.
func (o Open) Timer() (c Command, ok bool) {
	if p, ok := o.timers.first(); ok {
		return *p, true
	}
	return c, false
}

func (o *Open) add(e edition, c *Command) {
	e = e.alone()
	o.commands = o.commands.with(e, number(c.ID), c)
	if c.Kind == StartTimer {
		o.timers = o.timers.with(e, due{c.At, c.ID}, c)
	}
}

func (o *Open) remove(e edition, c *Command) {
	e = e.alone()
	o.commands = o.commands.without(e, number(c.ID))
	if c.Kind == StartTimer {
		o.timers = o.timers.without(e, due{c.At, c.ID})
	}
}
