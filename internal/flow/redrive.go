package flow

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// Of a redrive, as Step Functions has it.
const (
	RedrivePeriod = 14 * 24 * time.Hour // from the end

	maxOpenTime     = 365 * 24 * time.Hour // from the start
	maxRedriveToken = 64                   // bytes
	tokensKept      = 10
)

// What a redrive leaves on the head.
const (
	attrRedrives = "redrives"       // how many
	attrRedriven = "redriven_ms"    // the last one
	attrTokens   = "redrive_tokens" // of the last ones, one a line
)

// Redrive lets an execution that ended FAILED, TIMED_OUT or ABORTED go on in the states in which it did not succeed, under its name, with its definition
// and its input: what succeeded is not done again. asl's doc.go says what becomes of each state. One commit makes it open again. token, if
// not "", makes a repeat harmless: one that is among the last ten to have redriven the execution returns it as it stands now.
//
// https://docs.aws.amazon.com/step-functions/latest/apireference/API_RedriveExecution.html
//
// fault.NotFailed: it cannot be redriven, and why, as Describe's NotRedrivable has it; fault.NotFound: no such execution, or its journal was
// forgotten; fault.BadRequest: a token of more than 64 bytes or with a control character.
func (e *Engine) Redrive(ctx context.Context, name, token string) (Stored, error) {
	if len(token) > maxRedriveToken || strings.ContainsFunc(token, func(c rune) bool { return c < ' ' }) {
		return Stored{}, fault.New(fault.BadRequest, "a token has at most %d bytes, none of them a control character", maxRedriveToken)
	}
	if checkName(name) != nil {
		return Stored{}, notFound(name)
	}
	for range maxContended {
		d, err := e.redrive(ctx, name, token)
		if isStale(name, err) {
			continue // somebody else was faster
		}
		return d, err
	}
	return Stored{}, fault.New(fault.Transient, "flow: %s is redriven by many at once", name)
}

func (e *Engine) redrive(ctx context.Context, name, token string) (Stored, error) {
	r := run{name: name}
	if err := e.replay(ctx, &r, nobody); err != nil {
		return Stored{}, err
	}
	if r.x == nil {
		return Stored{}, r.notFound()
	}
	if token != "" && slices.Contains(tokensOf(r.head), token) {
		d := storedOf(name, r.head)
		if d.Open {
			e.Begin(name) // the first one's answer may have been lost together with its Begin
		}
		return d, nil
	}
	if why := e.notRedrivable(&r); why != "" {
		return Stored{}, fault.New(fault.NotFailed, "%s", why)
	}
	c := commit{e: e, r: &r, ctx: ctx}
	if err := e.o.Store.Update(ctx, func(tx *store.Tx) error { return c.stageRedrive(tx, token) }); err != nil {
		return Stored{}, err
	}
	if c.x.Status() != running {
		c.tellEnd()
	} else {
		e.beginAgain(name)
	}
	return e.Head(ctx, name)
}

// notRedrivable is why Redrive refuses an execution, "" if it does not.
func (e *Engine) notRedrivable(r *run) string {
	if why := r.x.NotRedrivable(); why != "" {
		return why
	}
	d, now := storedOf(r.name, r.head), e.now()
	switch {
	case e.o.RedriveWithin <= 0:
		return "Executions of this state machine are not redriven"
	case d.Open: // it ended at its start, and that is not committed yet
		return "Execution is RUNNING and cannot be redriven"
	case now.Sub(d.Ended) > e.o.RedriveWithin:
		return "Execution redrivable period exceeded"
	case now.Sub(d.Started) > maxOpenTime:
		return "Execution has exceeded the max execution time"
	}
	return ""
}

// stageRedrive stages the journal entry, the head and the place in the index of open executions, or another end at once: a Fail state fails again. It
// stands on the very head that was replayed: who has redriven the execution meanwhile, or has begun to forget its journal, changed it.
func (c *commit) stageRedrive(tx *store.Tx, token string) error {
	r := c.r
	head, err := tx.Get(headKey(r.name))
	if err != nil {
		return err
	}
	if !head.Equal(r.head) {
		return errStale
	}
	c.x, c.seq, c.hookErr = r.x.Clone(), r.seq, nil
	if c.at = c.e.now(); c.at.Before(r.last) {
		c.at = r.last
	}
	ev := asl.Event{Kind: asl.Redriven, Time: c.at, Seed: c.e.o.Seed()}
	c.stageEntry(tx, ev, nil)
	if err := c.step(ev); err != nil {
		return err
	}
	status := c.x.Status()
	head = head.Without("ended_ms").With(
		store.S("status", string(status)),
		store.N(attrRedrives, head.Int(attrRedrives)+1),
		store.N(attrRedriven, c.at.UnixMilli()))
	if token != "" {
		tokens := append(tokensOf(head), token)
		head = head.With(store.S(attrTokens, strings.Join(tokens[max(len(tokens)-tokensKept, 0):], "\n")))
	}
	if status != running {
		tx.Put(headKey(r.name), head.With(store.N("ended_ms", c.at.UnixMilli())))
		return c.stageFailure(tx)
	}
	tx.Put(headKey(r.name), head)
	tx.Put(openKey(r.name), store.Item{store.N("started_ms", head.Int("started_ms"))})
	return nil
}

func tokensOf(head store.Item) []string {
	if text := head.Str(attrTokens); text != "" {
		return strings.Split(text, "\n")
	}
	return nil
}

// beginAgain is Begin for an execution that may still be here, on its way out, or waiting for a task that does not heed that it was stopped.
func (e *Engine) beginAgain(name string) {
	e.mu.Lock()
	if r := e.agenda.runs[name]; r != nil {
		r.anew = true
		if e.agenda.rouse(r) {
			r.forget()
			e.agenda.push(r)
			e.spawn()
		}
	}
	e.mu.Unlock()
	e.Begin(name)
}

// lifeOf counts the lives of an execution: each redrive begins another.
func lifeOf(head store.Item) int64 { return head.Int(attrRedrives) + 1 }

// overtaken reports whether the head is of an earlier life than the journal: between the two reads the execution was redriven.
func (r *run) overtaken() bool {
	return r.x != nil && int64(r.x.Redrives()) != r.head.Int(attrRedrives)
}
