package main

import (
	"slices"

	"github.com/aws/aws-cdk-go/awscdk/v2"
)

// refused are the types of resources that the emulator of the tests (MiniStack, tools/deps-aws) does not know. It refuses a whole stack for one of
// them, so -c local=1 leaves them out. Nothing else refers to them; the assertions of this module look at all of them.
var refused = map[string]string{
	"AWS::WAFv2::WebACLAssociation": "no such type: the firewall is made and stands before nothing",
	"AWS::Logs::QueryDefinition":    "no such type",
	"AWS::Logs::ResourcePolicy":     "no such type",
	"AWS::XRay::Group":              "no such type",
}

// leaveOut takes what the emulator refuses out of the stacks.
func leaveOut(app awscdk.App) {
	for _, node := range *app.Node().FindAll("") {
		if !*awscdk.CfnResource_IsCfnResource(node) {
			continue
		}
		resource, ok := node.(awscdk.CfnResource)
		if ok && refused[*resource.CfnResourceType()] != "" {
			node.Node().Scope().Node().TryRemoveChild(node.Node().Id())
		}
	}
}

// batches are the actions that the emulator asks a role for by the name of the call. IAM knows none of these: it asks for the action of the call for one
// (https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-api-permissions-reference.html).
var batches = map[string]string{
	"sqs:ChangeMessageVisibility": "sqs:ChangeMessageVisibilityBatch",
	"sqs:DeleteMessage":           "sqs:DeleteMessageBatch",
}

// spelled are the actions as whoever checks them calls them.
func (c Config) spelled(actions []string) []string {
	if !c.Local {
		return actions
	}
	out := slices.Clone(actions)
	for _, a := range actions {
		if batch := batches[a]; batch != "" {
			out = append(out, batch)
		}
	}
	return out
}
