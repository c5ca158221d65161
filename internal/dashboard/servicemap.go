package dashboard

import (
	"fmt"
	"strings"
	"time"
)

// A ServiceFigure is what a service did in the last 15 minutes; "store": since the start of the process, and a call is one sync.
type ServiceFigure struct {
	Name          string // http, order, inventory, payment, notification, provider or store
	Calls, Failed int64  // a declined card or missing stock is an answer, and no failure
	Took          time.Duration
}

// A mapBox is a service on the map, where it was laid by hand.
type mapBox struct {
	Title         string
	X, Y, W, H    int
	State         string // idle, fine, warned or alarmed
	Average, Rest string
}

// MidX is where its texts stand.
func (b mapBox) MidX() int { return b.X + b.W/2 }

// A serviceMap is the specification's, with what is only here: the store and the payment provider.
type serviceMap struct {
	Boxes  []mapBox
	Arrows []string // paths, as calls go
	Spoken string
}

// The places of the boxes, in units of the map's viewBox, which is 1000 by 420.
const mapBoxWidth, mapBoxHeight = 176, 66

var mapPlaces = []struct {
	name, title string
	x, y, w     int
}{
	{"http", "HTTP API", 12, 10, mapBoxWidth},
	{"order", "order-service", 12, 124, mapBoxWidth},
	{"saga", "saga engine", 406, 124, mapBoxWidth},
	{"inventory", "inventory-service", 209, 238, mapBoxWidth},
	{"notification", "notification-service", 406, 238, mapBoxWidth},
	{"payment", "payment-service", 603, 238, mapBoxWidth},
	{"provider", "payment provider", 812, 238, mapBoxWidth},
	{"store", "store", 12, 346, 767},
}

var mapArrows = []string{
	"M100 76V120",      // the interface calls the order service,
	"M188 157H402",     // which starts a saga,
	"M494 190V234",     // which calls the notification service,
	"M494 212H297V234", // the inventory
	"M494 212H691V234", // and the payment service,
	"M406 172H188",     // and the order service,
	"M779 271H808",     // which calls the provider.
	"M100 190V342",     // All of them write to the store,
	"M297 304V342",     //
	"M494 304V342",     //
	"M691 304V342",     //
	"M582 157H592V342", // the engine its journal.
}

// alarmService is the OK percentage under which a service is in alarm, as the board's success rate.
const alarmService = alarmSuccess

// mapOf lays the figures on the map. What there is no figure for has none.
func mapOf(figures []ServiceFigure, total minuteTotal) serviceMap {
	by := map[string]ServiceFigure{}
	for _, f := range figures {
		by[f.Name] = f
	}
	m := serviceMap{Arrows: mapArrows}
	var spoken []string
	for _, p := range mapPlaces {
		b := mapBox{Title: p.title, X: p.x, Y: p.y, W: p.w, H: mapBoxHeight, State: "idle"}
		switch f := by[p.name]; {
		case p.name == "saga":
			b.saga(total)
		case f.Calls == 0:
			b.Average = "not called"
		case p.name == "store":
			b.State, b.Average, b.Rest = "fine", "Avg "+brief(f.Took/time.Duration(f.Calls))+" a sync", thousands(f.Calls)+" syncs since the start"
		default:
			b.service(f)
		}
		m.Boxes = append(m.Boxes, b)
		spoken = append(spoken, strings.TrimSuffix(b.Title+": "+b.Average+", "+b.Rest, ", "))
	}
	m.Spoken = strings.Join(spoken, "; ")
	return m
}

func (b *mapBox) service(f ServiceFigure) {
	ok := 100 * float64(f.Calls-f.Failed) / float64(f.Calls)
	switch {
	case ok < alarmService:
		b.State = "alarmed"
	case f.Failed > 0:
		b.State = "warned"
	default:
		b.State = "fine"
	}
	b.Average, b.Rest = fmt.Sprintf("Avg %s  OK %s", brief(f.Took/time.Duration(f.Calls)), okShare(f)), calls(f.Calls)
}

func (b *mapBox) saga(total minuteTotal) {
	if total.Ended == 0 {
		b.Average = "no saga ended"
		return
	}
	b.State, b.Average, b.Rest = "fine", "P99 "+millis(total.P99), thousands(int64(total.Ended))+" ended"
}

// okShare never rounds a failure away.
func okShare(f ServiceFigure) string {
	if f.Failed == 0 {
		return "100 %"
	}
	return fmt.Sprintf("%.1f %%", min(99.9, 100*float64(f.Calls-f.Failed)/float64(f.Calls)))
}

func calls(n int64) string {
	if n == 1 {
		return "1 call"
	}
	return thousands(n) + " calls"
}

// brief is a short duration to two digits: a service's average is often under a millisecond.
func brief(d time.Duration) string {
	switch ms := float64(d) / float64(time.Millisecond); {
	case ms < 0.01:
		return "<0.01 ms"
	case ms < 1:
		return fmt.Sprintf("%.2f ms", ms)
	case ms < 10:
		return fmt.Sprintf("%.1f ms", ms)
	default:
		return took(d)
	}
}
