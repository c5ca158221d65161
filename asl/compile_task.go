package asl

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

func (c *compiler) task(s *state, o *fields) {
	s.next = c.next(o)
	s.parameters = c.arguments(o, "")
	c.result(s, o)
	s.task = c.resource(o)
	t := s.task
	t.timeout = c.seconds(o, "TimeoutSeconds")
	t.heartbeat = c.seconds(o, "HeartbeatSeconds")
	if t.timeout.fixed > 0 && t.heartbeat.fixed >= t.timeout.fixed {
		o.problem("HeartbeatSeconds", "HeartbeatSeconds must be smaller than TimeoutSeconds")
	}
	s.credentials = c.credentials(o, t.resource)
	s.leaving = c.leaving(o, "")
}

// resource reads Resource: any text will do, for what it names is the driver's business. It says how AWS names the
// resource's events, and refuses the integrations that are none.
func (c *compiler) resource(o *fields) *task {
	const name = "Resource"
	if m, ok := o.value(name).(map[string]any); ok && isTemplateFunction(m) {
		r := string(AppendJSON(nil, m))
		return &task{resource: r, short: r, prefix: "Task"}
	}
	r := o.requiredText(name)
	if strings.Count(r, "${") != strings.Count(r, "}") {
		o.problem(name, "a substitution ${...} is not closed")
	}
	t := &task{resource: r, short: shortOf(r), prefix: "Task"}
	t.job = strings.HasSuffix(r, ".sync") || strings.HasSuffix(r, ".sync:2")
	t.callback = t.job || IsCallback(r)
	parts := strings.Split(r, ":")
	switch {
	case len(parts) >= 7 && parts[2] == "lambda" && parts[5] == "function":
		t.prefix = "LambdaFunction"
		if len(parts) > 7 && !isQualifier(parts[7]) {
			o.problem(name, "the function's version or alias is not valid: "+parts[7])
		}
	case len(parts) >= 7 && parts[2] == "states" && parts[5] == "activity":
		t.prefix = "Activity"
	case len(parts) >= 7 && parts[2] == "states":
		if known, ok := integrations[t.short]; ok && !slices.Contains(known, strings.Join(parts[6:], ":")) {
			o.problem(name, "The resource provided "+r+" is not recognized. The value is not a valid resource ARN, or the resource is not available in this region.")
		}
	}
	return t
}

// IsCallback reports whether a task of that resource waits for who has its token, as against a job that has one too
// (https://docs.aws.amazon.com/step-functions/latest/dg/connect-to-resource.html).
func IsCallback(resource string) bool { return strings.HasSuffix(resource, ".waitForTaskToken") }

// shortOf is how AWS names a resource in DataLimitExceeded: an integration by its service, any other by its ARN.
func shortOf(resource string) string {
	if parts := strings.Split(resource, ":"); len(parts) >= 7 && parts[2] == "states" && parts[5] != "activity" {
		return parts[5]
	}
	return resource
}

// integrations are the actions of the optimized integrations whose list is short and has not changed for years, each with what it can wait
// for. Other services are not checked.
var integrations = map[string][]string{
	"apigateway": {"invoke", "invoke.waitForTaskToken"},
	"batch":      {"submitJob", "submitJob.sync"},
	"dynamodb":   {"getItem", "putItem", "updateItem", "deleteItem"},
	"ecs":        {"runTask", "runTask.sync", "runTask.waitForTaskToken"},
	"events":     {"putEvents", "putEvents.waitForTaskToken"},
	"http":       {"invoke"},
	"lambda":     {"invoke", "invoke.waitForTaskToken"},
	"sns":        {"publish", "publish.waitForTaskToken"},
	"sqs":        {"sendMessage", "sendMessage.waitForTaskToken"},
	"states":     {"startExecution", "startExecution.sync", "startExecution.sync:2", "startExecution.waitForTaskToken"},
}

// isTemplateFunction reports whether a Resource is a CloudFormation function, as a definition has it before it is
// deployed: {"Ref": ...} or {"Fn::GetAtt": ...}.
func isTemplateFunction(m map[string]any) bool {
	for name := range m {
		return len(m) == 1 && (name == "Ref" || strings.HasPrefix(name, "Fn::"))
	}
	return false
}

func isQualifier(s string) bool {
	return s == "$LATEST" || strings.Contains(s, "${") || s != "" && strings.Trim(s, "-_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ<>") == ""
}

func (c *compiler) retriers(o *fields) []retrier {
	var list []retrier
	all := o.objects("Retry", false)
	for i, each := range all {
		r := retrier{
			errors:      c.errorNames(each, i == len(all)-1),
			interval:    time.Duration(each.integer("IntervalSeconds", 1, maxSeconds, 1)) * time.Second,
			backoff:     each.number("BackoffRate", 1, 2),
			maxAttempts: int(each.integer("MaxAttempts", 0, maxSeconds, 3)),
			maxDelay:    time.Duration(each.integer("MaxDelaySeconds", 1, maxDelay, 0)) * time.Second,
		}
		if r.maxDelay > 0 && r.maxDelay <= r.interval {
			each.problem("MaxDelaySeconds", "MaxDelaySeconds must be greater than IntervalSeconds")
		}
		r.fullJitter = each.choice("JitterStrategy", "FULL", "NONE") == "FULL"
		each.text("Comment")
		each.done()
		list = append(list, r)
	}
	return list
}

func (c *compiler) catchers(o *fields) []catcher {
	var list []catcher
	all := o.objects("Catch", false)
	for i, each := range all {
		c.speak(each)
		k := catcher{errors: c.errorNames(each, i == len(all)-1), resultPath: c.placement(each)}
		k.leaving = c.leaving(each, fmt.Sprintf("Catch[%d]/", i))
		k.next = c.states[each.target("Next", true)]
		each.text("Comment")
		each.done()
		list = append(list, k)
	}
	return list
}

// errorNames compiles ErrorEquals. States.ALL stands alone, in the last Retrier or Catcher.
func (c *compiler) errorNames(o *fields, last bool) names {
	const name = "ErrorEquals"
	v := o.value(name)
	a, ok := v.([]any)
	switch {
	case !o.has(name):
		o.missing(name)
	case !ok:
		o.problem(name, "an array of strings is expected, not "+typeName(v))
	case len(a) == 0:
		o.problem(name, "Value cannot be empty")
	}
	var list names
	for i, each := range a {
		s, isText := each.(string)
		switch {
		case !isText:
			o.problem(name, fmt.Sprintf("element %d: a string is expected, not %s", i, typeName(each)))
		case s == errAll && len(a) > 1:
			o.problem(name, "States.ALL must appear alone")
		case s == errAll && !last:
			o.problem(name, "States.ALL must appear in the last Retrier or Catcher")
		}
		list = append(list, s)
	}
	return list
}
