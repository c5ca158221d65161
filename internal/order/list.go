package order

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/utkarsh698/cloudflow/internal/eventlog"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// What one page of a list may cost. A filter by status looks at orders that it does not show, and there may be very many of those: so a
// page ends after so much work, short or even empty, and says where to go on.
const (
	// MaxListed is how many orders a page has at most.
	MaxListed = 100
	// maxLooked is ten reads of a hundred heads: some 10 ms here, a few hundred on a distributed store.
	maxLooked = 1000
	// maxDays is a month. A day costs a read for each shard, however few orders it has.
	maxDays = 31
)

// A ListQuery asks for a page of orders, the newest first.
type ListQuery struct {
	CustomerID string // whose; "" for everybody's
	Status     string // only those that are in it; "" for any
	After      string // Page.Next of the page before; "" begins with the newest
	Limit      int    // 1 to MaxListed
}

// A Page of a list. It may be short, or empty, with more to come: only Next says whether the list has ended.
type Page struct {
	Orders []Summary
	Next   string // "" after the last page
}

// A Summary is an order as a list shows it: its head, without lines and events.
type Summary struct {
	OrderID       string `json:"order_id"`
	Status        string `json:"status"`
	CustomerID    string `json:"customer_id"`
	TotalCents    int64  `json:"total_cents"`
	Currency      string `json:"currency"`
	CreatedAt     string `json:"created_at"` // RFC 3339, UTC, milliseconds
	UpdatedAt     string `json:"updated_at"`
	Version       int64  `json:"version"`
	FailureReason string `json:"failure_reason,omitempty"`
	NeedsReview   bool   `json:"needs_review"`
}

// Statuses are all that an order can have.
var Statuses = []string{Pending, Confirmed, Failed, Compensated, Cancelled, Review}

// List returns a page. Each order that stood in the list when the first page was read is on exactly one of the pages, unless the filter
// leaves it out, whatever is placed meanwhile. A list reads what may lag behind, so it can miss what was placed within the last second.
//
// fault.BadRequest with the field: a status that there is not, or an After that did not come from a page. A customer without orders has an
// empty list.
func (s *Service) List(ctx context.Context, q ListQuery) (Page, error) {
	if q.Status != "" {
		if err := CheckStatus(q.Status); err != nil {
			return Page{}, err
		}
	}
	if q.Limit < 1 || q.Limit > MaxListed {
		return Page{}, fault.New(fault.Internal, "a list of %d orders, at most %d", q.Limit, MaxListed)
	}
	l := lister{s: s, q: q, left: maxLooked}
	if q.CustomerID != "" {
		return l.ofCustomer(ctx)
	}
	return l.ofAll(ctx)
}

// CheckStatus refuses what is none of Statuses: fault.BadRequest with the field.
func CheckStatus(status string) error {
	if !slices.Contains(Statuses, status) {
		return fault.New(fault.BadRequest, "status must be one of %s.", strings.Join(Statuses, ", ")).With("field", "status")
	}
	return nil
}

// A lister fills one page.
type lister struct {
	s    *Service
	q    ListQuery
	page Page
	left int // orders that may yet be looked at
}

// ofCustomer reads the customer's list from its end. A place in it is an order's id.
func (l *lister) ofCustomer(ctx context.Context) (Page, error) {
	after := l.q.After
	if after != "" && !validID(after) {
		return Page{}, errPlace
	}
	for {
		n := l.chunk()
		q := store.Query{
			Table: Table, PK: customerKey(l.q.CustomerID, "").PK, After: after, Reverse: true, Limit: n + 1, Consistency: store.Eventual,
		}
		entries, err := l.s.store.Range(ctx, q)
		if err != nil {
			return Page{}, err
		}
		ids := make([]string, 0, n)
		for _, e := range entries[:min(n, len(entries))] {
			ids = append(ids, e.Key.SK)
		}
		looked, err := l.look(ctx, ids)
		if err != nil {
			return Page{}, err
		}
		if looked == len(entries) {
			return l.page, nil
		}
		after = ids[looked-1]
		if l.full() {
			l.page.Next = after
			return l.page, nil
		}
	}
}

// ofAll reads the orders of one day after the other, from the newest. A place is a day and, of an order of that day, the id: what was
// placed on it later than that has been shown, and so has every later day.
func (l *lister) ofAll(ctx context.Context) (Page, error) {
	day, after, err := splitPlace(l.q.After)
	if err != nil {
		return Page{}, err
	}
	q := store.Query{Table: Table, PK: daysPartition, Reverse: true, Limit: maxDays + 1, Consistency: store.Eventual}
	if day != "" {
		q.After = day + "~" // the day itself is among those before it
	}
	days, err := l.s.store.Range(ctx, q)
	if err != nil {
		return Page{}, err
	}
	for i, d := range days {
		if d.Key.SK != day {
			after = "" // a day that is begun
		}
		if i == maxDays {
			l.page.Next = d.Key.SK + placeMark
			return l.page, nil
		}
		if err := l.ofDay(ctx, d.Key.SK, after); err != nil || l.page.Next != "" {
			return l.page, err
		}
		if i < len(days)-1 && l.full() {
			l.page.Next = days[i+1].Key.SK + placeMark
			return l.page, nil
		}
	}
	return l.page, nil
}

// ofDay goes on with the orders of one day, those before an id (""; from the newest), until the page is full, which sets its Next, or
// the day has no more.
func (l *lister) ofDay(ctx context.Context, day, after string) error {
	partitions := allShards(func(n int) string { return dayPartition(day, n) })
	m := store.Merge(l.s.store, store.Query{Table: Table, After: after, Reverse: true, Consistency: store.Eventual}, partitions)
	for {
		page, more, err := m.Next(ctx, l.chunk())
		if err != nil {
			return err
		}
		ids := make([]string, len(page))
		for i, e := range page {
			ids[i] = e.Key.SK
		}
		looked, err := l.look(ctx, ids)
		switch {
		case err != nil:
			return err
		case looked == len(ids) && !more:
			return nil
		case l.full():
			l.page.Next = day + placeMark + ids[looked-1]
			return nil
		}
	}
}

// chunk is how many orders to look at next: what the page lacks if every order is wanted, else as many as can be read at once.
func (l *lister) chunk() int {
	if l.q.Status == "" {
		return l.q.Limit - len(l.page.Orders)
	}
	return min(store.MaxGetMany, l.left)
}

func (l *lister) full() bool { return len(l.page.Orders) == l.q.Limit || l.left == 0 }

// look reads the heads of the orders and takes those that are wanted, until the page is full. It returns how many it has looked at.
func (l *lister) look(ctx context.Context, ids []string) (looked int, err error) {
	if len(ids) == 0 {
		return 0, nil
	}
	keys := make([]store.Key, len(ids))
	for i, id := range ids {
		keys[i] = headKey(id)
	}
	heads, err := l.s.store.GetMany(ctx, keys, store.Eventual)
	if err != nil {
		return 0, err
	}
	for i, head := range heads {
		if l.full() {
			return i, nil
		}
		l.left--
		if head == nil { // a replica that lags behind
			continue
		}
		st, err := DecodeHead(head)
		if err != nil {
			return 0, err
		}
		if l.q.Status == "" || st.Status == l.q.Status {
			l.page.Orders = append(l.page.Orders, st.summary(ids[i]))
		}
	}
	return len(ids), nil
}

func (s *State) summary(id string) Summary {
	return Summary{
		OrderID:       id,
		Status:        s.Status,
		CustomerID:    s.CustomerID,
		TotalCents:    s.TotalCents,
		Currency:      s.Currency,
		CreatedAt:     s.CreatedAt.Format(eventlog.Layout),
		UpdatedAt:     s.UpdatedAt.Format(eventlog.Layout),
		Version:       s.Version,
		FailureReason: s.FailureReason(),
		NeedsReview:   s.NeedsReview,
	}
}

// placeMark stands between the day and the id.
const placeMark = "/"

var errPlace = fault.New(fault.BadRequest, "cursor is not one that a page ended with.").With("field", "cursor")

func splitPlace(place string) (day, id string, err error) {
	if place == "" {
		return "", "", nil
	}
	day, id, ok := strings.Cut(place, placeMark)
	if _, bad := time.Parse(time.DateOnly, day); bad != nil || !ok || id != "" && !validID(id) {
		return "", "", errPlace
	}
	return day, id, nil
}

// dayNoted reports whether the day stands in the list of days, as far as this process knows.
func (s *Service) dayNoted(day string) bool {
	marked := s.markedDay.Load()
	return marked != nil && *marked == day
}

// noteDay is called once an order of that day is stored, and with it the day's mark: the orders that follow need not write it again.
func (s *Service) noteDay(day string) {
	if !s.dayNoted(day) {
		s.markedDay.Store(&day)
	}
}
