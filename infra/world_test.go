package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/assertions"
	"github.com/aws/jsii-runtime-go"
)

// The account and the region of the syntheses.
const (
	account = "123456789012"
	region  = "us-east-1"
)

// What the tests look at: each is one synthesis, made once.
var (
	prod  template // verifies tokens, has a page's origin, no simulator
	dev   template // -c stage=dev -c auth=none: what the specification's curl works with
	local template // dev with -c local=1
)

// synthesized skips a test where there was nothing to synthesize with.
func synthesized(t *testing.T) {
	t.Helper()
	if prod == nil {
		t.Skip("the CDK needs Node.js, and there is none")
	}
}

func TestMain(m *testing.M) {
	code, err := synthesizeAll(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func synthesizeAll(m *testing.M) (int, error) {
	if _, err := exec.LookPath("node"); err != nil {
		if os.Getenv("CI") == "true" {
			return 1, fmt.Errorf("the CDK needs Node.js: %w", err)
		}
		return m.Run(), nil
	}
	defer jsii.Close()
	dir, err := os.MkdirTemp("", "cloudflow-infra-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	asset := filepath.Join(dir, "functions")
	if err := os.Mkdir(asset, 0o755); err != nil {
		return 1, err
	}
	if err := os.WriteFile(filepath.Join(asset, "bootstrap"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		return 1, err
	}
	machine, err := os.ReadFile(filepath.Join("..", "internal", "saga", "order.asl.json"))
	if err != nil {
		return 1, err
	}
	sagaFile = string(machine)
	for _, s := range []struct {
		into    *template
		context map[string]string
	}{
		{&prod, map[string]string{
			"cors": "https://shop.example,https://admin.shop.example", "clients": "web,mobile", "alarm_email": "ops@shop.example",
			"jwt_issuer": "https://id.shop.example/", "jwt_audience": "cloudflow", "jwt_keys": "https://id.shop.example/keys",
		}},
		{&dev, map[string]string{"stage": "dev", "auth": "none"}},
		{&local, map[string]string{"stage": "dev", "auth": "none", "local": "1"}},
	} {
		s.context["asset"] = asset
		if *s.into, err = synthesize(dir, s.context); err != nil {
			return 1, err
		}
	}
	return m.Run(), nil
}

func synthesize(dir string, context map[string]string) (template, error) {
	c, err := configOf(func(key string) string { return context[key] })
	if err != nil {
		return nil, err
	}
	c.Account, c.Region = account, region
	out, err := os.MkdirTemp(dir, "cdk.out-")
	if err != nil {
		return nil, err
	}
	app := awscdk.NewApp(&awscdk.AppProps{Outdir: &out, AnalyticsReporting: no})
	if err := build(app, c); err != nil {
		return nil, err
	}
	all := template{}
	for _, child := range *app.Node().Children() {
		if stack, ok := child.(awscdk.Stack); ok {
			// Through JSON once, so that numbers are what they are in the file.
			raw, err := json.Marshal(assertions.Template_FromStack(stack, nil).ToJSON())
			if err != nil {
				return nil, err
			}
			var t map[string]any
			if err := json.Unmarshal(raw, &t); err != nil {
				return nil, err
			}
			all[*stack.StackName()] = t
		}
	}
	return all, nil
}

// A template is what the five stacks are deployed from, by the stacks' names: JSON as CloudFormation reads it.
type template map[string]map[string]any

func (t template) clone() template {
	raw, err := json.Marshal(t)
	if err != nil {
		panic(err)
	}
	var out template
	if err := json.Unmarshal(raw, &out); err != nil {
		panic(err)
	}
	return out
}

// A resource is one of a template. In what deployed gives, its properties hold what CloudFormation would make of them.
type resource struct {
	stack, id, kind string
	raw             map[string]any // all of it
	props           map[string]any
}

func (r resource) String() string { return r.kind + " " + r.name() }

// names are the properties that are physical names.
var names = []string{
	"TableName", "QueueName", "TopicName", "FunctionName", "StateMachineName", "LogGroupName", "AliasName", "RoleName", "AlarmName",
	"DashboardName", "UsagePlanName", "StageName", "GroupName", "PolicyName", "Name",
}

// name is a resource's physical name, or the logical one where it has none.
func (r resource) name() string {
	for _, n := range names {
		if s, ok := r.props[n].(string); ok {
			return s
		}
	}
	return r.id
}

// resources are those of the kinds, in the order of their stacks and ids.
func (t template) resources(kinds ...string) []resource {
	var out []resource
	for stack, tmpl := range t {
		all, _ := tmpl["Resources"].(map[string]any)
		for id, v := range all {
			raw := v.(map[string]any)
			kind := raw["Type"].(string)
			if len(kinds) > 0 && !slices.Contains(kinds, kind) {
				continue
			}
			props, ok := raw["Properties"].(map[string]any)
			if !ok {
				props = map[string]any{}
				raw["Properties"] = props
			}
			out = append(out, resource{stack, id, kind, raw, props})
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].stack+out[i].id < out[j].stack+out[j].id })
	return out
}

// find is the resource of the kind with the physical or logical name.
func (t template) find(kind, name string) (resource, bool) {
	for _, r := range t.resources(kind) {
		if r.name() == name || r.id == name {
			return r, true
		}
	}
	return resource{}, false
}

// the is find for what is there.
func (t template) the(kind, name string) resource {
	r, ok := t.find(kind, name)
	if !ok {
		panic(fmt.Sprintf("no %s %s", kind, name))
	}
	return r
}

// deployed is the template with its references replaced by what they stand for, as CloudFormation does it.
func (t template) deployed() template {
	out := t.clone()
	for stack, tmpl := range out {
		for _, part := range []string{"Resources", "Outputs"} {
			if tmpl[part] != nil {
				tmpl[part] = t.value(stack, tmpl[part])
			}
		}
	}
	return out
}

func (t template) value(stack string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		if len(v) == 1 {
			for f, of := range v {
				switch f {
				case "Ref":
					return t.ref(stack, of.(string))
				case "Fn::GetAtt":
					parts := of.([]any)
					return t.attribute(stack, parts[0].(string), parts[1].(string))
				case "Fn::ImportValue":
					return t.imported(of.(string))
				case "Fn::Join":
					var b strings.Builder
					for _, part := range of.([]any)[1].([]any) {
						fmt.Fprint(&b, t.value(stack, part))
					}
					return b.String()
				}
			}
		}
		out := map[string]any{}
		for k, e := range v {
			out[k] = t.value(stack, e)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = t.value(stack, e)
		}
		return out
	}
	return v
}

func (t template) ref(stack, id string) any {
	switch id {
	case "AWS::Region":
		return region
	case "AWS::AccountId":
		return account
	case "AWS::Partition":
		return "aws"
	case "AWS::URLSuffix":
		return "amazonaws.com"
	}
	r := t.in(stack, id)
	switch r.kind {
	case "AWS::SQS::Queue":
		return "https://sqs." + region + ".amazonaws.com/" + account + "/" + r.name()
	case "AWS::SNS::Topic", "AWS::StepFunctions::StateMachine":
		return t.attribute(stack, id, "Arn")
	case "AWS::ApiGateway::RestApi":
		return "abc123"
	}
	return r.name()
}

func (t template) attribute(stack, id, name string) any {
	r := t.in(stack, id)
	at := func(service, what string) string {
		return "arn:aws:" + service + ":" + region + ":" + account + ":" + what
	}
	suffix := ""
	if name == "StreamArn" {
		suffix = "/stream/now"
	}
	switch r.kind {
	case "AWS::DynamoDB::Table":
		return at("dynamodb", "table/"+r.name()+suffix)
	case "AWS::SQS::Queue":
		return at("sqs", r.name())
	case "AWS::SNS::Topic":
		return at("sns", r.name())
	case "AWS::Events::EventBus":
		return at("events", "event-bus/"+r.name())
	case "AWS::Events::Rule":
		bus := ""
		if b, ok := r.props["EventBusName"]; ok {
			bus = fmt.Sprint(t.value(stack, b)) + "/"
		}
		return at("events", "rule/"+bus+r.name())
	case "AWS::Lambda::Function":
		return at("lambda", "function:"+r.name())
	case "AWS::StepFunctions::StateMachine":
		return at("states", "stateMachine:"+r.name())
	case "AWS::Logs::LogGroup":
		return at("logs", "log-group:"+r.name()+":*")
	case "AWS::KMS::Key":
		return at("kms", "key/"+id)
	case "AWS::IAM::Role":
		return "arn:aws:iam::" + account + ":role/" + fmt.Sprint(t.value(stack, r.name()))
	case "AWS::WAFv2::WebACL":
		return at("wafv2", "regional/webacl/"+r.name())
	}
	return r.kind + "." + name
}

func (t template) in(stack, id string) resource {
	raw, ok := at(t[stack], "Resources", id).(map[string]any)
	if !ok {
		panic(stack + " has no " + id)
	}
	props, _ := raw["Properties"].(map[string]any)
	return resource{stack, id, raw["Type"].(string), raw, props}
}

func (t template) imported(name string) any {
	for stack, tmpl := range t {
		outputs, _ := tmpl["Outputs"].(map[string]any)
		for _, o := range outputs {
			o := o.(map[string]any)
			if export, ok := o["Export"].(map[string]any); ok && export["Name"] == name {
				return t.value(stack, o["Value"])
			}
		}
	}
	panic("nothing is exported as " + name)
}

// at is what stands at a path of members and indexes, or nil: at(v, "A", 0, "B").
func at(v any, path ...any) any {
	for _, p := range path {
		switch p := p.(type) {
		case string:
			m, ok := v.(map[string]any)
			if !ok {
				return nil
			}
			v = m[p]
		case int:
			l, ok := v.([]any)
			if !ok || p >= len(l) {
				return nil
			}
			v = l[p]
		}
	}
	return v
}

// many is a member that may be one value or a list.
func many(v any) []any {
	switch v := v.(type) {
	case nil:
		return nil
	case []any:
		return v
	}
	return []any{v}
}

func texts(v any) []string {
	var out []string
	for _, e := range many(v) {
		out = append(out, fmt.Sprint(e))
	}
	return out
}

// read is a file of the repository.
func read(t testing.TB, path ...string) string {
	t.Helper()
	_, here, _, _ := runtime.Caller(0)
	raw, err := os.ReadFile(filepath.Join(append([]string{filepath.Dir(here), ".."}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
