// Package eventlog keeps streams of events in a store: numbered from 1 without a gap, never changed, each chained to the one
// before it by a hash.
//
// It promises: what Stage stages becomes part of its stream together with the rest of the caller's transaction, or not
// at all; two writers at one version cannot both succeed, since an event's place must be free; timestamps never fall
// within a stream, whatever the clock does. It refuses nothing itself: which event may follow which is the business of the stream's
// owner, who keeps the stream's Head and commits on it. What a crash leaves is always a prefix of what was staged, in whole
// transactions.
//
// The chain proves that no event of a stream was edited, inserted or left out between two others. It cannot prove that none was cut off at
// the end: for that, keep the heads' hashes elsewhere.
package eventlog

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/jcs"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// An Event is one entry of a stream.
type Event struct {
	Version       int64     // its place in the stream: 1, 2, 3 ...
	Type          string    // such as ORDER_CREATED
	Timestamp     time.Time // UTC, whole milliseconds; never before the previous event's
	Data          map[string]any
	CorrelationID string
	Actor         string // who or what brought it about
	Hash          string // hexadecimal SHA-256 of the previous event's hash and this event's canonical JSON
}

// New is what a caller knows of an event that is yet to be appended. Data holds JSON values as Decode gives them: numbers are
// json.Number. It may be nil, and is shared with the Event that is made of it.
type New struct {
	Type          string
	Data          map[string]any
	CorrelationID string
	Actor         string
}

// A Head is where a stream ends: what the next event is chained to. The zero Head is that of an empty stream.
type Head struct {
	Version   int64
	Hash      string
	Timestamp time.Time
}

// Layout is how timestamps are written: RFC 3339 in UTC with three decimals.
const Layout = "2006-01-02T15:04:05.000Z"

// The sort keys of events, and the attributes of their items.
const (
	Prefix       = "event#"
	versionWidth = 10
	attrEvent    = "event" // the canonical JSON
	attrHash     = "hash"
	attrMoved    = "moved" // true: written by a move, and not by what happened
)

// Key is where an event stands.
func Key(table, stream string, version int64) store.Key {
	return store.Key{Table: table, PK: stream, SK: sortKey(version)}
}

func sortKey(version int64) string {
	var sk [len(Prefix) + versionWidth]byte
	copy(sk[:], Prefix)
	for i := len(sk) - 1; i >= len(Prefix); i-- {
		sk[i] = byte('0' + version%10)
		version /= 10
	}
	return string(sk[:])
}

// Stage stages events that follow at, one operation each, and returns the stream's head after them. Their timestamp is now, or that of at if
// the clock went back. The caller has read at in the same transaction, or knows that the stream is empty; if at is stale the
// commit is refused.
func Stage(tx *store.Tx, table, stream string, at Head, now time.Time, events ...New) (Head, []Event) {
	now = now.UTC().Truncate(time.Millisecond)
	if now.Before(at.Timestamp) {
		now = at.Timestamp
	}
	out := make([]Event, len(events))
	buf := make([]byte, 0, 512)
	for i, n := range events {
		e := Event{
			Version:       at.Version + 1,
			Type:          n.Type,
			Timestamp:     now,
			Data:          n.Data,
			CorrelationID: n.CorrelationID,
			Actor:         n.Actor,
		}
		buf = appendCanonical(appendHash(buf[:0], at.Hash), e)
		text := buf[hashBytes(at.Hash):]
		sum := sha256.Sum256(buf)
		e.Hash = hex.EncodeToString(sum[:])
		tx.Put(Key(table, stream, e.Version), store.Item{store.S(attrEvent, string(text)), store.S(attrHash, e.Hash)}, store.Absent())
		at = Head{Version: e.Version, Hash: e.Hash, Timestamp: now}
		out[i] = e
	}
	return at, out
}

// Read returns the events after a version, at most limit of them (0: as many as a range gives, 1,000), in order. On a store that is
// not one machine a read may meet a transaction half way: a caller that folds the events checks that no version is missing.
func Read(ctx context.Context, s store.Store, table, stream string, after int64, limit int, c store.Consistency) ([]Event, error) {
	q := store.Query{Table: table, PK: stream, Prefix: Prefix, Limit: limit, Consistency: c}
	if after > 0 {
		q.After = sortKey(after)
	}
	entries, err := s.Range(ctx, q)
	if err != nil {
		return nil, err
	}
	events := make([]Event, len(entries))
	for i, en := range entries {
		if events[i], err = Decode(en); err != nil {
			return nil, err
		}
	}
	return events, nil
}

// Decode reads an event from its entry. fault.Internal: it is not one that Stage wrote, or stands in another's place.
func Decode(e store.Entry) (Event, error) {
	ev, err := parse(e.Item.Str(attrEvent))
	if err == nil && sortKey(ev.Version) != e.Key.SK {
		err = fmt.Errorf("version %d stands in its place", ev.Version)
	}
	if err != nil {
		return Event{}, fault.Wrap(fault.Internal, err, "eventlog: %s", e.Key)
	}
	ev.Hash = e.Item.Str(attrHash)
	return ev, nil
}

// Moved is the item of an event that is brought along from another store. It is the same event; but it did not happen here, and a reader of
// this store's changes who tells others of what happens, or starts what follows, passes it over: where it came from that was done.
func Moved(it store.Item) store.Item { return it.With(store.Bool(attrMoved, true)) }

// IsMoved reports whether an event's item was brought along from another store.
func IsMoved(it store.Item) bool { return it.Bool(attrMoved) }

// DecodeExact is Decode, and refuses a text that is not byte for byte the canonical form of what it says, which is what was hashed: for
// those who verify. A reader has no need of it, since it goes by what the text says.
func DecodeExact(e store.Entry) (Event, error) {
	ev, err := Decode(e)
	if err == nil && string(appendCanonical(nil, ev)) != e.Item.Str(attrEvent) {
		err = fault.New(fault.Internal, "eventlog: %s: the text is not in canonical form", e.Key)
	}
	return ev, err
}

// Verify checks a whole stream from its first event: versions without a gap from 1, timestamps that do not fall, and the chain of
// hashes. Its error names the first version that is wrong, as the detail "version" too.
func Verify(events []Event) error {
	at := Head{}
	var buf []byte
	for _, e := range events {
		if e.Version != at.Version+1 {
			return broken(at.Version+1, "version %d stands in its place", e.Version)
		}
		if e.Timestamp.Before(at.Timestamp) {
			return broken(e.Version, "its timestamp is before the previous one")
		}
		buf = appendCanonical(appendHash(buf[:0], at.Hash), e)
		sum := sha256.Sum256(buf)
		if hex.EncodeToString(sum[:]) != e.Hash {
			return broken(e.Version, "its hash is not that of its content and the event before it")
		}
		at = Head{Version: e.Version, Hash: e.Hash, Timestamp: e.Timestamp}
	}
	return nil
}

func broken(version int64, format string, args ...any) error {
	return fault.New(fault.Internal, "eventlog: version %d: %s", version, fmt.Sprintf(format, args...)).With("version", version)
}

// appendHash appends the bytes of a hexadecimal hash: none for the start of a stream. A hash is either ours or was damaged, and then
// the chain does not verify.
func appendHash(dst []byte, hash string) []byte {
	if hashBytes(hash) == 0 {
		return dst
	}
	var sum [sha256.Size]byte
	_, _ = hex.Decode(sum[:], []byte(hash))
	return append(dst, sum[:]...)
}

func hashBytes(hash string) int {
	if len(hash) != 2*sha256.Size {
		return 0
	}
	return sha256.Size
}

// appendCanonical writes the event in the form of RFC 8785, members in their order. A test holds it to jcs.Append.
func appendCanonical(dst []byte, e Event) []byte {
	dst = append(dst, `{"actor":`...)
	dst = jcs.AppendString(dst, e.Actor)
	dst = append(dst, `,"correlation_id":`...)
	dst = jcs.AppendString(dst, e.CorrelationID)
	dst = append(dst, `,"data":`...)
	if e.Data == nil {
		dst = append(dst, "null"...)
	} else {
		dst = jcs.Append(dst, e.Data)
	}
	dst = append(dst, `,"timestamp":"`...)
	dst = e.Timestamp.AppendFormat(dst, Layout)
	dst = append(dst, `","type":`...)
	dst = jcs.AppendString(dst, e.Type)
	dst = append(dst, `,"version":`...)
	dst = strconv.AppendInt(dst, e.Version, 10)
	return append(dst, '}')
}
