// Package main is CloudFlow's deployment to AWS, as a CDK app of five stacks. `make deploy` runs it; docs/aws-deploy.md says what to set.
//
//	CloudFlowDatabaseStack    the tables, what they are encrypted with, and the saga's signing keys
//	CloudFlowMessagingStack   the notification queue, the topic, the event bus, and where their dead letters go
//	CloudFlowSagaStack        the functions, and the machine that leads them: internal/saga/order.asl.json as it stands
//	CloudFlowApiStack         the HTTP interface: api/openapi.yaml, with what API Gateway has to know beside it
//	CloudFlowMonitoringStack  the alarms, the dashboard and the saved queries
//
// It promises: two stages live in one account and share nothing; what holds orders and money outlives its stack; a function can do what its row
// in functions.go says, and nothing else; nothing is deployed that was not written in Go or in the two files above, so there is no
// custom resource and no function of another runtime. It reads those two files from beside it and imports nothing of the program's.
package main

import (
	"fmt"
	"os"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/jsii-runtime-go"
)

func main() {
	defer jsii.Close()
	app := awscdk.NewApp(nil)
	c, err := configOf(func(key string) string {
		if v := app.Node().TryGetContext(&key); v != nil {
			return fmt.Sprint(v)
		}
		return ""
	})
	if err == nil {
		err = build(app, c)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "cloudflow: infra:", err)
		os.Exit(1)
	}
	app.Synth(nil)
}

// build makes the five stacks, each from those before it.
func build(app awscdk.App, c Config) error {
	files, err := readFiles(c)
	if err != nil {
		return err
	}
	db := newDatabase(app, c)
	messages := newMessaging(app, c, db)
	saga := newSaga(app, c, db, messages, files.machine)
	api, err := newAPI(app, c, db, saga, files.contract)
	if err != nil {
		return err
	}
	newMonitoring(app, c, api)
	awscdk.Tags_Of(app).Add(str("project"), str("cloudflow"), nil)
	awscdk.Tags_Of(app).Add(str("stage"), &c.Stage, nil)
	for _, w := range c.warnings() {
		awscdk.Annotations_Of(api.stack).AddWarningV2(str("cloudflow:"+w.id), &w.text)
	}
	if c.Local {
		leaveOut(app)
	}
	return nil
}

// newStack makes a stack that CloudFormation knows as cloudflow-database and CDK as CloudFlowDatabaseStack.
func newStack(app awscdk.App, c Config, id, name, description string) awscdk.Stack {
	props := &awscdk.StackProps{StackName: str(c.name(name)), Description: &description}
	if c.Account != "" {
		props.Env = &awscdk.Environment{Account: &c.Account, Region: &c.Region}
	}
	return awscdk.NewStack(app, &id, props)
}

func output(stack awscdk.Stack, id string, value *string, description string) {
	awscdk.NewCfnOutput(stack, &id, &awscdk.CfnOutputProps{Value: value, Description: &description})
}
