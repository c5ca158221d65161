package main

import (
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
