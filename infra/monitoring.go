package main

import (
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsxray"
)

// The handlers write CloudFlow's metrics into their logs, in CloudWatch's embedded metric format. docs/metrics.md has the table of them, with the
// dimensions of each: what is asked for here is in it, and a test says so. A share is 1 or 0 for each thing that was counted, so its average is the
// rate, and its alarm needs no arithmetic over two metrics. LambdaDuration is Lambda's own Duration.
const namespace = "CloudFlow"

// A metric is one of CloudWatch's, as an alarm and a graph know it.
type metric struct {
	namespace, name string
	dimensions      []string // name, value, name, value
	statistic       string
	period          float64 // seconds
}

func (c Config) own(name, statistic string, more ...string) metric {
	return metric{namespace, name, append([]string{"Stage", c.Stage}, more...), statistic, 60}
}

func (c Config) ofFunction(name, function, statistic string) metric {
	return metric{"AWS/Lambda", name, []string{"FunctionName", c.name(function)}, statistic, 60}
}

func (m metric) over(seconds float64) metric { m.period = seconds; return m }

// An alarm is on while its metric is past the threshold.
type alarm struct {
	name, says string
	metric     metric
	comparison string
	threshold  float64
	periods    float64 // in a row
}

const (
	above = "GreaterThanThreshold"
	below = "LessThanThreshold"
)

func (c Config) alarms() []alarm {
	all := []alarm{
		{
			"saga-success-rate", "Of the saga's executions that ended within 5 minutes, fewer than 95 % succeeded.",
			c.own("SAGASuccessRate", "Average").over(300), below, .95, 1,
		},
		{
			"saga-compensation-rate", "Of the orders that ended within 5 minutes, more than 10 % had to be put back.",
			c.own("SAGACompensationRate", "Average").over(300), above, .1, 1,
		},
		{
			"circuit-breaker-open", "A circuit breaker opened: the payment provider fails, and orders are refused until it recovers.",
			c.own("CircuitBreakerStateChange", "Sum", "state", "OPEN"), above, 0, 1,
		},
		{
			"dlq-messages", "Customers were not told how their orders ended. Look at GET /admin/dlq.",
			c.own("DLQMessageCount", "Maximum"), above, 0, 1,
		},
		{
			"saga-failed", "An execution of the saga failed: an order needs a person. Look at GET /admin/sagas.",
			metric{"AWS/States", "ExecutionsFailed", []string{"StateMachineArn", ""}, "Sum", 60}, above, 0, 1,
		},
		{
			"stream-late", "What happened to orders is not handed on: the oldest event waits for over 5 minutes.",
			c.ofFunction("IteratorAge", streamHandler, "Maximum"), above, 300_000, 1,
		},
		{
			"stream-dlq-messages", "Events of orders were given up on. The sweeper starts their sagas; nobody else was told of them.",
			c.ofQueue("stream-dlq"), above, 0, 1,
		},
		{
			"events-dlq-messages", "A rule could not call its target.",
			c.ofQueue("events-dlq"), above, 0, 1,
		},
	}
	for _, name := range every() {
		// Nobody waits for a round over all open orders, and the authorizer is there only where tokens are verified.
		switch {
		case slices.Contains(watchmen, name):
			all = append(all, alarm{
				"errors-" + name, "It fails each minute.", c.ofFunction("Errors", name, "Sum"), above, 0, 5,
			})
		case name != authorizer || c.Auth == "jwt":
			all = append(all, alarm{
				"duration-" + name, "One call in a hundred takes over 3 s.", c.ofFunction("Duration", name, "p99").over(300), above, 3000, 1,
			})
		}
	}
	return all
}

// watchmen are called by the clock.
var watchmen = []string{sweeper, expirer, deadLetterCounter}

func (c Config) ofQueue(name string) metric {
	return metric{"AWS/SQS", "ApproximateNumberOfMessagesVisible", []string{"QueueName", c.name(name)}, "Maximum", 300}
}

// newMonitoring makes the fifth stack. It knows the others' things by their names.
func newMonitoring(app awscdk.App, c Config, after *API) {
	stack := newStack(app, c, "CloudFlowMonitoringStack", "monitoring", "CloudFlow: alarms, dashboard, saved queries")
	stack.AddStackDependency(after.stack, nil) // what it watches
	key := newKey(stack, c, "AlarmsKey", "alarms", "CloudFlow's alarms", awscdk.RemovalPolicy_DESTROY)
	key.AddToResourcePolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Principals: &[]awsiam.IPrincipal{awsiam.NewServicePrincipal(str("cloudwatch.amazonaws.com"), nil)},
		Actions:    strs("kms:GenerateDataKey", "kms:Decrypt"),
		Resources:  strs("*"),
		Conditions: &map[string]any{"StringEquals": map[string]any{"aws:SourceAccount": *stack.Account()}},
	}), nil)
	topic := awssns.NewTopic(stack, str("Alarms"), &awssns.TopicProps{
		TopicName: str(c.name("alarms")), MasterKey: key, EnforceSSL: yes,
	})
	topic.AddToResourcePolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Principals: &[]awsiam.IPrincipal{awsiam.NewServicePrincipal(str("cloudwatch.amazonaws.com"), nil)},
		Actions:    strs("sns:Publish"),
		Resources:  &[]*string{topic.TopicArn()},
		Conditions: &map[string]any{"StringEquals": map[string]any{"aws:SourceAccount": *stack.Account()}},
	}))
	if c.AlarmEmail != "" {
		awssns.NewCfnSubscription(stack, str("AlarmEmail"), &awssns.CfnSubscriptionProps{
			TopicArn: topic.TopicArn(), Protocol: str("email"), Endpoint: &c.AlarmEmail,
		})
	}
	for _, al := range c.alarms() {
		newAlarm(stack, c, al, topic)
	}
	awscloudwatch.NewCfnDashboard(stack, str("Dashboard"), &awscloudwatch.CfnDashboardProps{
		DashboardName: str(c.title()), DashboardBody: text(c.dashboard(*stack.Region())),
	})
	c.saveQueries(stack)
	newTraceGroup(stack, c)
	output(stack, "DashboardUrl", str("https://console.aws.amazon.com/cloudwatch/home?region="+*stack.Region()+"#dashboards:name="+c.title()), "The dashboard")
	output(stack, "AlarmTopicArn", topic.TopicArn(), "Where alarms are told: subscribe to it")
}

func newAlarm(stack awscdk.Stack, c Config, al alarm, topic awssns.Topic) {
	var dimensions []any
	for i := 0; i < len(al.metric.dimensions); i += 2 {
		name, value := al.metric.dimensions[i], al.metric.dimensions[i+1]
		if name == "StateMachineArn" {
			value = arn(stack, "states", "stateMachine:"+c.name("saga"))
		}
		dimensions = append(dimensions, &awscloudwatch.CfnAlarm_DimensionProperty{Name: &name, Value: &value})
	}
	props := &awscloudwatch.CfnAlarmProps{
		AlarmName:          str(c.name(al.name)),
		AlarmDescription:   &al.says,
		Namespace:          &al.metric.namespace,
		MetricName:         &al.metric.name,
		Dimensions:         &dimensions,
		Period:             &al.metric.period,
		EvaluationPeriods:  &al.periods,
		ComparisonOperator: &al.comparison,
		Threshold:          &al.threshold,
		TreatMissingData:   str("notBreaching"), // no order, no failure
		AlarmActions:       &[]any{topic.TopicArn()},
		OkActions:          &[]any{topic.TopicArn()},
	}
	if strings.HasPrefix(al.metric.statistic, "p") {
		props.ExtendedStatistic = &al.metric.statistic
	} else {
		props.Statistic = &al.metric.statistic
	}
	awscloudwatch.NewCfnAlarm(stack, str(camel(al.name)), props)
}

// dashboard is the specification's: two columns of three graphs, of the last 15 minutes.
func (c Config) dashboard(region string) map[string]any {
	row := func(m metric, options map[string]any) []any {
		out := []any{m.namespace, m.name}
		for _, d := range m.dimensions {
			out = append(out, d)
		}
		options["stat"], options["period"] = m.statistic, m.period
		return append(out, options)
	}
	percent := func(label string, more map[string]any) []any { // of the row whose id is rate
		options := map[string]any{"expression": "100*rate", "label": label, "id": "percent", "period": 60}
		maps.Copy(options, more)
		return []any{options}
	}
	at := func(value float64, label string) map[string]any {
		return map[string]any{"horizontal": []any{map[string]any{"value": value, "label": label, "color": "#d13212"}}}
	}
	graph := func(column, line int, title string, more map[string]any, rows ...[]any) map[string]any {
		properties := map[string]any{"title": title, "region": region, "view": "timeSeries", "metrics": rows}
		for k, v := range more {
			properties[k] = v
		}
		return map[string]any{"type": "metric", "x": 12 * column, "y": 1 + 6*line, "width": 12, "height": 6, "properties": properties}
	}
	axis := func(options ...any) map[string]any {
		left := map[string]any{"min": 0, "showUnits": false}
		for i := 0; i < len(options); i += 2 {
			left[options[i].(string)] = options[i+1]
		}
		return map[string]any{"left": left}
	}
	var durations [][]any
	for _, name := range []string{orderHandler, inventoryHandler, paymentHandler, notificationHandler} {
		durations = append(durations, row(c.ofFunction("Duration", name, "p99"), map[string]any{"label": name}))
	}
	var breakers [][]any
	for _, state := range []struct{ name, color string }{{"CLOSED", "#1d8102"}, {"OPEN", "#d13212"}, {"HALF_OPEN", "#ff9900"}} {
		breakers = append(breakers, row(c.own("CircuitBreakerStateChange", "Sum", "state", state.name), map[string]any{"label": "became " + state.name, "color": state.color}))
	}
	return map[string]any{
		"start": "-PT15M", "periodOverride": "inherit",
		"widgets": []any{
			map[string]any{"type": "text", "x": 0, "y": 0, "width": 24, "height": 1, "properties": map[string]any{
				"markdown": "# " + c.title() + " — Operations Dashboard",
			}},
			graph(0, 0, "Orders Created / min", map[string]any{"yAxis": axis()},
				row(c.own("OrdersCreated", "Sum"), map[string]any{"label": "orders"})),
			graph(1, 0, "SAGA Success Rate (%)", map[string]any{"yAxis": axis("max", 100), "annotations": at(95, "alarm at 95%")},
				percent("succeeded", nil), row(c.own("SAGASuccessRate", "Average"), map[string]any{"id": "rate", "visible": false})),
			graph(0, 1, "P99 Lambda Duration (ms)", map[string]any{"yAxis": axis(), "annotations": at(3000, "alarm at 3000 ms")}, durations...),
			graph(1, 1, "SAGA Compensations / min", map[string]any{
				"yAxis":       map[string]any{"left": map[string]any{"min": 0, "showUnits": false}, "right": map[string]any{"min": 0, "max": 100, "showUnits": false, "label": "%"}},
				"annotations": map[string]any{"horizontal": []any{map[string]any{"value": 10, "label": "alarm at 10%", "color": "#d13212", "yAxis": "right"}}},
			},
				row(c.own("SAGACompensationRate", "Sum"), map[string]any{"label": "put back"}),
				percent("of all that ended (%)", map[string]any{"yAxis": "right"}),
				row(c.own("SAGACompensationRate", "Average"), map[string]any{"id": "rate", "visible": false})),
			graph(0, 2, "Circuit Breaker State", map[string]any{"yAxis": axis(), "view": "timeSeries", "stacked": true}, breakers...),
			graph(1, 2, "DLQ Message Count", map[string]any{"yAxis": axis(), "annotations": at(0, "alarm if > 0")},
				row(c.own("DLQMessageCount", "Maximum"), map[string]any{"label": "dead letters"})),
		},
	}
}

// saveQueries keeps the specification's two queries of Logs Insights where people look for them.
func (c Config) saveQueries(stack awscdk.Stack) {
	var groups []any
	for _, name := range every() {
		if name != authorizer || c.Auth == "jwt" {
			groups = append(groups, logGroupOf(c, name))
		}
	}
	for _, q := range []struct{ id, name, text string }{
		{"ErrorsQuery", "errors of a service", `fields @timestamp, order_id, level, message
| filter service = "inventory_service.handler" and level = "ERROR"
| sort @timestamp desc
| limit 20`},
		{"OrderQuery", "an order's way", `fields @timestamp, level, service, message, order_id, reservation_id
| filter correlation_id = "corr-abc-123"
| sort @timestamp asc`},
	} {
		awslogs.NewCfnQueryDefinition(stack, &q.id, &awslogs.CfnQueryDefinitionProps{
			Name: str(c.title() + "/" + q.name), QueryString: &q.text, LogGroupNames: &groups,
		})
	}
}

// newTraceGroup gathers the traces of this stage.
func newTraceGroup(stack awscdk.Stack, c Config) {
	var services []string
	for _, name := range every() {
		services = append(services, `service("`+c.name(name)+`")`)
	}
	awsxray.NewCfnGroup(stack, str("Traces"), &awsxray.CfnGroupProps{
		GroupName: str(c.title()), FilterExpression: str(strings.Join(services, " OR ")),
		InsightsConfiguration: &awsxray.CfnGroup_InsightsConfigurationProperty{InsightsEnabled: yes, NotificationsEnabled: no},
	})
}
