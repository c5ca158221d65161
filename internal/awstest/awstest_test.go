package awstest

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

func TestTheEmulatorStartsAndEnds(t *testing.T) {
	t.Run("while a test runs it answers", func(t *testing.T) {
		a, b := Start(t), Start(t)
		if a.URL == b.URL || !a.healthy() || !b.healthy() {
			t.Errorf("%s and %s", a.URL, b.URL)
		}
	})
	t.Run("with IAM it speaks TLS, and knows who has no key", func(t *testing.T) {
		e := StartWith(t, Options{IAM: true})
		known := sqs.NewFromConfig(e.Config())
		if _, err := known.ListQueues(t.Context(), nil); err != nil {
			t.Error(err)
		}
		stranger := e.Config()
		stranger.Credentials = credentials.NewStaticCredentialsProvider("AKIANOBODY", "none", "")
		if out, err := sqs.NewFromConfig(stranger).ListQueues(t.Context(), nil); err == nil {
			t.Errorf("a stranger sees %v", out.QueueUrls)
		}
	})
}
