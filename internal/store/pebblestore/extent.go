package pebblestore

import (
	"context"
	"encoding/binary"
	"errors"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/utkarsh698/cloudflow/internal/fault"
)

// What an operator is told of a directory.
const (
	FormatVersion = formatVersion // of every directory that Open accepts
	MinFree       = defaultMinFree
)

// A FeedExtent is how much a feed holds. Changes are numbered, and dated by the minute.
type FeedExtent struct {
	Changes int64
	Since   time.Time // the minute of the oldest change; zero: there is none
}

// FeedExtent counts the feed of what is synced. It reads all of it.
func (s *Store) FeedExtent(ctx context.Context) (FeedExtent, error) {
	v, err := s.acquire()
	if err != nil {
		return FeedExtent{}, err
	}
	defer v.release()
	e, err := v.feedExtent(ctx)
	if err != nil {
		return FeedExtent{}, fault.Wrap(fault.Internal, err, "measure the feed")
	}
	return e, nil
}

func (v *view) feedExtent(ctx context.Context) (e FeedExtent, err error) {
	var oldest position
	changes, err := v.snapshot.NewIter(&pebble.IterOptions{LowerBound: []byte{spaceFeed}, UpperBound: []byte{spaceFeed + 1}})
	if err != nil {
		return e, err
	}
	for ok := changes.First(); ok && err == nil; ok = changes.Next() {
		if e.Changes++; e.Changes == 1 {
			oldest, err = parsePosition(changes.Key()[1:])
		}
		if e.Changes%10_000 == 0 {
			err = errors.Join(err, ctx.Err())
		}
	}
	if err = errors.Join(err, changes.Close()); err != nil || e.Changes == 0 {
		return e, err
	}
	// The last minute that began no later than with the oldest change.
	marks, err := v.snapshot.NewIter(&pebble.IterOptions{LowerBound: []byte{spaceMark}, UpperBound: []byte{spaceMark + 1}})
	if err != nil {
		return e, err
	}
	for ok := marks.First(); ok && len(marks.Key()) == 9 && len(marks.Value()) == 8; ok = marks.Next() {
		if binary.BigEndian.Uint64(marks.Value()) > oldest.seq {
			break
		}
		e.Since = time.Unix(int64(binary.BigEndian.Uint64(marks.Key()[1:]))*60, 0).UTC()
	}
	return e, marks.Close()
}

// FreeBytes is what the file system has free for the directory. Below MinFree commits are refused, unless Options say otherwise.
func (s *Store) FreeBytes() (uint64, error) { return s.opts.FreeBytes() }
