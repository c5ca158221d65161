package pii_test

import (
	"bytes"
	"errors"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/utkarsh698/cloudflow/internal/awstest"
	"github.com/utkarsh698/cloudflow/internal/pii"
	"github.com/utkarsh698/cloudflow/internal/store/dynamostore"
)

func TestStoreKeysOnDynamoDB(t *testing.T) {
	client := dynamodb.NewFromConfig(awstest.Start(t).Config())
	if _, err := client.CreateTable(t.Context(), &dynamodb.CreateTableInput{
		TableName: aws.String("keys"), BillingMode: types.BillingModePayPerRequest,
		KeySchema: []types.KeySchemaElement{
			{AttributeName: aws.String("pk"), KeyType: types.KeyTypeHash}, {AttributeName: aws.String("sk"), KeyType: types.KeyTypeRange},
		},
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: aws.String("pk"), AttributeType: types.ScalarAttributeTypeS}, {AttributeName: aws.String("sk"), AttributeType: types.ScalarAttributeTypeS},
		},
	}); err != nil {
		t.Fatal(err)
	}
	open := func() pii.Keys { // each is a process
		s, err := dynamostore.New(dynamostore.Config{Client: client, Tables: map[string]string{pii.KeyTable: "keys"}})
		if err != nil {
			t.Fatal(err)
		}
		return pii.NewStoreKeys(s)
	}
	keys := make([][]byte, 8)
	var wg sync.WaitGroup
	for i := range keys {
		wg.Go(func() {
			var err error
			if keys[i], err = open().Key("cust-1", true); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, key := range keys {
		if len(key) != pii.KeySize || !bytes.Equal(key, keys[0]) {
			t.Fatal("two processes have two keys")
		}
	}
	sealed, err := pii.Seal(open(), "cust-1", []byte("jane@example.com"))
	if err != nil {
		t.Fatal(err)
	}
	if text, err := pii.Open(open(), "cust-1", sealed); err != nil || string(text) != "jane@example.com" {
		t.Errorf("%q, %v", text, err)
	}
	if err := open().Erase("cust-1"); err != nil {
		t.Fatal(err)
	}
	if _, err := pii.Open(open(), "cust-1", sealed); !errors.Is(err, pii.ErrErased) {
		t.Errorf("after the erasure: %v", err)
	}
}
