package dashboard

import (
	"strings"
	"time"

	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
	"github.com/utkarsh698/cloudflow/internal/timeline"
)

// A span is a row of the waterfall.
type span struct {
	timeline.Span
	Lines []string
}

// spansOf makes the rows of a waterfall from an execution's history. now closes what is open.
func spansOf(s apigen.Saga, undoes func(state string) bool, now time.Time) []span {
	var rows []span
	for _, row := range timeline.Of(s, undoes, now) {
		rows = append(rows, span{Span: row})
	}
	return rows
}

// addLines gives each row the log lines of who did it, from the time that it took. Lines have milliseconds, so one may stand under two rows.
func addLines(rows []span, lines []string, start time.Time) {
	for _, line := range lines {
		l := logLine(line)
		at, err := time.Parse(time.RFC3339Nano, l.Stamp)
		if err != nil {
			continue
		}
		offset := at.Sub(start)
		for i := range rows {
			r := &rows[i]
			if r.Resource != "" && strings.HasPrefix(l.Service, service(r.Resource)+"_service") &&
				offset >= r.Begin.Truncate(time.Millisecond) && offset <= r.End+time.Millisecond {
				r.Lines = append(r.Lines, line)
			}
		}
	}
}

// told is the row behind the saga: the message in its queue, and its last try.
func told(n *Notification, ended, start time.Time, now time.Time) span {
	end := n.EndedAt
	if end.IsZero() {
		end = now
	}
	s := span{Span: timeline.Span{
		State: "customer told", Begin: n.BegunAt.Sub(start), End: max(end.Sub(start), n.BegunAt.Sub(start)), Open: n.EndedAt.IsZero(),
		Waits: max(0, n.BegunAt.Sub(ended)), Resource: "notification", Output: n.Status,
	}}
	if s.Open {
		s.Cause = "It is not known yet whether the last try arrived."
	}
	return s
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
