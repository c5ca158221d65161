package flow

import (
	"time"

	"github.com/utkarsh698/cloudflow/internal/store"
)

// A Stored is an execution as its head tells of it, without its journal.
type Stored struct {
	Name    string
	Open    bool
	Started time.Time
}

// Decode reads an entry of Table: for who looks at a directory in which nothing runs. false: the entry is no head.
func Decode(e store.Entry) (Stored, bool) {
	if e.Key.SK != headSK {
		return Stored{}, false
	}
	return Stored{
		Name: e.Key.PK, Open: e.Item.Str("status") == string(running), Started: time.UnixMilli(e.Item.Int("started_ms")).UTC(),
	}, true
}
