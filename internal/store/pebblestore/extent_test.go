package pebblestore

import (
	"context"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/utkarsh698/cloudflow/internal/store"
)

func TestFeedExtent(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 30, 0, time.UTC)
	s := open(t, vfs.NewMem(), Options{
		Feed: func(k store.Key) bool { return k.PK == "fed" }, FeedRetention: time.Hour, Now: func() time.Time { return now },
	})
	extent := func() FeedExtent {
		t.Helper()
		e, err := s.FeedExtent(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	put(t, s, key("other", "1"), store.N("n", 1))
	if e := extent(); e != (FeedExtent{}) {
		t.Errorf("nothing was fed: %+v", e)
	}
	put(t, s, key("fed", "1"), store.N("n", 1))
	put(t, s, key("fed", "2"), store.N("n", 1))
	now = now.Add(10 * time.Minute)
	put(t, s, key("fed", "3"), store.N("n", 1))
	if e := extent(); e.Changes != 3 || !e.Since.Equal(time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)) {
		t.Errorf("%+v", e)
	}
	now = now.Add(62 * time.Minute) // the first two are past the hour, the third is not
	put(t, s, key("fed", "4"), store.N("n", 1))
	if e := extent(); e.Changes != 2 || !e.Since.Equal(time.Date(2026, 5, 1, 12, 10, 0, 0, time.UTC)) {
		t.Errorf("after a trim: %+v", e)
	}
}
