package main

import (
	"slices"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsdynamodb"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awskms"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssecretsmanager"
	"github.com/aws/constructs-go/constructs/v10"
)

// The tables, by the store's names for them.
const (
	orders          = "orders"
	inventory       = "inventory"
	reservations    = "reservations"
	payments        = "payments"
	idempotency     = "idempotency"
	circuitBreakers = "circuit-breakers"
	notifications   = "notifications"
	erasures        = "erasures"
	contactKeys     = "contact-keys"
	provider        = "provider"
)

// expiresAt is the attribute of the end of an item's life, in Unix seconds: the store's.
const expiresAt = "expires_at"

// A table is one of the store's. All have a text pk and a text sk; the store's indexes are items beside the others, written in the same
// transaction, so there is no secondary index, which would lag behind.
type table struct {
	name    string
	expires bool // some items have an end
	stream  bool // what changes is handed on
	// forgets is of the table whose items must be gone when they are deleted: a point in time to restore to would bring them back.
	forgets bool
}

func (c Config) tables() []table {
	all := []table{
		{name: orders, stream: true},
		{name: inventory},
		{name: reservations},
		{name: payments},
		{name: idempotency, expires: true},
		{name: circuitBreakers},
		{name: notifications},
		{name: erasures},
		{name: contactKeys, forgets: true},
		{name: provider},
	}
	if !c.Simulator {
		all = slices.DeleteFunc(all, func(t table) bool { return t.name == provider })
	}
	return all
}

// A Database is the first stack. What is in it is retained: a stack that is destroyed, or rolled back in a hurry, takes no order with it.
type Database struct {
	stack      awscdk.Stack
	tables     map[string]awsdynamodb.Table
	dataKey    awskms.Key // of the tables, and of the signing keys
	contactKey awskms.Key // of contact-keys alone: who may read orders may not read those
	logsKey    awskms.Key
}

func newDatabase(app awscdk.App, c Config) *Database {
	d := &Database{tables: map[string]awsdynamodb.Table{}}
	d.stack = newStack(app, c, "CloudFlowDatabaseStack", "database", "CloudFlow: tables, encryption keys, signing keys")
	d.dataKey = newKey(d.stack, c, "DataKey", "data", "CloudFlow's tables and signing keys", awscdk.RemovalPolicy_RETAIN)
	d.contactKey = newKey(d.stack, c, "ContactKey", "contacts", "The keys under which CloudFlow seals contact data", awscdk.RemovalPolicy_RETAIN)
	// Log groups go with their stacks, and their key with them.
	d.logsKey = newKey(d.stack, c, "LogsKey", "logs", "CloudFlow's logs", awscdk.RemovalPolicy_DESTROY)
	allowLogs(d.stack, d.logsKey)
	for _, t := range c.tables() {
		d.tables[t.name] = d.newTable(c, t)
	}
	d.newSagaKeys(c)
	output(d.stack, "OrdersTableArn", d.tables[orders].TableArn(), "The orders, their events and their indexes")
	output(d.stack, "InventoryTableArn", d.tables[inventory].TableArn(), "Products and their stock")
	return d
}

func (d *Database) newTable(c Config, t table) awsdynamodb.Table {
	key := d.dataKey
	if t.name == contactKeys {
		key = d.contactKey
	}
	props := &awsdynamodb.TableProps{
		TableName:          str(c.name(t.name)),
		PartitionKey:       &awsdynamodb.Attribute{Name: str("pk"), Type: awsdynamodb.AttributeType_STRING},
		SortKey:            &awsdynamodb.Attribute{Name: str("sk"), Type: awsdynamodb.AttributeType_STRING},
		BillingMode:        awsdynamodb.BillingMode_PAY_PER_REQUEST,
		Encryption:         awsdynamodb.TableEncryption_CUSTOMER_MANAGED,
		EncryptionKey:      key,
		DeletionProtection: yes,
		RemovalPolicy:      awscdk.RemovalPolicy_RETAIN,
		PointInTimeRecoverySpecification: &awsdynamodb.PointInTimeRecoverySpecification{
			PointInTimeRecoveryEnabled: truth(!t.forgets),
		},
	}
	if t.expires {
		props.TimeToLiveAttribute = str(expiresAt)
	}
	if t.stream {
		props.Stream = awsdynamodb.StreamViewType_NEW_AND_OLD_IMAGES
	}
	return awsdynamodb.NewTable(d.stack, str(camel(t.name)+"Table"), props)
}

// sagaKeysID is the id of the first signing key, in the form that CloudFormation can draw: {"signing": "k1", "k1": "<64 hexadecimal
// digits>"}. Every member but signing is a key; a second one is added by hand and named in signing, and the first goes on verifying.
const sagaKeysID = "k1"

const notHexadecimal = "ghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"

// newSagaKeys draws the saga's first signing key. It never leaves Secrets Manager but for the functions that ask for it by name.
func (d *Database) newSagaKeys(c Config) {
	awssecretsmanager.NewSecret(d.stack, str("SagaKeys"), &awssecretsmanager.SecretProps{
		SecretName:    str(c.sagaKeys()),
		Description:   str("The keys that sign the input of CloudFlow's saga"),
		EncryptionKey: d.dataKey,
		// Deleted, its name would be taken for a week and more, and no execution under way could be verified.
		RemovalPolicy: awscdk.RemovalPolicy_RETAIN,
		GenerateSecretString: &awssecretsmanager.SecretStringGenerator{
			SecretStringTemplate: str(`{"signing":"` + sagaKeysID + `"}`),
			GenerateStringKey:    str(sagaKeysID),
			// 256 bits: what is left of all characters are the hexadecimal digits. They are said twice, since MiniStack knows the list alone.
			PasswordLength:          num(64),
			ExcludeCharacters:       str(notHexadecimal),
			ExcludeUppercase:        yes,
			ExcludePunctuation:      yes,
			IncludeSpace:            no,
			RequireEachIncludedType: no,
		},
	})
}

func (c Config) sagaKeys() string { return c.name("saga-keys") }

// newKey makes an encryption key that is renewed every year. Its policy leaves access to IAM, where each role names what it may use.
func newKey(stack awscdk.Stack, c Config, id, alias, description string, removal awscdk.RemovalPolicy) awskms.Key {
	key := awskms.NewKey(stack, &id, &awskms.KeyProps{
		Description:       str(description + " (" + c.Stage + ")"),
		EnableKeyRotation: yes,
		RemovalPolicy:     removal,
	})
	key.AddAlias(str("alias/" + c.name(alias)))
	return key
}

// allowLogs lets CloudWatch Logs encrypt with the key what goes into log groups of this account.
func allowLogs(stack awscdk.Stack, key awskms.Key) {
	key.AddToResourcePolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Principals: &[]awsiam.IPrincipal{awsiam.NewServicePrincipal(str("logs."+*stack.Region()+".amazonaws.com"), nil)},
		Actions:    strs("kms:Encrypt", "kms:Decrypt", "kms:ReEncryptFrom", "kms:ReEncryptTo", "kms:GenerateDataKey", "kms:DescribeKey"),
		Resources:  strs("*"), // in a key's policy this is the key
		Conditions: &map[string]any{"ArnLike": map[string]any{
			"kms:EncryptionContext:aws:logs:arn": arn(stack, "logs", "log-group:*"),
		}},
	}), nil)
}

// newLogGroup makes a log group of its own for each writer: 90 days, encrypted. It goes with its stack, since a name can be taken once only; what
// is kept for years stands in the tables.
func newLogGroup(scope constructs.Construct, id, name string, key awskms.IKey) awslogs.LogGroup {
	return awslogs.NewLogGroup(scope, &id, &awslogs.LogGroupProps{
		LogGroupName:  &name,
		Retention:     awslogs.RetentionDays_THREE_MONTHS, // 90 days
		EncryptionKey: key,
		RemovalPolicy: awscdk.RemovalPolicy_DESTROY,
	})
}
