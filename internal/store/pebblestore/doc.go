// Package pebblestore keeps the store port on the disk of one machine: the store of the single binary, on Pebble
// (https://github.com/cockroachdb/pebble), a log-structured merge tree with a write-ahead log (WAL).
//
//	Update ──run fn on a view──▶ queue ──▶ committer ─────────▶ one batch, one sync ──▶ new view ──▶ answers, feed
//	                               ▲       checks reads, conditions,                                │
//	                               └────── floors, in order, against ◀──────── it lost a conflict ──┘
//	                                       the store and its own group
//
// It promises what the port promises. One committer takes every transaction that waits, decides them in order, writes
// them as one batch and syncs once; a refusal waits for that sync too, since it may rest on a write of the
// same group. Reads see a view that is replaced only after a sync, because Pebble itself shows a write to readers
// before it is on the disk.
//
// It refuses a directory that another process has open (ErrLocked) and one whose format it does not know (ErrFormat);
// writes while the disk is nearly full, with fault.Unavailable; and everything after Close, likewise.
//
// Every commit that was answered survives a crash, wholly; one that was not answered is there wholly or not at all. An
// error of the WAL ends the process without an answer: what is on the disk is not known any more, and the next start
// finds out. A feed's cursor may be behind after a crash, never ahead.
package pebblestore
