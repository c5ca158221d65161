package dynamostore

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// DefaultCallTimeout is how long one request may take. DynamoDB answers in milliseconds, a transaction of a hundred items in some hundred;
// a function that waits has to have time left for another attempt.
const DefaultCallTimeout = 3 * time.Second

// Config is of a Store. Client and Tables have to be there.
type Config struct {
	// Client makes the requests. Its retryer is not used.
	Client *dynamodb.Client
	// Tables maps the port's names of tables to those in the account. Each has the partition key pk and the sort key sk, both strings; the
	// time to live, where it is wanted, is on expires_at, and a stream has new images.
	Tables map[string]string
	// CallTimeout bounds each request; 0 means DefaultCallTimeout.
	CallTimeout time.Duration
	// Rand gives the versions of items, the tokens of transactions and the jitter of pauses. What it gives must never come again, in any
	// process; nil means math/rand/v2, which the system seeds. It is called concurrently.
	Rand func() uint64

	// The rest is for RunFeed alone, which tests and local use run: on AWS the stream invokes a function.

	// Streams reads the streams of the tables.
	Streams *dynamodbstreams.Client
	// Cursors is the table, by its name in the account, where a runner keeps how far it is. It has keys as the others do and no stream.
	Cursors string
	// Feed selects the items whose changes are delivered; nil selects none.
	Feed func(store.Key) bool
	// PollInterval is the pause after a look that found nothing; 0 means a second. A shard takes five looks a second.
	PollInterval time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Store is a store.Store and a store.Feed. It is safe for concurrent use.
type Store struct{ conf Config }

var (
	_ store.Store = (*Store)(nil)
	_ store.Feed  = (*Store)(nil)
)

// New returns a store over the tables. It makes no request.
func New(c Config) (*Store, error) {
	if c.Client == nil || len(c.Tables) == 0 {
		return nil, errors.New("dynamostore: it needs a client and at least one table")
	}
	if c.CallTimeout == 0 {
		c.CallTimeout = DefaultCallTimeout
	}
	if c.Rand == nil {
		c.Rand = rand.Uint64
	}
	if c.PollInterval == 0 {
		c.PollInterval = time.Second
	}
	if c.Feed == nil {
		c.Feed = func(store.Key) bool { return false }
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Store{c}, nil
}

// table is the name in the account. fault.Internal names a table that is not there.
func (s *Store) table(name string) (*string, error) {
	physical, ok := s.conf.Tables[name]
	if !ok {
		return nil, fault.New(fault.Internal, "dynamostore: there is no table for %q", name)
	}
	return aws.String(physical), nil
}

// place is where DynamoDB finds the key.
func (s *Store) place(k store.Key) (table *string, key attributes, err error) {
	if key, err = encodeKey(k); err != nil {
		return nil, nil, fault.Wrap(fault.Internal, err, "a key that no table takes")
	}
	table, err = s.table(k.Table)
	return table, key, err
}

// Get returns the item, or nil.
func (s *Store) Get(ctx context.Context, key store.Key, c store.Consistency) (store.Item, error) {
	r, err := s.get(ctx, key, c)
	return r.item, err
}

func (s *Store) get(ctx context.Context, key store.Key, c store.Consistency) (row, error) {
	if err := ctx.Err(); err != nil {
		return row{}, err
	}
	table, k, err := s.place(key)
	if err != nil {
		return row{}, err
	}
	var out *dynamodb.GetItemOutput
	err = s.read(ctx, "GetItem", func(ctx context.Context) (err error) {
		out, err = s.conf.Client.GetItem(ctx, &dynamodb.GetItemInput{
			TableName: table, Key: k, ConsistentRead: aws.Bool(c == store.Strong),
		}, ours)
		return err
	})
	if err != nil {
		return row{}, err
	}
	return rowAt(key, out.Item)
}

// rowAt is decodeRow with an error that names the item.
func rowAt(key store.Key, m attributes) (row, error) {
	r, err := decodeRow(m)
	if err != nil {
		return row{}, fault.Wrap(fault.Internal, err, "dynamostore: %s", key)
	}
	return r, nil
}

// GetMany returns the items in the order of their keys, nil for each that is absent.
func (s *Store) GetMany(ctx context.Context, keys []store.Key, c store.Consistency) ([]store.Item, error) {
	if len(keys) > store.MaxGetMany {
		return nil, fault.New(fault.Internal, "store: GetMany of %d keys, at most %d", len(keys), store.MaxGetMany)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	wanted, names := map[string]types.KeysAndAttributes{}, map[string]string{}
	found := make(map[store.Key]store.Item, len(keys))
	for _, key := range keys {
		table, k, err := s.place(key)
		if err != nil {
			return nil, err
		}
		if _, again := found[key]; again {
			continue // BatchGetItem refuses a key that stands twice
		}
		found[key], names[*table] = nil, key.Table
		of := wanted[*table]
		of.Keys, of.ConsistentRead = append(of.Keys, k), aws.Bool(c == store.Strong)
		wanted[*table] = of
	}
	if err := s.getAll(ctx, wanted, names, found); err != nil {
		return nil, err
	}
	items := make([]store.Item, len(keys))
	for i, key := range keys {
		items[i] = found[key]
	}
	return items, nil
}

// getAll asks until every key is answered: DynamoDB leaves out what is over 16 MB or over a table's throughput. It pauses after an answer without
// any item, and gives up after MaxAttempts of these in a row.
func (s *Store) getAll(ctx context.Context, wanted map[string]types.KeysAndAttributes, names map[string]string, found map[store.Key]store.Item) error {
	for idle := 0; len(wanted) > 0; {
		var out *dynamodb.BatchGetItemOutput
		err := s.read(ctx, "BatchGetItem", func(ctx context.Context) (err error) {
			out, err = s.conf.Client.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: wanted}, ours)
			return err
		})
		if err != nil {
			return err
		}
		got := 0
		for table, items := range out.Responses {
			for _, m := range items {
				e, err := decodeEntry(names[table], m)
				if err != nil {
					return fault.Wrap(fault.Internal, err, "dynamostore: %s", e.Key)
				}
				found[e.Key] = e.Item
				got++
			}
		}
		wanted = out.UnprocessedKeys
		if got > 0 {
			idle = 0
		} else if idle++; idle == MaxAttempts && len(wanted) > 0 {
			return fault.New(fault.Throttled, "dynamostore: BatchGetItem leaves keys unanswered")
		}
		if len(wanted) > 0 {
			s.pause(ctx, idle)
		}
	}
	return nil
}

// Range returns the items of one partition that q selects.
func (s *Store) Range(ctx context.Context, q store.Query) ([]store.Entry, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	limit, err := q.Bound()
	if err != nil {
		return nil, err
	}
	table, _, err := s.place(store.Key{Table: q.Table, PK: q.PK})
	if err != nil {
		return nil, err
	}
	if _, err := encodeKey(store.Key{Table: q.Table, PK: q.PK, SK: q.Prefix}); err != nil {
		return nil, fault.Wrap(fault.Internal, err, "the prefix of a range")
	}
	if _, err := encodeKey(store.Key{Table: q.Table, PK: q.PK, SK: q.After}); err != nil {
		return nil, fault.Wrap(fault.Internal, err, "the place of a range")
	}
	input, any := query(table, q)
	if !any {
		return nil, nil
	}
	var entries []store.Entry
	for { // each page has an item, or is the last
		input.Limit = aws.Int32(int32(limit - len(entries))) //nolint:gosec // at most MaxRangeLimit
		var out *dynamodb.QueryOutput
		err := s.read(ctx, "Query", func(ctx context.Context) (err error) {
			out, err = s.conf.Client.Query(ctx, input, ours)
			return err
		})
		if err != nil {
			return nil, err
		}
		for _, m := range out.Items {
			e, err := decodeEntry(q.Table, m)
			if err != nil {
				return nil, fault.Wrap(fault.Internal, err, "dynamostore: %s", e.Key)
			}
			entries = append(entries, e)
		}
		if len(entries) >= limit || len(out.Items) == 0 || len(out.LastEvaluatedKey) == 0 {
			return entries, nil
		}
		input.ExclusiveStartKey = out.LastEvaluatedKey
	}
}

// query is the Query for q, but for its limit. any is false if no sort key can be selected. A Query takes one condition on
// the sort key; the place to begin behind goes in as the last key of a page before, which need not be there but has to fulfil that condition.
func query(table *string, q store.Query) (input *dynamodb.QueryInput, any bool) {
	e := &expression{}
	e.and("%s = %s", e.name(attrPK), e.value(text(q.PK)))
	after := q.After
	if q.Prefix != "" {
		e.and("begins_with(%s, %s)", e.name(attrSK), e.value(text(q.Prefix)))
		if after != "" && !strings.HasPrefix(after, q.Prefix) {
			if after < q.Prefix == q.Reverse {
				return nil, false // it begins behind all that has the prefix
			}
			after = "" // it begins before all that has it
		}
	}
	input = &dynamodb.QueryInput{
		TableName: table, KeyConditionExpression: e.condition(),
		ExpressionAttributeNames: e.names, ExpressionAttributeValues: e.values,
		ScanIndexForward: aws.Bool(!q.Reverse), ConsistentRead: aws.Bool(q.Consistency == store.Strong),
	}
	if after != "" {
		input.ExclusiveStartKey = attributes{attrPK: text(q.PK), attrSK: text(after)}
	}
	return input, true
}
