package main

import (
	"slices"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awskms"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
)

// What can be done with items, one by one: never dynamodb:*. There is no Scan, since nothing reads a whole table, and no transaction, since
// DynamoDB asks for the parts' actions.
var (
	get     = []string{"dynamodb:GetItem"}
	getMany = []string{"dynamodb:GetItem", "dynamodb:BatchGetItem"}
	look    = []string{"dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:Query"}
	keep    = []string{
		"dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:Query",
		"dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:ConditionCheckItem",
	}
	keepAndDelete = append(keep[:len(keep):len(keep)], "dynamodb:DeleteItem")
	// record is what the idempotency records need: they end by themselves and are never listed.
	record = []string{"dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:ConditionCheckItem"}
)

// The namespaces of the idempotency table, as internal/idempotency writes them.
const (
	clientKeys   = "client#*"
	internalKeys = "internal#*"
)

// A function is one of those that the binary can be. It is told what it may use, by variables of its environment, and may do with that what
// its uses say. Its role is its own.
type function struct {
	name    string // also what CLOUDFLOW_HANDLER is
	does    string
	timeout time.Duration
	memory  float64 // MB; the share of a processor goes with it
	tables  []use
	env     map[string]string
	may     []permission
}

// A use is what a function does with a table.
type use struct {
	table   string
	actions []string
	keys    string // only items of which the pk looks like this; empty: all
}

// A permission is for what is no table.
type permission struct {
	actions   []string
	resources []string
	except    []string    // instead of resources: all but these
	key       awskms.IKey // under which it is encrypted, if any
	service   string      // through which alone the key may be used, such as sqs
	encrypts  bool
}

// functions make the functions of a stack.
type functions struct {
	stack awscdk.Stack
	c     Config
	db    *Database
}

func (f functions) add(fn function) awslambda.Function {
	name := f.c.name(fn.name)
	env := map[string]*string{"CLOUDFLOW_HANDLER": &fn.name, "CLOUDFLOW_STAGE": &f.c.Stage}
	for k, v := range fn.env {
		env[k] = str(v)
	}
	for _, u := range fn.tables {
		if f.db.tables[u.table] != nil {
			env[tableVariable(u.table)] = str(f.c.name(u.table))
		}
	}
	architecture := awslambda.Architecture_ARM_64()
	if f.c.Architecture == "x86_64" {
		architecture = awslambda.Architecture_X86_64()
	}
	role := f.role(fn)
	made := awslambda.NewFunction(f.stack, str(camel(fn.name)), &awslambda.FunctionProps{
		FunctionName: &name,
		Description:  &fn.does,
		Runtime:      awslambda.Runtime_PROVIDED_AL2023(),
		Architecture: architecture,
		Handler:      str("bootstrap"),
		Code:         awslambda.Code_FromAsset(&f.c.Asset, nil),
		Role:         role.WithoutPolicyUpdates(nil), // what it may do stands in its row: CDK adds nothing
		LogGroup:     newLogGroup(f.stack, camel(fn.name)+"Log", logGroupOf(f.c, fn.name), f.db.logsKey),
		Timeout:      seconds(fn.timeout),
		MemorySize:   &fn.memory,
		Tracing:      awslambda.Tracing_ACTIVE,
		Environment:  &env,
		// No reserved concurrency: it is taken from the account's, and a new account has none to give away.
	})
	made.Node().AddDependency(role) // and on its policy: an event source looks at once whether it may read
	return made
}

// role makes the function's role, which can do what the function's row says, write to its own log group, and send traces.
func (f functions) role(fn function) awsiam.Role {
	role := awsiam.NewRole(f.stack, str(camel(fn.name)+"Role"), &awsiam.RoleProps{
		RoleName:    str(f.c.name(fn.name) + "-" + *f.stack.Region()), // a role's name is taken in all regions
		Description: str("CloudFlow's " + fn.name),
		AssumedBy:   awsiam.NewServicePrincipal(str("lambda.amazonaws.com"), nil),
	})
	keys := keyring{}
	for _, u := range fn.tables {
		table := f.db.tables[u.table]
		if table == nil { // the simulator's, in a stage without it
			continue
		}
		props := &awsiam.PolicyStatementProps{Actions: strs(u.actions...), Resources: &[]*string{table.TableArn()}}
		if u.keys != "" {
			props.Conditions = &map[string]any{"ForAllValues:StringLike": map[string]any{"dynamodb:LeadingKeys": []any{u.keys}}}
		}
		role.AddToPolicy(awsiam.NewPolicyStatement(props))
		keys.need(table.EncryptionKey(), "dynamodb", u.writes())
	}
	for _, p := range append(fn.may, permission{
		// AWS's own policy for this could write to every log group.
		actions:   []string{"logs:CreateLogStream", "logs:PutLogEvents"},
		resources: []string{*logGroupARN(f.stack, logGroupOf(f.c, fn.name)) + ":*"},
	}, permission{
		actions:   []string{"xray:PutTraceSegments", "xray:PutTelemetryRecords"},
		resources: []string{"*"}, // X-Ray knows no resources
	}) {
		props := &awsiam.PolicyStatementProps{Actions: strs(f.c.spelled(p.actions)...)}
		if p.except != nil {
			props.NotResources = strs(p.except...)
		} else {
			props.Resources = strs(p.resources...)
		}
		role.AddToPolicy(awsiam.NewPolicyStatement(props))
		if p.key != nil {
			keys.need(p.key, p.service, p.encrypts)
		}
	}
	keys.give(f.stack, role)
	return role
}

// logGroupOf is where a function's lines go.
func logGroupOf(c Config, function string) string { return "/aws/lambda/" + c.name(function) }

func (u use) writes() bool {
	return slices.ContainsFunc(u.actions, func(a string) bool {
		return a == "dynamodb:PutItem" || a == "dynamodb:UpdateItem" || a == "dynamodb:DeleteItem"
	})
}

// tableVariable is CLOUDFLOW_TABLE_CIRCUIT_BREAKERS for circuit-breakers.
func tableVariable(table string) string {
	b := []byte("CLOUDFLOW_TABLE_" + table)
	for i, ch := range b {
		switch {
		case ch == '-':
			b[i] = '_'
		case 'a' <= ch && ch <= 'z':
			b[i] = ch - 'a' + 'A'
		}
	}
	return string(b)
}

// A keyring gathers which keys a role needs, so that each is given once. A key is given through one service: what the role may not read there, it
// cannot decrypt elsewhere either.
type keyring []*keyNeed

type keyNeed struct {
	key      awskms.IKey
	service  string
	encrypts bool
}

func (k *keyring) need(key awskms.IKey, service string, encrypts bool) {
	for _, n := range *k {
		if *n.key.KeyArn() == *key.KeyArn() && n.service == service {
			n.encrypts = n.encrypts || encrypts
			return
		}
	}
	*k = append(*k, &keyNeed{key, service, encrypts})
}

func (k keyring) give(stack awscdk.Stack, role awsiam.Role) {
	for _, n := range k {
		actions := []string{"kms:Decrypt", "kms:DescribeKey"}
		if n.encrypts {
			actions = append(actions, "kms:Encrypt", "kms:GenerateDataKey", "kms:ReEncryptFrom", "kms:ReEncryptTo")
		}
		role.AddToPolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
			Actions:    strs(actions...),
			Resources:  &[]*string{n.key.KeyArn()},
			Conditions: &map[string]any{"StringEquals": map[string]any{"kms:ViaService": n.service + "." + *stack.Region() + ".amazonaws.com"}},
		}))
	}
}
