// Package dynamostore keeps the store port in DynamoDB: the store of the shape on AWS, on aws-sdk-go-v2.
//
//	Update ──run fn, strong reads──▶ no write ───────▶ GetItem or TransactGetItems, and a look
//	   ▲                             one operation ──▶ PutItem, UpdateItem or DeleteItem under a condition
//	   │                             several ────────▶ TransactWriteItems under a token
//	   └────── it lost a conflict ◀── what stands there (ALL_OLD): a changed read, or a refusal
//
// It promises what the port promises. An item is a DynamoDB item with the attributes that the port gave it, in the types S, N, B and BOOL, the
// keys pk and sk, and _v, the version that Tx.Get records: 64 random bits of the commit that put the item. DynamoDB evaluates conditions, floors and
// recorded reads where the item is, and says what stood there when one failed. A commit is made in the cheapest way that is
// safe, and applied once or not at all, whatever becomes of requests and replies: docs/decisions/0030 says how and what it costs.
//
// Each request has a timeout of its own. Those that DynamoDB refuses for now (a throttled partition, a transaction that holds an item) are made again
// after a random pause, MaxAttempts in all; those that got no answer MaxFailures times, if repeating them is safe. What is still refused then is
// fault.Throttled or fault.Transient, and was not applied; a commit of which one request got no answer, and which is not seen to be
// applied, is fault.Transient.
//
// It refuses what the port refuses, and besides: text, names and keys that are no UTF-8, for DynamoDB's strings are; a table that Config.Tables does not
// name; an item with attributes of other types, or with numbers that are no integers of 64 bits, which this adapter has not written. All of these
// are fault.Internal. DynamoDB also counts _v and the names of the keys, and items that are only checked or added to, towards the 4 MB of a transaction,
// so one that comes close to the port's limit may be refused.
//
// It has no store.FeedReader, since a position in a stream is its runner's alone, and no store.Dumper, since DynamoDB has no scan of one moment:
// verify and export read an export of the table. Its store.Feed is for tests and local use; on AWS the stream invokes a function, which has
// ChangeOf. A Put of what stands there already is a change in the feed; an Add of zero is none.
//
// Every commit that was answered survives whatever DynamoDB survives. It keeps nothing in memory between calls.
package dynamostore
