package store

import (
	"fmt"
	"strings"
)

// A Tx collects what one run of an Update function reads and stages. Reads see the store as it was committed: what the
// Tx itself has staged is not among it (but see Then). Each key takes at most one staged operation. A Tx belongs to one
// goroutine and to one run; a staging mistake (a key twice, an item too large) is kept and fails the Update.
type Tx struct {
	read  func(Key) (Item, uint64, error)
	reads []Read
	ops   []Op
	conds []Cond // of all ops, in their order; each op has its piece
	bytes int
	err   error

	over           []overwritten // ops of earlier parts
	part, partOver int           // where the present part begins, in ops and in over

	// Where the three begin: what most transactions hold takes no memory beside the Tx.
	fewReads [1]Read
	fewOps   [3]Op
	fewConds [3]Cond
}

// A Read is what Tx.Get saw: the item's version, and whether it was there at all. Put and Delete change the version; Add
// does not, unless it is what brings the item into being.
type Read struct {
	Key     Key
	Exists  bool
	Version uint64
}

// OpKind says what an Op does.
type OpKind uint8

// The kinds of staged operations.
const (
	OpPut OpKind = iota
	OpDelete
	OpCheck
	OpAdd
)

// An Op is one staged operation: what an adapter commits.
type Op struct {
	Kind   OpKind
	Key    Key
	Item   Item    // of OpPut
	Deltas []Delta // of OpAdd
	Conds  []Cond
}

// A Delta moves one integer attribute by By. A sum beyond 64 bits is refused. With a floor the result may not be below it, and the attribute must be
// there; without one, an absent attribute, or an absent item, begins at 0.
type Delta struct {
	Name     string
	By       int64
	Floor    int64
	HasFloor bool
}

// Inc moves the attribute by n, wherever that leads.
func Inc(name string, n int64) Delta { return Delta{Name: name, By: n} }

// Take moves the attribute down by n, never below zero.
func Take(name string, n int64) Delta { return Delta{Name: name, By: -n, HasFloor: true} }

// A Cond is a condition on the item as it stands before the commit. An attribute that is absent, or of another type
// than the condition's value, fulfils none but Absent and NotEqual.
type Cond struct {
	Op    CondOp
	Name  string // "" with Exists and Absent: the item itself
	Value Value
}

// CondOp is how a Cond compares.
type CondOp uint8

// The comparisons. AtLeast and Below are for integers.
const (
	CondExists CondOp = iota
	CondAbsent
	CondEqual
	CondNotEqual
	CondAtLeast
	CondBelow
)

// Exists holds if the item is there.
func Exists() Cond { return Cond{Op: CondExists} }

// Absent holds if the item is not there.
func Absent() Cond { return Cond{Op: CondAbsent} }

// Equal holds if the attribute is there with exactly this value, as in Equal(S("status", "ACTIVE")).
func Equal(a Attr) Cond { return Cond{Op: CondEqual, Name: a.Name, Value: a.Value} }

// NotEqual holds if the attribute, or the whole item, is absent or differs.
func NotEqual(a Attr) Cond { return Cond{Op: CondNotEqual, Name: a.Name, Value: a.Value} }

// AtLeast holds if the integer attribute is there and at least n.
func AtLeast(name string, n int64) Cond {
	return Cond{Op: CondAtLeast, Name: name, Value: N(name, n).Value}
}

// Below holds if the integer attribute is there and less than n.
func Below(name string, n int64) Cond {
	return Cond{Op: CondBelow, Name: name, Value: N(name, n).Value}
}

// Holds evaluates the condition on an item, nil standing for an absent one.
func (c Cond) Holds(it Item) bool {
	if c.Name == "" {
		return (it != nil) == (c.Op == CondExists)
	}
	v, ok := it.Lookup(c.Name)
	switch c.Op {
	case CondExists:
		return ok
	case CondAbsent:
		return !ok
	case CondEqual:
		return ok && v == c.Value
	case CondNotEqual:
		return !ok || v != c.Value
	case CondAtLeast:
		return ok && v.kind == KindInt && v.num >= c.Value.num
	case CondBelow:
		return ok && v.kind == KindInt && v.num < c.Value.num
	}
	return false
}

// NewTx begins a run; adapters call it. read returns the committed item and its version; Tx remembers what it gave.
func NewTx(read func(Key) (Item, uint64, error)) *Tx {
	tx := &Tx{read: read}
	tx.reads, tx.ops, tx.conds = tx.fewReads[:0], tx.fewOps[:0], tx.fewConds[:0]
	return tx
}

// Reuse begins another run in the Tx of one that is over: nobody may hold it, its Reads or its Ops any more.
func (tx *Tx) Reuse(read func(Key) (Item, uint64, error)) {
	clear(tx.reads)
	clear(tx.ops)
	clear(tx.conds)
	clear(tx.over)
	tx.read, tx.bytes, tx.part, tx.partOver, tx.err = read, 0, 0, 0, nil
	tx.reads, tx.ops, tx.conds, tx.over = tx.reads[:0], tx.ops[:0], tx.conds[:0], tx.over[:0]
}

// Get returns the item, or nil, and records what it saw: if that has changed by the commit, the function runs again.
func (tx *Tx) Get(key Key) (Item, error) {
	if it, known, err := tx.staged(key); known || err != nil {
		return it, err
	}
	it, version, err := tx.read(key)
	if err != nil {
		return nil, err
	}
	for _, r := range tx.reads {
		if r.Key == key {
			return it, nil
		}
	}
	tx.reads = append(tx.reads, Read{Key: key, Exists: it != nil, Version: version})
	return it, nil
}

// Peek returns the item, or nil, and records nothing: for advice that may be stale by the commit.
func (tx *Tx) Peek(key Key) (Item, error) {
	if it, known, err := tx.staged(key); known || err != nil {
		return it, err
	}
	it, _, err := tx.read(key)
	return it, err
}

// Put writes the whole item, whatever stood there, if every condition holds.
func (tx *Tx) Put(key Key, it Item, conds ...Cond) {
	if it == nil {
		it = Item{}
	}
	tx.stage(Op{Kind: OpPut, Key: key, Item: it}, conds)
}

// Delete removes the item if every condition holds; an item that is absent already is no failure of its own.
func (tx *Tx) Delete(key Key, conds ...Cond) {
	tx.stage(Op{Kind: OpDelete, Key: key}, conds)
}

// Check lets the commit pass only if every condition holds, and writes nothing.
func (tx *Tx) Check(key Key, conds ...Cond) {
	if len(conds) == 0 {
		tx.fail("a check of %s without a condition", key)
	}
	tx.stage(Op{Kind: OpCheck, Key: key}, conds)
}

// Add moves integer attributes, at most ten of them. It never conflicts with a read of the same item, nor with another Add.
func (tx *Tx) Add(key Key, deltas []Delta, conds ...Cond) {
	if len(deltas) == 0 || len(deltas) > 10 {
		tx.fail("an add to %s of %d attributes", key, len(deltas))
	}
	for i, d := range deltas {
		if reserved(d.Name) {
			tx.fail("an add to %s: attribute name %q is reserved", key, d.Name)
		}
		for _, e := range deltas[:i] {
			if d.Name == e.Name {
				tx.fail("an add to %s moves %q twice", key, d.Name)
			}
		}
	}
	tx.stage(Op{Kind: OpAdd, Key: key, Deltas: deltas}, conds)
}

// Reads and Ops are what an adapter has to commit; Err is the first staging mistake.
func (tx *Tx) Reads() []Read { return tx.reads }

// Ops returns the staged operations in the order of staging.
func (tx *Tx) Ops() []Op { return tx.ops }

// Err is the first staging mistake, or the reason why the transaction is over the port's limits; nil if it may be committed.
func (tx *Tx) Err() error {
	if tx.err != nil {
		return tx.err
	}
	n := len(tx.ops)
	for _, r := range tx.reads {
		if !tx.writes(r.Key) {
			n++
		}
	}
	if n > MaxOps {
		tx.fail("%d operations in a transaction, at most %d", n, MaxOps)
	}
	if tx.bytes > MaxTxBytes {
		tx.fail("%d bytes in a transaction, at most %d", tx.bytes, MaxTxBytes)
	}
	return tx.err
}

func (tx *Tx) writes(key Key) bool {
	for i := range tx.ops {
		if k := &tx.ops[i].Key; k.SK == key.SK && k.PK == key.PK && k.Table == key.Table {
			return true
		}
	}
	return false
}

func (tx *Tx) stage(op Op, conds []Cond) {
	if err := CheckKey(op.Key); err != nil {
		tx.fail("%v", err)
	}
	if op.Kind == OpPut {
		if err := CheckItem(op.Item); err != nil {
			tx.fail("%s: %v", op.Key, err)
		}
		if tx.putOver(&op, conds) {
			return
		}
	}
	if tx.writes(op.Key) {
		tx.fail("%s is written twice in a transaction", op.Key)
	}
	if len(conds) > 0 {
		// A copy, so that a caller's list of conditions need not outlive the call.
		n := len(tx.conds)
		tx.conds = append(tx.conds, conds...)
		op.Conds = tx.conds[n:len(tx.conds):len(tx.conds)]
	}
	tx.bytes += len(op.Key.PK) + len(op.Key.SK) + op.Item.Size()
	tx.ops = append(tx.ops, op)
}

func (tx *Tx) fail(format string, args ...any) {
	if tx.err == nil {
		tx.err = fmt.Errorf("store: "+format, args...)
	}
}

// CheckKey refuses a key that no adapter could keep: an empty table or partition, an over-long part, a NUL byte
// (which parts the key on disk).
func CheckKey(k Key) error {
	if k.Table == "" || k.PK == "" {
		return fmt.Errorf("store: key %q has no table or partition", k.String())
	}
	if len(k.PK) > MaxKeyBytes || len(k.SK) > MaxKeyBytes {
		return fmt.Errorf("store: key of %d and %d bytes in %s, at most %d each", len(k.PK), len(k.SK), k.Table, MaxKeyBytes)
	}
	if strings.IndexByte(k.Table, 0) >= 0 || strings.IndexByte(k.PK, 0) >= 0 || strings.IndexByte(k.SK, 0) >= 0 {
		return fmt.Errorf("store: key %q holds a NUL byte", k.String())
	}
	return nil
}

// CheckItem refuses an item that no adapter could keep: too large, a name twice, empty or reserved.
func CheckItem(it Item) error {
	if n := it.Size(); n > MaxItemBytes {
		return fmt.Errorf("an item of %d bytes, at most %d", n, MaxItemBytes)
	}
	for i, a := range it {
		if reserved(a.Name) {
			return fmt.Errorf("attribute name %q is reserved", a.Name)
		}
		for _, b := range it[:i] {
			if a.Name == b.Name {
				return fmt.Errorf("attribute %q stands twice", a.Name)
			}
		}
	}
	return nil
}

func reserved(name string) bool {
	return name == "" || name[0] == '_' || name == "pk" || name == "sk"
}

// Apply evaluates the operation on the item that stands at its key, nil if none does. It returns the item after the
// operation (nil: none), and false if a condition, a floor or the type of an attribute refuses it. memstore and
// pebblestore commit with it, so that the two cannot differ.
func (op *Op) Apply(it Item) (Item, bool) {
	for _, c := range op.Conds {
		if !c.Holds(it) {
			return nil, false
		}
	}
	switch op.Kind {
	case OpPut:
		return op.Item, true
	case OpDelete:
		return nil, true
	case OpAdd:
		return applyDeltas(it, op.Deltas)
	case OpCheck:
	}
	return it, true
}

func applyDeltas(it Item, deltas []Delta) (Item, bool) {
	out := make(Item, len(it), len(it)+len(deltas))
	copy(out, it)
	for _, d := range deltas {
		i := 0
		for i < len(out) && out[i].Name != d.Name {
			i++
		}
		switch {
		case i == len(out) && d.HasFloor:
			return nil, false
		case i == len(out):
			out = append(out, N(d.Name, d.By))
		case out[i].Value.kind != KindInt:
			return nil, false
		default:
			n := out[i].Value.num
			sum := n + d.By
			if overflows := (sum > n) != (d.By > 0); overflows || d.HasFloor && sum < d.Floor {
				return nil, false
			}
			out[i].Value.num = sum
		}
	}
	return out, true
}
