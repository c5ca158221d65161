package awssecrets

import (
	"context"
	"errors"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"github.com/utkarsh698/cloudflow/internal/awscall"
	"github.com/utkarsh698/cloudflow/internal/fault"
)

// A Rotator does the steps of a rotation, as Secrets Manager asks a Lambda function for them
// (https://docs.aws.amazon.com/secretsmanager/latest/userguide/rotating-secrets-lambda-functions.html). Any step may be asked for again.
type Rotator struct {
	client *secretsmanager.Client
	next   func(current []byte) ([]byte, error)
	check  func(text []byte) error
}

// NewRotator returns a Rotator that makes the next value from the current one with next, and looks at it with check before it counts. The errors of
// both must quote nothing of a value.
func NewRotator(config aws.Config, next func(current []byte) ([]byte, error), check func(text []byte) error) *Rotator {
	return &Rotator{client: secretsmanager.NewFromConfig(awscall.Bounded(config, awscall.Limits{})), next: next, check: check}
}

// A Step is Secrets Manager's event.
type Step struct {
	Step               string // createSecret, setSecret, testSecret, finishSecret
	SecretID           string `json:"SecretId"`
	ClientRequestToken string // the new version's id
}

// Do does a step. fault.ValidationFailed: there is no such step, or no rotation with that token.
func (r *Rotator) Do(ctx context.Context, s Step) error {
	stages, err := r.stages(ctx, s)
	if err != nil {
		return err
	}
	mine, ok := stages[s.ClientRequestToken]
	switch {
	case slices.Contains(mine, current): // done already
		return nil
	case !ok || !slices.Contains(mine, pending):
		return fault.New(fault.ValidationFailed, "awssecrets: the secret %s has no rotation of that token under way", s.SecretID)
	}
	switch s.Step {
	case "createSecret":
		return r.create(ctx, s)
	case "setSecret": // there is nobody else to be told of the value
		return nil
	case "testSecret":
		text, err := r.read(ctx, s, pending, &s.ClientRequestToken)
		if err != nil {
			return err
		}
		return r.look(s, text)
	case "finishSecret":
		return r.finish(ctx, s, stages)
	default:
		return fault.New(fault.ValidationFailed, "awssecrets: no step %q of a rotation", s.Step)
	}
}

// stages are the stages of the secret's versions, by the version's id.
func (r *Rotator) stages(ctx context.Context, s Step) (map[string][]string, error) {
	out, err := r.client.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: &s.SecretID})
	if err != nil {
		return nil, awscall.Fault(err, "awssecrets: rotate")
	}
	return out.VersionIdsToStages, nil
}

// create stores the next value, if it is not there yet: a repeat must not make another one under the same token.
func (r *Rotator) create(ctx context.Context, s Step) error {
	_, err := r.read(ctx, s, pending, &s.ClientRequestToken)
	var none *types.ResourceNotFoundException
	if err == nil || !errors.As(err, &none) {
		return err
	}
	text, err := r.read(ctx, s, current, nil)
	if err != nil {
		return err
	}
	next, err := r.next(text)
	if err != nil {
		return fault.Wrap(fault.Internal, err, "awssecrets: the next value of %s", s.SecretID)
	}
	if err := r.look(s, next); err != nil {
		return err
	}
	_, err = r.client.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{
		SecretId: &s.SecretID, ClientRequestToken: &s.ClientRequestToken, SecretString: aws.String(string(next)), VersionStages: []string{pending},
	})
	return awscall.Fault(err, "awssecrets: rotate")
}

func (r *Rotator) look(s Step, text []byte) error {
	if err := r.check(text); err != nil {
		return fault.Wrap(fault.Internal, err, "awssecrets: the next value of %s", s.SecretID)
	}
	return nil
}

// finish lets the new version count. Secrets Manager moves AWSPREVIOUS to the old one by itself.
func (r *Rotator) finish(ctx context.Context, s Step, stages map[string][]string) error {
	in := &secretsmanager.UpdateSecretVersionStageInput{SecretId: &s.SecretID, VersionStage: aws.String(current), MoveToVersionId: &s.ClientRequestToken}
	for version, names := range stages {
		if slices.Contains(names, current) {
			in.RemoveFromVersionId = &version
		}
	}
	_, err := r.client.UpdateSecretVersionStage(ctx, in)
	return awscall.Fault(err, "awssecrets: rotate")
}

func (r *Rotator) read(ctx context.Context, s Step, stage string, version *string) ([]byte, error) {
	out, err := r.client.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &s.SecretID, VersionStage: &stage, VersionId: version})
	if err != nil {
		return nil, awscall.Fault(err, "awssecrets: rotate: read "+stage)
	}
	return textOf(out), nil
}
