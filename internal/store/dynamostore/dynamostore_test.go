package dynamostore

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"

	"github.com/utkarsh698/cloudflow/internal/awstest"
	"github.com/utkarsh698/cloudflow/internal/store"
	"github.com/utkarsh698/cloudflow/internal/store/storetest"
)

func TestStore(t *testing.T) {
	e := awstest.Start(t)
	storetest.Run(t, storetest.Config{
		Open: func(t *testing.T, feed func(store.Key) bool) store.Store {
			c := config(t, e.Config(), storetest.Table)
			c.Feed = feed
			return open(t, c)
		},
		NoReader: true, // a stream is read from a runner's cursor alone
		NoDump:   true, // DynamoDB has no scan of one moment
	})
}

// config is of a store with an empty table under that name, in the account of the emulator or of what stands before it.
func config(t testing.TB, account aws.Config, name string) Config {
	t.Helper()
	client := dynamodb.NewFromConfig(account)
	return Config{
		Client:       client,
		Tables:       map[string]string{name: makeTable(t, client, true)},
		Streams:      dynamodbstreams.NewFromConfig(account),
		Cursors:      makeTable(t, client, false),
		PollInterval: 5 * time.Millisecond,
		CallTimeout:  20 * time.Second, // of a busy machine
	}
}

func open(t testing.TB, c Config) *Store {
	t.Helper()
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var made atomic.Int64

// makeTable makes an empty table of the shape that Config.Tables asks for, and returns its name.
func makeTable(t testing.TB, client *dynamodb.Client, stream bool) string {
	t.Helper()
	in := &dynamodb.CreateTableInput{
		TableName:   aws.String(fmt.Sprint("table-", made.Add(1))),
		BillingMode: types.BillingModePayPerRequest,
		KeySchema: []types.KeySchemaElement{
			{AttributeName: aws.String(attrPK), KeyType: types.KeyTypeHash},
			{AttributeName: aws.String(attrSK), KeyType: types.KeyTypeRange},
		},
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: aws.String(attrPK), AttributeType: types.ScalarAttributeTypeS},
			{AttributeName: aws.String(attrSK), AttributeType: types.ScalarAttributeTypeS},
		},
	}
	if stream {
		in.StreamSpecification = &types.StreamSpecification{StreamEnabled: aws.Bool(true), StreamViewType: types.StreamViewTypeNewAndOldImages}
	}
	_, err := client.CreateTable(t.Context(), in)
	var made *types.ResourceInUseException // by this request, which the SDK has sent again
	if err != nil && !errors.As(err, &made) {
		t.Fatal(err)
	}
	return *in.TableName
}
