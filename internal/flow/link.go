package flow

import (
	"slices"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// maxLinks is how many tasks ride in the commit of the one before them. A saga's longest run of them is four; the number only ends
// a machine that loops through such tasks, whose commit would else grow to the port's limit before it is made.
const maxLinks = 8

// A link is a task that is committed together with what came before it, since it acts by its commit alone (Options.StagedOnly).
// Persist before act still holds: there is no act but the persisting.
type link struct {
	state  string
	effect store.Effect
}

// stageLinks stages the tasks that follow, as long as they are of that kind and nothing speaks against one. One against which something
// speaks (it fails, it writes what was written before it) is left to a commit of its own, as are those behind it.
func (c *commit) stageLinks(tx *store.Tx) {
	for len(c.linked) < maxLinks && c.x.Status() == running {
		mark, noted := tx.Then(), len(c.r.noted)
		if !c.stageLink(tx) {
			tx.Undo(mark)
			c.r.noted = c.r.noted[:noted]
			return
		}
	}
}

// stageLink stages the next task with its entry, and steps. If it reports false nothing has moved, and what it staged is to be undone.
func (c *commit) stageLink(tx *store.Tx) bool {
	e, r := c.e, c.r
	next, ok := c.nextTask()
	task := e.function(r, next)
	if !ok || task == nil {
		return false
	}
	call := callOf(r.name, next)
	if !e.stagedOnly(call) {
		return false
	}
	effect, err := invoke(c.ctx, task, call)
	if err != nil || effect.After != nil {
		return false
	}
	ev := asl.Event{Kind: asl.TaskSucceeded, ID: next.ID, Time: c.at, Seed: e.o.Seed()}
	if e.submits(call) {
		ev.Kind = asl.TaskSubmitted
	}
	var output []byte
	if ev.Output, output, err = stageTask(tx, effect); err != nil {
		return false
	}
	c.stageEntry(tx, ev, output)
	if tx.Err() != nil {
		return false
	}
	x := c.x.Clone()
	followed, err := x.Step(ev)
	if err != nil {
		return false
	}
	c.x = x
	c.moved(ev, followed)
	c.linked = append(c.linked, link{next.State, effect})
	return true
}

// nextTask is the task that the execution waits for and nobody runs yet. Where others run beside it nothing rides along: who is first there would
// depend on what happens to be under way, and be another after a crash. A deadline that is due comes before it, too.
func (c *commit) nextTask() (asl.Command, bool) {
	if timer, ticking := c.x.Open().Timer(); ticking && !timer.At.After(c.at) {
		return asl.Command{}, false
	}
	next, ok := soleTask(c.x.Open())
	return next, ok && c.r.flight[next.ID] == nil && c.r.handed[next.ID] == nil && !c.hasSubmitted(next.ID)
}

func (c *commit) hasSubmitted(id int64) bool {
	return slices.ContainsFunc(c.submitted, func(s submission) bool { return s.command.ID == id })
}

func (e *Engine) stagedOnly(c Call) bool {
	if e.o.Tasks[c.Resource] == nil { // the engine's own
		return true
	}
	return e.o.StagedOnly != nil && e.o.StagedOnly(c)
}
