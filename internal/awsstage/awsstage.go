// Package awsstage opens a stage of CloudFlow that `make deploy` has deployed to AWS, from outside of its functions: for the commands of a person
// who has credentials there, such as `cloudflow verify --aws`.
//
// What stands in a stage is found by its names, which infra/ makes from the stage's own: nothing has to be given but that. It promises to write nothing by
// itself, and to say with a hint what is missing: credentials, a region, the stage, or the permission to look.
package awsstage

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go/logging"

	"github.com/utkarsh698/cloudflow/internal/awscall"
	"github.com/utkarsh698/cloudflow/internal/awssecrets"
	"github.com/utkarsh698/cloudflow/internal/breaker"
	"github.com/utkarsh698/cloudflow/internal/bus/awsbus"
	"github.com/utkarsh698/cloudflow/internal/idempotency"
	"github.com/utkarsh698/cloudflow/internal/inventory"
	"github.com/utkarsh698/cloudflow/internal/notification"
	"github.com/utkarsh698/cloudflow/internal/order"
	"github.com/utkarsh698/cloudflow/internal/payment"
	"github.com/utkarsh698/cloudflow/internal/pii"
	"github.com/utkarsh698/cloudflow/internal/provider"
	"github.com/utkarsh698/cloudflow/internal/saga"
	"github.com/utkarsh698/cloudflow/internal/sfn"
	"github.com/utkarsh698/cloudflow/internal/store/dynamostore"
)

// Production is the stage whose names have no stage in them, as in infra/config.go.
const Production = "prod"

// tables are the last part of each table's name in the account, by what the store calls it. They are those of infra/database.go.
var tables = map[string]string{
	order.Table:                 "orders",
	inventory.Table:             "inventory",
	inventory.ReservationsTable: "reservations",
	payment.Table:               "payments",
	idempotency.Table:           "idempotency",
	breaker.Table:               "circuit-breakers",
	notification.Table:          "notifications",
	order.ErasuresTable:         "erasures",
	pii.KeyTable:                "contact-keys",
}

// TableNames are the tables' names in the account, by what the store calls them: all that every stage has.
func TableNames(stage string) map[string]string {
	names := make(map[string]string, len(tables))
	for table, of := range tables {
		names[table] = Name(stage, of)
	}
	return names
}

// The last parts of other names.
const (
	providerTable = "provider"
	queue         = "notifications"
	deadLetters   = "notifications-dlq"
	machine       = "saga"
	sagaKeys      = "saga-keys"
)

var stagePattern = regexp.MustCompile(`^[a-z][a-z0-9]{1,15}$`)

// CheckStage refuses what is no name of a stage.
func CheckStage(stage string) error {
	if !stagePattern.MatchString(stage) {
		return fmt.Errorf("%q is no stage: a lower-case letter, then 1 to 15 of a-z and 0-9, as it was deployed with", stage)
	}
	return nil
}

// Name is what something of the stage is called in the account: cloudflow-orders in prod, cloudflow-dev-orders in dev.
func Name(stage, of string) string {
	if stage == Production {
		return "cloudflow-" + of
	}
	return "cloudflow-" + stage + "-" + of
}

// A Stage is what stands in a stage, each with its client.
type Stage struct {
	Name, Account, Region string

	Store    *dynamostore.Store // all tables but the simulated provider's
	Provider *dynamostore.Store // the simulated provider's own; nil: payments are not simulated in this stage
	Queue    *awsbus.Queue      // the notifications, with their dead letters
	Machine  *sfn.Machine       // the saga; it signs with Keys
	Keys     *saga.Keys         // the stage's; nil if it was only looked at
	machine  sfn.Config
}

// Config finds credentials and the region where the AWS CLI finds them: in the environment, in its files, in its sessions
// (https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html). AWS_ENDPOINT_URL leads to an emulator. The SDK logs nothing: what is to be
// said is in an error.
func Config(ctx context.Context) (aws.Config, error) {
	c, err := config.LoadDefaultConfig(ctx, config.WithLogger(logging.Nop{}))
	switch {
	case err != nil:
		return aws.Config{}, fmt.Errorf("AWS: %w", err)
	case c.Region == "":
		return aws.Config{}, errors.New("AWS: no region is set: AWS_REGION=eu-west-1, or a profile that has one (AWS_PROFILE)")
	}
	if _, err := c.Credentials.Retrieve(ctx); err != nil {
		return aws.Config{}, fmt.Errorf("AWS: no credentials: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run `aws login`: %w", err)
	}
	return c, nil
}

// Look opens the stage for who only reads: without the signing keys, which such a person need not be allowed to have. It reads what the stage's tables and
// queues are called.
func Look(ctx context.Context, c aws.Config, stage string) (*Stage, error) {
	if err := CheckStage(stage); err != nil {
		return nil, err
	}
	s := &Stage{Name: stage, Region: c.Region}
	client := dynamodb.NewFromConfig(awscall.Bounded(c, awscall.Limits{}))
	ordersARN, err := s.table(ctx, client, tables[order.Table])
	if err != nil {
		return nil, err
	}
	s.Account = ordersARN.AccountID
	if err := s.openStores(ctx, client); err != nil {
		return nil, err
	}
	machineARN := arn.ARN{
		Partition: ordersARN.Partition, Service: "states", Region: ordersARN.Region, AccountID: s.Account, Resource: "stateMachine:" + Name(stage, machine),
	}
	s.machine = sfn.Config{ARN: machineARN.String()}
	if s.Machine, err = sfn.Open(c, s.machine); err != nil {
		return nil, err
	}
	if err := s.openQueue(ctx, c); err != nil {
		return nil, err
	}
	return s, nil
}

// Open is Look, with the stage's signing keys: its machine can start executions.
func Open(ctx context.Context, c aws.Config, stage string) (*Stage, error) {
	s, err := Look(ctx, c, stage)
	if err != nil {
		return nil, err
	}
	secret := awssecrets.Open(c, awssecrets.Config{ID: Name(stage, sagaKeys)})
	if s.Keys, err = saga.FollowKeys(awssecrets.Parse(secret, saga.ParseKeys).Follow); err != nil {
		return nil, fmt.Errorf("the signing keys %s: %w", Name(stage, sagaKeys), err)
	}
	s.machine.Keys = s.Keys
	s.Machine, err = sfn.Open(c, s.machine)
	return s, err
}

// table asks for a table of the stage, and says what to do where it is not.
func (s *Stage) table(ctx context.Context, client *dynamodb.Client, of string) (arn.ARN, error) {
	name := Name(s.Name, of)
	out, err := client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &name})
	var none *types.ResourceNotFoundException
	switch {
	case errors.As(err, &none):
		return arn.ARN{}, fmt.Errorf("the stage %q is not in %s: there is no table %s (deploy it with `make deploy STAGE=%s`, or name another with --stage): %w",
			s.Name, s.Region, name, s.Name, err)
	case err != nil:
		return arn.ARN{}, awscall.Fault(err, "the table "+name)
	}
	return arn.Parse(aws.ToString(out.Table.TableArn))
}

func (s *Stage) openStores(ctx context.Context, client *dynamodb.Client) error {
	var err error
	if s.Store, err = dynamostore.New(dynamostore.Config{Client: client, Tables: TableNames(s.Name)}); err != nil {
		return err
	}
	var none *types.ResourceNotFoundException
	if _, err := s.table(ctx, client, providerTable); errors.As(err, &none) {
		return nil
	} else if err != nil {
		return err
	}
	s.Provider, err = dynamostore.New(dynamostore.Config{Client: client, Tables: map[string]string{provider.Table: Name(s.Name, providerTable)}})
	return err
}

func (s *Stage) openQueue(ctx context.Context, c aws.Config) error {
	client := sqs.NewFromConfig(awscall.Bounded(c, awscall.Limits{}))
	urls := make([]string, 0, 2)
	for _, of := range []string{queue, deadLetters} {
		name := Name(s.Name, of)
		out, err := client.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: &name})
		if err != nil {
			return awscall.Fault(err, "the queue "+name)
		}
		urls = append(urls, aws.ToString(out.QueueUrl))
	}
	s.Queue = awsbus.Open(c, awsbus.Config{URL: urls[0], DeadURL: urls[1]})
	return nil
}

// String is the stage as a person knows it.
func (s *Stage) String() string {
	return strings.Join([]string{s.Name, s.Account, s.Region}, " / ")
}
