package store

import "fmt"

// A Mark is where a part of a transaction begins: what Undo goes back to.
type Mark struct {
	reads, ops, conds, over int
	bytes                   int
	part, partOver          int
	err                     error
}

// Then begins the next part of a transaction that does several things, one after the other, in one commit. The reads of a part see what the
// parts before it have staged, as they would had each been committed on its own, and a part may put once more what
// an earlier one has put: then its conditions are asked of that item, at once. Nothing else of what was staged before can
// be written again, and an item that an earlier part has only added to cannot be read; Err, or the read's error, says so.
func (tx *Tx) Then() Mark {
	m := Mark{
		reads: len(tx.reads), ops: len(tx.ops), conds: len(tx.conds), over: len(tx.over),
		bytes: tx.bytes, part: tx.part, partOver: tx.partOver, err: tx.err,
	}
	tx.part, tx.partOver = len(tx.ops), len(tx.over)
	return m
}

// Undo takes back what was staged and read since the mark, and the staging mistakes.
func (tx *Tx) Undo(m Mark) {
	for n := len(tx.over) - 1; n >= m.over; n-- { // backwards: several parts may have put over one place
		tx.ops[tx.over[n].at] = tx.over[n].op
	}
	clear(tx.over[m.over:])
	clear(tx.reads[m.reads:])
	clear(tx.ops[m.ops:])
	clear(tx.conds[m.conds:])
	tx.over, tx.reads, tx.ops, tx.conds = tx.over[:m.over], tx.reads[:m.reads], tx.ops[:m.ops], tx.conds[:m.conds]
	tx.bytes, tx.part, tx.partOver, tx.err = m.bytes, m.part, m.partOver, m.err
}

// An overwritten operation is one that a later part has put over: Undo puts it back.
type overwritten struct {
	at int // in ops
	op Op
}

// earlier is where a part before the present one has staged an operation on the key; -1 if none has.
func (tx *Tx) earlier(key Key) int {
	for i := range tx.ops[:tx.part] {
		if tx.ops[i].Key == key {
			return i
		}
	}
	return -1
}

// staged is the item as the parts before this one leave it; known is false if none of them has a say in it.
func (tx *Tx) staged(key Key) (it Item, known bool, err error) {
	i := tx.earlier(key)
	if i < 0 {
		return nil, false, nil
	}
	switch op := &tx.ops[i]; op.Kind {
	case OpPut:
		return op.Item, true, nil
	case OpDelete:
		return nil, true, nil
	case OpAdd:
		return nil, false, fmt.Errorf("store: %s cannot be read: this transaction adds to it", key)
	case OpCheck:
	}
	return nil, false, nil
}

// putOver lets a put of this part take the place of an earlier one's, if it is one and every condition holds on its item. It
// reports false where there is nothing to take the place of.
func (tx *Tx) putOver(op *Op, conds []Cond) bool {
	i := tx.earlier(op.Key)
	if i < 0 || op.Kind != OpPut || tx.ops[i].Kind != OpPut {
		return false
	}
	for _, o := range tx.over[tx.partOver:] {
		if o.at == i {
			return false // this part has put it already
		}
	}
	for _, c := range conds {
		if !c.Holds(tx.ops[i].Item) {
			tx.fail("%s: a condition does not hold on what this transaction puts there", op.Key)
		}
	}
	tx.over = append(tx.over, overwritten{i, tx.ops[i]})
	tx.bytes += op.Item.Size() - tx.ops[i].Item.Size()
	tx.ops[i].Item = op.Item
	return true
}
