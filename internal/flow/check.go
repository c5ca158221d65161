package flow

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// The ways in which a machine leaves what a journal tells.
const (
	OtherState   = "STATE"   // it enters another state, or ends where the old one went on
	OtherTask    = "TASK"    // it asks for another task
	OtherInput   = "INPUT"   // it asks for the same task with another input
	OtherCommand = "COMMAND" // what was answered is not asked for any more
	OtherEnd     = "END"     // it ends in another way
	Unreadable   = "JOURNAL" // the journal does not fit the machine that it was written by: nothing can be said
)

// A Divergence is the first place at which a machine does something else than the one that an execution ran.
type Divergence struct {
	Kind  string `json:"kind"`
	State string `json:"state"` // of the old machine, in which or at which they part
	Event int64  `json:"event"` // number in the execution's history, as the old machine makes it
	Old   string `json:"old"`   // what the old machine did
	New   string `json:"new"`   // what the new one does
}

// Diverges replays an execution's events on the machine that it ran and on another one, and returns where they part, nil if nowhere.
//
// Compared is what an execution does: the states that it enters, the tasks that it calls with their inputs, what it waits for, and how it
// ends. How long it waits is not: a retry's interval and a timeout may change, since the events tell what became of them.
func Diverges(old, changed *asl.Machine, start asl.Start, events []asl.Event) *Divergence {
	c := comparison{ids: make(map[int64]int64)}
	c.old.begin(old, start)
	c.changed.begin(changed, start)
	if d := c.parted(); d != nil {
		return d
	}
	for n, ev := range events {
		other := ev
		if ev.Kind != asl.Aborted && ev.Kind != asl.Redriven { // which answer nothing
			id, ok := c.ids[ev.ID]
			if !ok {
				return c.unanswered(ev)
			}
			other.ID = id
		}
		if err := c.old.step(ev); err != nil {
			return c.unreadable(n+1, err)
		}
		if err := c.changed.step(other); err != nil {
			return c.at(OtherCommand, c.old.event, "took "+string(ev.Kind), err.Error())
		}
		if d := c.parted(); d != nil {
			return d
		}
	}
	return nil
}

// A comparison holds two machines against each other, event by event.
type comparison struct {
	old, changed side
	ids          map[int64]int64 // the new machine's command for one of the old
}

// A side is one machine, as the journal drives it, and what it did in its last step.
type side struct {
	x        *asl.Execution
	entered  []asl.HistoryEvent
	asked    []asl.Command // tasks and timers
	deadline int64         // the timer of the machine's TimeoutSeconds: it may come and go, and is no part of what is compared
	event    int64         // the last of the history
	tasks    map[string]int64
}

func (s *side) begin(m *asl.Machine, start asl.Start) {
	s.tasks = make(map[string]int64)
	start.Observe = s.observe
	x, commands := m.Start(start)
	s.x = x
	s.take(commands)
}

func (s *side) observe(h asl.HistoryEvent) {
	s.event = h.ID
	switch {
	case strings.HasSuffix(h.Type, "StateEntered"):
		s.entered = append(s.entered, h)
	case strings.HasSuffix(h.Type, "Scheduled"):
		s.tasks[h.State] = h.ID
	}
}

func (s *side) step(ev asl.Event) error {
	s.entered = s.entered[:0]
	commands, err := s.x.Step(ev)
	if err == nil {
		s.take(commands)
	}
	return err
}

func (s *side) take(commands []asl.Command) {
	s.asked = s.asked[:0]
	for _, c := range commands {
		switch {
		case c.Kind == asl.Cancel:
		case c.Deadline():
			s.deadline = c.ID
		default:
			s.asked = append(s.asked, c)
		}
	}
}

// does says what a side did in its last step beyond the n states and m commands that the other did too.
func (s *side) does(n, m int) string {
	switch {
	case n < len(s.entered):
		return "enters " + s.entered[n].State
	case s.x.Status() != running:
		return "ends " + endOf(s.x)
	case m < len(s.asked):
		return asking(s.asked[m])
	}
	state, _ := s.x.Current()
	return "stays in " + state
}

func asking(c asl.Command) string {
	if c.Kind == asl.RunTask {
		return "calls " + c.Resource + " in " + c.State
	}
	return "waits in " + c.State
}

func endOf(x *asl.Execution) string {
	name, cause := x.Failure()
	return strings.TrimRight(fmt.Sprintf("%s %s %s", x.Status(), name, clip(cause)), " ")
}

// parted compares what the two did in their last step, and pairs their commands.
func (c *comparison) parted() *Divergence {
	old, changed := &c.old, &c.changed
	for n := range max(len(old.entered), len(changed.entered)) {
		if n < min(len(old.entered), len(changed.entered)) && sameEntry(old.entered[n], changed.entered[n]) {
			continue
		}
		d := c.at(OtherState, old.event, old.does(n, 0), changed.does(n, 0))
		if n < len(old.entered) {
			d.State, d.Event = old.entered[n].State, old.entered[n].ID
			if n < len(changed.entered) && old.entered[n].State == changed.entered[n].State { // of another type
				d.Old, d.New = d.Old+", a "+kindOf(old.entered[n]), d.New+", a "+kindOf(changed.entered[n])
			}
		}
		return d
	}
	if d := c.ended(); d != nil {
		return d
	}
	for n := range max(len(old.asked), len(changed.asked)) {
		if n >= min(len(old.asked), len(changed.asked)) {
			return c.at(OtherCommand, old.event, old.does(len(old.entered), n), changed.does(len(changed.entered), n))
		}
		if d := c.asked(old.asked[n], changed.asked[n]); d != nil {
			return d
		}
		c.ids[old.asked[n].ID] = changed.asked[n].ID
	}
	if old.deadline != 0 && changed.deadline != 0 {
		c.ids[old.deadline] = changed.deadline
	}
	return nil
}

func sameEntry(a, b asl.HistoryEvent) bool { return a.Type == b.Type && a.State == b.State }

func kindOf(h asl.HistoryEvent) string { return strings.TrimSuffix(h.Type, "StateEntered") }

// ended compares the ends, if one of the two has come to its.
func (c *comparison) ended() *Divergence {
	old, changed := c.old.x, c.changed.x
	switch {
	case old.Status() == running && changed.Status() == running:
		return nil
	case old.Status() != changed.Status() || endOf(old) != endOf(changed):
		return c.at(OtherEnd, c.old.event, c.old.does(len(c.old.entered), 0), c.changed.does(len(c.changed.entered), 0))
	}
	if g := difference(old.Output(), changed.Output()); g != nil {
		was, is := g.of("output")
		return c.at(OtherEnd, c.old.event, was, is)
	}
	return nil
}

// asked compares two commands.
func (c *comparison) asked(old, changed asl.Command) *Divergence {
	if old.Kind != changed.Kind || old.State != changed.State || old.Resource != changed.Resource || !slices.Equal(old.Index, changed.Index) {
		kind := OtherTask
		if old.Kind != asl.RunTask {
			kind = OtherCommand
		}
		d := c.at(kind, c.scheduled(old), asking(old), asking(changed))
		d.State = old.State
		return d
	}
	g := difference(old.Input, changed.Input)
	if g == nil {
		return nil
	}
	was, is := g.of("input")
	d := c.at(OtherInput, c.scheduled(old), was, is)
	d.State = old.State
	return d
}

// scheduled is the number of the event by which the old machine asked for a task. One of a distributed Map's has none that is seen.
func (c *comparison) scheduled(cmd asl.Command) int64 {
	if id, ok := c.old.tasks[cmd.State]; ok && cmd.Kind == asl.RunTask {
		return id
	}
	return c.old.event
}

// unanswered is for an event whose command the new machine never asked for: the deadline's, since all others are paired.
func (c *comparison) unanswered(ev asl.Event) *Divergence {
	if ev.ID != c.old.deadline || ev.ID == 0 {
		return c.unreadable(0, fmt.Errorf("%s answers command %d, which was not asked for", ev.Kind, ev.ID))
	}
	return c.at(OtherCommand, c.old.event+1, "its TimeoutSeconds were over", "has no TimeoutSeconds")
}

func (c *comparison) unreadable(entry int, err error) *Divergence {
	return c.at(Unreadable, c.old.event, "entry "+strconv.Itoa(entry)+": "+err.Error(), "not asked")
}

func (c *comparison) at(kind string, event int64, old, changed string) *Divergence {
	state, _ := c.old.x.Current()
	return &Divergence{Kind: kind, State: state, Event: event, Old: old, New: changed}
}

// A gap is the first place at which two values are not the same, and what stands there.
type gap struct{ pointer, old, changed string }

// missing stands for a member that an object has not.
type missing struct{}

// difference is nil if there is none.
func difference(old, changed any) *gap {
	switch a := old.(type) {
	case map[string]any:
		b, ok := changed.(map[string]any)
		if !ok {
			break
		}
		names := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
		slices.Sort(names)
		for _, name := range slices.Compact(names) {
			if g := difference(member(a, name), member(b, name)); g != nil {
				return g.under(name)
			}
		}
		return nil
	case []any:
		b, ok := changed.([]any)
		if !ok || len(a) != len(b) {
			break
		}
		for i := range a {
			if g := difference(a[i], b[i]); g != nil {
				return g.under(strconv.Itoa(i))
			}
		}
		return nil
	default:
		if old == changed {
			return nil
		}
	}
	return &gap{old: shown(old), changed: shown(changed)}
}

func member(of map[string]any, name string) any {
	if v, ok := of[name]; ok {
		return v
	}
	return missing{}
}

// under is the gap as the value sees it that has it in a member or an element.
func (g *gap) under(name string) *gap {
	g.pointer = "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name) + g.pointer
	return g
}

// of says what stands there on both sides, in a value that has the name.
func (g *gap) of(name string) (old, changed string) {
	if g.pointer != "" {
		name += " " + g.pointer
	}
	return name + " is " + g.old, name + " is " + g.changed
}

func shown(v any) string {
	if v == (missing{}) {
		return "missing"
	}
	return clip(string(asl.AppendJSON(nil, v)))
}

// clip keeps a value that is shown to a person within a line.
func clip(text string) string { return fault.Clip(text, 160) }

// A Checked is what became of the executions of a store on another machine.
type Checked struct {
	Replayed  int `json:"replayed"`
	Open      int `json:"open"`      // of them
	Diverging int `json:"diverging"` // of them
	Forgotten int `json:"forgotten"` // whose journals are deleted: of these nothing can be said
}

// Check replays every execution that the store keeps on another machine, and tells of each that diverges. Only one journal is held in memory
// at a time. It reads d, a dump of the engine's store, and writes nothing.
func (e *Engine) Check(ctx context.Context, d store.Dumper, with *asl.Machine, tell func(execution string, at Divergence) error) (Checked, error) {
	var done Checked
	var name string // of the execution whose journal is being gathered
	var head store.Item
	var events []asl.Event
	var unread error
	replay := func() error {
		switch {
		case head == nil:
			return nil
		case head.Bool(attrForgotten):
			done.Forgotten++
			return nil
		}
		at, err := e.check(ctx, name, head, events, with, unread)
		if err != nil {
			return err
		}
		done.Replayed++
		if head.Str("status") == string(running) {
			done.Open++
		}
		if at == nil {
			return nil
		}
		done.Diverging++
		return tell(name, *at)
	}
	err := d.DumpTable(ctx, Table, "", func(en store.Entry) error {
		switch {
		case en.Key.SK == headSK: // it stands before the entries
			if err := replay(); err != nil {
				return err
			}
			name, head, events, unread = en.Key.PK, en.Item, events[:0], nil
		case en.Key.PK == name && strings.HasPrefix(en.Key.SK, entryPrefix) && unread == nil:
			var ev asl.Event
			ev, unread = eventAt(en, name, len(events)+1)
			events = append(events, ev)
		}
		return nil
	})
	if err == nil {
		err = replay()
	}
	return done, err
}

// check is Check for one execution. unread is why its journal cannot be read.
func (e *Engine) check(ctx context.Context, name string, head store.Item, events []asl.Event, with *asl.Machine, unread error) (*Divergence, error) {
	old, err := e.machine(ctx, head.Str("definition"))
	if err != nil {
		return nil, fmt.Errorf("flow: check %s: %w", name, err)
	}
	start, err := startOf(name, head)
	if at := unreadable(unread, err); at != nil {
		return at, nil
	}
	return Diverges(old, with, start, events), nil
}

// unreadable tells of an execution of which nothing can be said; nil if there is no error.
func unreadable(errs ...error) *Divergence {
	if err := errors.Join(errs...); err != nil {
		return &Divergence{Kind: Unreadable, Old: err.Error(), New: "not asked"}
	}
	return nil
}
