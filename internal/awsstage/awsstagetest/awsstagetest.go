// Package awsstagetest makes a stage in the emulator of AWS, under the names of a deployed one and without its functions: for the tests of what opens a stage by
// its name.
package awsstagetest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/utkarsh698/cloudflow/internal/awsstage"
	"github.com/utkarsh698/cloudflow/internal/awstest"
	"github.com/utkarsh698/cloudflow/internal/bus"
)

// waits is a machine whose executions run until somebody stops them.
const waits = `{"StartAt":"Wait","States":{"Wait":{"Type":"Wait","Seconds":3600,"End":true}}}`

// Make makes the stage's tables, the simulated provider's among them, its queues, its signing keys and its state machine, which waits.
func Make(t testing.TB, e *awstest.Emulator, stage string) {
	t.Helper()
	for _, name := range awsstage.TableNames(stage) {
		e.MakeTable(t, name)
	}
	e.MakeTable(t, awsstage.Name(stage, "provider"))
	queues := sqs.NewFromConfig(e.Config())
	dead := awsstage.Name(stage, "notifications-dlq")
	_, err := queues.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: &dead})
	check(t, err)
	policy := fmt.Sprintf(`{"deadLetterTargetArn":"arn:aws:sqs:%s:%s:%s","maxReceiveCount":"%d"}`, awstest.Region, awstest.Account, dead, bus.MaxReceives)
	_, err = queues.CreateQueue(t.Context(), &sqs.CreateQueueInput{
		QueueName: aws.String(awsstage.Name(stage, "notifications")), Attributes: map[string]string{"RedrivePolicy": policy},
	})
	check(t, err)
	_, err = secretsmanager.NewFromConfig(e.Config()).CreateSecret(t.Context(), &secretsmanager.CreateSecretInput{
		Name: aws.String(awsstage.Name(stage, "saga-keys")), SecretString: aws.String(`{"signing":"k1","k1":"` + strings.Repeat("5a", 32) + `"}`),
	})
	check(t, err)
	_, err = sfn.NewFromConfig(e.Config()).CreateStateMachine(t.Context(), &sfn.CreateStateMachineInput{
		Name: aws.String(awsstage.Name(stage, "saga")), Definition: aws.String(waits), RoleArn: aws.String("arn:aws:iam::" + awstest.Account + ":role/saga"),
	})
	check(t, err)
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
