package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// The specification's alarms: statistic, comparison, threshold, seconds, and what they are about.
var alarmsWanted = map[string]string{
	"saga-success-rate":      "CloudFlow SAGASuccessRate Average LessThanThreshold 0.95 300 Stage=prod",
	"saga-compensation-rate": "CloudFlow SAGACompensationRate Average GreaterThanThreshold 0.1 300 Stage=prod",
	"circuit-breaker-open":   "CloudFlow CircuitBreakerStateChange Sum GreaterThanThreshold 0 60 Stage=prod state=OPEN",
	"dlq-messages":           "CloudFlow DLQMessageCount Maximum GreaterThanThreshold 0 60 Stage=prod",
	// LambdaDuration p99 > 3000 ms, of each function that somebody waits for
	"duration-order-handler":        "AWS/Lambda Duration p99 GreaterThanThreshold 3000 300 FunctionName=cloudflow-order-handler",
	"duration-inventory-handler":    "AWS/Lambda Duration p99 GreaterThanThreshold 3000 300 FunctionName=cloudflow-inventory-handler",
	"duration-payment-handler":      "AWS/Lambda Duration p99 GreaterThanThreshold 3000 300 FunctionName=cloudflow-payment-handler",
	"duration-notification-handler": "AWS/Lambda Duration p99 GreaterThanThreshold 3000 300 FunctionName=cloudflow-notification-handler",
	"duration-stream":               "AWS/Lambda Duration p99 GreaterThanThreshold 3000 300 FunctionName=cloudflow-stream",
	"duration-review":               "AWS/Lambda Duration p99 GreaterThanThreshold 3000 300 FunctionName=cloudflow-review",
	"duration-authorizer":           "AWS/Lambda Duration p99 GreaterThanThreshold 3000 300 FunctionName=cloudflow-authorizer",
	// what the specification does not name: who needs a person, and whether the watchmen watch
	"saga-failed":         "AWS/States ExecutionsFailed Sum GreaterThanThreshold 0 60 StateMachineArn=arn:aws:states:us-east-1:123456789012:stateMachine:cloudflow-saga",
	"stream-late":         "AWS/Lambda IteratorAge Maximum GreaterThanThreshold 300000 60 FunctionName=cloudflow-stream",
	"stream-dlq-messages": "AWS/SQS ApproximateNumberOfMessagesVisible Maximum GreaterThanThreshold 0 300 QueueName=cloudflow-stream-dlq",
	"events-dlq-messages": "AWS/SQS ApproximateNumberOfMessagesVisible Maximum GreaterThanThreshold 0 300 QueueName=cloudflow-events-dlq",
	"errors-sweeper":      "AWS/Lambda Errors Sum GreaterThanThreshold 0 60 FunctionName=cloudflow-sweeper",
	"errors-expirer":      "AWS/Lambda Errors Sum GreaterThanThreshold 0 60 FunctionName=cloudflow-expirer",
	"errors-dlq":          "AWS/Lambda Errors Sum GreaterThanThreshold 0 60 FunctionName=cloudflow-dlq",
}

func alarmText(r resource) string {
	statistic := r.props["Statistic"]
	if statistic == nil {
		statistic = r.props["ExtendedStatistic"]
	}
	out := fmt.Sprint(r.props["Namespace"], " ", r.props["MetricName"], " ", statistic, " ", r.props["ComparisonOperator"], " ")
	threshold, _ := json.Marshal(r.props["Threshold"])
	period, _ := json.Marshal(r.props["Period"])
	out += string(threshold) + " " + string(period)
	for _, d := range many(r.props["Dimensions"]) {
		out += fmt.Sprint(" ", at(d, "Name"), "=", at(d, "Value"))
	}
	return out
}

func breakAlarm(name, property string, value any) func(t template) {
	return with(value, alarmType, "cloudflow-"+name, property)
}

// breakAlarmState has an alarm about a state of circuits look at another one.
func breakAlarmState(alarm, state string) func(t template) {
	return func(t template) {
		for i, d := range many(t.the(alarmType, alarm).props["Dimensions"]) {
			if at(d, "Name") == "state" {
				put(t.the(alarmType, alarm).props, state, "Dimensions", i, "Value")
			}
		}
	}
}

var monitoringRules = []rule{
	{
		name: "the alarms are the specification's with its thresholds, and those for what needs a person",
		check: func(d template) error {
			got := map[string]string{}
			for _, r := range d.resources(alarmType) {
				name := strings.TrimPrefix(r.name(), "cloudflow-")
				got[name] = alarmText(r)
				want := 1
				if strings.HasPrefix(name, "errors-") {
					want = 5
				}
				if err := is(r.props["EvaluationPeriods"], want); err != nil {
					return fmt.Errorf("%s: %w", r, err)
				}
			}
			for name, want := range alarmsWanted {
				if got[name] != want {
					return fmt.Errorf("%s: %s, want %s", name, got[name], want)
				}
			}
			return is(len(got), len(alarmsWanted))
		},
		breaks: []func(t template){
			breakAlarm("saga-success-rate", "Threshold", .9),
			breakAlarm("saga-success-rate", "Period", 60),
			breakAlarm("saga-compensation-rate", "Threshold", .2),
			breakAlarm("circuit-breaker-open", "Threshold", 5),
			breakAlarmState("cloudflow-circuit-breaker-open", "HALF_OPEN"),
			breakAlarm("dlq-messages", "Threshold", 10),
			breakAlarm("duration-payment-handler", "Threshold", 5000),
			breakAlarm("duration-order-handler", "ExtendedStatistic", "p50"),
			func(t template) { delete(t["cloudflow-monitoring"]["Resources"].(map[string]any), "SagaFailed") },
		},
	},
	{
		name: "an alarm tells the topic, of its end too, and is about one metric",
		check: each(alarmType, func(r resource) error {
			const topic = "arn:aws:sns:us-east-1:123456789012:cloudflow-alarms"
			return errors.Join(is(r.props["AlarmActions"], []any{topic}), is(r.props["OKActions"], []any{topic}), is(r.props["Metrics"], nil),
				is(r.props["TreatMissingData"], "notBreaching"), some(r.props["AlarmDescription"]))
		}),
		breaks: []func(t template){
			without(alarmType, "cloudflow-dlq-messages", "AlarmActions"),
			with([]any{map[string]any{"Id": "m", "Expression": "a/b"}}, alarmType, "cloudflow-stream-late", "Metrics"),
			with("breaching", alarmType, "cloudflow-saga-success-rate", "TreatMissingData"),
		},
	},
	{
		name: "alarms reach the topic, under its key, and whoever is to be told",
		check: func(d template) error {
			told := false
			for _, r := range d.resources(subscriptionType) {
				told = told || r.props["Endpoint"] == "ops@shop.example" && r.props["Protocol"] == "email" && strings.HasSuffix(fmt.Sprint(r.props["TopicArn"]), ":cloudflow-alarms")
			}
			if !told {
				return errors.New("nobody is told")
			}
			allowed := func(statements any, action string) bool {
				return slices.ContainsFunc(many(statements), func(s any) bool {
					return at(s, "Principal", "Service") == "cloudwatch.amazonaws.com" && slices.Contains(texts(at(s, "Action")), action) &&
						at(s, "Condition", "StringEquals", "aws:SourceAccount") == account
				})
			}
			if !allowed(at(policyOf(d, topicPolicyType, "AlarmsPolicy").props, "PolicyDocument", "Statement"), "sns:Publish") {
				return errors.New("CloudWatch may not publish")
			}
			if !allowed(at(d.the(keyType, d.keyID("alarms")).props, "KeyPolicy", "Statement"), "kms:GenerateDataKey") {
				return errors.New("CloudWatch may not use the key")
			}
			return nil
		},
		breaks: []func(t template){
			withoutStatement(topicPolicyType, "AlarmsPolicy", "Effect", "Allow"),
			func(t template) {
				policy := t.the(keyType, t.keyID("alarms")).props["KeyPolicy"].(map[string]any)
				policy["Statement"] = many(policy["Statement"])[:1]
			},
			func(t template) { delete(t["cloudflow-monitoring"]["Resources"].(map[string]any), "AlarmEmail") },
		},
	},
	{
		name: "the dashboard is the specification's: six graphs of the last 15 minutes",
		check: func(d template) error {
			r, ok := d.find(dashboardType, "CloudFlow")
			if !ok {
				return errors.New("no dashboard CloudFlow")
			}
			var body struct {
				Start   string `json:"start"`
				Widgets []struct {
					Type       string `json:"type"`
					X, Y       int
					Properties struct {
						Title, Markdown, Region string
						Metrics                 [][]any
						Annotations             any
					} `json:"properties"`
				} `json:"widgets"`
			}
			raw, _ := r.props["DashboardBody"].(string)
			if err := json.Unmarshal([]byte(raw), &body); err != nil {
				return err
			}
			want := map[string]struct {
				metrics []string
				line    any // where the alarm is
			}{
				"Orders Created / min":     {[]string{"OrdersCreated Sum"}, nil},
				"SAGA Success Rate (%)":    {[]string{"100*rate", "SAGASuccessRate Average"}, 95.},
				"P99 Lambda Duration (ms)": {[]string{"Duration p99", "Duration p99", "Duration p99", "Duration p99"}, 3000.},
				"SAGA Compensations / min": {[]string{"SAGACompensationRate Sum", "100*rate", "SAGACompensationRate Average"}, 10.},
				"Circuit Breaker State": {[]string{
					"CircuitBreakerStateChange Sum CLOSED", "CircuitBreakerStateChange Sum OPEN", "CircuitBreakerStateChange Sum HALF_OPEN",
				}, nil},
				"DLQ Message Count": {[]string{"DLQMessageCount Maximum"}, 0.},
			}
			places := map[string]bool{}
			for _, w := range body.Widgets {
				if w.Type == "text" {
					if w.Properties.Markdown != "# CloudFlow — Operations Dashboard" {
						return errors.New(w.Properties.Markdown)
					}
					continue
				}
				places[fmt.Sprint(w.X, " ", w.Y)] = true
				shown, ok := want[w.Properties.Title]
				if !ok || w.Properties.Region != region {
					return fmt.Errorf("the graph %q of %s", w.Properties.Title, w.Properties.Region)
				}
				delete(want, w.Properties.Title)
				var got []string
				for _, m := range w.Properties.Metrics {
					options, _ := m[len(m)-1].(map[string]any)
					if expression, ok := options["expression"].(string); ok {
						got = append(got, expression)
						continue
					}
					text := fmt.Sprint(m[1], " ", options["stat"])
					if i := slices.Index(m, any("state")); i > 0 {
						text += fmt.Sprint(" ", m[i+1])
					}
					got = append(got, text)
				}
				if err := errors.Join(is(got, shown.metrics), is(at(w.Properties.Annotations, "horizontal", 0, "value"), shown.line)); err != nil {
					return fmt.Errorf("%s: %w", w.Properties.Title, err)
				}
			}
			return errors.Join(is(len(want), 0), is(len(places), 6), is(body.Start, "-PT15M"))
		},
		breaks: []func(t template){
			func(t template) {
				p := t.the(dashboardType, "CloudFlow").props
				p["DashboardBody"] = strings.Replace(p["DashboardBody"].(string), "SAGASuccessRate", "SAGACompensationRate", 1)
			},
			func(t template) {
				p := t.the(dashboardType, "CloudFlow").props
				p["DashboardBody"] = strings.Replace(p["DashboardBody"].(string), `"value":95`, `"value":90`, 1)
			},
		},
	},
	{
		name: "what alarms and graphs ask for of CloudFlow's metrics is what docs/metrics.md says the handlers write",
		check: func(d template) error {
			asked, err := ownMetrics(d)
			if err != nil {
				return err
			}
			written, err := writtenMetrics()
			if err != nil {
				return err
			}
			for _, a := range asked {
				if err := written.take(a); err != nil {
					return fmt.Errorf("%s %q: %w", a.name, a.dimensions, err)
				}
			}
			return nil
		},
		breaks: []func(t template){
			func(t template) { // a graph alone, which no other rule looks at so closely
				p := t.the(dashboardType, "CloudFlow").props
				p["DashboardBody"] = strings.Replace(p["DashboardBody"].(string), `"Stage","prod","state","HALF_OPEN"`, `"Service","prod","state","HALF_OPEN"`, 1)
			},
			func(t template) {
				p := t.the(dashboardType, "CloudFlow").props
				p["DashboardBody"] = strings.Replace(p["DashboardBody"].(string), `"DLQMessageCount","Stage","prod"`, `"DLQMessageCount","Stage","prod","queue","notifications"`, 1)
			},
			func(t template) {
				p := t.the(dashboardType, "CloudFlow").props
				p["DashboardBody"] = strings.Replace(p["DashboardBody"].(string), `"OrdersCreated","Stage","prod"`, `"OrdersCreated"`, 1)
			},
		},
	},
	{
		name: "the specification's two queries are saved, over the log groups of all functions",
		check: func(d template) error {
			got := map[string]string{}
			for _, r := range d.resources(queryType) {
				got[r.name()] = fmt.Sprint(r.props["QueryString"])
				if groups := texts(r.props["LogGroupNames"]); len(groups) != len(environments) || !slices.Contains(groups, "/aws/lambda/cloudflow-inventory-handler") {
					return fmt.Errorf("%s looks at %v", r, groups)
				}
			}
			return is(got, map[string]any{
				"CloudFlow/errors of a service": "fields @timestamp, order_id, level, message\n" +
					"| filter service = \"inventory_service.handler\" and level = \"ERROR\"\n| sort @timestamp desc\n| limit 20",
				"CloudFlow/an order's way": "fields @timestamp, level, service, message, order_id, reservation_id\n" +
					"| filter correlation_id = \"corr-abc-123\"\n| sort @timestamp asc",
			})
		},
		breaks: []func(t template){
			without(queryType, "ErrorsQuery", "QueryString"),
			without(queryType, "OrderQuery", "LogGroupNames"),
		},
	},
	{
		name: "the traces of all functions are in one group",
		check: func(d template) error {
			filter := fmt.Sprint(d.the(traceGroupType, "CloudFlow").props["FilterExpression"])
			for _, name := range slices.Sorted(maps.Keys(environments)) {
				if !strings.Contains(filter, `service("cloudflow-`+name+`")`) {
					return fmt.Errorf("no %s in %s", name, filter)
				}
			}
			return nil
		},
		breaks: []func(t template){with(`service("cloudflow-order-handler")`, traceGroupType, "CloudFlow", "FilterExpression")},
	},
}
