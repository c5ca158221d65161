package order

import (
	"fmt"
	"strings"
	"testing"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/memstore"
)

func names(list []Standing) string {
	var out []string
	for _, s := range list {
		text := s.Execution
		if s.NeedsReview {
			text += "!"
		}
		out = append(out, text)
	}
	return strings.Join(out, " ")
}

func TestUnfinishedAndInReview(t *testing.T) {
	w := newWorld(t, memstore.Options{})
	wants := func(rule, unfinished, inReview string) {
		t.Helper()
		open, err := w.Unfinished(t.Context(), "", 100)
		if err != nil || names(open) != unfinished {
			t.Errorf("%s: unfinished are %q, %v, want %q", rule, names(open), err, unfinished)
		}
		waiting, err := w.InReview(t.Context(), "", 100)
		if err != nil || names(waiting) != inReview {
			t.Errorf("%s: in review are %q, %v, want %q", rule, names(waiting), err, inReview)
		}
		if n, err := w.CountInReview(t.Context()); err != nil || n != len(waiting) {
			t.Errorf("%s: %d are counted, %v", rule, n, err)
		}
	}
	wants("before the first order", "", "")
	a, b, c := w.place(), w.place(), w.place()
	wants("orders under way", a+" "+b+" "+c, "")
	w.do(b, review)
	wants("one has failed", a+" "+b+"! "+c, b+"!")
	w.do(a, review)
	wants("two have", a+"! "+b+"! "+c, a+"! "+b+"!")
	w.do(b, redrive)
	wants("a redriven one is under way again", a+"! "+b+"-r1 "+c, a+"!")
	w.do(c, reserve, confirm)
	w.do(c, review)
	wants("one that has ended, but whose saga has not", a+"! "+b+"-r1 "+c+"!", a+"! "+c+"!")

	page, err := w.InReview(t.Context(), a, 1)
	if err != nil || names(page) != c+"!" {
		t.Errorf("behind the first, one at most: %q, %v", names(page), err)
	}
	if all, err := w.Executions(t.Context(), b); err != nil || strings.Join(all, " ") != b+" "+b+"-r1" {
		t.Errorf("the executions of a redriven order are %v, %v", all, err)
	}
	for _, id := range []string{"ord-unknown", "open#00", ""} {
		_, err := w.Executions(t.Context(), id)
		wantKind(t, err, fault.NotFound)
	}
}

func TestTheCountOfTheReviewIsBounded(t *testing.T) {
	w := newWorld(t, memstore.Options{})
	put := func(pk string, from, to int) {
		for n := from; n < to; n += store.MaxOps {
			err := w.mem.Update(t.Context(), func(tx *store.Tx) error {
				for i := n; i < min(to, n+store.MaxOps); i++ {
					tx.Put(store.Key{Table: Table, PK: pk, SK: fmt.Sprintf("ord-%06d", i)}, store.Item{})
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	put(reviewPartition(3), 0, store.MaxRangeLimit+1) // more than one read gives
	put(reviewPartition(15), 0, 1)
	if n, err := w.CountInReview(t.Context()); err != nil || n != store.MaxRangeLimit+2 {
		t.Errorf("%d, %v", n, err)
	}
	put(reviewPartition(7), 0, MaxReviewCount)
	if n, err := w.CountInReview(t.Context()); err != nil || n != MaxReviewCount {
		t.Errorf("%d, %v, want no more than %d", n, err, MaxReviewCount)
	}
}
