package dynamostore

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// errConflict answers a commit whose recorded read has changed: its function runs again.
var errConflict = errors.New("a read item has changed")

// Update runs fn and commits what it staged. Each of fn's reads is a strong read of its own; what Tx.Get has read is checked by the commit. If ctx
// ends before the commit is sent, ctx's error is returned and nothing was written; if it ends later, fault.Transient: the outcome is unknown.
// fault.Throttled: DynamoDB has refused it for as long as this waits, and nothing was written.
func (s *Store) Update(ctx context.Context, fn func(*store.Tx) error) error {
	for n := range store.MaxReruns + 1 {
		if n > 0 {
			s.pause(ctx, n-1)
		}
		if err := s.attempt(ctx, fn); !errors.Is(err, errConflict) {
			return err
		}
	}
	return fault.New(fault.Transient, "store: the transaction lost %d conflicts in a row", store.MaxReruns+1)
}

func (s *Store) attempt(ctx context.Context, fn func(*store.Tx) error) error {
	tx := store.NewTx(func(key store.Key) (store.Item, uint64, error) {
		r, err := s.get(ctx, key, store.Strong)
		return r.item, r.version, err
	})
	if err := fn(tx); err != nil {
		return err
	}
	if err := tx.Err(); err != nil {
		return fault.Wrap(fault.Internal, err, "a transaction that no store takes")
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.commit(ctx, tx)
}

// An entry is what a commit asks of one item: its operation, its recorded read, or both.
type entry struct {
	key  store.Key
	op   *store.Op   // nil: it was only read
	read *store.Read // nil: it was not read, or only peeked at
}

// refused is the answer of an entry whose condition failed on the row. A read that has changed counts before all else.
func (e entry) refused(r row) error {
	if e.op == nil || e.read != nil && !r.is(*e.read) {
		return errConflict
	}
	return &store.Refusal{Key: e.key, Item: r.item}
}

// entries are the operations in the order of their staging, and then the reads of what is not written.
func entries(tx *store.Tx) (all []entry, writes int) {
	ops, reads := tx.Ops(), tx.Reads()
	place := make(map[store.Key]int, len(ops)+len(reads))
	for i := range ops {
		if ops[i].Kind != store.OpCheck {
			writes++
		}
		place[ops[i].Key] = len(all)
		all = append(all, entry{key: ops[i].Key, op: &ops[i]})
	}
	for i := range reads {
		if at, ok := place[reads[i].Key]; ok {
			all[at].read = &reads[i]
			continue
		}
		all = append(all, entry{key: reads[i].Key, read: &reads[i]})
	}
	return all, writes
}

// commit sends the transaction in the cheapest way that is safe (docs/decisions/0030).
func (s *Store) commit(ctx context.Context, tx *store.Tx) error {
	all, writes := entries(tx)
	switch {
	case len(all) == 0:
		return nil
	case writes == 0:
		return s.verify(ctx, all)
	case len(all) == 1:
		return s.single(ctx, all[0])
	default:
		return s.transact(ctx, all)
	}
}

// verify is the commit of a transaction that writes nothing: it reads the items again, as of one moment, and looks.
func (s *Store) verify(ctx context.Context, all []entry) error {
	rows, err := s.snapshot(ctx, all)
	if err != nil {
		return err
	}
	for i, e := range all {
		if e.read != nil && !rows[i].is(*e.read) {
			return errConflict
		}
	}
	for i, e := range all {
		if e.op == nil {
			continue
		}
		if _, ok := e.op.Apply(rows[i].item); !ok {
			return e.refused(rows[i])
		}
	}
	return nil
}

// snapshot reads the entries' items as of one moment. One item is its own moment, for half of what it costs in a transaction.
func (s *Store) snapshot(ctx context.Context, all []entry) ([]row, error) {
	if len(all) == 1 {
		r, err := s.get(ctx, all[0].key, store.Strong)
		return []row{r}, err
	}
	gets := make([]types.TransactGetItem, len(all))
	for i, e := range all {
		table, key, err := s.place(e.key)
		if err != nil {
			return nil, err
		}
		gets[i].Get = &types.Get{TableName: table, Key: key}
	}
	var out *dynamodb.TransactGetItemsOutput
	err := s.read(ctx, "TransactGetItems", func(ctx context.Context) (err error) {
		out, err = s.conf.Client.TransactGetItems(ctx, &dynamodb.TransactGetItemsInput{TransactItems: gets}, ours)
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(out.Responses) != len(all) {
		return nil, fault.New(fault.Internal, "dynamostore: TransactGetItems gives %d items for %d keys", len(out.Responses), len(all))
	}
	rows := make([]row, len(all))
	for i, r := range out.Responses {
		if rows[i], err = rowAt(all[i].key, r.Item); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// A write is one entry in DynamoDB's terms.
type write struct {
	table  *string
	key    attributes
	item   attributes // of a Put
	update *string    // of an Add
	cond   *string
	names  map[string]string
	values attributes
}

// prepare translates the entry. The version is what the item will carry.
func (s *Store) prepare(e entry, version uint64) (w write, err error) {
	if w.table, w.key, err = s.place(e.key); err != nil {
		return w, err
	}
	x := &expression{}
	if e.read != nil {
		x.stands(*e.read)
	}
	if e.op != nil {
		for _, c := range e.op.Conds {
			x.holds(c)
		}
		if e.op.Kind == store.OpAdd {
			w.update = x.moves(e.op.Deltas, version)
		}
		if e.op.Kind == store.OpPut {
			w.item, err = encodeItem(e.key, e.op.Item, version)
		}
	}
	if err = errors.Join(err, x.err); err != nil {
		return w, fault.Wrap(fault.Internal, err, "a transaction that DynamoDB does not take")
	}
	w.cond, w.names, w.values = x.condition(), x.names, x.values
	return w, nil
}

// version draws what the items that a commit puts are known by. 0 is for items of others.
func (s *Store) version() uint64 { return max(1, s.conf.Rand()) }

const allOld = types.ReturnValuesOnConditionCheckFailureAllOld

// single commits one operation by itself, for half the price of a transaction, and without a conflict among those who Add. It has no token that would make a
// repetition safe. So a request whose reply was lost is sent again only under the condition that the item has the version that was read, which
// is true once. Otherwise it looks whether the item carries the version of this commit.
func (s *Store) single(ctx context.Context, e entry) error {
	version := s.version()
	w, err := s.prepare(e, version)
	if err != nil {
		return err
	}
	resend := e.read != nil && e.read.Version != 0 && e.op.Kind != store.OpAdd
	maybe, err := s.call(ctx, resend, func(ctx context.Context) error {
		err := s.send(ctx, e.op.Kind, w)
		var failed *types.ConditionalCheckFailedException
		if !errors.As(err, &failed) {
			return err
		}
		r, err := rowAt(e.key, failed.Item)
		if err != nil || r.version == version {
			return err // nil: what made the condition fail is this commit
		}
		return e.refused(r)
	})
	if maybe && err != nil && e.op.Kind != store.OpDelete {
		if r, lookErr := s.get(ctx, e.key, store.Strong); lookErr == nil && r.version == version {
			return nil
		}
	}
	return failed(ctx, "the commit of "+e.key.String(), maybe, err)
}

func (s *Store) send(ctx context.Context, kind store.OpKind, w write) (err error) {
	switch kind {
	case store.OpPut:
		_, err = s.conf.Client.PutItem(ctx, &dynamodb.PutItemInput{
			TableName: w.table, Item: w.item, ConditionExpression: w.cond, ExpressionAttributeNames: w.names,
			ExpressionAttributeValues: w.values, ReturnValuesOnConditionCheckFailure: allOld,
		}, ours)
	case store.OpDelete:
		_, err = s.conf.Client.DeleteItem(ctx, &dynamodb.DeleteItemInput{
			TableName: w.table, Key: w.key, ConditionExpression: w.cond, ExpressionAttributeNames: w.names,
			ExpressionAttributeValues: w.values, ReturnValuesOnConditionCheckFailure: allOld,
		}, ours)
	case store.OpAdd:
		_, err = s.conf.Client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
			TableName: w.table, Key: w.key, UpdateExpression: w.update, ConditionExpression: w.cond, ExpressionAttributeNames: w.names,
			ExpressionAttributeValues: w.values, ReturnValuesOnConditionCheckFailure: allOld,
		}, ours)
	case store.OpCheck: // a commit of checks alone is a read
	}
	return err
}

// transact commits several entries at once, under a token that makes the same request safe to repeat for ten minutes
// (https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html).
func (s *Store) transact(ctx context.Context, all []entry) error {
	version := s.version()
	items := make([]types.TransactWriteItem, len(all))
	for i, e := range all {
		w, err := s.prepare(e, version)
		if err != nil {
			return err
		}
		items[i] = w.part(e)
	}
	input := &dynamodb.TransactWriteItemsInput{
		TransactItems:      items,
		ClientRequestToken: aws.String(fmt.Sprintf("%016x%016x", s.conf.Rand(), s.conf.Rand())),
	}
	maybe, err := s.call(ctx, true, func(ctx context.Context) error {
		_, err := s.conf.Client.TransactWriteItems(ctx, input, ours)
		var canceled *types.TransactionCanceledException
		if errors.As(err, &canceled) {
			return decide(all, canceled)
		}
		return err
	})
	return failed(ctx, "TransactWriteItems", maybe, err)
}

// part is the write as part of a transaction.
func (w write) part(e entry) types.TransactWriteItem {
	switch {
	case e.op == nil || e.op.Kind == store.OpCheck:
		return types.TransactWriteItem{ConditionCheck: &types.ConditionCheck{
			TableName: w.table, Key: w.key, ConditionExpression: w.cond, ExpressionAttributeNames: w.names,
			ExpressionAttributeValues: w.values, ReturnValuesOnConditionCheckFailure: allOld,
		}}
	case e.op.Kind == store.OpPut:
		return types.TransactWriteItem{Put: &types.Put{
			TableName: w.table, Item: w.item, ConditionExpression: w.cond, ExpressionAttributeNames: w.names,
			ExpressionAttributeValues: w.values, ReturnValuesOnConditionCheckFailure: allOld,
		}}
	case e.op.Kind == store.OpDelete:
		return types.TransactWriteItem{Delete: &types.Delete{
			TableName: w.table, Key: w.key, ConditionExpression: w.cond, ExpressionAttributeNames: w.names,
			ExpressionAttributeValues: w.values, ReturnValuesOnConditionCheckFailure: allOld,
		}}
	default:
		return types.TransactWriteItem{Update: &types.Update{
			TableName: w.table, Key: w.key, UpdateExpression: w.update, ConditionExpression: w.cond, ExpressionAttributeNames: w.names,
			ExpressionAttributeValues: w.values, ReturnValuesOnConditionCheckFailure: allOld,
		}}
	}
}

// decide turns a cancelled transaction into the port's answer: errConflict if a recorded read has changed; the refusal of the first
// operation whose condition failed; or the cancellation itself. That is to be tried again where another transaction held an item that might say
// something else first: one that was read, or one of an operation before the refused one.
func decide(all []entry, canceled *types.TransactionCanceledException) error {
	if len(canceled.CancellationReasons) != len(all) {
		return canceled
	}
	var refusal error
	decided := true
	for i, reason := range canceled.CancellationReasons {
		e := all[i]
		switch code := aws.ToString(reason.Code); {
		case code == "" || code == "None":
		case code == "ConditionalCheckFailed":
			r, err := rowAt(e.key, reason.Item)
			if err != nil {
				return err
			}
			err = e.refused(r)
			if errors.Is(err, errConflict) {
				return err
			}
			if refusal == nil {
				refusal = err
			}
		case passing(reason):
			decided = decided && refusal != nil && e.read == nil
		default: // it is too large, or otherwise nothing that DynamoDB takes
			decided = false
		}
	}
	if refusal == nil || !decided {
		return canceled
	}
	return refusal
}
