package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// What each function may do with items: R reads them (GetItem, BatchGetItem, Query), W writes them (PutItem, UpdateItem, ConditionCheckItem).
// The two exceptions to "no function reads another service's table" are marked.
var tableAccess = map[string]map[string]string{
	"order-handler": {
		"orders": "R W DeleteItem", "idempotency": "GetItem W in client#*", "contact-keys": "GetItem PutItem DeleteItem", "erasures": "R W",
		"inventory":        "GetItem BatchGetItem", // exception 1: admission looks at stock
		"circuit-breakers": "GetItem",              // exception 1: and at the breakers
	},
	"inventory-handler": {"inventory": "R W", "reservations": "R W DeleteItem", "idempotency": "GetItem W in client#*"},
	"payment-handler":   {"payments": "R W", "circuit-breakers": "R W", "idempotency": "GetItem W in internal#*"},
	"notification-handler": {
		"notifications": "R W", "contact-keys": "GetItem",
	},
	"stream":  {"orders": "R"},
	"sweeper": {"orders": "R W DeleteItem", "idempotency": "GetItem W in client#*"},
	"expirer": {
		"inventory": "R W", "reservations": "R W DeleteItem",
		"orders": "GetItem", // exception 2: the outcome of an order whose stock is held for long
	},
	"review":     {"orders": "R W"},
	"dlq":        {},
	"authorizer": {},
}

// What each function may do with what is no table, by the ends of ARNs. Logs, traces and keys have rules of their own.
var otherAccess = map[string]map[string]string{
	"order-handler": {
		"secret:cloudflow-saga-keys-??????": "secretsmanager:GetSecretValue",
		"execution:cloudflow-saga:*":        "states:DescribeExecution states:GetExecutionHistory",
		"stateMachine:cloudflow-saga":       "states:ListExecutions",
		"cloudflow-notifications":           "sqs:SendMessage",
		"cloudflow-notifications-dlq":       "sqs:ChangeMessageVisibility sqs:DeleteMessage sqs:GetQueueAttributes sqs:ReceiveMessage",
	},
	"inventory-handler": {"secret:cloudflow-saga-keys-??????": "secretsmanager:GetSecretValue"},
	"payment-handler":   {"secret:cloudflow-saga-keys-??????": "secretsmanager:GetSecretValue"},
	"notification-handler": {
		"sqs cloudflow-notifications": "sqs:ChangeMessageVisibility sqs:DeleteMessage sqs:GetQueueAttributes sqs:ReceiveMessage",
		"sns cloudflow-notifications": "sns:Publish",
	},
	"stream": {
		"secret:cloudflow-saga-keys-??????": "secretsmanager:GetSecretValue",
		"execution:cloudflow-saga:*":        "states:DescribeExecution states:GetExecutionHistory",
		"stateMachine:cloudflow-saga":       "states:StartExecution",
		"table/cloudflow-orders/stream/now": "dynamodb:DescribeStream dynamodb:GetRecords dynamodb:GetShardIterator dynamodb:ListStreams",
		"event-bus/cloudflow-events":        "events:PutEvents",
		"cloudflow-stream-dlq":              "sqs:SendMessage",
	},
	"sweeper": {
		"secret:cloudflow-saga-keys-??????": "secretsmanager:GetSecretValue",
		"execution:cloudflow-saga:*":        "states:DescribeExecution states:GetExecutionHistory",
		"stateMachine:cloudflow-saga":       "states:StartExecution",
	},
	"expirer":    {},
	"review":     {"cloudflow-events-dlq": "sqs:SendMessage"},
	"dlq":        {"cloudflow-notifications-dlq": "sqs:GetQueueAttributes"},
	"authorizer": {},
}

// A statement is one of a role's.
type statement struct {
	actions, resources []string
	condition          any
}

// roleOf is the name of a function's role, and what it may do.
func (t template) roleOf(function string) (string, []statement) {
	arn := fmt.Sprint(t.the(functionType, "cloudflow-"+function).props["Role"])
	name := arn[strings.LastIndex(arn, "/")+1:]
	return name, t.statements(name)
}

// statements are those of the policies of a role.
func (t template) statements(role string) []statement {
	var out []statement
	for _, p := range t.resources(policyType) {
		if !slices.Contains(texts(p.props["Roles"]), role) {
			continue
		}
		for _, s := range many(at(p.props, "PolicyDocument", "Statement")) {
			if at(s, "Effect") == "Allow" {
				out = append(out, statement{texts(at(s, "Action")), texts(at(s, "Resource")), at(s, "Condition")})
			}
		}
	}
	return out
}

// spell writes actions on items as tableAccess has them.
func spell(actions []string, condition any) string {
	has := map[string]bool{}
	for _, a := range actions {
		has[strings.TrimPrefix(a, "dynamodb:")] = true
	}
	var out []string
	for short, long := range map[string][]string{"R": {"GetItem", "BatchGetItem", "Query"}, "W": {"PutItem", "UpdateItem", "ConditionCheckItem"}} {
		if !slices.ContainsFunc(long, func(a string) bool { return !has[a] }) {
			out = append(out, short)
			for _, a := range long {
				delete(has, a)
			}
		}
	}
	order := []string{"R", "GetItem", "BatchGetItem", "Query", "W", "PutItem", "UpdateItem", "ConditionCheckItem", "DeleteItem"}
	out = append(out, slices.Collect(maps.Keys(has))...)
	slices.SortFunc(out, func(a, b string) int { return slices.Index(order, a) - slices.Index(order, b) })
	text := strings.Join(out, " ")
	if keys := texts(at(condition, "ForAllValues:StringLike", "dynamodb:LeadingKeys")); keys != nil {
		text += " in " + strings.Join(keys, " ")
	} else if condition != nil {
		text += fmt.Sprint(" if ", condition)
	}
	return text
}

// onTables reports whether a statement is about a table's items.
func (s statement) onTables() bool {
	return slices.ContainsFunc(s.resources, func(r string) bool { return strings.Contains(r, ":table/") && !strings.Contains(r, "/stream/") })
}

// about reports whether all actions are of a service.
func (s statement) about(service string) bool {
	return !slices.ContainsFunc(s.actions, func(a string) bool { return !strings.HasPrefix(a, service+":") })
}

// rolesPolicy is the policy of a function's role, in the synthesized template.
func (t template) rolesPolicy(function string) resource {
	return policyOf(t, policyType, camel(function)+"Role")
}

// addStatement lets a function do something more.
func addStatement(function string, s map[string]any) func(t template) {
	return func(t template) {
		document := t.rolesPolicy(function).props["PolicyDocument"].(map[string]any)
		s["Effect"] = "Allow"
		document["Statement"] = append(many(document["Statement"]), s)
	}
}

// changeStatement changes the first statement of a function's role that has an action.
func changeStatement(function, action string, change func(s map[string]any)) func(t template) {
	return func(t template) {
		for _, s := range many(at(t.rolesPolicy(function).props, "PolicyDocument", "Statement")) {
			if slices.Contains(texts(at(s, "Action")), action) {
				change(s.(map[string]any))
				return
			}
		}
		panic(function + " may not " + action)
	}
}

const tableARN = "arn:aws:dynamodb:us-east-1:123456789012:table/cloudflow-"

var accessRules = []rule{
	{
		name: "each function has a role of its own, with no policy but its own",
		check: func(d template) error {
			seen := map[string]string{}
			for function := range tableAccess {
				role, _ := d.roleOf(function)
				if seen[role] != "" {
					return fmt.Errorf("%s and %s share %s", seen[role], function, role)
				}
				seen[role] = function
				r := d.the(roleType, role)
				if err := errors.Join(is(r.props["ManagedPolicyArns"], nil), is(r.props["Policies"], nil), is(r.props["RoleName"], "cloudflow-"+function+"-us-east-1")); err != nil {
					return fmt.Errorf("%s: %w", function, err)
				}
			}
			return nil
		},
		breaks: []func(t template){
			with([]any{"arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole"}, roleType, "cloudflow-sweeper-us-east-1", "ManagedPolicyArns"),
		},
	},
	{
		name: "a function does with tables what its row says: with its service's own, and the two exceptions",
		check: func(d template) error {
			for function, want := range tableAccess {
				got := map[string]string{}
				_, statements := d.roleOf(function)
				for _, s := range statements {
					if s.onTables() {
						for _, r := range s.resources {
							got[strings.TrimPrefix(r, tableARN)] += spell(s.actions, s.condition)
						}
					}
				}
				if err := is(got, want); err != nil {
					return fmt.Errorf("%s: %w", function, err)
				}
			}
			return nil
		},
		breaks: []func(t template){
			addStatement("inventory-handler", map[string]any{"Action": "dynamodb:GetItem", "Resource": tableARN + "payments"}),
			addStatement("order-handler", map[string]any{"Action": "dynamodb:PutItem", "Resource": tableARN + "inventory"}),
			// the shared table: without a condition a function reads the others' records
			changeStatement("payment-handler", "dynamodb:GetItem", func(s map[string]any) { s["Action"] = []any{"dynamodb:GetItem"} }),
			func(t template) {
				for _, s := range many(at(t.rolesPolicy("order-handler").props, "PolicyDocument", "Statement")) {
					if at(s, "Condition", "ForAllValues:StringLike") != nil {
						delete(s.(map[string]any), "Condition")
					}
				}
			},
		},
	},
	{
		name: "a function does with everything else what its row says",
		check: func(d template) error {
			for function, want := range otherAccess {
				got := map[string]string{}
				_, statements := d.roleOf(function)
				for _, s := range statements {
					if s.onTables() || s.about("logs") || s.about("xray") || s.about("kms") {
						continue
					}
					actions := slices.Clone(s.actions)
					slices.Sort(actions)
					for _, r := range s.resources {
						parts := strings.SplitN(r, ":", 6) // arn, partition, service, region, account, name
						name := parts[len(parts)-1]
						if service := parts[min(2, len(parts)-1)]; want[service+" "+name] != "" {
							name = service + " " + name // a queue and a topic have one name
						}
						got[name] += strings.Join(actions, " ")
					}
				}
				if err := is(got, want); err != nil {
					return fmt.Errorf("%s: %w", function, err)
				}
			}
			return nil
		},
		breaks: []func(t template){
			addStatement("expirer", map[string]any{"Action": "states:StartExecution", "Resource": "arn:aws:states:us-east-1:123456789012:stateMachine:cloudflow-saga"}),
			addStatement("authorizer", map[string]any{"Action": "secretsmanager:GetSecretValue", "Resource": "arn:aws:secretsmanager:us-east-1:123456789012:secret:cloudflow-saga-keys-??????"}),
			changeStatement("stream", "events:PutEvents", func(s map[string]any) { s["Action"] = "events:PutRule" }),
		},
	},
	{
		name: "no action and no resource is a wildcard, but where AWS knows no resources",
		check: func(d template) error {
			for _, p := range d.resources(policyType) {
				for _, s := range many(at(p.props, "PolicyDocument", "Statement")) {
					for _, a := range texts(at(s, "Action")) {
						if strings.Contains(a, "*") {
							return fmt.Errorf("%s: %s", p.id, a)
						}
					}
					for _, r := range texts(at(s, "Resource")) {
						deliveries := strings.HasPrefix(p.id, "MachineRole") && statement{actions: texts(at(s, "Action"))}.about("logs")
						if r == "*" && !deliveries && !(statement{actions: texts(at(s, "Action"))}).about("xray") {
							return fmt.Errorf("%s: %v on all resources", p.id, at(s, "Action"))
						}
					}
				}
			}
			return nil
		},
		breaks: []func(t template){
			changeStatement("sweeper", "xray:PutTraceSegments", func(s map[string]any) {
				s["Action"] = []any{"xray:PutTraceSegments", "xray:PutTelemetryRecords", "xray:*"}
			}),
			func(t template) {
				t["cloudflow-api"]["Resources"].(map[string]any)["More"] = map[string]any{"Type": policyType, "Properties": map[string]any{
					"Roles":          []any{"GatewayLogsRole"},
					"PolicyDocument": map[string]any{"Statement": []any{map[string]any{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}}},
				}}
			}},
	},
	{
		name: "nothing is allowed by what it is not, but an SMS to any number, which no topic's ARN is",
		check: func(d template) error {
			var got []string
			for _, p := range d.resources(policyType) {
				for _, s := range many(at(p.props, "PolicyDocument", "Statement")) {
					if except := texts(at(s, "NotResource")); except != nil || at(s, "NotAction") != nil {
						got = append(got, fmt.Sprintf("%s %v %v", strings.Split(p.id, "Role")[0], texts(at(s, "Action")), except))
					}
				}
			}
			return is(got, []any{"NotificationHandler [sns:Publish] [arn:aws:sns:*:*:*]"})
		},
		breaks: []func(t template){
			addStatement("dlq", map[string]any{"Action": "sns:Publish", "NotResource": "arn:aws:sns:*:*:x"}),
			func(t template) {
				for _, s := range many(at(t.rolesPolicy("notification-handler").props, "PolicyDocument", "Statement")) {
					if at(s, "NotResource") != nil {
						put(s, "arn:aws:sqs:*:*:*", "NotResource")
					}
				}
			},
		},
	},
	{
		name: "a function sends traces, and writes to its own log group alone",
		check: func(d template) error {
			for function := range tableAccess {
				var logs, traces []string
				_, statements := d.roleOf(function)
				for _, s := range statements {
					switch {
					case s.about("logs"):
						logs = append(logs, strings.Join(s.actions, " ")+" "+strings.Join(s.resources, " "))
					case s.about("xray"):
						traces = append(traces, s.actions...)
					}
				}
				group := "/aws/lambda/cloudflow-" + function
				want := "logs:CreateLogStream logs:PutLogEvents arn:aws:logs:us-east-1:123456789012:log-group:" + group + ":*"
				if err := errors.Join(is(logs, []any{want}), some(traces), is(at(d.the(functionType, "cloudflow-"+function).props, "LoggingConfig", "LogGroup"), group)); err != nil {
					return fmt.Errorf("%s: %w", function, err)
				}
				if !slices.Contains(traces, "xray:PutTraceSegments") {
					return fmt.Errorf("%s: no traces", function)
				}
			}
			return nil
		},
		breaks: []func(t template){
			changeStatement("review", "logs:PutLogEvents", func(s map[string]any) {
				s["Resource"] = "arn:aws:logs:us-east-1:123456789012:log-group:/aws/lambda/cloudflow-order-handler:*"
			}),
			changeStatement("stream", "xray:PutTraceSegments", func(s map[string]any) { s["Action"] = "xray:PutTelemetryRecords" }),
			without(functionType, "cloudflow-dlq", "LoggingConfig"),
		},
	},
	{
		name: "a function uses the keys of what it uses, each through one service alone",
		check: func(d template) error {
			for function, tables := range tableAccess {
				got := map[string]bool{}
				_, statements := d.roleOf(function)
				for _, s := range statements {
					if !s.about("kms") {
						continue
					}
					service, ok := at(s.condition, "StringEquals", "kms:ViaService").(string)
					if !ok {
						return fmt.Errorf("%s uses a key by itself", function)
					}
					for _, r := range s.resources {
						name := r[strings.LastIndex(r, "/")+1:]
						got[strings.TrimSuffix(service, ".us-east-1.amazonaws.com")+" "+name] = slices.Contains(s.actions, "kms:GenerateDataKey")
					}
				}
				want := map[string]bool{}
				for table, access := range tables {
					key := "dynamodb " + d.keyID("data")
					if table == "contact-keys" {
						key = "dynamodb " + d.keyID("contacts")
					}
					want[key] = want[key] || strings.Contains(access, "W") || strings.Contains(access, "PutItem")
				}
				for resource, actions := range otherAccess[function] {
					switch {
					case strings.HasPrefix(resource, "secret:"):
						want["secretsmanager "+d.keyID("data")] = false
					case strings.Contains(actions, "sqs:SendMessage"):
						want["sqs "+d.keyID("messages")] = true
					case strings.Contains(actions, "sqs:ReceiveMessage"):
						want["sqs "+d.keyID("messages")] = want["sqs "+d.keyID("messages")]
					case strings.Contains(actions, "sns:Publish"):
						want["sns "+d.keyID("messages")] = true
					}
				}
				if err := is(got, want); err != nil {
					return fmt.Errorf("%s: %w", function, err)
				}
			}
			return nil
		},
		breaks: []func(t template){
			changeStatement("notification-handler", "kms:Decrypt", func(s map[string]any) { delete(s, "Condition") }),
			changeStatement("stream", "kms:GenerateDataKey", func(s map[string]any) { s["Action"] = "kms:Decrypt" }),
		},
	},
	{
		name: "the machine calls its three functions, and nothing else",
		check: func(d template) error {
			var got []string
			for _, s := range d.statements("cloudflow-saga-us-east-1") {
				if !s.about("logs") && !s.about("xray") {
					got = append(got, strings.Join(s.actions, " "))
					got = append(got, s.resources...)
				}
			}
			const at = "arn:aws:lambda:us-east-1:123456789012:function:cloudflow-"
			return is(got, []any{"lambda:InvokeFunction", at + "inventory-handler", at + "order-handler", at + "payment-handler"})
		},
		breaks: []func(t template){func(t template) {
			s := many(at(policyOf(t, policyType, "MachineRole").props, "PolicyDocument", "Statement"))[0].(map[string]any)
			s["Resource"] = append(many(s["Resource"]), "arn:aws:lambda:us-east-1:123456789012:function:cloudflow-sweeper")
		}},
	},
}
