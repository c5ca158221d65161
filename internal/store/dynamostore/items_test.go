package dynamostore

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/utkarsh698/cloudflow/internal/awstest"
	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// raw is the item as it stands in the table.
func (s scene) raw(k store.Key) attributes {
	s.t.Helper()
	key, err := encodeKey(k)
	if err != nil {
		s.t.Fatal(err)
	}
	out, err := s.direct.conf.Client.GetItem(s.t.Context(), &dynamodb.GetItemInput{
		TableName: aws.String(s.conf.Tables[k.Table]), Key: key, ConsistentRead: aws.Bool(true),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return out.Item
}

// putRaw writes an item as somebody does who does not know of this adapter.
func (s scene) putRaw(k store.Key, item attributes) {
	s.t.Helper()
	item[attrPK], item[attrSK] = text(k.PK), text(encodeSK(k.SK))
	_, err := s.direct.conf.Client.PutItem(s.t.Context(), &dynamodb.PutItemInput{TableName: aws.String(s.conf.Tables[k.Table]), Item: item})
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s scene) version(k store.Key) uint64 {
	s.t.Helper()
	r, err := s.direct.get(s.t.Context(), k, store.Strong)
	if err != nil || r.item == nil {
		s.t.Fatalf("%v, %v", r, err)
	}
	return r.version
}

func (s scene) update(fn func(tx *store.Tx)) error {
	return s.Update(s.t.Context(), func(tx *store.Tx) error { fn(tx); return nil })
}

func TestVersions(t *testing.T) {
	e := awstest.Start(t)
	s := newScene(t, e, DefaultCallTimeout*5)
	k := key("p", "")
	inc := []store.Delta{store.Inc("n", 1)}
	must := func(t *testing.T, fn func(tx *store.Tx)) uint64 {
		t.Helper()
		if err := s.update(fn); err != nil {
			t.Fatal(err)
		}
		return s.version(k)
	}
	put := func(tx *store.Tx) { tx.Put(k, store.Item{store.N("n", 1)}) }
	add := func(tx *store.Tx) { tx.Add(k, inc) }
	together := func(fn func(tx *store.Tx)) func(tx *store.Tx) { // in a transaction
		return func(tx *store.Tx) { fn(tx); tx.Put(key("q", ""), nil) }
	}
	t.Run("each put gives another one, also of the same item", func(t *testing.T) {
		seen := []uint64{0}
		for _, fn := range []func(*store.Tx){put, put, together(put), together(put)} {
			v := must(t, fn)
			if slices.Contains(seen, v) {
				t.Errorf("%d again, after %v", v, seen)
			}
			seen = append(seen, v)
		}
	})
	t.Run("an add leaves it", func(t *testing.T) {
		v := must(t, put)
		for _, fn := range []func(*store.Tx){add, together(add)} {
			if now := must(t, fn); now != v {
				t.Errorf("%d was %d", now, v)
			}
		}
	})
	t.Run("an item that an add makes has one, and another after it was deleted", func(t *testing.T) {
		seen := []uint64{0}
		for _, fn := range []func(*store.Tx){add, together(add), add, put} {
			s.delete(k)
			v := must(t, fn)
			if slices.Contains(seen, v) {
				t.Errorf("%d again, after %v", v, seen)
			}
			seen = append(seen, v)
		}
	})
	t.Run("one commit gives all its items the same", func(t *testing.T) {
		v := must(t, together(put))
		if other := s.version(key("q", "")); other != v {
			t.Errorf("%d and %d", v, other)
		}
	})
	t.Run("a transaction that read an absent item sees that it came and was made again, but not that it came and went", func(t *testing.T) {
		for _, c := range []struct {
			meanwhile func()
			runs      int
		}{
			{func() { s.put(k); s.delete(k); s.put(k) }, 2},
			{func() { s.put(k); s.delete(k) }, 1},
		} {
			s.delete(k)
			runs := 0
			err := s.update(func(tx *store.Tx) {
				_, _ = tx.Get(k)
				if runs++; runs == 1 {
					c.meanwhile()
				}
				tx.Put(key("q", ""), nil)
			})
			if err != nil || runs != c.runs {
				t.Errorf("%d runs, want %d: %v", runs, c.runs, err)
			}
		}
	})
	t.Run("what others have written has none, and is checked by that", func(t *testing.T) {
		for _, single := range []bool{true, false} {
			s.putRaw(k, attributes{"n": number(5)})
			runs := 0
			err := s.update(func(tx *store.Tx) {
				it, _ := tx.Get(k)
				if runs++; runs == 1 {
					s.put(k, store.N("n", 6))
				}
				tx.Put(k, store.Item{store.N("n", it.Int("n")+10)})
				if !single {
					tx.Put(key("q", ""), nil)
				}
			})
			if n := s.item(k).Int("n"); err != nil || runs != 2 || n != 16 {
				t.Errorf("%d runs, n is %d: %v", runs, n, err)
			}
		}
	})
}

func TestItemsAreRealAttributes(t *testing.T) {
	e := awstest.Start(t)
	s := newScene(t, e, DefaultCallTimeout*5)
	k := key("ord-1", "")
	s.put(k, store.S("status", "PAID"), store.N("total_cents", 1999), store.B("sealed", []byte{0}), store.Bool("rush", true), store.N("expires_at", 1_900_000_000))
	t.Run("of the types S, N, B and BOOL, beside the keys and the version", func(t *testing.T) {
		got := s.raw(k)
		delete(got, attrVersion)
		want := attributes{
			"pk": text("ord-1"), "sk": text("\x00"), "status": text("PAID"), "total_cents": number(1999), "expires_at": number(1_900_000_000),
			"sealed": &types.AttributeValueMemberB{Value: []byte{0}}, "rush": &types.AttributeValueMemberBOOL{Value: true},
		}
		if fmt.Sprintf("%#v", flat(got)) != fmt.Sprintf("%#v", flat(want)) {
			t.Errorf("%v, want %v", flat(got), flat(want))
		}
	})
	t.Run("with the longest keys and the largest item that the port takes, a hundred times at once", func(t *testing.T) {
		long := strings.Repeat("k", store.MaxKeyBytes)
		err := s.update(func(tx *store.Tx) {
			for i := range store.MaxOps {
				item := store.Item{store.S("v", strings.Repeat("x", 36_000))}
				if i == 0 {
					item = store.Item{store.S("v", strings.Repeat("x", store.MaxItemBytes-200_000))}
				}
				tx.Put(key(fmt.Sprintf("%02d%s", i, long[2:]), long), item)
			}
		})
		if err != nil {
			t.Error(err)
		}
		s.put(key(long, long), store.S("v", strings.Repeat("x", store.MaxItemBytes-1)))
	})
	t.Run("what is no UTF-8 is refused, and not mangled", func(t *testing.T) {
		for what, fn := range map[string]func(tx *store.Tx){
			"a key":           func(tx *store.Tx) { tx.Put(key("p", "\xff"), nil) },
			"a text":          func(tx *store.Tx) { tx.Put(key("p", "s"), store.Item{store.S("v", "\xff")}) },
			"a name":          func(tx *store.Tx) { tx.Put(key("p", "s"), store.Item{store.S("\xff", "v")}) },
			"a condition":     func(tx *store.Tx) { tx.Delete(key("p", "s"), store.Equal(store.S("v", "\xff"))) },
			"the name in one": func(tx *store.Tx) { tx.Delete(key("p", "s"), store.AtLeast("\xff", 1)) },
			"a delta":         func(tx *store.Tx) { tx.Add(key("p", "s"), []store.Delta{store.Inc("\xff", 1)}) },
			"in a transaction": func(tx *store.Tx) {
				tx.Put(key("p", "s"), store.Item{store.S("v", "\xff")})
				tx.Put(key("p", "t"), nil)
			},
		} {
			if err := s.update(fn); !fault.Is(err, fault.Internal) || store.RefusalOf(err) != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
		if _, err := s.Range(t.Context(), store.Query{Table: "t", PK: "p", Prefix: "\xff"}); !fault.Is(err, fault.Internal) {
			t.Errorf("a prefix: %v", err)
		}
	})
	t.Run("what the port cannot hold is an error that names it", func(t *testing.T) {
		for name, v := range map[string]types.AttributeValue{
			"fraction": &types.AttributeValueMemberN{Value: "1.5"},
			"large":    &types.AttributeValueMemberN{Value: "9223372036854775808"},
			"list":     &types.AttributeValueMemberL{Value: []types.AttributeValue{text("x")}},
			"null":     &types.AttributeValueMemberNULL{Value: true},
			"_v":       text("x"),
		} {
			k := key("foreign", name)
			s.putRaw(k, attributes{name: v})
			_, err := s.Get(t.Context(), k, store.Strong)
			if !fault.Is(err, fault.Internal) || name != "_v" && !strings.Contains(err.Error(), name) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := s.Range(t.Context(), store.Query{Table: "t", PK: "foreign"}); !fault.Is(err, fault.Internal) {
			t.Error(err)
		}
		if _, err := s.GetMany(t.Context(), []store.Key{key("foreign", "list")}, store.Strong); !fault.Is(err, fault.Internal) {
			t.Error(err)
		}
	})
	t.Run("a table that is not configured is named", func(t *testing.T) {
		k := store.Key{Table: "nowhere", PK: "p"}
		_, err := s.Get(t.Context(), k, store.Strong)
		_, err2 := s.GetMany(t.Context(), []store.Key{k}, store.Strong)
		_, err3 := s.Range(t.Context(), store.Query{Table: "nowhere", PK: "p"})
		err4 := s.update(func(tx *store.Tx) { tx.Put(k, nil) })
		for _, err := range []error{err, err2, err3, err4} {
			if !fault.Is(err, fault.Internal) || !strings.Contains(err.Error(), `"nowhere"`) {
				t.Error(err)
			}
		}
	})
}

func flat(m attributes) map[string]string {
	out := map[string]string{}
	for name, v := range m {
		out[name] = fmt.Sprintf("%T %+v", v, v)
	}
	return out
}

// TestRequests holds what each kind of commit sends: docs/decisions/0030 says what it costs.
func TestRequests(t *testing.T) {
	e := awstest.Start(t)
	s := newScene(t, e, DefaultCallTimeout*5)
	k, other := key("p", "k"), key("p", "other")
	s.put(k, store.N("n", 1))
	get := func(tx *store.Tx, k store.Key) { _, _ = tx.Get(k) }
	put := func(tx *store.Tx, k store.Key) { tx.Put(k, store.Item{store.N("n", 1)}) }
	cases := []struct {
		rule string
		fn   func(tx *store.Tx)
		want []string
	}{
		{"nothing", func(tx *store.Tx) {}, nil},
		{"a peek", func(tx *store.Tx) { _, _ = tx.Peek(k) }, []string{"GetItem"}},
		{"a read is read again", func(tx *store.Tx) { get(tx, k) }, []string{"GetItem", "GetItem"}},
		{"two reads are read at once", func(tx *store.Tx) { get(tx, k); get(tx, other) }, []string{"GetItem", "GetItem", "TransactGetItems"}},
		{"a check is a read", func(tx *store.Tx) { tx.Check(k, store.Exists()) }, []string{"GetItem"}},
		{"two checks are read at once", func(tx *store.Tx) { tx.Check(k, store.Exists()); tx.Check(other, store.Absent()) }, []string{"TransactGetItems"}},
		{"a put", func(tx *store.Tx) { put(tx, k) }, []string{"PutItem"}},
		{"a put over what was read", func(tx *store.Tx) { get(tx, k); put(tx, k) }, []string{"GetItem", "PutItem"}},
		{"a delete", func(tx *store.Tx) { tx.Delete(other) }, []string{"DeleteItem"}},
		{"an add", func(tx *store.Tx) { tx.Add(k, []store.Delta{store.Inc("n", 1)}) }, []string{"UpdateItem"}},
		{"a put beside a read", func(tx *store.Tx) { get(tx, k); put(tx, other) }, []string{"GetItem", "TransactWriteItems"}},
		{"a put beside a check", func(tx *store.Tx) { tx.Check(k, store.Exists()); put(tx, other) }, []string{"TransactWriteItems"}},
		{"two puts", func(tx *store.Tx) { put(tx, k); put(tx, other) }, []string{"TransactWriteItems"}},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			s.p.calm()
			if err := s.update(c.fn); err != nil {
				t.Fatal(err)
			}
			if got := s.p.arrived(); !slices.Equal(got, c.want) {
				t.Errorf("it sends %v, want %v", got, c.want)
			}
		})
	}
	t.Run("a check that does not hold is refused as elsewhere, after the reads", func(t *testing.T) {
		r := store.RefusalOf(s.update(func(tx *store.Tx) {
			get(tx, other)
			tx.Check(k, store.Exists())
			tx.Check(key("p", "none"), store.Exists())
		}))
		if r == nil || r.Key != key("p", "none") || r.Item != nil {
			t.Errorf("%v", r)
		}
	})
	t.Run("a range over a megabyte is read page by page", func(t *testing.T) {
		for i := range 6 {
			s.put(key("large", fmt.Sprint(i)), store.S("v", strings.Repeat("x", 390_000)))
		}
		s.p.calm()
		for _, reverse := range []bool{false, true} {
			all, err := s.Range(t.Context(), store.Query{Table: "t", PK: "large", Reverse: reverse, Limit: 5})
			if err != nil || len(all) != 5 || all[4].Key.SK != map[bool]string{false: "4", true: "1"}[reverse] {
				t.Errorf("%d items, %v", len(all), err)
			}
		}
		if n := s.p.count("Query"); n < 4 {
			t.Errorf("%d pages", n)
		}
	})
}

// TestGetManyAsksForWhatWasLeftOut stands a server in the place of DynamoDB that answers few keys at a time, as DynamoDB does over 16 MB or when it is throttled.
func TestGetManyAsksForWhatWasLeftOut(t *testing.T) {
	var answers, requests atomic.Int64 // how many keys a request gets
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			RequestItems map[string]struct {
				Keys           []map[string]map[string]string
				ConsistentRead bool
			}
		}
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			t.Error(err)
		}
		requests.Add(1)
		of, n := in.RequestItems["physical"], int(answers.Load())
		if !of.ConsistentRead {
			t.Error("an eventual read")
		}
		out := map[string]any{"Responses": map[string]any{"physical": of.Keys[:n]}, "UnprocessedKeys": map[string]any{}}
		if n < len(of.Keys) {
			of.Keys = of.Keys[n:]
			out["UnprocessedKeys"] = map[string]any{"physical": of}
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		if err := json.NewEncoder(w).Encode(out); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()
	account := aws.Config{Region: awstest.Region, BaseEndpoint: aws.String(server.URL), Credentials: (&awstest.Emulator{}).Config().Credentials}
	s := open(t, Config{Client: dynamodb.NewFromConfig(account), Tables: map[string]string{"t": "physical"}, Rand: impatient})
	keys := []store.Key{key("a", "1"), key("a", ""), key("a", "1"), key("b", "1")}
	t.Run("until all is there", func(t *testing.T) {
		answers.Store(1)
		requests.Store(0)
		items, err := s.GetMany(t.Context(), keys, store.Strong)
		if err != nil || requests.Load() != 3 || slices.ContainsFunc(items, func(it store.Item) bool { return it == nil }) {
			t.Errorf("%v after %d requests, %v", items, requests.Load(), err)
		}
	})
	t.Run("but not for ever", func(t *testing.T) {
		answers.Store(0)
		requests.Store(0)
		if _, err := s.GetMany(context.Background(), keys, store.Strong); !fault.Is(err, fault.Throttled) || requests.Load() != MaxAttempts {
			t.Errorf("%d requests, %v", requests.Load(), err)
		}
	})
}

func TestBounds(t *testing.T) {
	for _, c := range []struct {
		delta       store.Delta
		least, most string
	}{
		{store.Inc("n", 5), "-9223372036854775808", "9223372036854775802"},
		{store.Inc("n", -5), "-9223372036854775803", "9223372036854775807"},
		{store.Take("n", 3), "3", "9223372036854775807"},
		{store.Delta{Name: "n", By: 5, Floor: 7, HasFloor: true}, "2", "9223372036854775802"},
		{store.Delta{Name: "n", By: math.MinInt64, Floor: math.MaxInt64, HasFloor: true}, "18446744073709551615", "9223372036854775807"},
	} {
		least, most := bounds(c.delta)
		if c.delta.By <= 0 {
			most.SetInt64(math.MaxInt64) // not asked for: no value is above it
		}
		if least.String() != c.least || most.String() != c.most {
			t.Errorf("%+v: from %v to %v, want %s to %s", c.delta, least, most, c.least, c.most)
		}
	}
}
