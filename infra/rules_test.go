package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A rule is a promise of the deployment. check says what breaks it, in the template as it is deployed. Each of breaks takes out of the synthesized
// template what the rule asks for; then this rule fails, and no other.
type rule struct {
	name   string
	check  func(d template) error
	breaks []func(t template)
}

func TestTheDeploymentKeepsItsRules(t *testing.T) {
	synthesized(t)
	d := prod.deployed()
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			if err := r.check(d); err != nil {
				t.Error(err)
			}
		})
	}
}

// A rule that nothing breaks holds nothing.
func TestEachRuleFailsAloneWhenItIsBroken(t *testing.T) {
	synthesized(t)
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			if len(r.breaks) == 0 {
				t.Fatal("nothing breaks it")
			}
			for i, breaks := range r.breaks {
				broken := prod.clone()
				breaks(broken)
				d := broken.deployed()
				var failed []string
				for _, other := range rules {
					if err := other.check(d); err != nil {
						failed = append(failed, other.name+": "+err.Error())
					}
				}
				if len(failed) != 1 || !strings.HasPrefix(failed[0], r.name+": ") {
					t.Errorf("break %d: these failed, and not this alone:\n%s", i, strings.Join(failed, "\n"))
				}
			}
		})
	}
}

const (
	tableType        = "AWS::DynamoDB::Table"
	keyType          = "AWS::KMS::Key"
	queueType        = "AWS::SQS::Queue"
	queuePolicyType  = "AWS::SQS::QueuePolicy"
	topicType        = "AWS::SNS::Topic"
	topicPolicyType  = "AWS::SNS::TopicPolicy"
	busType          = "AWS::Events::EventBus"
	ruleType         = "AWS::Events::Rule"
	functionType     = "AWS::Lambda::Function"
	mappingType      = "AWS::Lambda::EventSourceMapping"
	permissionType   = "AWS::Lambda::Permission"
	triesType        = "AWS::Lambda::EventInvokeConfig"
	roleType         = "AWS::IAM::Role"
	policyType       = "AWS::IAM::Policy"
	machineType      = "AWS::StepFunctions::StateMachine"
	logType          = "AWS::Logs::LogGroup"
	logPolicyType    = "AWS::Logs::ResourcePolicy"
	queryType        = "AWS::Logs::QueryDefinition"
	secretType       = "AWS::SecretsManager::Secret"
	apiType          = "AWS::ApiGateway::RestApi"
	stageType        = "AWS::ApiGateway::Stage"
	planType         = "AWS::ApiGateway::UsagePlan"
	apiKeyType       = "AWS::ApiGateway::ApiKey"
	planKeyType      = "AWS::ApiGateway::UsagePlanKey"
	firewallType     = "AWS::WAFv2::WebACL"
	associationType  = "AWS::WAFv2::WebACLAssociation"
	alarmType        = "AWS::CloudWatch::Alarm"
	dashboardType    = "AWS::CloudWatch::Dashboard"
	subscriptionType = "AWS::SNS::Subscription"
	traceGroupType   = "AWS::XRay::Group"
)

var rules = slices.Concat(databaseRules, messagingRules, sagaRules, accessRules, apiRules, monitoringRules, houseRules)

// each checks all resources of a kind, of which there is one at least.
func each(kind string, check func(r resource) error) func(d template) error {
	return func(d template) error {
		all := d.resources(kind)
		if len(all) == 0 {
			return errors.New("there is no " + kind)
		}
		for _, r := range all {
			if err := check(r); err != nil {
				return fmt.Errorf("%s: %w", r, err)
			}
		}
		return nil
	}
}

// is checks that a value is what is wanted, both as JSON.
func is(got, want any) error {
	g, _ := json.Marshal(got)
	w, _ := json.Marshal(want)
	if string(g) != string(w) {
		return fmt.Errorf("%s, want %s", g, w)
	}
	return nil
}

// without takes a property out of one resource.
func without(kind, name string, path ...any) func(t template) {
	return func(t template) {
		r := t.the(kind, name)
		parent := at(r.props, path[:len(path)-1]...).(map[string]any)
		last := path[len(path)-1].(string)
		if _, ok := parent[last]; !ok {
			panic(fmt.Sprintf("%s has no %v to take out", r, path))
		}
		delete(parent, last)
	}
}

// with sets a property of one resource.
func with(value any, kind, name string, path ...any) func(t template) {
	return func(t template) {
		r := t.the(kind, name)
		put(r.props, value, path...)
	}
}

func put(in any, value any, path ...any) {
	parent := at(in, path[:len(path)-1]...)
	switch last := path[len(path)-1].(type) {
	case string:
		parent.(map[string]any)[last] = value
	case int:
		parent.([]any)[last] = value
	}
}

var databaseRules = []rule{
	{
		name: "the tables are those of the store, with a text pk and a text sk and no index",
		check: func(d template) error {
			var got []string
			for _, r := range d.resources(tableType) {
				got = append(got, strings.TrimPrefix(r.name(), "cloudflow-"))
				if err := errors.Join(
					is(r.props["KeySchema"], []any{
						map[string]any{"AttributeName": "pk", "KeyType": "HASH"}, map[string]any{"AttributeName": "sk", "KeyType": "RANGE"},
					}),
					is(r.props["AttributeDefinitions"], []any{
						map[string]any{"AttributeName": "pk", "AttributeType": "S"}, map[string]any{"AttributeName": "sk", "AttributeType": "S"},
					}),
					is(r.props["GlobalSecondaryIndexes"], nil), is(r.props["LocalSecondaryIndexes"], nil),
				); err != nil {
					return fmt.Errorf("%s: %w", r, err)
				}
			}
			slices.Sort(got)
			return is(got, []any{
				"circuit-breakers", "contact-keys", "erasures", "idempotency", "inventory", "notifications", "orders", "payments", "reservations",
			})
		},
		breaks: []func(t template){
			with("N", tableType, "cloudflow-orders", "AttributeDefinitions", 1, "AttributeType"),
			with([]any{map[string]any{"IndexName": "by-customer"}}, tableType, "cloudflow-orders", "GlobalSecondaryIndexes"),
		},
	},
	{
		name:   "tables are paid for on demand",
		check:  each(tableType, func(r resource) error { return is(r.props["BillingMode"], "PAY_PER_REQUEST") }),
		breaks: []func(t template){without(tableType, "cloudflow-payments", "BillingMode")},
	},
	{
		name: "tables can be restored to any moment, but the contact keys, which must be gone when they are erased",
		check: each(tableType, func(r resource) error {
			return is(at(r.props, "PointInTimeRecoverySpecification", "PointInTimeRecoveryEnabled"), r.name() != "cloudflow-contact-keys")
		}),
		breaks: []func(t template){
			without(tableType, "cloudflow-orders", "PointInTimeRecoverySpecification"),
			with(true, tableType, "cloudflow-contact-keys", "PointInTimeRecoverySpecification", "PointInTimeRecoveryEnabled"),
		},
	},
	{
		name: "tables are encrypted under a key of ours, the contact keys under another than the rest",
		check: func(d template) error {
			for _, r := range d.resources(tableType) {
				want := "arn:aws:kms:us-east-1:123456789012:key/" + d.keyID("data")
				if r.name() == "cloudflow-contact-keys" {
					want = "arn:aws:kms:us-east-1:123456789012:key/" + d.keyID("contacts")
				}
				if err := is(r.props["SSESpecification"], map[string]any{"SSEEnabled": true, "SSEType": "KMS", "KMSMasterKeyId": want}); err != nil {
					return fmt.Errorf("%s: %w", r, err)
				}
			}
			return nil
		},
		breaks: []func(t template){
			without(tableType, "cloudflow-reservations", "SSESpecification"),
			func(t template) {
				key := at(t.the(tableType, "cloudflow-orders").props, "SSESpecification", "KMSMasterKeyId")
				put(t.the(tableType, "cloudflow-contact-keys").props, key, "SSESpecification", "KMSMasterKeyId")
			},
		},
	},
	{
		name:   "tables are protected from deletion",
		check:  each(tableType, func(r resource) error { return is(r.props["DeletionProtectionEnabled"], true) }),
		breaks: []func(t template){without(tableType, "cloudflow-inventory", "DeletionProtectionEnabled")},
	},
	{
		name: "tables, their keys and the signing keys outlive their stack",
		check: func(d template) error {
			for _, r := range append(d.resources(tableType, secretType), d.the(keyType, d.keyID("data")), d.the(keyType, d.keyID("contacts"))) {
				if err := errors.Join(is(r.raw["DeletionPolicy"], "Retain"), is(r.raw["UpdateReplacePolicy"], "Retain")); err != nil {
					return fmt.Errorf("%s: %w", r, err)
				}
			}
			return nil
		},
		breaks: []func(t template){
			func(t template) { delete(t.the(tableType, "cloudflow-orders").raw, "DeletionPolicy") },
			func(t template) { delete(t.the(tableType, "cloudflow-orders").raw, "UpdateReplacePolicy") },
			func(t template) { t.the(keyType, t.keyID("data")).raw["DeletionPolicy"] = "Delete" },
			func(t template) { t.the(secretType, "cloudflow-saga-keys").raw["DeletionPolicy"] = "Delete" },
		},
	},
	{
		name: "items of the idempotency table end at expires_at, and no other table's",
		check: each(tableType, func(r resource) error {
			var want any
			if r.name() == "cloudflow-idempotency" {
				want = map[string]any{"AttributeName": "expires_at", "Enabled": true}
			}
			return is(r.props["TimeToLiveSpecification"], want)
		}),
		breaks: []func(t template){
			without(tableType, "cloudflow-idempotency", "TimeToLiveSpecification"),
			with(map[string]any{"AttributeName": "expires_at", "Enabled": true}, tableType, "cloudflow-payments", "TimeToLiveSpecification"),
		},
	},
	{
		name: "the orders table hands on what changes, before and after",
		check: func(d template) error {
			return is(d.the(tableType, "cloudflow-orders").props["StreamSpecification"], map[string]any{"StreamViewType": "NEW_AND_OLD_IMAGES"})
		},
		breaks: []func(t template){
			without(tableType, "cloudflow-orders", "StreamSpecification"),
			with("KEYS_ONLY", tableType, "cloudflow-orders", "StreamSpecification", "StreamViewType"),
		},
	},
	{
		name:   "keys are renewed every year",
		check:  each(keyType, func(r resource) error { return is(r.props["EnableKeyRotation"], true) }),
		breaks: []func(t template){func(t template) { delete(t.the(keyType, t.keyID("messages")).props, "EnableKeyRotation") }},
	},
	{
		name: "the first signing key is drawn by Secrets Manager: 64 hexadecimal digits, under our key",
		check: each(secretType, func(r resource) error {
			g := func(name string) any { return at(r.props, "GenerateSecretString", name) }
			excluded, _ := g("ExcludeCharacters").(string)
			left := ""
			for ch := '!'; ch <= '~'; ch++ {
				if !strings.ContainsRune(excluded, ch) {
					left += string(ch)
				}
			}
			return errors.Join(is(g("PasswordLength"), 64), is(left, "0123456789abcdef"), is(g("ExcludeUppercase"), true),
				is(g("ExcludePunctuation"), true), is(g("IncludeSpace"), false), is(g("RequireEachIncludedType"), false),
				is(g("SecretStringTemplate"), `{"signing":"k1"}`), is(g("GenerateStringKey"), "k1"), is(r.props["Name"], "cloudflow-saga-keys"),
				some(r.props["KmsKeyId"]))
		}),
		breaks: []func(t template){
			with(16, secretType, "cloudflow-saga-keys", "GenerateSecretString", "PasswordLength"),
			without(secretType, "cloudflow-saga-keys", "KmsKeyId"),
		},
	},
}

func some(v any) error {
	if v == nil {
		return errors.New("it is absent")
	}
	return nil
}

// keyID is the logical id of the encryption key with an alias.
func (t template) keyID(alias string) string {
	target := t.the("AWS::KMS::Alias", "alias/cloudflow-"+alias).props["TargetKeyId"]
	if s, ok := target.(string); ok { // as it is deployed
		return s[strings.LastIndex(s, "/")+1:]
	}
	return at(target, "Fn::GetAtt", 0).(string)
}

const queueURL = "https://sqs.us-east-1.amazonaws.com/123456789012/"

var messagingRules = []rule{
	{
		name: "a message that was received three times goes to the dead letters",
		check: func(d template) error {
			return is(d.the(queueType, "cloudflow-notifications").props["RedrivePolicy"], map[string]any{
				"deadLetterTargetArn": "arn:aws:sqs:us-east-1:123456789012:cloudflow-notifications-dlq", "maxReceiveCount": 3,
			})
		},
		breaks: []func(t template){
			without(queueType, "cloudflow-notifications", "RedrivePolicy"),
			with(4, queueType, "cloudflow-notifications", "RedrivePolicy", "maxReceiveCount"),
		},
	},
	{
		name: "dead letters stay 14 days, and longer than where they come from",
		check: func(d template) error {
			for _, name := range []string{"notifications-dlq", "stream-dlq", "events-dlq"} {
				if err := is(d.the(queueType, "cloudflow-"+name).props["MessageRetentionPeriod"], 14*24*60*60); err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
			}
			return is(d.the(queueType, "cloudflow-notifications").props["MessageRetentionPeriod"], 4*24*60*60)
		},
		breaks: []func(t template){
			without(queueType, "cloudflow-notifications-dlq", "MessageRetentionPeriod"),
			without(queueType, "cloudflow-stream-dlq", "MessageRetentionPeriod"),
			without(queueType, "cloudflow-events-dlq", "MessageRetentionPeriod"),
		},
	},
	{
		name: "a message is hidden for six times as long as its consumer may take",
		check: func(d template) error {
			hidden, _ := d.the(queueType, "cloudflow-notifications").props["VisibilityTimeout"].(float64)
			takes, _ := d.the(functionType, "cloudflow-notification-handler").props["Timeout"].(float64)
			if takes == 0 || hidden < 6*takes {
				return fmt.Errorf("hidden for %g s, and the consumer has %g s", hidden, takes)
			}
			return nil
		},
		breaks: []func(t template){
			without(queueType, "cloudflow-notifications", "VisibilityTimeout"),
			with(31, functionType, "cloudflow-notification-handler", "Timeout"),
		},
	},
	{
		name: "queues, topics and the bus are encrypted under a key of ours",
		check: func(d template) error {
			for kind, property := range map[string]string{queueType: "KmsMasterKeyId", topicType: "KmsMasterKeyId", busType: "KmsKeyIdentifier"} {
				if err := each(kind, func(r resource) error {
					if key, _ := r.props[property].(string); !strings.HasPrefix(key, "arn:aws:kms:") {
						return errors.New("no key of ours")
					}
					return nil
				})(d); err != nil {
					return err
				}
			}
			return nil
		},
		breaks: []func(t template){
			without(queueType, "cloudflow-notifications", "KmsMasterKeyId"),
			with("alias/aws/sqs", queueType, "cloudflow-events-dlq", "KmsMasterKeyId"),
			without(topicType, "cloudflow-notifications", "KmsMasterKeyId"),
			without(topicType, "cloudflow-alarms", "KmsMasterKeyId"),
			without(busType, "cloudflow-events", "KmsKeyIdentifier"),
		},
	},
	{
		name: "queues and topics are spoken to over TLS only",
		check: func(d template) error {
			for _, of := range []struct{ kind, policy, list string }{{queueType, queuePolicyType, "Queues"}, {topicType, topicPolicyType, "Topics"}} {
				for _, r := range d.resources(of.kind) {
					refused := false
					for _, p := range d.resources(of.policy) {
						for _, s := range many(at(p.props, "PolicyDocument", "Statement")) {
							covers := slices.ContainsFunc(texts(p.props[of.list]), func(x string) bool { return strings.HasSuffix(x, r.name()) })
							refused = refused || covers && at(s, "Effect") == "Deny" && at(s, "Condition", "Bool", "aws:SecureTransport") == "false"
						}
					}
					if !refused {
						return fmt.Errorf("%s can be reached without", r)
					}
				}
			}
			return nil
		},
		breaks: []func(t template){
			withoutStatement(queuePolicyType, "NotificationDeadLettersPolicy", "Effect", "Deny"),
			withoutStatement(queuePolicyType, "NotificationsPolicy", "Effect", "Deny"),
			withoutStatement(topicPolicyType, "NotificationTopicPolicy", "Effect", "Deny"),
			withoutStatement(topicPolicyType, "AlarmsPolicy", "Effect", "Deny"),
		},
	},
	{
		name: "an event that a rule cannot bring to its target goes to the dead letters",
		check: each(ruleType, func(r resource) error {
			for _, target := range many(r.props["Targets"]) {
				if err := is(at(target, "DeadLetterConfig", "Arn"), "arn:aws:sqs:us-east-1:123456789012:cloudflow-events-dlq"); err != nil {
					return err
				}
			}
			return nil
		}),
		breaks: []func(t template){
			without(ruleType, "cloudflow-log-events", "Targets", 0, "DeadLetterConfig"),
			without(ruleType, "cloudflow-review", "Targets", 0, "DeadLetterConfig"),
			without(ruleType, "cloudflow-sweeper", "Targets", 0, "DeadLetterConfig"),
		},
	},
	{
		name: "the rules of this stage, and no others, may put dead letters there, under the key",
		check: func(d template) error {
			var want []string
			for _, r := range d.resources(ruleType) {
				bus := ""
				if b, ok := r.props["EventBusName"].(string); ok {
					bus = b + "/"
				}
				want = append(want, "arn:aws:events:us-east-1:123456789012:rule/"+bus+r.name())
			}
			slices.Sort(want)
			for _, of := range []struct {
				r        resource
				document string
				action   string
			}{
				{policyOf(d, queuePolicyType, "EventDeadLettersPolicy"), "PolicyDocument", "sqs:SendMessage"},
				{d.the(keyType, d.keyID("messages")), "KeyPolicy", "kms:GenerateDataKey"},
			} {
				var got []string
				for _, s := range many(at(of.r.props, of.document, "Statement")) {
					if at(s, "Principal", "Service") == "events.amazonaws.com" && slices.Contains(texts(at(s, "Action")), of.action) {
						got = append(got, texts(at(s, "Condition", "ArnEquals", "aws:SourceArn"))...)
					}
				}
				slices.Sort(got)
				if err := is(got, want); err != nil {
					return fmt.Errorf("%s: %w", of.r, err)
				}
			}
			return nil
		},
		breaks: []func(t template){
			withoutStatement(queuePolicyType, "EventDeadLettersPolicy", "Effect", "Allow"),
			func(t template) {
				for _, s := range many(at(t.the(keyType, t.keyID("messages")).props, "KeyPolicy", "Statement")) {
					if at(s, "Condition", "ArnEquals") != nil {
						put(s, []any{"arn:aws:events:us-east-1:123456789012:rule/*"}, "Condition", "ArnEquals", "aws:SourceArn")
					}
				}
			},
		},
	},
	{
		name: "the bus may use its key, and what is published is logged",
		check: func(d template) error {
			granted := false
			for _, s := range many(at(d.the(keyType, d.keyID("messages")).props, "KeyPolicy", "Statement")) {
				granted = granted || at(s, "Condition", "StringEquals", "aws:SourceArn") == "arn:aws:events:us-east-1:123456789012:event-bus/cloudflow-events"
			}
			if !granted {
				return errors.New("the key does not know the bus")
			}
			r := d.the(ruleType, "cloudflow-log-events")
			document, _ := d.the(logPolicyType, "cloudflow-events").props["PolicyDocument"].(string)
			for _, want := range []string{`"events.amazonaws.com"`, `"logs:PutLogEvents"`, `log-group:/aws/events/cloudflow-events:*"`, `rule/cloudflow-events/cloudflow-log-events"`} {
				if !strings.Contains(document, want) {
					return fmt.Errorf("EventBridge may not write: no %s in %s", want, document)
				}
			}
			return errors.Join(is(r.props["EventBusName"], "cloudflow-events"), is(r.props["EventPattern"], map[string]any{"account": []any{account}}),
				is(at(r.props, "Targets", 0, "Arn"), "arn:aws:logs:us-east-1:123456789012:log-group:/aws/events/cloudflow-events"))
		},
		breaks: []func(t template){
			with("", logPolicyType, "cloudflow-events", "PolicyDocument"),
			with("arn:aws:logs:us-east-1:123456789012:log-group:/aws/events/x", ruleType, "cloudflow-log-events", "Targets", 0, "Arn"),
		},
	},
}

// policyOf is the policy whose logical id begins with a name.
func policyOf(t template, kind, prefix string) resource {
	for _, r := range t.resources(kind) {
		if strings.HasPrefix(r.id, prefix) {
			return r
		}
	}
	panic("no " + prefix)
}

// withoutStatement takes the statements out of a policy in which something has a value.
func withoutStatement(kind, prefix string, member, value string) func(t template) {
	return func(t template) {
		document := policyOf(t, kind, prefix).props["PolicyDocument"].(map[string]any)
		before := many(document["Statement"])
		after := slices.DeleteFunc(slices.Clone(before), func(s any) bool { return at(s, member) == value })
		if len(after) == len(before) {
			panic("nothing to take out of " + prefix)
		}
		document["Statement"] = after
	}
}

var sagaRules = []rule{
	{
		name: "the machine is a standard one",
		check: func(d template) error {
			return is(d.the(machineType, "cloudflow-saga").props["StateMachineType"], "STANDARD")
		},
		breaks: []func(t template){with("EXPRESS", machineType, "cloudflow-saga", "StateMachineType")},
	},
	{
		name: "the machine is traced",
		check: func(d template) error {
			return is(d.the(machineType, "cloudflow-saga").props["TracingConfiguration"], map[string]any{"Enabled": true})
		},
		breaks: []func(t template){without(machineType, "cloudflow-saga", "TracingConfiguration")},
	},
	{
		name: "the machine logs everything that happens, and nothing of what it is about",
		check: func(d template) error {
			return is(d.the(machineType, "cloudflow-saga").props["LoggingConfiguration"], map[string]any{
				"Level": "ALL", "IncludeExecutionData": false, "Destinations": []any{map[string]any{"CloudWatchLogsLogGroup": map[string]any{
					"LogGroupArn": "arn:aws:logs:us-east-1:123456789012:log-group:/aws/vendedlogs/states/cloudflow-saga:*",
				}}},
			})
		},
		breaks: []func(t template){
			with("ERROR", machineType, "cloudflow-saga", "LoggingConfiguration", "Level"),
			with(true, machineType, "cloudflow-saga", "LoggingConfiguration", "IncludeExecutionData"),
		},
	},
	{
		name: "what is deployed is order.asl.json, byte for byte, with the functions' ARNs put in",
		check: func(d template) error {
			const at = "arn:aws:lambda:us-east-1:123456789012:function:cloudflow-"
			// This is what saga.Definition does for one process.
			want := strings.NewReplacer("${InventoryHandlerArn}", at+"inventory-handler", "${OrderHandlerArn}", at+"order-handler",
				"${PaymentHandlerArn}", at+"payment-handler").Replace(sagaFile)
			m := d.the(machineType, "cloudflow-saga")
			got, _ := m.props["DefinitionString"].(string)
			if got != sagaFile {
				return errors.New("the definition is not the file")
			}
			substitutions, _ := m.props["DefinitionSubstitutions"].(map[string]any)
			for name, value := range substitutions {
				got = strings.ReplaceAll(got, "${"+name+"}", fmt.Sprint(value))
			}
			if got != want || strings.Contains(got, "${") {
				return errors.New("with its substitutions it is another definition")
			}
			return nil
		},
		breaks: []func(t template){
			func(t template) {
				p := t.the(machineType, "cloudflow-saga").props
				p["DefinitionString"] = p["DefinitionString"].(string) + "\n"
			},
			without(machineType, "cloudflow-saga", "DefinitionSubstitutions", "PaymentHandlerArn"),
			func(t template) {
				s := t.the(machineType, "cloudflow-saga").props["DefinitionSubstitutions"].(map[string]any)
				s["OrderHandlerArn"] = s["InventoryHandlerArn"]
			},
		},
	},
	{
		name: "a batch that failed in part is repeated in part",
		check: each(mappingType, func(r resource) error {
			return is(r.props["FunctionResponseTypes"], []any{"ReportBatchItemFailures"})
		}),
		breaks: []func(t template){
			without(mappingType, "ReadQueue", "FunctionResponseTypes"),
			without(mappingType, "ReadStream", "FunctionResponseTypes"),
		},
	},
	{
		name: "the queue is read by the notification handler, with few at a time",
		check: func(d template) error {
			r := d.the(mappingType, "ReadQueue")
			return errors.Join(is(r.props["EventSourceArn"], "arn:aws:sqs:us-east-1:123456789012:cloudflow-notifications"),
				is(r.props["FunctionName"], "cloudflow-notification-handler"), is(at(r.props, "ScalingConfig", "MaximumConcurrency"), 10))
		},
		breaks: []func(t template){without(mappingType, "ReadQueue", "ScalingConfig")},
	},
	{
		name: "the stream is read from its beginning, several orders at once, events alone",
		check: func(d template) error {
			r := d.the(mappingType, "ReadStream")
			return errors.Join(is(r.props["EventSourceArn"], "arn:aws:dynamodb:us-east-1:123456789012:table/cloudflow-orders/stream/now"),
				is(r.props["FunctionName"], "cloudflow-stream"),
				is(r.props["StartingPosition"], "TRIM_HORIZON"), is(r.props["ParallelizationFactor"], 10),
				is(r.props["FilterCriteria"], map[string]any{"Filters": []any{map[string]any{
					"Pattern": `{"dynamodb":{"Keys":{"sk":{"S":[{"prefix":"event#"}]}}},"eventName":["INSERT"]}`,
				}}}))
		},
		breaks: []func(t template){
			with("LATEST", mappingType, "ReadStream", "StartingPosition"),
			without(mappingType, "ReadStream", "ParallelizationFactor"),
			without(mappingType, "ReadStream", "FilterCriteria"),
		},
	},
	{
		name: "a record that fails is looked for by halving, and given up on while it can still be read",
		check: func(d template) error {
			p := d.the(mappingType, "ReadStream").props
			age, _ := p["MaximumRecordAgeInSeconds"].(float64)
			if age <= 0 || age > 20*60*60 {
				return fmt.Errorf("given up on after %g s, of 24 h that it lives", age)
			}
			return errors.Join(is(p["BisectBatchOnFunctionError"], true), some(p["MaximumRetryAttempts"]),
				is(at(p, "DestinationConfig", "OnFailure", "Destination"), "arn:aws:sqs:us-east-1:123456789012:cloudflow-stream-dlq"))
		},
		breaks: []func(t template){
			without(mappingType, "ReadStream", "BisectBatchOnFunctionError"),
			without(mappingType, "ReadStream", "DestinationConfig"),
			without(mappingType, "ReadStream", "MaximumRecordAgeInSeconds"),
		},
	},
	{
		name: "sweeper, expirer and dlq are called each minute",
		check: func(d template) error {
			for _, name := range []string{"sweeper", "expirer", "dlq"} {
				p := d.the(ruleType, "cloudflow-"+name).props
				if err := errors.Join(is(p["ScheduleExpression"], "rate(1 minute)"), is(p["State"], "ENABLED"),
					is(at(p, "Targets", 0, "Arn"), "arn:aws:lambda:us-east-1:123456789012:function:cloudflow-"+name)); err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
			}
			return nil
		},
		breaks: []func(t template){
			with("rate(1 hour)", ruleType, "cloudflow-sweeper", "ScheduleExpression"),
			with("DISABLED", ruleType, "cloudflow-expirer", "State"),
		},
	},
	{
		name: "review hears of this machine's executions that failed, and of no others",
		check: func(d template) error {
			p := d.the(ruleType, "cloudflow-review").props
			return errors.Join(is(at(p, "Targets", 0, "Arn"), "arn:aws:lambda:us-east-1:123456789012:function:cloudflow-review"),
				is(p["EventPattern"], map[string]any{
					"source": []any{"aws.states"}, "detail-type": []any{"Step Functions Execution Status Change"},
					"detail": map[string]any{
						"status": []any{"FAILED", "TIMED_OUT", "ABORTED"}, "stateMachineArn": []any{"arn:aws:states:us-east-1:123456789012:stateMachine:cloudflow-saga"},
					},
				}))
		},
		breaks: []func(t template){
			without(ruleType, "cloudflow-review", "EventPattern", "detail", "stateMachineArn"),
			with([]any{"FAILED"}, ruleType, "cloudflow-review", "EventPattern", "detail", "status"),
		},
	},
	{
		name: "an event that review fails on goes to the dead letters, and a call of the clock is not made twice",
		check: func(d template) error {
			for _, name := range []string{"sweeper", "expirer", "dlq", "review"} {
				again, letters := 0, any(nil)
				if name == "review" {
					again, letters = 2, "arn:aws:sqs:us-east-1:123456789012:cloudflow-events-dlq"
				}
				p := d.the(triesType, camel(name)+"Tries").props
				if err := errors.Join(is(p["FunctionName"], "cloudflow-"+name), is(p["MaximumRetryAttempts"], again),
					is(at(p, "DestinationConfig", "OnFailure", "Destination"), letters)); err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
			}
			return nil
		},
		breaks: []func(t template){
			without(triesType, "ReviewTries", "DestinationConfig"),
			without(triesType, "SweeperTries", "MaximumRetryAttempts"),
		},
	},
	{
		name: "the saga gives its tasks longer than the functions that do them",
		check: func(d template) error {
			var machine struct {
				States map[string]struct {
					Resource       string
					TimeoutSeconds float64
				}
			}
			if err := json.Unmarshal([]byte(sagaFile), &machine); err != nil {
				return err
			}
			for name, s := range machine.States {
				// A task of order-handler is repeated without harm, so it may be given up on: its time is for callers who wait.
				for resource, function := range map[string]string{"${InventoryHandlerArn}": "inventory-handler", "${PaymentHandlerArn}": "payment-handler"} {
					takes, _ := d.the(functionType, "cloudflow-"+function).props["Timeout"].(float64)
					if s.Resource == resource && (takes == 0 || takes >= s.TimeoutSeconds) {
						return fmt.Errorf("%s has %g s, and its function %g s", name, s.TimeoutSeconds, takes)
					}
				}
			}
			return nil
		},
		breaks: []func(t template){with(20, functionType, "cloudflow-payment-handler", "Timeout")},
	},
	{
		name: "functions are the one binary, in no other runtime, on arm64",
		check: each(functionType, func(r resource) error {
			return errors.Join(is(r.props["Runtime"], "provided.al2023"), is(r.props["Handler"], "bootstrap"), is(r.props["Architectures"], []any{"arm64"}))
		}),
		breaks: []func(t template){
			without(functionType, "cloudflow-sweeper", "Architectures"),
			with("nodejs22.x", functionType, "cloudflow-stream", "Runtime"),
		},
	},
	{
		name: "functions are told which they are and what they use, and nothing else",
		check: func(d template) error {
			got := map[string]string{}
			for _, r := range d.resources(functionType) {
				env, _ := at(r.props, "Environment", "Variables").(map[string]any)
				got[strings.TrimPrefix(r.name(), "cloudflow-")] = strings.Join(slices.Sorted(maps.Keys(env)), " ")
				if err := errors.Join(is(env["CLOUDFLOW_HANDLER"], strings.TrimPrefix(r.name(), "cloudflow-")), is(env["CLOUDFLOW_STAGE"], "prod")); err != nil {
					return fmt.Errorf("%s: %w", r, err)
				}
			}
			want := map[string]string{}
			for name, more := range environments {
				names := strings.Fields("CLOUDFLOW_HANDLER CLOUDFLOW_STAGE " + more)
				slices.Sort(names)
				want[name] = strings.Join(names, " ")
			}
			return is(got, want)
		},
		breaks: []func(t template){
			without(functionType, "cloudflow-order-handler", "Environment", "Variables", "CLOUDFLOW_TABLE_ORDERS"),
			with("order-handler", functionType, "cloudflow-payment-handler", "Environment", "Variables", "CLOUDFLOW_HANDLER"),
			with("cloudflow-payments", functionType, "cloudflow-sweeper", "Environment", "Variables", "CLOUDFLOW_TABLE_PAYMENTS"),
		},
	},
	{
		name: "variables hold what they are named for",
		check: func(d template) error {
			want := map[string]string{
				"CLOUDFLOW_STATE_MACHINE_ARN": "arn:aws:states:us-east-1:123456789012:stateMachine:cloudflow-saga",
				"CLOUDFLOW_QUEUE_URL":         queueURL + "cloudflow-notifications",
				"CLOUDFLOW_DLQ_URL":           queueURL + "cloudflow-notifications-dlq",
				"CLOUDFLOW_TOPIC_ARN":         "arn:aws:sns:us-east-1:123456789012:cloudflow-notifications",
				"CLOUDFLOW_EVENT_BUS":         "cloudflow-events",
				"CLOUDFLOW_SAGA_KEYS_SECRET":  "cloudflow-saga-keys",
				"CLOUDFLOW_AUTH":              "jwt",
				"CLOUDFLOW_JWT_ISSUER":        "https://id.shop.example/",
				"CLOUDFLOW_JWT_AUDIENCE":      "cloudflow",
				"CLOUDFLOW_JWT_KEYS":          "https://id.shop.example/keys",
				"CLOUDFLOW_CURRENCY":          "USD",
				"CLOUDFLOW_CORS_ORIGINS":      "https://shop.example,https://admin.shop.example",
			}
			for _, r := range d.resources(functionType) {
				env, _ := at(r.props, "Environment", "Variables").(map[string]any)
				for name, value := range env {
					wanted, told := want[name]
					if table, ok := strings.CutPrefix(name, "CLOUDFLOW_TABLE_"); ok {
						wanted, told = "cloudflow-"+strings.ReplaceAll(strings.ToLower(table), "_", "-"), true
					}
					if told && value != wanted {
						return fmt.Errorf("%s: %s is %v, want %s", r, name, value, wanted)
					}
				}
			}
			return nil
		},
		breaks: []func(t template){
			with("cloudflow-payments", functionType, "cloudflow-order-handler", "Environment", "Variables", "CLOUDFLOW_TABLE_ORDERS"),
			with("none", functionType, "cloudflow-authorizer", "Environment", "Variables", "CLOUDFLOW_AUTH"),
		},
	},
	{
		name:   "functions are traced",
		check:  each(functionType, func(r resource) error { return is(at(r.props, "TracingConfig", "Mode"), "Active") }),
		breaks: []func(t template){without(functionType, "cloudflow-inventory-handler", "TracingConfig")},
	},
	{
		name: "rules and the interface may call the functions, and nobody else's rules or interfaces",
		check: func(d template) error {
			got := map[string]string{}
			for _, r := range d.resources(permissionType) {
				name := fmt.Sprint(r.props["FunctionName"])
				got[fmt.Sprint(r.props["Principal"], " ", name[strings.LastIndex(name, ":")+1:])] = fmt.Sprint(r.props["SourceArn"])
			}
			const rule, api = "arn:aws:events:us-east-1:123456789012:rule/cloudflow-", "arn:aws:execute-api:us-east-1:123456789012:abc123/"
			want := map[string]string{"apigateway.amazonaws.com cloudflow-authorizer": api + "authorizers/*"}
			for _, name := range []string{"sweeper", "expirer", "dlq", "review"} {
				want["events.amazonaws.com cloudflow-"+name] = rule + name
			}
			for _, name := range []string{"order-handler", "inventory-handler", "payment-handler"} {
				want["apigateway.amazonaws.com cloudflow-"+name] = api + "*/*/*"
			}
			return is(got, want)
		},
		breaks: []func(t template){
			without(permissionType, "SweeperPermission", "SourceArn"),
			without(permissionType, "OrderHandlerPermission", "SourceArn"),
		},
	},
}

// environments are the variables of each function beside its own name and the stage.
var environments = map[string]string{
	"order-handler": `CLOUDFLOW_AUTH CLOUDFLOW_CORS_ORIGINS CLOUDFLOW_CURRENCY CLOUDFLOW_DLQ_URL CLOUDFLOW_QUEUE_URL CLOUDFLOW_SAGA_KEYS_SECRET
		CLOUDFLOW_STATE_MACHINE_ARN CLOUDFLOW_TABLE_CIRCUIT_BREAKERS CLOUDFLOW_TABLE_CONTACT_KEYS CLOUDFLOW_TABLE_ERASURES CLOUDFLOW_TABLE_IDEMPOTENCY
		CLOUDFLOW_TABLE_INVENTORY CLOUDFLOW_TABLE_ORDERS`,
	"inventory-handler": `CLOUDFLOW_AUTH CLOUDFLOW_CORS_ORIGINS CLOUDFLOW_SAGA_KEYS_SECRET CLOUDFLOW_TABLE_IDEMPOTENCY CLOUDFLOW_TABLE_INVENTORY
		CLOUDFLOW_TABLE_RESERVATIONS`,
	"payment-handler": `CLOUDFLOW_AUTH CLOUDFLOW_CORS_ORIGINS CLOUDFLOW_CURRENCY CLOUDFLOW_SAGA_KEYS_SECRET CLOUDFLOW_TABLE_CIRCUIT_BREAKERS
		CLOUDFLOW_TABLE_IDEMPOTENCY CLOUDFLOW_TABLE_PAYMENTS`,
	"notification-handler": `CLOUDFLOW_QUEUE_URL CLOUDFLOW_TABLE_CONTACT_KEYS CLOUDFLOW_TABLE_NOTIFICATIONS CLOUDFLOW_TOPIC_ARN`,
	"stream":               `CLOUDFLOW_EVENT_BUS CLOUDFLOW_SAGA_KEYS_SECRET CLOUDFLOW_STATE_MACHINE_ARN CLOUDFLOW_TABLE_ORDERS`,
	"sweeper":              `CLOUDFLOW_SAGA_KEYS_SECRET CLOUDFLOW_STATE_MACHINE_ARN CLOUDFLOW_TABLE_IDEMPOTENCY CLOUDFLOW_TABLE_ORDERS`,
	"expirer":              `CLOUDFLOW_TABLE_INVENTORY CLOUDFLOW_TABLE_ORDERS CLOUDFLOW_TABLE_RESERVATIONS`,
	"review":               `CLOUDFLOW_STATE_MACHINE_ARN CLOUDFLOW_TABLE_ORDERS`,
	"dlq":                  `CLOUDFLOW_DLQ_URL`,
	"authorizer":           `CLOUDFLOW_AUTH CLOUDFLOW_JWT_AUDIENCE CLOUDFLOW_JWT_ISSUER CLOUDFLOW_JWT_KEYS`,
}

// houseRules are about all stacks.
var houseRules = []rule{
	{
		name: "the stacks are the five, and say what the specification's deployment says",
		check: func(d template) error {
			want := map[string]map[string]string{
				"cloudflow-database": {
					"OrdersTableArn":    "arn:aws:dynamodb:us-east-1:123456789012:table/cloudflow-orders",
					"InventoryTableArn": "arn:aws:dynamodb:us-east-1:123456789012:table/cloudflow-inventory",
				},
				"cloudflow-messaging": {
					"NotificationQueueUrl": queueURL + "cloudflow-notifications",
					"EventBusArn":          "arn:aws:events:us-east-1:123456789012:event-bus/cloudflow-events",
				},
				"cloudflow-saga": {
					"SagaStateMachineArn": "arn:aws:states:us-east-1:123456789012:stateMachine:cloudflow-saga",
					"SagaStateMachineUrl": "https://console.aws.amazon.com/states/home?region=us-east-1#/statemachines/view/arn:aws:states:us-east-1:123456789012:stateMachine:cloudflow-saga",
				},
				"cloudflow-api": {
					"ApiUrl":                  "https://abc123.execute-api.us-east-1.amazonaws.com/prod",
					"OrderServiceFunctionArn": "arn:aws:lambda:us-east-1:123456789012:function:cloudflow-order-handler",
				},
				"cloudflow-monitoring": {
					"DashboardUrl": "https://console.aws.amazon.com/cloudwatch/home?region=us-east-1#dashboards:name=CloudFlow",
				},
			}
			if err := is(slices.Sorted(maps.Keys(d)), slices.Sorted(maps.Keys(want))); err != nil {
				return err
			}
			for stack, outputs := range want {
				for name, value := range outputs {
					if err := is(at(d[stack], "Outputs", name, "Value"), value); err != nil {
						return fmt.Errorf("%s of %s: %w", name, stack, err)
					}
				}
			}
			return nil
		},
		breaks: []func(t template){
			func(t template) { delete(t["cloudflow-database"]["Outputs"].(map[string]any), "OrdersTableArn") },
			func(t template) { delete(t["cloudflow-database"]["Outputs"].(map[string]any), "InventoryTableArn") },
			func(t template) { delete(t["cloudflow-messaging"]["Outputs"].(map[string]any), "NotificationQueueUrl") },
			func(t template) { delete(t["cloudflow-messaging"]["Outputs"].(map[string]any), "EventBusArn") },
			func(t template) { delete(t["cloudflow-saga"]["Outputs"].(map[string]any), "SagaStateMachineArn") },
			func(t template) { delete(t["cloudflow-saga"]["Outputs"].(map[string]any), "SagaStateMachineUrl") },
			func(t template) { delete(t["cloudflow-api"]["Outputs"].(map[string]any), "ApiUrl") },
			func(t template) { delete(t["cloudflow-api"]["Outputs"].(map[string]any), "OrderServiceFunctionArn") },
			func(t template) { delete(t["cloudflow-monitoring"]["Outputs"].(map[string]any), "DashboardUrl") },
		},
	},
	{
		name: "physical names begin with the project's",
		check: func(d template) error {
			for _, r := range d.resources() {
				for _, property := range names {
					name, ok := r.props[property].(string)
					if !ok || r.kind == policyType || r.kind == stageType || r.kind == permissionType {
						continue
					}
					if !projectName.MatchString(name) {
						return fmt.Errorf("%s: %s", r.kind, name)
					}
				}
			}
			return nil
		},
		breaks: []func(t template){with("telling", subscriptionType, "AlarmEmail", "TopicName")},
	},
	{
		name: "everything that can be says which project and stage it is of",
		check: func(d template) error {
			for _, kind := range []string{tableType, keyType, queueType, topicType, busType, functionType, machineType, roleType, logType, apiType, stageType, firewallType, secretType} {
				if err := each(kind, func(r resource) error {
					return is(r.props["Tags"], []any{map[string]any{"Key": "project", "Value": "cloudflow"}, map[string]any{"Key": "stage", "Value": "prod"}})
				})(d); err != nil {
					return err
				}
			}
			return nil
		},
		breaks: []func(t template){without(queueType, "cloudflow-notifications", "Tags")},
	},
	{
		name:  "log groups are kept for 90 days",
		check: each(logType, func(r resource) error { return is(r.props["RetentionInDays"], 90) }),
		breaks: []func(t template){
			without(logType, "/aws/lambda/cloudflow-order-handler", "RetentionInDays"),
			with(365, logType, "/aws/apigateway/cloudflow-api", "RetentionInDays"),
		},
	},
	{
		name: "log groups are encrypted under the logs' key, which CloudWatch Logs may use",
		check: func(d template) error {
			want := "arn:aws:kms:us-east-1:123456789012:key/" + d.keyID("logs")
			if err := each(logType, func(r resource) error { return is(r.props["KmsKeyId"], want) })(d); err != nil {
				return err
			}
			for _, s := range many(at(d.the(keyType, d.keyID("logs")).props, "KeyPolicy", "Statement")) {
				if at(s, "Principal", "Service") == "logs.us-east-1.amazonaws.com" {
					return is(at(s, "Condition", "ArnLike", "kms:EncryptionContext:aws:logs:arn"), "arn:aws:logs:us-east-1:123456789012:log-group:*")
				}
			}
			return errors.New("CloudWatch Logs may not use the key")
		},
		breaks: []func(t template){
			without(logType, "/aws/vendedlogs/states/cloudflow-saga", "KmsKeyId"),
			func(t template) {
				policy := t.the(keyType, t.keyID("logs")).props["KeyPolicy"].(map[string]any)
				policy["Statement"] = many(policy["Statement"])[:1]
			},
		},
	},
	{
		name: "there is no custom resource: what is deployed is what is written here",
		check: func(d template) error {
			for _, r := range d.resources() {
				if strings.HasPrefix(r.kind, "Custom::") || r.kind == "AWS::CloudFormation::CustomResource" {
					return fmt.Errorf("%s", r)
				}
			}
			for _, r := range d.resources(functionType) {
				if _, known := environments[strings.TrimPrefix(r.name(), "cloudflow-")]; !known {
					return fmt.Errorf("%s is none of ours", r)
				}
			}
			return nil
		},
		breaks: []func(t template){func(t template) {
			t["cloudflow-saga"]["Resources"].(map[string]any)["Waiter"] = map[string]any{"Type": "Custom::Waiter", "Properties": map[string]any{}}
		}},
	},
	{
		name: "no secret stands in a template",
		check: func(d template) error {
			for _, r := range d.resources() {
				if r.kind == secretType && r.props["SecretString"] != nil {
					return fmt.Errorf("%s has its text in it", r)
				}
				if r.kind == apiKeyType && r.props["Value"] != nil {
					return fmt.Errorf("%s has its text in it", r)
				}
				raw, _ := json.Marshal(r.props)
				if m := secretLike.FindString(string(raw)); m != "" {
					return fmt.Errorf("%s: %s", r, m)
				}
			}
			return nil
		},
		breaks: []func(t template){
			with("s3cret", secretType, "cloudflow-saga-keys", "SecretString"),
			with("abcdefghijklmnopqrstuvwxyz", apiKeyType, "cloudflow-client-web", "Value"),
			func(t template) {
				put(t.the(functionType, "cloudflow-payment-handler").props, "with sk_live_51H8abcdefghijklmnop", "Description")
			},
		},
	},
}

var (
	projectName = regexp.MustCompile(`^(alias/|/aws/[a-z]+/|/aws/vendedlogs/states/)?cloudflow-|^CloudFlow(/|$)|^\$LATEST$`)
	secretLike  = regexp.MustCompile(`sk_(live|test)_\w+|AKIA[0-9A-Z]{16}|-----BEGIN|\{\{resolve:|"[0-9a-f]{64}"`)
)
