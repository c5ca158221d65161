package dashboard

import (
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/timeline"
)

func TestBars(t *testing.T) {
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	row := func(begin, end, waits int) span {
		return span{Span: timeline.Span{Begin: ms(begin), End: ms(end), Waits: ms(waits)}}
	}
	for name, rows := range map[string][]span{
		"what took no time is seen, at the end too":     {row(0, 0, 0), row(0, 9, 0), row(9, 9, 0)},
		"everything at once":                            {row(0, 0, 0), row(0, 0, 0)},
		"a short one behind a long wait":                {row(0, 3500, 0), row(0, 100, 0), row(1100, 1200, 1000), row(3200, 3500, 2000)},
		"a wait that is longer than what was before it": {row(0, 60_000, 0), row(5, 60_000, 1000)},
	} {
		for _, r := range rows {
			if b := barOf(r, rows); b.X < 0 || b.Width < 4 || b.X+b.Width > 1000 || b.WaitX < 0 || b.Wait < 0 {
				t.Errorf("%s: the bar from %s to %s is %+v", name, r.Begin, r.End, b)
			}
		}
	}
}
