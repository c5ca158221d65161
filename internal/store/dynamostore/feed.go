package dynamostore

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	streams "github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
)

const (
	// relist is how often the shards are listed again: one lives for hours, and its children may wait for some seconds.
	relist = 5 * time.Second
	// pageRecords is how many records one look takes.
	pageRecords = 200
	// maxShards is how many shards of one table are followed. DynamoDB keeps those of the last 24 hours.
	maxShards = 10_000
	// skew is how far this machine's clock may be ahead of the stream's. It matters only to a runner that was ended before it took anything: it
	// then sees what is as much older than itself.
	skew = time.Minute
	// longestPause is between looks while the streams cannot be read.
	longestPause = 10 * time.Second
)

// The attributes of a cursor, an item under the runner's name (pk) and the shard's (sk).
const (
	attrAt    = "at"    // S: the sequence number of the last record that was taken; absent at first
	attrSince = "since" // N: Unix seconds; without at, what is older was there before the runner
	attrDone  = "done"  // BOOL: the shard has ended and was read to its end
	attrSeq   = "n"     // N: how many changes the runner had delivered
)

// RunFeed delivers to the handler until ctx ends, from where the runner of that name last stood. It reads every table that has a stream, one
// shard after the other, a shard's children after itself, and keeps its cursors in Config.Cursors. Change.Seq is a number that the runner gives: it
// rises, and each change has its own. A delivery that its cursor outlived a crash by comes again.
//
// While the streams cannot be read it waits and goes on. fault.Internal: there is no stream, or no table of cursors, or a record is none of
// this adapter's.
func (s *Store) RunFeed(ctx context.Context, name string, handle store.FeedHandler) error {
	if s.conf.Streams == nil || s.conf.Cursors == "" {
		return fault.New(fault.Internal, "dynamostore: a feed needs a client of streams and a table of cursors")
	}
	r := &runner{s: s, name: name, handle: handle}
	pause := s.conf.PollInterval
	for {
		found, err := r.round(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && !fault.Retryable(err):
			return err
		case err != nil:
			r.shards, r.listed = nil, time.Time{} // from the cursors
			pause = min(2*pause, longestPause)
		case found:
			pause = s.conf.PollInterval
			continue
		default:
			pause = s.conf.PollInterval
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// A runner is one RunFeed.
type runner struct {
	s      *Store
	name   string
	handle store.FeedHandler

	shards []*shard // of all tables, parents before their children
	listed time.Time
	fresh  bool // nothing is known under this name
	seq    uint64
}

// A shard is a piece of a table's stream, in order.
type shard struct {
	table, stream, id, parent string

	at       string // the last record that was taken
	since    int64  // Unix seconds; while at is empty
	latest   bool   // begin behind all that is there
	skips    bool   // what is older than since
	done     bool
	iterator *string
}

// round looks once at every shard whose parent is done. It says whether it found records.
func (r *runner) round(ctx context.Context) (found bool, err error) {
	if now := r.s.conf.Now(); now.Sub(r.listed) >= relist {
		if err := r.list(ctx); err != nil {
			return false, err
		}
		r.listed = now
	}
	for _, sh := range r.shards {
		if sh.done || r.waits(sh) {
			continue
		}
		some, err := r.look(ctx, sh)
		if err != nil {
			return false, err
		}
		found = found || some
	}
	return found, nil
}

// waits reports whether the shard's parent has something left. A parent that is not listed was trimmed with all that it held.
func (r *runner) waits(sh *shard) bool {
	return slices.ContainsFunc(r.shards, func(p *shard) bool { return p.stream == sh.stream && p.id == sh.parent && !p.done })
}

// list finds the shards of all streams, and brings those that are new to where their cursors stand.
func (r *runner) list(ctx context.Context) error {
	cursors, err := r.cursors(ctx)
	if err != nil {
		return err
	}
	var all []*shard
	for table, physical := range r.s.conf.Tables {
		of, err := r.shardsOf(ctx, table, physical)
		if err != nil {
			return err
		}
		all = append(all, of...)
	}
	if len(all) == 0 {
		return fault.New(fault.Internal, "dynamostore: no table has a stream")
	}
	if r.shards == nil && len(cursors) == 0 {
		r.fresh = true
	}
	for i, sh := range all {
		if known := slices.IndexFunc(r.shards, func(k *shard) bool { return k.stream == sh.stream && k.id == sh.id }); known >= 0 {
			all[i] = r.shards[known]
			continue
		}
		c, ok := cursors[sh.key()]
		switch {
		case ok && !r.fresh:
			sh.at, sh.since, sh.done = c.item.Str(attrAt), c.item.Int(attrSince), c.item.Bool(attrDone)
			r.seq = max(r.seq, uint64(c.item.Int(attrSeq)))
		case r.fresh: // a new name: what has ended is over, the rest begins with what comes
			sh.since, sh.latest = r.s.conf.Now().Add(-skew).Unix(), !sh.done
			if err := r.begin(ctx, sh); err != nil {
				return err
			}
		default: // a child, which is read from its beginning
			sh.done = false
		}
	}
	r.shards, r.fresh = all, false
	return nil
}

// begin takes the place of a shard before the cursor says that it was taken.
func (r *runner) begin(ctx context.Context, sh *shard) error {
	if !sh.done {
		if err := r.open(ctx, sh); err != nil {
			return err
		}
	}
	return r.save(ctx, sh)
}

func (sh *shard) key() string { return sh.stream + "/" + sh.id }

// shardsOf lists the shards of one table's stream; none if it has no stream. A shard that has ended is done here: whether it was read is
// for the cursor to say.
func (r *runner) shardsOf(ctx context.Context, table, physical string) ([]*shard, error) {
	var described *dynamodb.DescribeTableOutput
	err := r.s.read(ctx, "DescribeTable", func(ctx context.Context) (err error) {
		described, err = r.s.conf.Client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &physical}, ours)
		return err
	})
	if err != nil || described.Table == nil || described.Table.LatestStreamArn == nil {
		return nil, err
	}
	var all []*shard
	var last *string
	for len(all) < maxShards {
		var out *dynamodbstreams.DescribeStreamOutput
		err := r.s.read(ctx, "DescribeStream", func(ctx context.Context) (err error) {
			out, err = r.s.conf.Streams.DescribeStream(ctx, &dynamodbstreams.DescribeStreamInput{
				StreamArn: described.Table.LatestStreamArn, ExclusiveStartShardId: last,
			}, oursToo)
			return err
		})
		if err != nil || out.StreamDescription == nil {
			return nil, err
		}
		for _, sh := range out.StreamDescription.Shards {
			all = append(all, &shard{
				table: table, stream: *described.Table.LatestStreamArn, id: aws.ToString(sh.ShardId), parent: aws.ToString(sh.ParentShardId),
				done: sh.SequenceNumberRange != nil && sh.SequenceNumberRange.EndingSequenceNumber != nil,
			})
		}
		if last = out.StreamDescription.LastEvaluatedShardId; last == nil {
			return all, nil
		}
	}
	return nil, fault.New(fault.Internal, "dynamostore: the stream of %s has more than %d shards", table, maxShards)
}

// open gets an iterator at the shard's place.
func (r *runner) open(ctx context.Context, sh *shard) error {
	input := &dynamodbstreams.GetShardIteratorInput{
		StreamArn: &sh.stream, ShardId: &sh.id, ShardIteratorType: streams.ShardIteratorTypeTrimHorizon,
	}
	switch {
	case sh.at != "":
		input.ShardIteratorType, input.SequenceNumber = streams.ShardIteratorTypeAfterSequenceNumber, &sh.at
	case sh.latest:
		input.ShardIteratorType = streams.ShardIteratorTypeLatest
	}
	var out *dynamodbstreams.GetShardIteratorOutput
	err := r.s.read(ctx, "GetShardIterator", func(ctx context.Context) (err error) {
		out, err = r.s.conf.Streams.GetShardIterator(ctx, input, oursToo)
		return err
	})
	var trimmed *streams.TrimmedDataAccessException
	if errors.As(err, &trimmed) && sh.at != "" {
		sh.at, sh.since = "", 0 // older than 24 hours: it goes on with the oldest that there is
		return r.open(ctx, sh)
	}
	if err != nil {
		return err
	}
	sh.skips = sh.at == "" && !sh.latest
	sh.iterator, sh.latest = out.ShardIterator, false
	return nil
}

// look takes one page of the shard, delivers it and moves the cursor.
func (r *runner) look(ctx context.Context, sh *shard) (found bool, err error) {
	if sh.iterator == nil {
		if err := r.open(ctx, sh); err != nil {
			return false, err
		}
	}
	var out *dynamodbstreams.GetRecordsOutput
	err = r.s.read(ctx, "GetRecords", func(ctx context.Context) (err error) {
		out, err = r.s.conf.Streams.GetRecords(ctx, &dynamodbstreams.GetRecordsInput{
			ShardIterator: sh.iterator, Limit: aws.Int32(pageRecords),
		}, oursToo)
		return err
	})
	var expired *streams.ExpiredIteratorException
	var trimmed *streams.TrimmedDataAccessException
	if errors.As(err, &expired) || errors.As(err, &trimmed) {
		sh.iterator = nil // the next look opens it again, by the cursor
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := r.deliver(ctx, sh, out.Records); err != nil {
		return false, err
	}
	sh.iterator, sh.done = out.NextShardIterator, out.NextShardIterator == nil
	if len(out.Records) > 0 || sh.done {
		if err := r.save(ctx, sh); err != nil {
			return false, err
		}
	}
	if sh.done {
		r.listed = time.Time{} // its children
	}
	return len(out.Records) > 0, nil
}

func (r *runner) deliver(ctx context.Context, sh *shard, records []streams.Record) error {
	var changes []store.Change
	for _, record := range records {
		if record.Dynamodb == nil {
			continue
		}
		if at := record.Dynamodb.ApproximateCreationDateTime; sh.skips && sh.at == "" && at != nil && at.Unix() < sh.since {
			continue // it was there before the runner
		}
		c, err := changeOf(sh.table, record)
		if err != nil {
			return err
		}
		if r.s.conf.Feed(c.Key) {
			r.seq++
			c.Seq = r.seq
			changes = append(changes, c)
		}
	}
	if len(changes) > 0 {
		if err := store.Deliver(ctx, r.handle, changes); err != nil {
			return err
		}
	}
	if n := len(records); n > 0 && records[n-1].Dynamodb != nil {
		sh.at = aws.ToString(records[n-1].Dynamodb.SequenceNumber)
	}
	return nil
}

// save writes the shard's cursor.
func (r *runner) save(ctx context.Context, sh *shard) error {
	item := attributes{
		attrPK: text(r.name), attrSK: text(sh.key()), attrDone: &types.AttributeValueMemberBOOL{Value: sh.done},
		attrSeq: unsigned(r.seq), attrSince: number(sh.since),
	}
	if sh.at != "" {
		item[attrAt] = text(sh.at)
	}
	// Whether it is written once or twice is the same, so this is as safe to repeat as a read.
	return r.s.read(ctx, "the cursor", func(ctx context.Context) error {
		_, err := r.s.conf.Client.PutItem(ctx, &dynamodb.PutItemInput{TableName: &r.s.conf.Cursors, Item: item}, ours)
		return err
	})
}

// cursors are the runner's, by shard.
func (r *runner) cursors(ctx context.Context) (map[string]row, error) {
	x := &expression{}
	x.and("%s = %s", x.name(attrPK), x.value(text(r.name)))
	input := &dynamodb.QueryInput{
		TableName: &r.s.conf.Cursors, KeyConditionExpression: x.condition(), ExpressionAttributeNames: x.names,
		ExpressionAttributeValues: x.values, ConsistentRead: aws.Bool(true),
	}
	all := map[string]row{}
	for range maxShards {
		var out *dynamodb.QueryOutput
		err := r.s.read(ctx, "the cursors", func(ctx context.Context) (err error) {
			out, err = r.s.conf.Client.Query(ctx, input, ours)
			return err
		})
		if err != nil {
			return nil, err
		}
		for _, m := range out.Items {
			k, it, _, err := decode(m, valueOf)
			if err != nil {
				return nil, fault.Wrap(fault.Internal, err, "dynamostore: a cursor of %s", strconv.Quote(r.name))
			}
			all[k.SK] = row{item: it}
		}
		if len(out.LastEvaluatedKey) == 0 {
			break
		}
		input.ExclusiveStartKey = out.LastEvaluatedKey
	}
	return all, nil
}
