package main

import (
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsstepfunctions"
)

// The functions of this stack. The authorizer is the interface's, and stands with it.
const (
	orderHandler        = "order-handler"
	inventoryHandler    = "inventory-handler"
	paymentHandler      = "payment-handler"
	notificationHandler = "notification-handler"
	streamHandler       = "stream"
	sweeper             = "sweeper"
	expirer             = "expirer"
	reviewer            = "review"
	deadLetterCounter   = "dlq"
)

const reviewRule = "review"

// A Saga is the third stack: the functions, what wakes them, and the machine that leads them.
type Saga struct {
	stack     awscdk.Stack
	functions map[string]awslambda.Function
	machine   awsstepfunctions.StateMachine
}

func newSaga(app awscdk.App, c Config, db *Database, m *Messaging, definition string) *Saga {
	s := &Saga{
		stack:     newStack(app, c, "CloudFlowSagaStack", "saga", "CloudFlow: the services' functions and the order saga"),
		functions: map[string]awslambda.Function{},
	}
	f := functions{s.stack, c, db}
	for _, fn := range s.rows(c, db, m) {
		s.functions[fn.name] = f.add(fn)
	}
	s.newMachine(c, db, definition)
	s.readQueue(m)
	s.readStream(db, m)
	s.callOnEvents(c, m)
	output(s.stack, "SagaStateMachineArn", s.machine.StateMachineArn(), "The order saga")
	output(s.stack, "SagaStateMachineUrl", str("https://console.aws.amazon.com/states/home?region="+*s.stack.Region()+
		"#/statemachines/view/"+*s.machine.StateMachineArn()), "The order saga in the console")
	return s
}

// rows are the functions, and all that each may do. "No function reads another service's table" has two exceptions: an order is admitted after a
// look at stock and breakers, and the expirer asks for an order's outcome.
func (s *Saga) rows(c Config, db *Database, m *Messaging) []function {
	g := s.grants(c, db, m)
	return append(s.services(c, m, g), s.watchmen(db, m, g)...)
}

// grants are what several functions are given alike.
type grants struct {
	keysEnv, machineEnv, deadLettersEnv, payEnv map[string]string

	signingKeys, readSagas, listSagas, startSagas permission
}

func (s *Saga) grants(c Config, db *Database, m *Messaging) grants {
	// Named and not referred to: the machine refers to the functions.
	machine := arn(s.stack, "states", "stateMachine:"+c.name("saga"))
	executions := arn(s.stack, "states", "execution:"+c.name("saga")+":*")
	return grants{
		keysEnv:        map[string]string{"CLOUDFLOW_SAGA_KEYS_SECRET": c.sagaKeys()},
		machineEnv:     map[string]string{"CLOUDFLOW_STATE_MACHINE_ARN": machine},
		deadLettersEnv: map[string]string{"CLOUDFLOW_DLQ_URL": *m.deadLetters.QueueUrl()},
		payEnv:         map[string]string{"CLOUDFLOW_CURRENCY": c.Currency},

		signingKeys: permission{ // by name: Secrets Manager puts six characters behind it
			actions:   []string{"secretsmanager:GetSecretValue"},
			resources: []string{arn(s.stack, "secretsmanager", "secret:"+c.sagaKeys()+"-??????")},
			key:       db.dataKey, service: "secretsmanager",
		},
		readSagas: permission{
			actions:   []string{"states:DescribeExecution", "states:GetExecutionHistory"},
			resources: []string{executions},
		},
		listSagas:  permission{actions: []string{"states:ListExecutions"}, resources: []string{machine}},
		startSagas: permission{actions: []string{"states:StartExecution"}, resources: []string{machine}},
	}
}

// services are the functions of the four services.
func (s *Saga) services(c Config, m *Messaging, g grants) []function {
	return []function{
		{
			name: orderHandler, does: "Orders: their part of the HTTP interface, and their tasks in the saga",
			// A caller may wait 20 s for its order, and API Gateway gives up after 29 s.
			timeout: 25 * time.Second, memory: 512,
			tables: []use{
				{table: orders, actions: keepAndDelete},
				{table: idempotency, actions: record, keys: clientKeys},
				{table: contactKeys, actions: []string{"dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:DeleteItem"}},
				{table: erasures, actions: keep},
				{table: inventory, actions: getMany},   // exception: admission
				{table: circuitBreakers, actions: get}, // exception: admission
			},
			env: merge(c.callers(), g.keysEnv, g.machineEnv, g.deadLettersEnv, g.payEnv, map[string]string{"CLOUDFLOW_QUEUE_URL": *m.queue.QueueUrl()}),
			may: []permission{
				g.signingKeys, g.readSagas, g.listSagas,
				{
					actions: []string{"sqs:SendMessage"}, resources: []string{*m.queue.QueueArn()},
					key: m.key, service: "sqs", encrypts: true,
				},
				{ // an operator looks at the dead letters, and sends them again
					actions:   []string{"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueAttributes"},
					resources: []string{*m.deadLetters.QueueArn()}, key: m.key, service: "sqs",
				},
			},
		},
		{
			name: inventoryHandler, does: "Products and stock: their part of the HTTP interface, and their tasks in the saga",
			timeout: 12 * time.Second, memory: 512,
			tables: []use{
				{table: inventory, actions: keep},
				{table: reservations, actions: keepAndDelete},
				{table: idempotency, actions: record, keys: clientKeys}, // restock
			},
			env: merge(c.callers(), g.keysEnv),
			may: []permission{g.signingKeys},
		},
		{
			name: paymentHandler, does: "Payments and circuit breakers: their operators' routes, and their tasks in the saga",
			// Opening a payment may take 3 s and capturing it 8 s; the saga gives a task 20 s.
			timeout: 12 * time.Second, memory: 512,
			tables: []use{
				{table: payments, actions: keep},
				{table: circuitBreakers, actions: keep},
				{table: provider, actions: keep},
				{table: idempotency, actions: record, keys: internalKeys},
			},
			env: merge(c.callers(), g.keysEnv, g.payEnv),
			may: []permission{g.signingKeys},
		},
		{
			name: notificationHandler, does: "Tells customers how their orders ended",
			timeout: notificationTimeout, memory: 256,
			tables: []use{
				{table: notifications, actions: keep},
				{table: contactKeys, actions: get},
			},
			env: map[string]string{"CLOUDFLOW_TOPIC_ARN": *m.topic.TopicArn(), "CLOUDFLOW_QUEUE_URL": *m.queue.QueueUrl()},
			may: []permission{
				{
					actions:   []string{"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueAttributes"},
					resources: []string{*m.queue.QueueArn()}, key: m.key, service: "sqs",
				},
				{
					actions: []string{"sns:Publish"}, resources: []string{*m.topic.TopicArn()},
					key: m.key, service: "sns", encrypts: true,
				},
				{ // an SMS: a telephone number is no resource, but everything else that can be published to is a topic and has an ARN
					actions: []string{"sns:Publish"}, except: []string{"arn:" + *s.stack.Partition() + ":sns:*:*:*"},
				},
			},
		},
	}
}

// watchmen are the functions that look after what the services have begun.
func (s *Saga) watchmen(db *Database, m *Messaging, g grants) []function {
	return []function{
		{
			name: streamHandler, does: "Starts the sagas of new and resumed orders, and publishes what happens to orders",
			timeout: time.Minute, memory: 256,
			tables: []use{{table: orders, actions: look}},
			env:    merge(g.keysEnv, g.machineEnv, map[string]string{"CLOUDFLOW_EVENT_BUS": *m.bus.EventBusName()}),
			may: []permission{
				g.signingKeys, g.readSagas, g.startSagas,
				{
					actions:   []string{"dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:ListStreams"},
					resources: []string{*db.tables[orders].TableStreamArn()},
				},
				{actions: []string{"events:PutEvents"}, resources: []string{*m.bus.EventBusArn()}},
				{
					actions: []string{"sqs:SendMessage"}, resources: []string{*m.streamLetters.QueueArn()},
					key: m.key, service: "sqs", encrypts: true,
				},
			},
		},
		{
			name: sweeper, does: "Each minute: starts what the stream missed, and marks orders that need a person",
			timeout: 50 * time.Second, memory: 256,
			tables: []use{
				{table: orders, actions: keepAndDelete},
				{table: idempotency, actions: record, keys: clientKeys}, // a client's key lives as long as its order is open
			},
			env: merge(g.keysEnv, g.machineEnv),
			may: []permission{g.signingKeys, g.readSagas, g.startSagas},
		},
		{
			name: expirer, does: "Each minute: releases stock that is held for orders which have ended",
			timeout: 50 * time.Second, memory: 256,
			tables: []use{
				{table: inventory, actions: keep},
				{table: reservations, actions: keepAndDelete},
				{table: orders, actions: get}, // exception: the order's outcome
			},
		},
		{
			name: reviewer, does: "Marks the order of a failed execution for a person",
			timeout: 30 * time.Second, memory: 256,
			tables: []use{{table: orders, actions: keep}},
			env:    g.machineEnv,
			may: []permission{{
				actions: []string{"sqs:SendMessage"}, resources: []string{*m.eventLetters.QueueArn()},
				key: m.key, service: "sqs", encrypts: true,
			}},
		},
		{
			name: deadLetterCounter, does: "Each minute: counts the messages that could not be sent",
			timeout: 10 * time.Second, memory: 128,
			env: g.deadLettersEnv,
			may: []permission{{actions: []string{"sqs:GetQueueAttributes"}, resources: []string{*m.deadLetters.QueueArn()}}},
		},
	}
}

// callers says how callers of the HTTP interface are told apart, and which pages may call.
func (c Config) callers() map[string]string {
	env := map[string]string{"CLOUDFLOW_AUTH": c.Auth}
	if len(c.Origins) > 0 {
		env["CLOUDFLOW_CORS_ORIGINS"] = join(c.Origins)
	}
	return env
}

// newMachine deploys order.asl.json as it stands. Its three Resources are put in by CloudFormation, as saga.Definition does it in one process.
func (s *Saga) newMachine(c Config, db *Database, definition string) {
	called := []string{inventoryHandler, orderHandler, paymentHandler}
	substitutions, arns := map[string]*string{}, []*string{}
	for _, name := range called {
		substitutions[camel(name)+"Arn"] = s.functions[name].FunctionArn()
		arns = append(arns, s.functions[name].FunctionArn())
	}
	role := awsiam.NewRole(s.stack, str("MachineRole"), &awsiam.RoleProps{
		RoleName:    str(c.name("saga") + "-" + *s.stack.Region()),
		Description: str("CloudFlow's order saga"),
		AssumedBy:   awsiam.NewServicePrincipal(str("states.amazonaws.com"), nil),
	})
	role.AddToPolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{Actions: strs("lambda:InvokeFunction"), Resources: &arns}))
	s.machine = awsstepfunctions.NewStateMachine(s.stack, str("Machine"), &awsstepfunctions.StateMachineProps{
		StateMachineName:        str(c.name("saga")),
		StateMachineType:        awsstepfunctions.StateMachineType_STANDARD,
		DefinitionBody:          awsstepfunctions.DefinitionBody_FromString(&definition),
		DefinitionSubstitutions: &substitutions,
		Role:                    role,
		TracingEnabled:          yes,
		// No timeout: one that strikes cannot compensate.
		Logs: &awsstepfunctions.LogOptions{
			Destination:          newLogGroup(s.stack, "MachineLog", sagaLog(c), db.logsKey),
			Level:                awsstepfunctions.LogLevel_ALL,
			IncludeExecutionData: no, // it stands in the execution's history, for those who may read that
		},
	})
}

// sagaLog has a name under which Step Functions needs no leave for each group: those of all groups have one limit on their length.
func sagaLog(c Config) string { return "/aws/vendedlogs/states/" + c.name("saga") }

// readQueue has the notification handler called with what is in the queue.
func (s *Saga) readQueue(m *Messaging) {
	awslambda.NewCfnEventSourceMapping(s.stack, str("ReadQueue"), &awslambda.CfnEventSourceMappingProps{
		EventSourceArn: m.queue.QueueArn(),
		FunctionName:   s.functions[notificationHandler].FunctionName(),
		BatchSize:      num(10),
		// What was sent is not sent again because another message of the batch failed.
		FunctionResponseTypes: strs("ReportBatchItemFailures"),
		// Whoever takes the messages, a relay or a topic, is not called by a thousand at once.
		ScalingConfig: &awslambda.CfnEventSourceMapping_ScalingConfigProperty{MaximumConcurrency: num(10)},
	})
}

// readStream has the stream handler called with the orders' new events. A record that fails is tried for half a day, alone in the end, and its place goes
// to the dead letters while the record itself still lives (24 h in all): what it said is then read from the stream, or from the order's log.
func (s *Saga) readStream(db *Database, m *Messaging) {
	awslambda.NewCfnEventSourceMapping(s.stack, str("ReadStream"), &awslambda.CfnEventSourceMappingProps{
		EventSourceArn:             db.tables[orders].TableStreamArn(),
		FunctionName:               s.functions[streamHandler].FunctionName(),
		StartingPosition:           str("TRIM_HORIZON"),
		BatchSize:                  num(100),
		ParallelizationFactor:      num(10), // one order's records stay in order
		BisectBatchOnFunctionError: yes,
		MaximumRecordAgeInSeconds:  num((12 * time.Hour).Seconds()),
		MaximumRetryAttempts:       num(1000),
		FunctionResponseTypes:      strs("ReportBatchItemFailures"),
		DestinationConfig: &awslambda.CfnEventSourceMapping_DestinationConfigProperty{
			OnFailure: &awslambda.CfnEventSourceMapping_OnFailureProperty{Destination: m.streamLetters.QueueArn()},
		},
		// Events alone. Which event it is stands inside of a text, which a filter cannot look into.
		FilterCriteria: &awslambda.CfnEventSourceMapping_FilterCriteriaProperty{
			Filters: &[]any{&awslambda.CfnEventSourceMapping_FilterProperty{Pattern: text(map[string]any{
				"eventName": []any{"INSERT"},
				"dynamodb":  map[string]any{"Keys": map[string]any{"sk": map[string]any{"S": []any{map[string]any{"prefix": "event#"}}}}},
			})}},
		},
	})
}

// callOnEvents has functions called by the clock, and by executions that failed.
func (s *Saga) callOnEvents(c Config, m *Messaging) {
	for _, name := range []string{sweeper, expirer, deadLetterCounter} {
		s.call(name, "Each minute", ruleProps{name: c.name(name), schedule: "rate(1 minute)", letters: m.eventLetters})
		// The next minute makes up for a call that failed.
		s.tries(name, 0, "")
	}
	s.call(reviewer, "Executions of the saga that failed", ruleProps{
		name: c.name(reviewRule), letters: m.eventLetters,
		pattern: map[string]any{
			"source":      []any{"aws.states"},
			"detail-type": []any{"Step Functions Execution Status Change"},
			"detail": map[string]any{
				"status":          []any{"FAILED", "TIMED_OUT", "ABORTED"},
				"stateMachineArn": []any{*s.machine.StateMachineArn()},
			},
		},
	})
	s.tries(reviewer, 2, *m.eventLetters.QueueArn())
}

// call makes a rule that calls a function, and lets it.
func (s *Saga) call(name, description string, p ruleProps) {
	fn := s.functions[name]
	p.description, p.target = description, *fn.FunctionArn()
	rule := newRule(s.stack, camel(name)+"Rule", p)
	awslambda.NewCfnPermission(s.stack, str(camel(name)+"Permission"), &awslambda.CfnPermissionProps{
		Action: str("lambda:InvokeFunction"), FunctionName: fn.FunctionName(), Principal: str("events.amazonaws.com"), SourceArn: rule.AttrArn(),
	})
}

// tries says how often a call that failed is made again, and where its event goes after that.
func (s *Saga) tries(name string, again float64, letters string) {
	props := &awslambda.CfnEventInvokeConfigProps{
		FunctionName: s.functions[name].FunctionName(), Qualifier: str("$LATEST"), MaximumRetryAttempts: &again,
	}
	if letters != "" {
		props.DestinationConfig = &awslambda.CfnEventInvokeConfig_DestinationConfigProperty{
			OnFailure: &awslambda.CfnEventInvokeConfig_OnFailureProperty{Destination: &letters},
		}
	}
	awslambda.NewCfnEventInvokeConfig(s.stack, str(camel(name)+"Tries"), props)
}

func merge(all ...map[string]string) map[string]string {
	out := map[string]string{}
	for _, m := range all {
		maps.Copy(out, m)
	}
	return out
}

// every is the functions of all stacks, by name.
func every() []string {
	return slices.Sorted(slices.Values([]string{
		orderHandler, inventoryHandler, paymentHandler, notificationHandler, streamHandler, sweeper, expirer, reviewer, deadLetterCounter, authorizer,
	}))
}
