package order

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
)

// Heads is the hash over the heads of all orders: the SHA-256 over their ids, versions and chain hashes. Whoever has the same one has the same orders with
// the same logs. A chain proves edits, not truncation: keep it elsewhere, and a log that was cut off shows.
type Heads struct{ sum hash.Hash }

// NewHeads is of no orders.
func NewHeads() Heads { return Heads{sha256.New()} }

// Add takes an order's head. Orders come in the order of their ids.
func (h Heads) Add(id string, version int64, chain string) {
	fmt.Fprintf(h.sum, "%s %d %s\n", id, version, chain)
}

// String is the hash of what was added, in hexadecimal.
func (h Heads) String() string { return hex.EncodeToString(h.sum.Sum(nil)) }
