package flow

import (
	"time"

	"github.com/utkarsh698/cloudflow/asl"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// A Stored is an execution as its head tells of it, without its journal.
type Stored struct {
	Name       string
	Status     asl.Status
	Open       bool
	Started    time.Time
	Ended      time.Time // zero while it is open
	Definition string    // hash of the definition that it runs
	Redrives   int64
	Redriven   time.Time // for the last time
}

// Decode reads an entry of Table: for who looks at a directory in which nothing runs. false: the entry is no head.
func Decode(e store.Entry) (Stored, bool) {
	if e.Key.SK != headSK {
		return Stored{}, false
	}
	return storedOf(e.Key.PK, e.Item), true
}

func storedOf(name string, head store.Item) Stored {
	s := Stored{
		Name: name, Status: asl.Status(head.Str("status")), Started: time.UnixMilli(head.Int("started_ms")).UTC(), Definition: head.Str("definition"),
	}
	s.Open = s.Status == running
	if ms := head.Int("ended_ms"); ms != 0 {
		s.Ended = time.UnixMilli(ms).UTC()
	}
	if s.Redrives = head.Int(attrRedrives); s.Redrives > 0 {
		s.Redriven = time.UnixMilli(head.Int(attrRedriven)).UTC()
	}
	return s
}
