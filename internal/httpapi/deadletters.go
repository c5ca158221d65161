package httpapi

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/notification"
)

// DeadLetters are the notifications that could not be delivered.
type DeadLetters interface {
	// List returns up to limit letters from the cursor's place on, the one that was sent first at the head; "" begins. The next
	// cursor is "" at the end.
	List(ctx context.Context, cursor string, limit int) (letters []notification.DeadLetter, next string, err error)
	// Redrive puts these back into the queue, or all if none is named, and returns how many. After an error some may be back; a repeated
	// call goes on with the rest.
	Redrive(ctx context.Context, ids ...string) (int, error)
}

// deadLetterView is DeadLetter in openapi.yaml.
type deadLetterView struct {
	ID       string    `json:"id"`
	OrderID  string    `json:"order_id,omitempty"`
	Kind     string    `json:"kind,omitempty"`
	Receives int       `json:"receives"`
	SentAt   time.Time `json:"sent_at"`
	DiedAt   time.Time `json:"died_at"`
	Reason   string    `json:"reason,omitempty"`
}

type deadLetterList struct {
	Letters    []deadLetterView `json:"letters"`
	NextCursor string           `json:"next_cursor,omitempty"`
}

// ListDeadLetters shows a page of the dead letters.
func (s *server) ListDeadLetters(w http.ResponseWriter, r *http.Request, params apigen.ListDeadLettersParams) {
	x := of(w)
	limit, after, err := s.page(x, lettersQuery, params.Limit, params.Cursor)
	if err != nil {
		s.refuse(x, r, err)
		return
	}
	letters, next, err := s.letters.List(r.Context(), after, limit)
	if err != nil {
		s.refuse(x, r, err)
		return
	}
	list := deadLetterList{Letters: make([]deadLetterView, 0, len(letters)), NextCursor: s.next(x, lettersQuery, next)}
	for _, l := range letters {
		list.Letters = append(list.Letters, deadLetterView{
			ID: l.ID, OrderID: l.OrderID, Kind: string(l.Kind), Receives: l.Receives,
			SentAt: l.SentAt.UTC(), DiedAt: l.DiedAt.UTC(), Reason: l.Reason,
		})
	}
	x.Header().Set("Cache-Control", noStore)
	s.replyJSON(x, r, http.StatusOK, list)
}

const lettersQuery = "GET /admin/dlq"

var redriveLettersShape = &shape{members: map[string]*shape{"ids": {items: scalar}}}

const (
	maxLetters  = 100 // ids that a call may name: as many as a page shows
	maxLetterID = 128 // an order's id and a version take up to 90
	// maxRedrive is how long a call moves letters: some ten thousand, and well within the server's time for an answer.
	maxRedrive = maxWait
)

// redrivenAnswer is RedrivenLetters in openapi.yaml.
type redrivenAnswer struct {
	Redriven int `json:"redriven"`
}

// RedriveDeadLetters puts dead letters back into the queue.
func (s *server) RedriveDeadLetters(w http.ResponseWriter, r *http.Request) {
	x := of(w)
	ids, err := letterIDs(x.body)
	if err != nil {
		s.refuse(x, r, err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), maxRedrive)
	defer cancel()
	n, err := s.letters.Redrive(ctx, ids...)
	if n > 0 {
		s.log.InfoContext(r.Context(), "Dead letters redriven by hand", "redriven", n,
			"actor", x.principal.Subject, "correlation_id", x.correlationID)
	}
	if err != nil {
		s.refuse(x, r, err)
		return
	}
	x.Header().Set("Cache-Control", noStore)
	s.replyJSON(x, r, http.StatusOK, redrivenAnswer{n})
}

// letterIDs are the ids that the body names; none means all.
func letterIDs(body value) ([]string, error) {
	if err := redriveLettersShape.check(body, ""); err != nil {
		return nil, err
	}
	var f form
	ids := body.get("ids")
	switch {
	case ids.kind == absent:
		return nil, nil
	case ids.kind != array:
		f.invalid("ids", "must be an array")
	case len(ids.items) < 1 || len(ids.items) > maxLetters:
		f.invalid("ids", "must have 1 to "+strconv.Itoa(maxLetters)+" members; leave it out for all")
	}
	list := make([]string, 0, len(ids.items))
	for i, id := range ids.items {
		if id.kind != text || id.text == "" || len(id.text) > maxLetterID {
			f.invalid("ids["+strconv.Itoa(i)+"]", "must be a text of 1 to "+strconv.Itoa(maxLetterID)+" bytes")
		}
		list = append(list, id.text)
	}
	return list, f.fault()
}
