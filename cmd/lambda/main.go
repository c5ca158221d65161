// Command lambda is CloudFlow's functions on AWS: one binary for the runtime provided.al2023, which CLOUDFLOW_HANDLER makes the one or the other
// (https://docs.aws.amazon.com/lambda/latest/dg/golang-handler.html).
//
// Its variables stand in internal/awslambda/environment.go, all but those of AWS, which the runtime gives, and of OpenTelemetry
// (docs/tracing.md). Log lines go to stderr; stdout has metrics alone, in CloudWatch's embedded metric format.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/utkarsh698/cloudflow/internal/awscall"
	"github.com/utkarsh698/cloudflow/internal/awslambda"
	"github.com/utkarsh698/cloudflow/internal/observe"
	"github.com/utkarsh698/cloudflow/internal/observe/trace"
)

// version is set by the linker for releases.
var version = "dev"

func main() {
	function, err := open()
	if err != nil { // the runtime reports that the init failed, and the log says why
		fmt.Fprintf(os.Stderr, "cloudflow: %v\n", err)
		os.Exit(1)
	}
	lambda.Start(function)
}

func open() (*awslambda.Function, error) {
	environment, err := awslambda.ReadEnvironment(os.Getenv)
	if err != nil {
		return nil, err
	}
	config, err := awsConfig(os.Getenv)
	if err != nil {
		return nil, err
	}
	log := observe.NewLogger(os.Stderr, nil, nil).With("function", environment.Handler)
	settings, err := trace.Environment(os.Getenv, version)
	if err != nil {
		return nil, err
	}
	tracer, err := trace.Open(settings, log)
	if err != nil {
		return nil, err
	}
	return awslambda.New(awslambda.Config{
		Environment: environment, AWS: config, Version: version, Metrics: os.Stdout, Tracer: tracer, Log: log,
	})
}

// awsConfig is what Lambda gives a function for the SDK: its region, and credentials of its role that live as long as the process does
// (https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html). The SDK's own loader would look for profiles, for instance metadata and
// for single sign-on as well, and link what does. AWS_ENDPOINT_URL leads to an emulator.
func awsConfig(getenv func(string) string) (aws.Config, error) {
	c := aws.Config{
		Region:     getenv("AWS_REGION"),
		HTTPClient: awscall.HTTPClient(awshttp.NewBuildableClient()),
		Credentials: credentials.NewStaticCredentialsProvider(
			getenv("AWS_ACCESS_KEY_ID"), getenv("AWS_SECRET_ACCESS_KEY"), getenv("AWS_SESSION_TOKEN")),
	}
	if c.Region == "" || getenv("AWS_ACCESS_KEY_ID") == "" {
		return aws.Config{}, errors.New("the environment has no AWS_REGION or no AWS_ACCESS_KEY_ID: this is a function of AWS Lambda, and is started by it")
	}
	if endpoint := getenv("AWS_ENDPOINT_URL"); endpoint != "" {
		c.BaseEndpoint = aws.String(endpoint)
	}
	return c, nil
}
