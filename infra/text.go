package main

import (
	"encoding/json"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
)

// jsii takes pointers.

var yes, no = truth(true), truth(false)

func str(s string) *string   { return &s }
func num(n float64) *float64 { return &n }
func truth(b bool) *bool     { return &b }

func strs(s ...string) *[]*string {
	out := make([]*string, len(s))
	for i := range s {
		out[i] = &s[i]
	}
	return &out
}

// arn is the ARN of something of the stack's account and region: arn(stack, "lambda", "function:x").
func arn(stack awscdk.Stack, service, resource string) string {
	return "arn:" + *stack.Partition() + ":" + service + ":" + *stack.Region() + ":" + *stack.Account() + ":" + resource
}

// camel is the name of a construct: CircuitBreakers from circuit-breakers.
func camel(name string) string {
	var b strings.Builder
	for word := range strings.SplitSeq(name, "-") {
		b.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return b.String()
}

// text is the JSON of what holds nothing that cannot be written so.
func text(v any) *string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err)
	}
	return str(strings.TrimSpace(b.String()))
}

func join(s []string) string { return strings.Join(s, ",") }
