package main

import (
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsevents"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awskms"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssqs"
)

const (
	// notificationTimeout is what the queue's consumer has for a batch. While it works its messages are hidden, and a Lambda that is throttled takes them up
	// again only later, so they stay hidden six times as long: AWS's own advice for queues that a function reads.
	notificationTimeout    = 30 * time.Second
	notificationVisibility = 6 * notificationTimeout

	maxReceives = 3

	messageDays    = 4
	deadLetterDays = 14 // the longest there is. A letter's age counts from its first sending, so this has to be above messageDays
)

// Messaging is the second stack: what goes out of CloudFlow, and where what cannot go out stays.
type Messaging struct {
	stack          awscdk.Stack
	key            awskms.Key
	queue          awssqs.Queue // a message for each order that has ended
	deadLetters    awssqs.Queue // of the queue
	streamLetters  awssqs.Queue // of the orders table's stream: where the records were, not what they said
	eventLetters   awssqs.Queue // of the rules, and of what they call
	topic          awssns.Topic // where customers are told
	bus            awsevents.EventBus
	eventsLogGroup awslogs.LogGroup
}

func newMessaging(app awscdk.App, c Config, db *Database) *Messaging {
	m := &Messaging{stack: newStack(app, c, "CloudFlowMessagingStack", "messaging", "CloudFlow: notification queue, topic, event bus, dead letters")}
	m.key = newKey(m.stack, c, "MessagesKey", "messages", "CloudFlow's messages", awscdk.RemovalPolicy_DESTROY)
	m.deadLetters = m.newQueue(c, "NotificationDeadLetters", "notifications-dlq", nil)
	m.streamLetters = m.newQueue(c, "StreamDeadLetters", "stream-dlq", nil)
	m.eventLetters = m.newQueue(c, "EventDeadLetters", "events-dlq", nil)
	m.queue = m.newQueue(c, "Notifications", "notifications", m.deadLetters)
	m.topic = awssns.NewTopic(m.stack, str("NotificationTopic"), &awssns.TopicProps{
		TopicName: str(c.name("notifications")), MasterKey: m.key, EnforceSSL: yes,
	})
	m.newBus(c, db)
	m.allowEvents(c)
	output(m.stack, "NotificationQueueUrl", m.queue.QueueUrl(), "Messages to customers")
	output(m.stack, "NotificationDeadLetterQueueUrl", m.deadLetters.QueueUrl(), "Messages that could not be sent")
	output(m.stack, "EventBusArn", m.bus.EventBusArn(), "What happens to orders, for other systems")
	return m
}

// newQueue makes a queue with dead letters elsewhere, or one of dead letters.
func (m *Messaging) newQueue(c Config, id, name string, deadLetters awssqs.Queue) awssqs.Queue {
	props := &awssqs.QueueProps{
		QueueName:           str(c.name(name)),
		Encryption:          awssqs.QueueEncryption_KMS,
		EncryptionMasterKey: m.key,
		DataKeyReuse:        awscdk.Duration_Minutes(num(5)),
		EnforceSSL:          yes,
		RetentionPeriod:     awscdk.Duration_Days(num(deadLetterDays)),
	}
	if deadLetters != nil {
		props.RetentionPeriod = awscdk.Duration_Days(num(messageDays))
		props.VisibilityTimeout = seconds(notificationVisibility)
		props.ReceiveMessageWaitTime = awscdk.Duration_Seconds(num(20))
		props.DeadLetterQueue = &awssqs.DeadLetterQueue{Queue: deadLetters, MaxReceiveCount: num(maxReceives)}
	}
	return awssqs.NewQueue(m.stack, &id, props)
}

// newBus makes the bus, and its first listener: a log of what was published, so that one can look before one listens oneself.
func (m *Messaging) newBus(c Config, db *Database) {
	m.bus = awsevents.NewEventBus(m.stack, str("Events"), &awsevents.EventBusProps{
		EventBusName: str(c.name("events")), KmsKey: m.key, Description: str("What happens to CloudFlow's orders"),
	})
	name := "/aws/events/" + c.name("events")
	m.eventsLogGroup = newLogGroup(m.stack, "EventsLog", name, db.logsKey)
	rule := newRule(m.stack, "LogEvents", ruleProps{
		name:        c.name(logEventsRule),
		description: "Keeps what is published for 90 days",
		bus:         m.bus.EventBusName(),
		pattern:     map[string]any{"account": []any{*m.stack.Account()}}, // each event has it: all of them
		target:      *logGroupARN(m.stack, name),
		letters:     m.eventLetters,
	})
	// EventBridge writes to a log group by leave of the account and not of a role. The account has room for ten such leaves.
	awslogs.NewCfnResourcePolicy(m.stack, str("EventsLogPolicy"), &awslogs.CfnResourcePolicyProps{
		PolicyName: str(c.name("events")),
		PolicyDocument: text(map[string]any{"Version": "2012-10-17", "Statement": []any{map[string]any{
			"Effect":    "Allow",
			"Principal": map[string]any{"Service": []any{"events.amazonaws.com", "delivery.logs.amazonaws.com"}},
			"Action":    []any{"logs:CreateLogStream", "logs:PutLogEvents"},
			"Resource":  *logGroupARN(m.stack, name) + ":*",
			"Condition": map[string]any{"ArnEquals": map[string]any{"aws:SourceArn": *rule.AttrArn()}},
		}}}),
	})
}

// logEventsRule is the rule of the bus, and scheduled and reviewRule in saga.go those of the account's own bus.
const logEventsRule = "log-events"

// rules are all rules that may leave a dead letter. Each is named: a pattern would fit another stage's as well.
func (c Config) rules() []string {
	return []string{
		c.name("events") + "/" + c.name(logEventsRule), c.name(reviewRule),
		c.name("sweeper"), c.name("expirer"), c.name("dlq"),
	}
}

// allowEvents lets EventBridge put dead letters of this stage's rules into the queue, under the queue's key.
func (m *Messaging) allowEvents(c Config) {
	var sources []any
	for _, rule := range c.rules() {
		sources = append(sources, arn(m.stack, "events", "rule/"+rule))
	}
	events := &[]awsiam.IPrincipal{awsiam.NewServicePrincipal(str("events.amazonaws.com"), nil)}
	m.eventLetters.AddToResourcePolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Principals: events,
		Actions:    strs("sqs:SendMessage"),
		Resources:  &[]*string{m.eventLetters.QueueArn()},
		Conditions: &map[string]any{"ArnEquals": map[string]any{"aws:SourceArn": sources}},
	}))
	m.key.AddToResourcePolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Principals: events,
		Actions:    strs("kms:GenerateDataKey", "kms:Decrypt"),
		Resources:  strs("*"),
		Conditions: &map[string]any{"ArnEquals": map[string]any{"aws:SourceArn": sources}},
	}), nil)
}

// ruleProps say what a rule hears and whom it calls. A target that cannot be reached has its event put among the dead letters.
type ruleProps struct {
	name, description string
	bus               *string // nil: the account's own
	pattern           map[string]any
	schedule          string // instead of a pattern
	target            string // ARN
	letters           awssqs.IQueue
}

func newRule(stack awscdk.Stack, id string, p ruleProps) awsevents.CfnRule {
	props := &awsevents.CfnRuleProps{
		Name: &p.name, Description: &p.description, EventBusName: p.bus, State: str("ENABLED"),
		Targets: &[]*awsevents.CfnRule_TargetProperty{{
			Id:               str("target"),
			Arn:              &p.target,
			DeadLetterConfig: &awsevents.CfnRule_DeadLetterConfigProperty{Arn: p.letters.QueueArn()},
			RetryPolicy: &awsevents.CfnRule_RetryPolicyProperty{
				MaximumEventAgeInSeconds: num((24 * time.Hour).Seconds()), MaximumRetryAttempts: num(185), // the most there is
			},
		}},
	}
	if p.schedule != "" {
		props.ScheduleExpression = &p.schedule
		// The next call makes up for one that was missed, and many late ones at once would help nobody.
		(*props.Targets.(*[]*awsevents.CfnRule_TargetProperty))[0].RetryPolicy = &awsevents.CfnRule_RetryPolicyProperty{
			MaximumEventAgeInSeconds: num(60), MaximumRetryAttempts: num(2),
		}
	} else {
		props.EventPattern = p.pattern
	}
	return awsevents.NewCfnRule(stack, &id, props)
}

func logGroupARN(stack awscdk.Stack, name string) *string {
	return str(arn(stack, "logs", "log-group:"+name))
}

func seconds(d time.Duration) awscdk.Duration { return awscdk.Duration_Seconds(num(d.Seconds())) }
