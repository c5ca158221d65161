package asl

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// The most iterations at a time that AWS grants a Map state, whatever its MaxConcurrency.
const (
	maxInlineConcurrency      = 40
	maxDistributedConcurrency = 10000
)

// mapping is what only a Map state has.
type mapping struct {
	processor   *flow
	distributed bool
	items       selection // ItemsPath
	itemsQuery  expr      // Items; nil: the state's input
	selector    expr      // ItemSelector, or Parameters as its older name; nil: the item as it is
	batch       *batcher
	concurrency quantity
	count       quantity // ToleratedFailureCount
	percentage  quantity // ToleratedFailurePercentage
	flatten     bool     // the WriterConfig's Transformation
	unavailable *failure // why the state cannot run here, though it is valid
}

// batcher is ItemBatcher.
type batcher struct {
	items, bytes quantity
	input        expr // BatchInput; nil: none
}

// quantity is a number that a Map state is given, or the path to one.
type quantity struct {
	fixed float64 // 0: not given
	name  string
	path  *path
	query *query
	whole bool
}

// mapItem is $$.Map.Item.
type mapItem struct {
	index int
	key   any // of an object's member, which only a distributed Map takes for an item; nil: none
	value any
	size  int // a bound of the whole
}

func (i *mapItem) object() map[string]any {
	m := map[string]any{"Index": json.Number(strconv.Itoa(i.index)), "Value": i.value}
	if i.key != nil {
		m["Key"] = i.key
	}
	return m
}

// mapRun is a Map state in progress. What it holds but its numbers is never changed: clones share it.
type mapRun struct {
	input     any // after InputPath
	inputSize int
	items     []any    // or batches
	keys      []string // of an object's members, nil of an array's items
	batches   []int    // how many items each batch has; nil: there are no batches
	total     int      // items
	limit     int      // iterations at a time
	next      int      // the iteration to start next
	redrives  int      // of a distributed one
	failed    int      // items
	count     float64  // tolerated; 0: none
	percent   float64  // tolerated; 0: none
}

// enterMap starts the iterations, at the state's entry and at each retry.
func (x *Execution) enterMap(sc *scope) outcome {
	m := sc.state.mapping
	in, size, f := x.selected(sc, sc.state.inputPath, sc.input, sc.inputSize)
	if f != nil {
		return fails(f)
	}
	if m.unavailable != nil {
		return fails(m.unavailable)
	}
	run := &mapRun{input: in, inputSize: size}
	if f := x.items(sc, run); f != nil {
		return fails(f)
	}
	started := x.stateEvent(sc, "StateStarted", HistoryEvent{Length: len(run.items)})
	if f := x.settings(sc, run); f != nil {
		return fails(f)
	}
	if m.distributed {
		started = x.event(sc, HistoryEvent{Type: "MapRunStarted", State: sc.state.name})
	}
	sc.fork = &fork{started: started, run: run}
	if m.batch != nil {
		if f := x.batches(sc, run); f != nil {
			sc.fork = nil
			return fails(f)
		}
	}
	sc.fork.count = len(run.items)
	if f := x.iterate(sc); f != nil {
		return x.unstarted(sc, f)
	}
	if len(run.items) == 0 {
		x.join(sc)
	}
	return waits
}

// unstarted is the outcome of a Map state that failed while it started its iterations.
func (x *Execution) unstarted(sc *scope, f *failure) outcome {
	if !f.terminal { // what is ends everything, and there is nothing to tell
		x.abortFork(sc)
		x.cancel()
	}
	return fails(f)
}

// items is what the state maps over: an array, or for a distributed Map also an object, each of whose members is an item.
func (x *Execution) items(sc *scope, run *mapRun) *failure {
	m := sc.state.mapping
	v, _, f := x.selected(sc, m.items, run.input, run.inputSize)
	e := &env{x: x, scope: sc, input: run.input, bound: run.inputSize}
	if f == nil && m.itemsQuery != nil {
		v, _, f = m.itemsQuery.eval(e)
	}
	if f != nil {
		return f
	}
	switch v := v.(type) {
	case []any:
		run.items = v
	case map[string]any:
		if !m.distributed || m.batch != nil {
			return m.notAnArray(e, v)
		}
		run.keys = sortedNames(v)
		run.items = make([]any, len(v))
		for i, key := range run.keys {
			run.items[i] = v[key]
		}
	default:
		return m.notAnArray(e, v)
	}
	run.total = len(run.items)
	return nil
}

// notAnArray has AWS's words, which show a path into the context object as if it were one into the input.
func (m *mapping) notAnArray(e *env, v any) *failure {
	if q, ok := m.itemsQuery.(*query); ok {
		return q.mistyped(e, "array", v)
	}
	if e.scope.state.jsonata {
		return e.x.evaluationFailed(e.scope, "", fmt.Sprintf("Map state input must be an array but was: %s", AppendJSON(nil, v)))
	}
	text := "$"
	if m.items.path != nil {
		text = m.items.path.text
	}
	if strings.HasPrefix(text, "$$") {
		text = text[1:]
	}
	return runtimeFailure("Reference path \"" + text + "\" must point to array.")
}

// settings are the numbers that the state is given, each checked as AWS does.
func (x *Execution) settings(sc *scope, run *mapRun) (f *failure) {
	m := sc.state.mapping
	if run.count, f = x.quantity(sc, &m.count, run); f != nil {
		return f
	}
	if run.count < 0 {
		return x.unfit(sc, m.count.name, "ToleratedFailureCount cannot be negative.")
	}
	if run.percent, f = x.quantity(sc, &m.percentage, run); f != nil {
		return f
	}
	if run.percent < 0 || run.percent > 100 {
		return x.unfit(sc, m.percentage.name, "ToleratedFailurePercentage must be between 0 and 100.")
	}
	limit, f := x.quantity(sc, &m.concurrency, run)
	if f != nil {
		return f
	}
	if limit < 0 {
		return x.unfit(sc, m.concurrency.name, fmt.Sprintf("Expected non-negative integer for MaxConcurrency, got '%.0f' instead.", limit))
	}
	most := maxInlineConcurrency
	if m.distributed {
		most = maxDistributedConcurrency
	}
	run.limit = most
	if limit > 0 && limit < float64(most) {
		run.limit = int(limit)
	}
	return nil
}

func (x *Execution) quantity(sc *scope, q *quantity, run *mapRun) (float64, *failure) {
	if q.query != nil {
		return q.query.number(&env{x: x, scope: sc, input: run.input, bound: run.inputSize}, q.whole)
	}
	if q.path == nil {
		return q.fixed, nil
	}
	v, _, f := x.selected(sc, selection{path: q.path}, run.input, run.inputSize)
	if f != nil {
		return 0, f
	}
	text := plain(v)
	kind := "float"
	if q.whole {
		kind = "integer"
	}
	switch v.(type) {
	case json.Number, string:
		if !q.whole {
			if n, err := strconv.ParseFloat(text, 64); err == nil && n == n { // "NaN" is read, too
				return n, nil
			}
		} else if n, err := strconv.ParseInt(text, 10, 32); err == nil {
			return float64(n), nil
		}
	}
	return 0, runtimeFailure(fmt.Sprintf("The %sPath field refers to value \"%s\" which is not a valid %s: %s", q.name, text, kind, q.path.text))
}

// iterate starts iterations, in the order of the items, as many as may run at a time. What a redrive goes on with comes first.
func (x *Execution) iterate(p *scope) *failure {
	run, m := p.fork.run, p.state.mapping
	for len(p.fork.waiting) > 0 && x.mayStart(p.fork) && !x.crowded(1) {
		x.resumeNext(p)
	}
	for run.next < len(run.items) && x.mayStart(p.fork) && !x.crowded(1) {
		i := run.next
		in, size, item, f := x.iterationInput(p, run, i)
		if f != nil {
			return f
		}
		run.next++
		sc := x.begin(p, m.processor, i)
		sc.item = item
		if m.distributed {
			sc.apart, sc.begun, sc.begunSize = true, in, size
			x.event(sc, HistoryEvent{Type: "ExecutionStarted", Input: in})
			sc.lastEvent = 0
		} else {
			x.event(sc, HistoryEvent{Type: "MapIterationStarted", State: p.state.name, Index: i})
		}
		x.due(sc, m.processor.start, in, size)
	}
	return nil
}

// mayStart reports whether one more iteration may run. Below distributed Maps within one another all Maps share what AWS grants one of them, but
// each has one iteration at least, so that none waits for another.
func (x *Execution) mayStart(f *fork) bool {
	n := f.running.size
	return n == 0 || n < f.run.limit && x.scopes < maxDistributedConcurrency
}

func (x *Execution) iterationInput(p *scope, run *mapRun, i int) (any, int, *mapItem, *failure) {
	if run.batches != nil {
		size, f := x.payloadSize(p, run.items[i], sizeOf(run.items[i], maxPayload))
		return run.items[i], size, nil, f
	}
	item := &mapItem{index: i, value: run.items[i]}
	size := sizeOf(item.value, maxPayload)
	item.size = size
	in := item.value
	if run.keys != nil {
		item.key = run.keys[i]
		item.size += stringSize(run.keys[i])
		in, size = map[string]any{"Key": item.key, "Value": item.value}, item.size+len(`{"Key":,"Value":}`)
	}
	var f *failure
	if p.state.mapping.selector != nil {
		in, size, f = x.itemSelected(p, run, item)
	} else {
		size, f = x.payloadSize(p, in, size)
	}
	return in, size, item, f
}

// itemSelected evaluates ItemSelector over the state's input. The context object shows it the item, and nothing else of the state.
func (x *Execution) itemSelected(p *scope, run *mapRun, item *mapItem) (any, int, *failure) {
	around, context := p.item, p.context
	p.item, p.context = item, nil
	in, size, f := x.evaluated(p, p.state.mapping.selector, run.input, run.inputSize)
	p.item, p.context = around, context
	return in, size, f
}

// batches puts the items together as ItemBatcher says. A batch has one item at least, however large that is.
func (x *Execution) batches(sc *scope, run *mapRun) *failure {
	b := sc.state.mapping.batch
	most, f := x.positive(sc, &b.items, run)
	if f != nil {
		return f
	}
	bytes, f := x.positive(sc, &b.bytes, run)
	if f != nil {
		return f
	}
	frame := map[string]any{}
	if b.input != nil {
		if frame["BatchInput"], _, f = x.evaluated(sc, b.input, run.input, run.inputSize); f != nil {
			return f
		}
	}
	empty := sizeOf(frame, maxPayload) + len(`"Items":[],`)
	if bytes == 0 {
		bytes = maxPayload
	}
	var batches []any
	var batch []any
	size := empty
	flush := func() {
		whole := map[string]any{"Items": batch}
		if b.input != nil {
			whole["BatchInput"] = frame["BatchInput"]
		}
		batches, run.batches = append(batches, whole), append(run.batches, len(batch))
		batch, size = nil, empty
	}
	single := &mapRun{input: run.input, inputSize: run.inputSize, items: run.items}
	for i := range run.items {
		v, _, _, f := x.iterationInput(sc, single, i)
		if f != nil {
			return f
		}
		n := sizeOf(v, maxPayload)
		if len(batch) > 0 && (most > 0 && len(batch) >= most || size+n+1 > bytes) {
			flush()
		}
		batch, size = append(batch, v), size+n+1
	}
	if len(batch) > 0 {
		flush()
	}
	run.items = batches
	return nil
}

// positive is a quantity of a batcher: 0 if it is not given.
func (x *Execution) positive(sc *scope, q *quantity, run *mapRun) (int, *failure) {
	n, f := x.quantity(sc, q, run)
	outOfRange := n < 1 || q.name == "MaxInputBytesPerBatch" && n > maxPayload
	switch {
	case f != nil || !outOfRange:
	case q.query != nil:
		f = x.evaluationFailed(sc, q.name, fmt.Sprintf("The %s field has the value \"%.0f\" which is not a valid size", q.name, n))
	case q.path != nil:
		f = runtimeFailure(fmt.Sprintf("The %sPath field refers to value \"%.0f\" which is not a valid size: %s", q.name, n, q.path.text))
	}
	return int(n), f
}

// childFailed counts an iteration of a distributed Map that failed. Within what is tolerated it takes its place among the results; beyond that
// the whole Map Run fails, with an error of its own.
func (x *Execution) childFailed(sc *scope, f *failure) {
	p := sc.parent
	run := p.fork.run
	if sc.fork != nil {
		x.abortFork(sc)
		sc.closed = true
		x.cancel()
	}
	run.failed += run.weight(sc.index)
	if run.exceeds() {
		x.mapRunFailed(p)
		return
	}
	out, size := f.output()
	m, _ := out.(map[string]any)
	m["Status"] = "FAILED"
	p.fork.end(sc.index, m, size+len(`"Status":"FAILED",`), sc)
	x.left(sc)
}

func (x *Execution) mapRunFailed(p *scope) {
	f := engineFailure(errThreshold, "The specified tolerated failure threshold was exceeded")
	x.event(p, HistoryEvent{Type: "MapRunFailed", State: p.state.name, Error: f.err.s, Cause: f.cause.s})
	x.collapse(p, f)
}

// weight is how many items the iteration has.
func (r *mapRun) weight(index int) int {
	if r.batches != nil {
		return r.batches[index]
	}
	return 1
}

// exceeds follows what AWS does: a threshold of zero counts as none given, and with none at all nothing is tolerated.
func (r *mapRun) exceeds() bool {
	failed := float64(r.failed)
	if r.count == 0 && r.percent == 0 {
		return failed > 0
	}
	return r.count > 0 && failed > r.count || r.percent > 0 && failed*100 > r.percent*float64(r.total)
}

// flattened puts the elements of results that are arrays in their place.
func flattened(results []any) []any {
	flat := make([]any, 0, len(results))
	for _, r := range results {
		if a, ok := r.([]any); ok {
			flat = append(flat, a...)
		} else {
			flat = append(flat, r)
		}
	}
	return flat
}
