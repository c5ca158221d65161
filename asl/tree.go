package asl

import (
	"cmp"
	"iter"
	"time"
)

// A tree is an ordered map that clones of an execution share: who changes it gets another tree, which has all in common with this one but the
// nodes on the way to what differs. It is a treap (Seidel and Aragon, 1996) whose priorities are hashes of the keys: of n keys the way is some
// 2 ln n nodes long, and equal maps are equal trees, however they came about.
type tree[K key[K], V any] struct {
	root *node[K, V]
	size int
}

// A key has a place among others.
type key[K any] interface {
	compare(to K) int
	hash() uint64
}

type node[K key[K], V any] struct {
	key         K
	value       V
	left, right *node[K, V]
	made        int64 // in which step
}

// An edition is a step, and what it may change in place: that which was made after the last clone. All else may be shared with one, and is
// copied first.
type edition struct {
	step   int64
	shared int64 // the last step of which something may be shared
}

// alone is the edition that shares all that the steps before have made, clone or not.
func (e edition) alone() edition { return edition{step: e.step, shared: e.step - 1} }

// mine is the node as the edition may change it.
func (n *node[K, V]) mine(e edition) *node[K, V] {
	if n.made > e.shared {
		return n
	}
	c := *n
	c.made = e.step
	return &c
}

func (t tree[K, V]) get(k K) (v V, ok bool) {
	for n := t.root; n != nil; {
		switch c := k.compare(n.key); {
		case c == 0:
			return n.value, true
		case c < 0:
			n = n.left
		default:
			n = n.right
		}
	}
	return v, false
}

// with is the tree in which k has the value.
func (t tree[K, V]) with(e edition, k K, v V) tree[K, V] {
	root, grew := t.root.with(e, k, v)
	if grew {
		t.size++
	}
	t.root = root
	return t
}

func (n *node[K, V]) with(e edition, k K, v V) (_ *node[K, V], grew bool) {
	if n == nil {
		return &node[K, V]{key: k, value: v, made: e.step}, true
	}
	n = n.mine(e)
	switch c := k.compare(n.key); {
	case c == 0:
		n.value = v
	case c < 0:
		if n.left, grew = n.left.with(e, k, v); n.left.above(n) { // it is of this edition: it was on the way
			up := n.left
			n.left, up.right = up.right, n
			return up, grew
		}
	default:
		if n.right, grew = n.right.with(e, k, v); n.right.above(n) {
			up := n.right
			n.right, up.left = up.left, n
			return up, grew
		}
	}
	return n, grew
}

func (n *node[K, V]) above(m *node[K, V]) bool { return n.key.hash() > m.key.hash() }

// without is the tree without a key that it has.
func (t tree[K, V]) without(e edition, k K) tree[K, V] {
	if _, ok := t.get(k); ok {
		t.root, t.size = t.root.without(e, k), t.size-1
	}
	return t
}

func (n *node[K, V]) without(e edition, k K) *node[K, V] {
	c := k.compare(n.key)
	if c == 0 {
		return n.left.join(e, n.right)
	}
	n = n.mine(e)
	if c < 0 {
		n.left = n.left.without(e, k)
	} else {
		n.right = n.right.without(e, k)
	}
	return n
}

// join is a tree of two of which m has the greater keys.
func (n *node[K, V]) join(e edition, m *node[K, V]) *node[K, V] {
	switch {
	case n == nil:
		return m
	case m == nil:
		return n
	case n.above(m):
		n = n.mine(e)
		n.right = n.right.join(e, m)
		return n
	}
	m = m.mine(e)
	m.left = n.join(e, m.left)
	return m
}

// first is the value of the least key.
func (t tree[K, V]) first() (v V, ok bool) {
	for n := t.root; n != nil; n = n.left {
		v, ok = n.value, true
	}
	return v, ok
}

// all are the values in the order of their keys.
func (t tree[K, V]) all() iter.Seq[V] {
	return func(yield func(V) bool) { t.root.each(yield) }
}

func (n *node[K, V]) each(yield func(V) bool) bool {
	return n == nil || n.left.each(yield) && yield(n.value) && n.right.each(yield)
}

// after are the values behind a key, in order.
func (t tree[K, V]) after(k K) iter.Seq[V] {
	return func(yield func(V) bool) { t.root.eachAfter(k, yield) }
}

func (n *node[K, V]) eachAfter(k K, yield func(V) bool) bool {
	switch {
	case n == nil:
		return true
	case k.compare(n.key) >= 0:
		return n.right.eachAfter(k, yield)
	}
	return n.left.eachAfter(k, yield) && yield(n.value) && n.right.each(yield)
}

// number is a key: a command's ID, or the index of a branch or an iteration.
type number int64

func (n number) compare(to number) int { return cmp.Compare(n, to) }
func (n number) hash() uint64          { return mix(uint64(n)) }

// due is the key of a timer: when, then which.
type due struct {
	at time.Time
	id int64
}

func (d due) compare(to due) int { return cmp.Or(d.at.Compare(to.at), cmp.Compare(d.id, to.id)) }

// hash is of the ID alone. Whoever chooses the times of thousands of timers can choose them in the order of these hashes; a step then costs what
// it would with a list.
func (d due) hash() uint64 { return mix(uint64(d.id)) }
