package dynamostore

import (
	"fmt"
	"strings"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	streams "github.com/aws/aws-sdk-go-v2/service/dynamodbstreams/types"

	"github.com/utkarsh698/cloudflow/internal/fault"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// positionDigits is how long a sequence number of a stream may be
// (https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_StreamRecord.html).
const positionDigits = 40

// ChangeOf is the change that a record of a table's stream tells, as Lambda delivers it. tables maps the port's names of tables to those in
// the account, as Config.Tables does.
//
// Seq is 0: a stream numbers records and not commits, and the records of one transaction are on their own. At rises with each change of an item, and is
// comparable within one partition key only.
//
// fault.Internal: the record is of another table, or holds what this adapter has not written.
func ChangeOf(tables map[string]string, r events.DynamoDBEventRecord) (store.Change, error) {
	table, err := tableOf(tables, r.EventSourceArn)
	if err != nil {
		return store.Change{}, err
	}
	return change(table, r.EventName, r.Change.SequenceNumber, r.Change.Keys, r.Change.NewImage, valueOfEvent)
}

// changeOf is the same of a record as the stream's own interface gives it.
func changeOf(table string, r streams.Record) (store.Change, error) {
	if r.Dynamodb == nil {
		return store.Change{}, fault.New(fault.Internal, "dynamostore: a record of the stream of %s without a change", table)
	}
	return change(table, string(r.EventName), aws.ToString(r.Dynamodb.SequenceNumber), r.Dynamodb.Keys, r.Dynamodb.NewImage, valueOfStream)
}

func change[V any](table, event, sequence string, keys, image map[string]V, value func(V) (store.Value, string, error)) (store.Change, error) {
	k, _, _, err := decode(keys, value)
	k.Table = table
	if err == nil {
		err = store.CheckKey(k)
	}
	c := store.Change{Key: k, At: position(sequence), Deleted: event == string(streams.OperationTypeRemove)}
	if err == nil && !c.Deleted {
		if _, c.Item, _, err = decode(image, value); err == nil && c.Item == nil {
			err = fmt.Errorf("the stream has no new images")
		}
	}
	if err != nil {
		return store.Change{}, fault.Wrap(fault.Internal, err, "dynamostore: a record of the stream of %s", table)
	}
	return c, nil
}

// position is a sequence number that compares as its bytes do.
func position(sequence string) store.Position {
	return store.Position(strings.Repeat("0", max(0, positionDigits-len(sequence))) + sequence)
}

// tableOf finds the port's name of the table whose stream has this ARN: arn:aws:dynamodb:<region>:<account>:table/<name>/stream/<label>.
func tableOf(tables map[string]string, arn string) (string, error) {
	if _, rest, ok := strings.Cut(arn, ":table/"); ok {
		physical, _, _ := strings.Cut(rest, "/")
		for name, p := range tables {
			if p == physical {
				return name, nil
			}
		}
	}
	return "", fault.New(fault.Internal, "dynamostore: %q is the stream of no table of this store", arn)
}

func valueOfStream(v streams.AttributeValue) (store.Value, string, error) {
	switch v := v.(type) {
	case *streams.AttributeValueMemberS:
		return store.S("", v.Value).Value, "", nil
	case *streams.AttributeValueMemberN:
		return integer(v.Value)
	case *streams.AttributeValueMemberB:
		return store.B("", v.Value).Value, "", nil
	case *streams.AttributeValueMemberBOOL:
		return store.Bool("", v.Value).Value, "", nil
	default:
		return store.Value{}, "", fmt.Errorf("the port has no value of the type %T", v)
	}
}

func valueOfEvent(v events.DynamoDBAttributeValue) (store.Value, string, error) {
	switch v.DataType() {
	case events.DataTypeString:
		return store.S("", v.String()).Value, "", nil
	case events.DataTypeNumber:
		return integer(v.Number())
	case events.DataTypeBinary:
		return store.B("", v.Binary()).Value, "", nil
	case events.DataTypeBoolean:
		return store.Bool("", v.Boolean()).Value, "", nil
	default:
		return store.Value{}, "", fmt.Errorf("the port has no value of the type %d", v.DataType())
	}
}
