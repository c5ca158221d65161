package dynamostore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"

	"github.com/utkarsh698/cloudflow/internal/awstest"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// collected keeps what a runner delivers, by the sort keys of the changes.
type collected struct{ sks []string }

func (c *collected) handle(_ context.Context, changes []store.Change) error {
	for _, change := range changes {
		c.sks = append(c.sks, change.Key.SK)
	}
	return nil
}

func all(store.Key) bool { return true }

// rounds lets a new runner of that name look so many times, and then ends it as a crash does.
func rounds(t *testing.T, s *Store, name string, n int, handle store.FeedHandler) *runner {
	t.Helper()
	r := &runner{s: s, name: name, handle: handle}
	for range n {
		if _, err := r.round(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func TestACrashOfARunner(t *testing.T) {
	e := awstest.Start(t)
	c := config(t, e.Config(), "t")
	c.Feed = all
	s := open(t, c)
	put := func(sk string) {
		t.Helper()
		if err := s.Update(t.Context(), func(tx *store.Tx) error { tx.Put(key("p", sk), nil); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("before it was given anything does not lose what came then", func(t *testing.T) {
		rounds(t, s, "early", 2, nil)
		put("1")
		var got collected
		rounds(t, s, "early", 2, got.handle)
		if !slices.Equal(got.sks, []string{"1"}) {
			t.Errorf("it delivers %v", got.sks)
		}
	})
	t.Run("between a delivery and its cursor makes the delivery come again, with the same numbers", func(t *testing.T) {
		first := rounds(t, s, "late", 1, (&collected{}).handle)
		put("2")
		if found, err := first.round(t.Context()); !found || err != nil {
			t.Fatal(found, err)
		}
		put("3")
		put("4")
		var seqs [][]uint64
		handle := func(_ context.Context, changes []store.Change) error {
			var of []uint64
			for _, change := range changes {
				of = append(of, change.Seq)
			}
			seqs = append(seqs, of)
			return nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		r := &runner{s: s, name: "late", handle: func(ctx context.Context, changes []store.Change) error {
			defer cancel() // the cursor cannot be written any more
			return handle(ctx, changes)
		}}
		if _, err := r.round(ctx); err == nil {
			t.Error("the cursor was written")
		}
		rounds(t, s, "late", 2, handle)
		if want := [][]uint64{{2, 3}, {2, 3}}; fmt.Sprint(seqs) != fmt.Sprint(want) {
			t.Errorf("it delivers the numbers %v, want %v", seqs, want)
		}
	})
}

func TestAFeedNeeds(t *testing.T) {
	e := awstest.Start(t)
	c := config(t, e.Config(), "t")
	c.Feed = all
	for need, without := range map[string]func(c *Config){
		"a client of streams":                           func(c *Config) { c.Streams = nil },
		"a table of cursors":                            func(c *Config) { c.Cursors = "" },
		"that this table exists":                        func(c *Config) { c.Cursors = "none" },
		"a table that has a stream":                     func(c *Config) { c.Tables = map[string]string{"t": c.Cursors} },
		"records that its store has written, and waits": func(c *Config) {},
	} {
		t.Run(need, func(t *testing.T) {
			c := c
			without(&c)
			s := open(t, c)
			sc := scene{s, t, nil, s}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if strings.HasPrefix(need, "records") {
				r := rounds(t, s, "n", 1, nil)
				sc.putRaw(key("p", "s"), attributes{"fraction": number(1), "list": &types.AttributeValueMemberL{}})
				if _, err := r.round(ctx); !fault.Is(err, fault.Internal) {
					t.Error(err)
				}
			}
			if err := s.RunFeed(ctx, "n", (&collected{}).handle); !fault.Is(err, fault.Internal) {
				t.Error(err)
			}
		})
	}
}

// A splitStream stands in for the streams of DynamoDB, of which the emulator has one shard: here a shard has ended and has two children, and
// is listed behind them.
type splitStream struct {
	mu      sync.Mutex
	expired bool // the iterators that were given
	trimmed bool // what was numbered
	busy    int  // so many requests are throttled
	types   []string
}

// set changes or reads what the stand-in does.
func (f *splitStream) set(fn func(f *splitStream)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fn(f)
}

func (f *splitStream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, op, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	var in map[string]any
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		refuse(w, http.StatusBadRequest, "SerializationException", "")
		return
	}
	if f.busy > 0 {
		f.busy--
		refuse(w, http.StatusBadRequest, "ThrottlingException", "")
		return
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	switch op {
	case "DescribeStream":
		if in["ExclusiveStartShardId"] == nil { // in two pages
			fmt.Fprint(w, `{"StreamDescription":{"LastEvaluatedShardId":"left","Shards":[
				{"ShardId":"left","ParentShardId":"old","SequenceNumberRange":{"StartingSequenceNumber":"300"}}]}}`)
			return
		}
		fmt.Fprint(w, `{"StreamDescription":{"Shards":[
			{"ShardId":"right","ParentShardId":"old","SequenceNumberRange":{"StartingSequenceNumber":"400"}},
			{"ShardId":"old","ParentShardId":"forgotten","SequenceNumberRange":{"StartingSequenceNumber":"100","EndingSequenceNumber":"200"}}]}}`)
	case "GetShardIterator":
		if f.trimmed && in["SequenceNumber"] != nil {
			refuse(w, http.StatusBadRequest, "TrimmedDataAccessException", "")
			return
		}
		f.types = append(f.types, fmt.Sprint(in["ShardId"], " ", in["ShardIteratorType"]))
		f.expired = false
		after := ""
		if n, ok := in["SequenceNumber"].(string); ok {
			after = n
		}
		if in["ShardIteratorType"] == "LATEST" {
			after = "999"
		}
		fmt.Fprintf(w, `{"ShardIterator":"%s/%s"}`, in["ShardId"], after)
	case "GetRecords":
		if f.expired {
			refuse(w, http.StatusBadRequest, "ExpiredIteratorException", "")
			return
		}
		shard, after, _ := strings.Cut(in["ShardIterator"].(string), "/")
		records, last := "", after
		for _, n := range map[string][]string{"old": {"100", "200"}, "left": {"300"}, "right": {"400"}}[shard] {
			if n > after {
				records += fmt.Sprintf(`,{"eventName":"REMOVE","dynamodb":{"SequenceNumber":%q,"Keys":{"pk":{"S":"p"},"sk":{"S":%q}}}}`, n, n)
				last = n
			}
		}
		next := fmt.Sprintf(`,"NextShardIterator":"%s/%s"`, shard, last)
		if shard == "old" {
			next = ""
		}
		fmt.Fprintf(w, `{"Records":[%s]%s}`, strings.TrimPrefix(records, ","), next)
	}
}

func TestShards(t *testing.T) {
	e := awstest.Start(t)
	stream := &splitStream{}
	server := httptest.NewServer(stream)
	defer server.Close()
	c := config(t, e.Config(), "t")
	c.Feed = all
	account := e.Config()
	account.BaseEndpoint = aws.String(server.URL)
	c.Streams, c.Rand = dynamodbstreams.NewFromConfig(account), impatient
	s := open(t, c)
	t.Run("that have ended are nothing to a new name, which reads the others from their ends", func(t *testing.T) {
		rounds(t, s, "new", 1, (&collected{}).handle)
		stream.set(func(f *splitStream) {
			if slices.Sort(f.types); !slices.Equal(f.types, []string{"left LATEST", "right LATEST"}) {
				t.Errorf("it reads %v", f.types)
			}
		})
	})
	var got collected
	t.Run("are read before their children, each to its end", func(t *testing.T) {
		r := rounds(t, s, "known", 1, nil)
		for _, sh := range r.shards { // as a runner left it that read some of the old one, before there were others
			sh.at, sh.done = "", false
			if sh.id == "old" {
				sh.at = "100"
				if err := r.save(t.Context(), sh); err != nil {
					t.Fatal(err)
				}
				continue
			}
			forget(t, s, "known", sh)
		}
		rounds(t, s, "known", 3, got.handle)
		if !slices.Equal(got.sks, []string{"200", "300", "400"}) {
			t.Errorf("it delivers %v", got.sks)
		}
	})
	t.Run("are not read twice", func(t *testing.T) {
		rounds(t, s, "known", 3, got.handle)
		if len(got.sks) != 3 {
			t.Errorf("it delivers %v", got.sks)
		}
	})
	t.Run("go on where they were when an iterator has expired", func(t *testing.T) {
		r := rounds(t, s, "known", 1, got.handle)
		stream.set(func(f *splitStream) { f.expired = true })
		for range 2 {
			if _, err := r.round(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		stream.set(func(f *splitStream) {
			if len(got.sks) != 3 || f.expired {
				t.Errorf("it delivers %v", got.sks)
			}
		})
	})
	t.Run("go on with the oldest that there is, where what was read last is older", func(t *testing.T) {
		stream.set(func(f *splitStream) { f.trimmed = true })
		defer stream.set(func(f *splitStream) { f.trimmed = false })
		var again collected
		rounds(t, s, "known", 1, again.handle)
		if !slices.Equal(again.sks, []string{"300", "400"}) {
			t.Errorf("it delivers %v", again.sks)
		}
	})
	t.Run("that cannot be read for a while do not end the runner", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		r := &runner{s: s, name: "patient"}
		if err := r.save(ctx, &shard{stream: streamOf(t, s), id: "old", at: "100"}); err != nil {
			t.Fatal(err)
		}
		stream.set(func(f *splitStream) { f.busy = MaxAttempts + 1 }) // more than one call makes
		err := s.RunFeed(ctx, "patient", func(context.Context, []store.Change) error { cancel(); return nil })
		stream.set(func(f *splitStream) {
			if !errors.Is(err, context.Canceled) || f.busy > 0 {
				t.Errorf("%v, %d to go", err, f.busy)
			}
		})
	})
}

func TestChangeOf(t *testing.T) {
	tables := map[string]string{"orders": "prod-orders", "stock": "prod-stock"}
	const arn = "arn:aws:dynamodb:eu-west-1:123456789012:table/prod-orders/stream/2026-01-01T00:00:00.000"
	parse := func(t *testing.T, text string) events.DynamoDBEventRecord {
		t.Helper()
		var r events.DynamoDBEventRecord
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			t.Fatal(err)
		}
		if r.EventSourceArn == "" {
			r.EventSourceArn = arn
		}
		return r
	}
	t.Run("gives the item as the commit left it", func(t *testing.T) {
		c, err := ChangeOf(tables, parse(t, `{"eventName":"MODIFY","dynamodb":{"SequenceNumber":"4421584500000000017450439091",
			"Keys":{"pk":{"S":"ord-1"},"sk":{"S":"\u0000"}},
			"NewImage":{"pk":{"S":"ord-1"},"sk":{"S":"\u0000"},"_v":{"N":"18446744073709551615"},
				"n":{"N":"-9223372036854775808"},"s":{"S":""},"b":{"B":"AAE="},"yes":{"BOOL":true}}}}`))
		want := store.Change{
			Key: store.Key{Table: "orders", PK: "ord-1"}, At: store.Position(strings.Repeat("0", 12) + "4421584500000000017450439091"),
			Item: store.Item{store.B("b", []byte{0, 1}), store.N("n", -1<<63), store.S("s", ""), store.Bool("yes", true)},
		}
		if err != nil || fmt.Sprint(c) != fmt.Sprint(want) {
			t.Errorf("%v, %v, want %v", c, err, want)
		}
	})
	t.Run("gives a deletion, also by the time to live", func(t *testing.T) {
		c, err := ChangeOf(tables, parse(t, `{"eventName":"REMOVE","userIdentity":{"type":"Service","principalId":"dynamodb.amazonaws.com"},
			"dynamodb":{"SequenceNumber":"1","Keys":{"pk":{"S":"ord-1"},"sk":{"S":"head"}},"OldImage":{"pk":{"S":"ord-1"},"sk":{"S":"head"},"l":{"L":[]}}}}`))
		if err != nil || !c.Deleted || c.Item != nil || c.Key != (store.Key{Table: "orders", PK: "ord-1", SK: "head"}) {
			t.Errorf("%v, %v", c, err)
		}
	})
	for rule, text := range map[string]string{
		"another table":             `{"eventName":"REMOVE","eventSourceARN":"arn:aws:dynamodb:eu-west-1:1:table/other/stream/x","dynamodb":{"Keys":{"pk":{"S":"p"},"sk":{"S":"s"}}}}`,
		"no table":                  `{"eventName":"REMOVE","eventSourceARN":"arn:aws:sqs:eu-west-1:1:q","dynamodb":{"Keys":{"pk":{"S":"p"},"sk":{"S":"s"}}}}`,
		"no key":                    `{"eventName":"REMOVE","dynamodb":{"Keys":{}}}`,
		"a stream of keys alone":    `{"eventName":"INSERT","dynamodb":{"Keys":{"pk":{"S":"p"},"sk":{"S":"s"}}}}`,
		"a value of another type":   `{"eventName":"INSERT","dynamodb":{"Keys":{"pk":{"S":"p"},"sk":{"S":"s"}},"NewImage":{"pk":{"S":"p"},"sk":{"S":"s"},"l":{"L":[]}}}}`,
		"a number that is too long": `{"eventName":"INSERT","dynamodb":{"Keys":{"pk":{"S":"p"},"sk":{"S":"s"}},"NewImage":{"pk":{"S":"p"},"sk":{"S":"s"},"n":{"N":"1e30"}}}}`,
	} {
		t.Run("refuses "+rule, func(t *testing.T) {
			if c, err := ChangeOf(tables, parse(t, text)); !fault.Is(err, fault.Internal) {
				t.Errorf("%v, %v", c, err)
			}
		})
	}
}

// forget removes a shard's cursor.
func forget(t *testing.T, s *Store, name string, sh *shard) {
	t.Helper()
	_, err := s.conf.Client.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{
		TableName: &s.conf.Cursors, Key: attributes{attrPK: text(name), attrSK: text(sh.key())},
	})
	if err != nil {
		t.Fatal(err)
	}
}

func streamOf(t *testing.T, s *Store) string {
	t.Helper()
	r := &runner{s: s, name: "any"}
	shards, err := r.shardsOf(t.Context(), "t", s.conf.Tables["t"])
	if err != nil || len(shards) == 0 {
		t.Fatalf("%v, %v", shards, err)
	}
	return shards[0].stream
}
