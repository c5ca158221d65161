package order

import (
	"context"
	"strings"
	"time"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// A shop that moves to another store takes its orders along item by item. This file says what is not copied like the rest: the rows that
// somebody acts on, and the end of an execution that the new place has never seen.

// MigrationPK is the partition of Table in which whoever brings a shop here notes how far it has come.
const MigrationPK = "migration#state"

// ActedOn is the order that a row of Table makes somebody act on: the sweeper starts what is missing of an open one, an operator resumes one in
// review. false: the item is no such row.
func ActedOn(k store.Key) (id string, ok bool) {
	list, _, _ := strings.Cut(k.PK, "#")
	return k.SK, list == "open" || list == "review"
}

// A Kept is how an execution has failed where its order was before.
type Kept struct {
	Failure
	Started, Ended time.Time
}

// The attributes of a kept failure.
const (
	attrExecution = "execution"
	attrState     = "state"
	attrInput     = "input"
	attrErrorName = "error"
	attrCause     = "cause"
	attrStarted   = "started_ms"
	attrEnded     = "ended_ms"
)

func failureKey(id string) store.Key { return store.Key{Table: Table, PK: id, SK: failureSK} }

// StageFailure stages how the order's current execution has failed, for an order that is brought to where nobody else knows that execution: a
// resume goes on from it. It lives as long as the order.
func StageFailure(tx *store.Tx, id, execution string, k Kept) {
	tx.Put(failureKey(id), store.Item{
		store.S(attrExecution, execution), store.S(attrStatus, k.Status), store.S(attrState, k.State), store.S(attrInput, string(k.Input)),
		store.S(attrErrorName, k.Error), store.S(attrCause, k.Cause), store.N(attrStarted, k.Started.UnixMilli()), store.N(attrEnded, k.Ended.UnixMilli()),
	})
}

// Kept is how the order's execution of that name has failed where the order was before. fault.NotFound: no such thing is known.
func (s *Service) Kept(ctx context.Context, id, execution string) (Kept, error) {
	it, err := s.store.Get(ctx, failureKey(id), store.Strong)
	if err != nil {
		return Kept{}, err
	}
	if it.Str(attrExecution) != execution {
		return Kept{}, fault.New(fault.NotFound, "no execution %q", execution)
	}
	f := Failure{Status: it.Str(attrStatus), State: it.Str(attrState), Input: []byte(it.Str(attrInput)), Error: it.Str(attrErrorName), Cause: it.Str(attrCause)}
	return Kept{f, time.UnixMilli(it.Int(attrStarted)).UTC(), time.UnixMilli(it.Int(attrEnded)).UTC()}, nil
}

// failureOf is how the order's execution after that many redrives stands. One that nobody knows may have failed where the order was
// before. fault.NotFound: neither.
func (s *Service) failureOf(ctx context.Context, id string, redrives int64) (Failure, error) {
	execution := ExecutionName(id, redrives)
	f, err := s.saga.Failure(ctx, execution)
	if !fault.Is(err, fault.NotFound) {
		return f, err
	}
	k, err := s.Kept(ctx, id, execution)
	return k.Failure, err
}
