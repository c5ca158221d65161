package flow

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// A task whose resource ends in .waitForTaskToken is handed out: its function gives the token to somebody and returns. From that commit on the
// execution waits for whoever has the token, for as long as the task's timeouts allow, a year if need be, and holds no worker
// (https://docs.aws.amazon.com/step-functions/latest/dg/connect-to-resource.html#connect-wait-token).
//
// The journal says when a task was handed out and what it was answered. Beside it each task that is handed out has a row, written with the one
// and deleted with the other. Heartbeats are noted there, since a journal of them would grow by the minute; and to list what is handed out is to
// read the rows. A row whose task was closed by something else, as by the failure of a branch beside it, is deleted a moment later.

const clearPage = 90 // rows that are deleted in one commit: far below what one takes

// isHandedOut reports whether the command's task is of that kind.
func isHandedOut(c asl.Command) bool {
	return c.Kind == asl.RunTask && asl.IsCallback(c.Resource)
}

// listed hands a task out to nobody: whoever lists what is handed out finds it there.
func listed(context.Context, Call) (store.Effect, error) { return store.Effect{}, nil }

func rowPrefix(name string) string { return name + "/" } // names have no '/'

// rowKey is the row of a task that is handed out.
func rowKey(name string, id int64) store.Key {
	return store.Key{Table: Table, PK: taskPartitions[shardOf(name)], SK: fmt.Sprintf("%s%010d", rowPrefix(name), id)}
}

func newRow(c asl.Command, at time.Time, child string) store.Item {
	if child != "" {
		return store.Item{store.S("child", child)}
	}
	it := store.Item{
		store.S("state", c.State),
		store.S("resource", c.Resource),
		store.S("input", string(asl.AppendJSON(nil, c.Input))),
		store.S("token", c.Token),
		store.N("at_ms", at.UnixMilli()),
		store.N("beat_ms", at.UnixMilli()),
	}
	if c.Timeout > 0 {
		it = append(it, store.N("timeout_ms", c.Timeout.Milliseconds()))
	}
	if c.Heartbeat > 0 {
		it = append(it, store.N("heartbeat_ms", c.Heartbeat.Milliseconds()))
	}
	return it
}

// A submission is a task that a commit hands out.
type submission struct {
	command asl.Command
	child   string // as a handout's
}

// A handout is a task that is handed out, in memory.
type handout struct {
	at                 time.Time // since when
	beat               time.Time // its last sign of life that is known here; the row may know of a later one
	timeout, heartbeat time.Duration
	// child is the execution whose end it waits for, "" if it waits for who has its token.
	child string
}

// expires is when the task's time is over, and whether it is because it was silent; ok is false if it has no limit.
func (h handout) expires() (at time.Time, silent, ok bool) {
	if h.timeout > 0 {
		at, ok = h.at.Add(h.timeout), true
	}
	if h.heartbeat > 0 {
		if next := h.beat.Add(h.heartbeat); !ok || next.Before(at) {
			return next, true, true
		}
	}
	return at, false, ok
}

// An expiry is when the time of a task is over that is handed out, as was known once.
type expiry struct {
	at     time.Time
	id     int64
	silent bool
}

// expiries is a heap, the first at its root.
type expiries []expiry

func (o expiries) Len() int { return len(o) }
func (o expiries) Less(i, j int) bool {
	return o[i].at.Before(o[j].at) || o[i].at.Equal(o[j].at) && o[i].id < o[j].id
}
func (o expiries) Swap(i, j int) { o[i], o[j] = o[j], o[i] }
func (o *expiries) Push(x any)   { *o = append(*o, x.(expiry)) } //nolint:forcetypeassert // from limit alone
func (o *expiries) Pop() any {
	last := (*o)[len(*o)-1]
	*o = (*o)[:len(*o)-1]
	return last
}

// handOut notes that a task is handed out.
func (r *run) handOut(c asl.Command, at time.Time, child string) {
	if r.handed == nil {
		r.handed = make(map[int64]*handout, 1)
	}
	r.handed[c.ID], r.handsOut = &handout{at: at, beat: at, timeout: c.Timeout, heartbeat: c.Heartbeat, child: child}, true
	r.limit(c.ID)
}

// limit notes when the task's time is over.
func (r *run) limit(id int64) {
	if at, silent, ok := r.handed[id].expires(); ok {
		heap.Push(&r.expiries, expiry{at, id, silent})
	}
}

// firstExpiry is the first task whose time is over, of those that are handed out.
func (r *run) firstExpiry() (first expiry, ok bool) {
	for len(r.expiries) > 0 {
		first = r.expiries[0]
		if h := r.handed[first.id]; h != nil {
			if at, _, _ := h.expires(); at.Equal(first.at) {
				return first, true
			}
		}
		heap.Pop(&r.expiries) // it was answered, or has sent a heartbeat
	}
	return expiry{}, false
}

// takeIn forgets the tasks that an event closed: the one that it answers and those that it makes void.
func (r *run) takeIn(answered int64, followed []asl.Command) {
	if len(r.handed) == 0 {
		return
	}
	delete(r.handed, answered)
	for _, c := range followed {
		if c.Kind == asl.Cancel {
			delete(r.handed, c.ID)
		}
	}
}

// awaits are the states of the tasks that wait for who has their token, in the order in which the machine asked for them.
func (r *run) awaits() (states []string) {
	if len(r.handed) == 0 {
		return nil
	}
	for c := range r.x.Open().After(0) {
		if h := r.handed[c.ID]; h != nil && h.child == "" {
			states = append(states, c.State)
		}
	}
	return states
}

// A closedTask was handed out, and something else than its answer has closed it.
type closedTask struct {
	row   store.Key
	child string // as a handout's
}

// handouts brings what is handed out up to the commit, and returns what that has closed.
func (c *commit) handouts(a *answer) (left []closedTask) {
	r := c.r
	if h := r.handed[a.id]; h != nil && h.child != "" && !a.child {
		left = append(left, closedTask{rowKey(r.name, a.id), h.child})
	}
	delete(r.handed, a.id)
	for _, s := range c.submitted {
		r.handOut(s.command, c.at, s.child)
	}
	if c.x.Status() != running {
		c.void = append(c.void, slices.Sorted(maps.Keys(r.handed))...)
	}
	for _, id := range c.void {
		if h := r.handed[id]; h != nil {
			left = append(left, closedTask{rowKey(r.name, id), h.child})
			delete(r.handed, id)
		}
	}
	return left
}

// stillSilent is asked in the commit that a task was silent for too long: its row may tell of a heartbeat that nobody here has seen.
func (c *commit) stillSilent(tx *store.Tx, a *answer) (bool, error) {
	h := c.r.handed[a.id]
	if h == nil || a.kind != asl.TaskTimedOut || a.name != heartbeatTimeout {
		return true, nil
	}
	row, err := tx.Get(rowKey(c.r.name, a.id))
	if err != nil {
		return false, err
	}
	c.beat = time.UnixMilli(row.Int("beat_ms")).UTC()
	return !c.beat.After(h.beat), nil
}

// errBeat ends a commit that would have told of a silence: there was a heartbeat.
var errBeat = errors.New("flow: the task has sent a heartbeat")

// stageRow keeps the row of a task in step with the entry that is staged.
func (c *commit) stageRow(tx *store.Tx, ev asl.Event) {
	if ev.Kind == asl.TaskSubmitted {
		cmd, _ := c.x.Open().Command(ev.ID)
		tx.Put(rowKey(c.r.name, ev.ID), newRow(cmd, ev.Time, childIn(cmd, ev.Output)))
	} else if h := c.r.handed[ev.ID]; h != nil && (h.child == "" || c.r.answer.child) { // else the child is to be stopped first
		tx.Delete(rowKey(c.r.name, ev.ID))
	}
}

// closeTasks stops the children of tasks that are closed, and deletes the rows of all but those whose child could not be stopped. What it leaves behind, as a
// crash does, is done at the next start, or when the journal is read; a heartbeat may until then be taken for a task that nobody waits for, and an
// answer never.
func (e *Engine) closeTasks(ctx context.Context, left []closedTask) {
	rows := make([]store.Key, 0, len(left))
	for _, t := range left {
		if t.child == "" || e.stopChild(ctx, t.child) {
			rows = append(rows, t.row)
		}
	}
	for len(rows) > 0 {
		page := rows[:min(len(rows), clearPage)]
		rows = rows[len(page):]
		err := e.o.Store.Update(ctx, func(tx *store.Tx) error {
			for _, k := range page {
				tx.Delete(k)
			}
			return nil
		})
		if err != nil {
			e.o.Log.LogAttrs(ctx, slog.LevelWarn, "flow: rows of closed tasks stay for now", slog.String("first", page[0].SK), slog.Any("error", err))
			return
		}
	}
}

// lookAround brings an execution whose journal was just read up to what has become of the tasks that it handed out: it closes what a crash has left,
// and hears of the children that have ended.
func (e *Engine) lookAround(ctx context.Context, r *run) error {
	if !r.handsOut {
		return nil
	}
	if err := e.endedChildren(ctx, r); err != nil {
		return err
	}
	var left []closedTask
	err := e.eachRow(ctx, r.name, func(key store.Key, id int64, row store.Item) {
		if r.handed[id] == nil {
			left = append(left, closedTask{key, row.Str("child")})
		}
	})
	if err == nil {
		e.closeTasks(ctx, left)
	}
	return err
}

// closeEnded closes what a crash has left of executions that have ended. It is asked when all that are open are known. Whether one has ended is
// looked at after its rows: then they are of a life that is over, whoever redrives it meanwhile.
func (e *Engine) closeEnded(ctx context.Context) error {
	for _, pk := range taskPartitions {
		left := make(map[string][]closedTask)
		err := store.Each(ctx, e.o.Store, store.Query{Table: Table, PK: pk}, func(en store.Entry) error {
			name, _, _ := strings.Cut(en.Key.SK, "/")
			left[name] = append(left[name], closedTask{en.Key, en.Item.Str("child")})
			return nil
		})
		if err != nil {
			return err
		}
		var ended []closedTask
		for _, name := range slices.Sorted(maps.Keys(left)) {
			open, err := e.isOpen(ctx, name)
			if err != nil {
				return err
			}
			if !open {
				ended = append(ended, left[name]...)
			}
		}
		e.closeTasks(ctx, ended)
	}
	return nil
}

func (e *Engine) isOpen(ctx context.Context, name string) (bool, error) {
	e.mu.Lock()
	known := e.agenda.runs[name] != nil
	e.mu.Unlock()
	if known {
		return true, nil
	}
	head, err := e.o.Store.Get(ctx, headKey(name), store.Strong)
	return head.Str("status") == string(running), err
}

// forgetRows closes what a crash has left of an execution that has ended.
func (e *Engine) forgetRows(ctx context.Context, name string) error {
	var left []closedTask
	err := e.eachRow(ctx, name, func(key store.Key, _ int64, row store.Item) { left = append(left, closedTask{key, row.Str("child")}) })
	if err == nil {
		e.closeTasks(ctx, left)
	}
	return err
}

// eachRow visits the rows of an execution's tasks that are handed out.
func (e *Engine) eachRow(ctx context.Context, name string, visit func(key store.Key, id int64, row store.Item)) error {
	q := store.Query{Table: Table, PK: taskPartitions[shardOf(name)], Prefix: rowPrefix(name)}
	return store.Each(ctx, e.o.Store, q, func(en store.Entry) error {
		if id, err := strconv.ParseInt(strings.TrimPrefix(en.Key.SK, q.Prefix), 10, 64); err == nil {
			visit(en.Key, id, en.Item)
		}
		return nil
	})
}

// A HandedOut is a task that waits for who has its token.
type HandedOut struct {
	Execution string
	State     string
	Resource  string
	Token     string
	Input     any       // what the function was called with
	Since     time.Time // when it was handed out
	Beat      time.Time // its last heartbeat, or when it was handed out
	Until     time.Time // when it times out, if no heartbeat comes before; zero: never
}

// HandedOut returns up to limit tasks that are handed out, beyond the place after, in the order of their executions' names, and where to go on, ""
// at the end. A page may hold fewer while there are more.
func (e *Engine) HandedOut(ctx context.Context, after string, limit int) (page []HandedOut, next string, err error) {
	if limit <= 0 {
		return nil, "", fault.New(fault.BadRequest, "a page has at least one task")
	}
	rows, _, err := store.Merge(e.o.Store, store.Query{Table: Table, After: after}, taskPartitions[:]).Next(ctx, limit)
	if err != nil {
		return nil, "", err
	}
	open := make(map[string]bool)
	for _, en := range rows {
		name, _, _ := strings.Cut(en.Key.SK, "/")
		if _, asked := open[name]; !asked {
			head, err := e.Head(ctx, name)
			if err != nil && !fault.Is(err, fault.NotFound) {
				return nil, "", err
			}
			open[name] = head.Open
		}
		if !open[name] || en.Item.Str("child") != "" { // a crash has left it, or it waits for nobody's answer
			continue
		}
		t, err := handedOutOf(name, en.Item)
		if err != nil {
			return nil, "", fault.Wrap(fault.Internal, err, "flow: the row %s", en.Key.SK)
		}
		page = append(page, t)
	}
	if len(rows) == limit {
		next = rows[limit-1].Key.SK
	}
	return page, next, nil
}

func handedOutOf(name string, row store.Item) (HandedOut, error) {
	input, err := asl.DecodeJSON([]byte(row.Str("input")))
	t := HandedOut{
		Execution: name, State: row.Str("state"), Resource: row.Str("resource"), Token: row.Str("token"), Input: input,
		Since: time.UnixMilli(row.Int("at_ms")).UTC(), Beat: time.UnixMilli(row.Int("beat_ms")).UTC(),
	}
	t.Until, _, _ = handout{
		at: t.Since, timeout: time.Duration(row.Int("timeout_ms")) * time.Millisecond,
		beat: t.Beat, heartbeat: time.Duration(row.Int("heartbeat_ms")) * time.Millisecond,
	}.expires()
	return t, err
}
