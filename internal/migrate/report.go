package migrate

import (
	"time"
)

// A Report says what there is to migrate, and how far it has come.
type Report struct {
	Before      Phase          `json:"phase_before"` // of the target; "": nothing was begun
	Phase       Phase          `json:"phase"`        // of the target, after this run
	Heads       string         `json:"heads"`        // of the source, as verify prints it; compared, it is the target's too
	Orders      int            `json:"orders"`       // all of them
	Tables      []Count        `json:"tables"`       // what is copied, in this order
	WriteUnits  int64          `json:"write_units"`  // about what DynamoDB bills for that
	Messages    int            `json:"messages"`     // waiting notifications, which are sent
	DeadLetters int            `json:"dead_letters"` // which stay dead
	Open        map[string]int `json:"open"`         // open orders by the state at which they go on
	InReview    int            `json:"in_review"`    // orders that go on waiting for a person
	Started     int            `json:"started"`      // executions, by this run
	Expired     int            `json:"expired_keys"` // idempotency keys whose time is over, and which stay
	LedgerPages int            `json:"ledger_pages"` // of orders that retention has deleted, and which stay
	Left        map[string]int `json:"left"`         // items that stay, by table
}

// Items is how many items are copied.
func (r Report) Items() (n int) {
	for _, c := range r.Tables {
		n += c.Items
	}
	return n
}

// newTable is how many write units a second a new table takes that is billed by the request
// (https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/on-demand-capacity-mode.html).
const newTable = 4000

// AtLeast is how long the copy takes at least: one table after the other, each as fast as a new one takes it.
func (r Report) AtLeast() time.Duration {
	return time.Duration(r.WriteUnits) * time.Second / newTable
}

func (m *migration) report() Report {
	r := Report{
		Before: m.before, Phase: m.phase, Heads: m.heads(), Orders: len(m.orders), Messages: m.waiting, DeadLetters: m.dead, Open: map[string]int{},
		Started: m.started, Expired: m.expired, LedgerPages: m.pages, Left: m.left,
	}
	for _, table := range taken {
		c := m.counts[table]
		r.Tables = append(r.Tables, *c)
		r.WriteUnits += c.units
	}
	for _, x := range m.resumes {
		switch {
		case x.review:
			r.InReview++
		case !x.goesOn:
			r.Open[fromTheBeginning]++
		default:
			r.Open[x.start.Resume.State]++
		}
	}
	return r
}

// fromTheBeginning is the state of an order whose execution is at its first task, or not there yet: it begins as it began here.
const fromTheBeginning = "(its beginning)"
