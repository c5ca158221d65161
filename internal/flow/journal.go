package flow

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// Table holds everything of flow. An execution's partition is its name: "head", then "j#0000000001" and on. Names hold no
// '#', so the index of open executions and the definitions cannot collide with them.
const Table = "flow"

const (
	headSK      = "head"
	entryPrefix = "j#"
	shards      = 16 // of the index: one partition on a distributed store would be hot
)

// The statuses that flow itself branches on.
const (
	running   = asl.StatusRunning
	succeeded = asl.StatusSucceeded
)

func headKey(name string) store.Key { return store.Key{Table: Table, PK: name, SK: headSK} }

func definitionKey(hash string) store.Key {
	return store.Key{Table: Table, PK: "definition#" + hash}
}

func entryKey(name string, seq int) store.Key {
	var sk [len(entryPrefix) + 10]byte
	copy(sk[:], entryPrefix)
	for i := len(sk) - 1; i >= len(entryPrefix); i-- {
		sk[i] = byte('0' + seq%10)
		seq /= 10
	}
	return store.Key{Table: Table, PK: name, SK: string(sk[:])}
}

var (
	openPartitions = sharded("open#") // of the index of open executions
	taskPartitions = sharded("task#") // of the rows of tasks that are handed out
)

func sharded(prefix string) (pk [shards]string) {
	for i := range pk {
		pk[i] = fmt.Sprintf("%s%02d", prefix, i)
	}
	return pk
}

func shardOf(name string) uint32 {
	h := uint32(2166136261) // FNV-1a
	for i := range len(name) {
		h = (h ^ uint32(name[i])) * 16777619
	}
	return h % shards
}

func openKey(name string) store.Key {
	return store.Key{Table: Table, PK: openPartitions[shardOf(name)], SK: name}
}

// Where an execution is that was not said to be anywhere.
const (
	localRegion  = "local"
	localAccount = "000000000000"
)

func (e *Engine) newHead(of *definition, input []byte, now time.Time, seed uint64) store.Item {
	head := store.Item{
		store.S("status", string(running)),
		store.S("input", string(input)),
		store.S("definition", of.machine.Hash()),
		store.S("machine", of.name),
		store.N("started_ms", now.UnixMilli()),
		store.N("seed", int64(seed)), // the bits are what counts
	}
	if e.o.Region != localRegion || e.o.Account != localAccount {
		head = append(head, store.S("region", e.o.Region), store.S("account", e.o.Account))
	}
	if of.handsOut {
		head = append(head, store.B(attrTokenKey, e.newTokenKey()))
	}
	return head
}

// entry is the journal's item for an event; output is its Output as JSON, nil for none.
func entry(ev asl.Event, output []byte) store.Item {
	it := make(store.Item, 0, 5) // as a success has: failures are rare
	it = append(it,
		store.S("kind", string(ev.Kind)),
		store.N("id", ev.ID),
		store.N("at_ms", ev.Time.UnixMilli()),
		store.N("seed", int64(ev.Seed))) // the bits are what counts
	if output != nil {
		it = append(it, store.S("output", string(output)))
	}
	if ev.Error != "" {
		it = append(it, store.S("error", ev.Error))
	}
	if ev.Cause != "" {
		it = append(it, store.S("cause", ev.Cause))
	}
	if ev.NoError {
		it = append(it, store.Bool("no_error", true))
	}
	if ev.NoCause {
		it = append(it, store.Bool("no_cause", true))
	}
	return it
}

// eventOf reads what entry wrote.
func eventOf(it store.Item) (asl.Event, error) {
	ev := asl.Event{
		Kind:  asl.EventKind(it.Str("kind")),
		ID:    it.Int("id"),
		Time:  time.UnixMilli(it.Int("at_ms")).UTC(),
		Seed:  uint64(it.Int("seed")), // the bits are what counts
		Error: it.Str("error"),
		Cause: it.Str("cause"),

		NoError: it.Bool("no_error"),
		NoCause: it.Bool("no_cause"),
	}
	if text := it.Str("output"); text != "" {
		var err error
		if ev.Output, err = asl.DecodeJSON([]byte(text)); err != nil {
			return asl.Event{}, err
		}
	}
	return ev, nil
}

// encode makes an asl value of what a task returned, and its JSON, nil for null. The value is decoded from that JSON: what goes
// on is what a replay will see, never something that only this process could know.
func encode(v any) (any, []byte, error) {
	var text []byte
	switch {
	case v == nil:
		return nil, nil, nil
	case plain(v):
		text = asl.AppendJSON(make([]byte, 0, 512), v)
	default:
		var err error
		if text, err = json.Marshal(v); err != nil {
			return nil, nil, err
		}
		if string(text) == "null" {
			return nil, nil, nil
		}
	}
	value, err := asl.DecodeJSON(text)
	return value, text, err
}

// plain reports whether v is an asl value already.
func plain(v any) bool {
	switch v := v.(type) {
	case nil, bool, string, json.Number:
		return true
	case []any:
		for _, m := range v {
			if !plain(m) {
				return false
			}
		}
		return true
	case map[string]any:
		for _, m := range v {
			if !plain(m) {
				return false
			}
		}
		return true
	}
	return false
}

// replay reads an execution's journal and steps through it, showing the history to who wants it of such a start, if anybody. The run's x stays
// nil if there is no such execution, or its journal was forgotten. Errors of the store are returned as they are; a journal that does not fit
// its definition is fault.Internal.
func (e *Engine) replay(ctx context.Context, r *run, observer func(asl.Start) func(asl.HistoryEvent)) error {
	r.forget()
	err := store.Each(ctx, e.o.Store, store.Query{Table: Table, PK: r.name}, func(en store.Entry) error {
		switch {
		case en.Key.SK == headSK: // it stands before the entries
			return e.startAgain(ctx, r, en.Item, observer)
		case r.x == nil: // what is left of a journal that is being deleted
			return nil
		}
		return r.read(en)
	})
	if err == nil && r.overtaken() {
		err = fault.New(fault.Transient, "flow: %s was redriven while its journal was read", r.name)
	}
	if err != nil {
		r.forget()
	}
	return err
}

// startAgain begins a replay as the head says.
func (e *Engine) startAgain(ctx context.Context, r *run, head store.Item, observer func(asl.Start) func(asl.HistoryEvent)) error {
	r.head = head
	if head.Bool(attrForgotten) {
		return nil
	}
	m, err := e.machine(ctx, head.Str("definition"))
	if err != nil {
		return err
	}
	start, err := startOf(r.name, head)
	if err != nil {
		return fault.Wrap(fault.Internal, err, "flow: the head of %s", r.name)
	}
	start.Observe = observer(start)
	x, _ := m.Start(start)
	r.x, r.machine, r.seq, r.last = x, m, 0, start.Time
	r.handed, r.expiries, r.handsOut = nil, nil, false
	return nil
}

// catchUp reads what has been committed since a replay.
func (e *Engine) catchUp(ctx context.Context, r *run) error {
	err := store.Each(ctx, e.o.Store, store.Query{Table: Table, PK: r.name, After: entryKey(r.name, r.seq).SK}, r.read)
	if err == nil && r.overtaken() {
		err = e.replay(ctx, r, nobody)
	}
	return err
}

// nobody is shown the history.
func nobody(asl.Start) func(asl.HistoryEvent) { return nil }

// read steps through the next entry of the journal.
func (r *run) read(en store.Entry) error {
	ev, err := eventAt(en, r.name, r.seq+1)
	var followed []asl.Command
	if err == nil {
		followed, err = r.x.Step(ev)
	}
	if err != nil {
		return fault.Wrap(fault.Internal, err, "flow: the journal of %s, entry %d", r.name, r.seq+1)
	}
	r.seq, r.last = r.seq+1, ev.Time
	switch ev.Kind {
	case asl.TaskSubmitted:
		c, _ := r.x.Open().Command(ev.ID)
		r.handOut(c, ev.Time, childIn(c, ev.Output))
	case asl.Redriven:
		r.handed, r.expiries = nil, nil // the end has closed all of it
	default:
		r.takeIn(ev.ID, followed)
	}
	return nil
}

// eventAt reads the entry that is to stand at that number: a gap is no journal.
func eventAt(en store.Entry, name string, seq int) (asl.Event, error) {
	if en.Key != entryKey(name, seq) {
		return asl.Event{}, fmt.Errorf("%s stands at number %d", en.Key.SK, seq)
	}
	return eventOf(en.Item)
}

func startOf(name string, head store.Item) (asl.Start, error) {
	input, err := inputOf(head)
	if err != nil {
		return asl.Start{}, err
	}
	machine, region, account := head.Str("machine"), localRegion, localAccount
	if given := head.Str("account"); given != "" {
		region, account = head.Str("region"), given
	}
	arn := "arn:aws:states:" + region + ":" + account + ":"
	start := asl.Start{
		Input:     input,
		Name:      name,
		ID:        arn + "execution:" + machine + ":" + name,
		RoleARN:   "arn:aws:iam::" + account + ":role/" + machine,
		Machine:   machine,
		MachineID: arn + "stateMachine:" + machine,
		Time:      time.UnixMilli(head.Int("started_ms")).UTC(),
		Seed:      uint64(head.Int("seed")), // the bits are what counts
	}
	if key := head.Bytes(attrTokenKey); key != nil {
		start.Token = func(command int64) string { return tokenOf(key, name, command) }
	}
	return start, nil
}

func inputOf(head store.Item) (any, error) {
	text := head.Str("input")
	if text == "" {
		return nil, nil
	}
	return asl.DecodeJSON([]byte(text))
}

// attemptName names an attempt: a command's ID never comes back, so with the execution's name it is unique for all time.
func attemptName(name string, c asl.Command) string {
	return name + "/" + strconv.FormatInt(c.ID, 10) + "." + strconv.Itoa(c.Attempt)
}
