// Package awstest starts the emulator of AWS that the tests of the adapters run against: MiniStack, as tools/deps-aws installs it, one fresh
// process for each test that asks, on loopback, ended by its own id.
//
// Where it cannot be installed a test skips with a line that says so; with CI=true it fails.
package awstest

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/utkarsh698/cloudflow/internal/awscall"
)

// The account and the region that the emulator plays.
const (
	Account = "000000000000"
	Region  = "eu-west-1"
)

const (
	startTime = 30 * time.Second // on a busy machine; 2 s on an idle one
	stopTime  = 5 * time.Second
)

// An Emulator is one running process.
type Emulator struct {
	URL string
	log *bytes.Buffer
}

// Start runs a fresh emulator until the test ends. settings are variables of its environment, such as SFN_WAIT_SCALE=0.
func Start(t testing.TB, settings ...string) *Emulator {
	t.Helper()
	program, err := installed()
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skipf("no emulator of AWS: %v", err)
	}
	var last error
	for range 3 { // somebody else may take the port between the look and the start
		e, err := start(t, program, settings)
		if err == nil {
			return e
		}
		last = err
	}
	t.Fatal(last)
	return nil
}

// Config is of clients that ask the emulator, and nobody else.
func (e *Emulator) Config() aws.Config {
	return aws.Config{
		Region:       Region,
		BaseEndpoint: aws.String(e.URL),
		HTTPClient:   awscall.HTTPClient(awshttp.NewBuildableClient()),
		Credentials:  credentials.NewStaticCredentialsProvider("test", "test", ""),
	}
}

// MakeTable makes an empty table of the shape that dynamostore asks for.
func (e *Emulator) MakeTable(t testing.TB, name string) {
	t.Helper()
	key := func(attribute string, kind types.KeyType) types.KeySchemaElement {
		return types.KeySchemaElement{AttributeName: &attribute, KeyType: kind}
	}
	text := func(attribute string) types.AttributeDefinition {
		return types.AttributeDefinition{AttributeName: &attribute, AttributeType: types.ScalarAttributeTypeS}
	}
	_, err := dynamodb.NewFromConfig(e.Config()).CreateTable(t.Context(), &dynamodb.CreateTableInput{
		TableName: &name, BillingMode: types.BillingModePayPerRequest,
		KeySchema:            []types.KeySchemaElement{key("pk", types.KeyTypeHash), key("sk", types.KeyTypeRange)},
		AttributeDefinitions: []types.AttributeDefinition{text("pk"), text("sk")},
	})
	if err != nil {
		t.Fatal(err)
	}
}

var installed = sync.OnceValues(func() (string, error) {
	if program := os.Getenv("CLOUDFLOW_MINISTACK"); program != "" {
		return program, nil
	}
	_, here, _, _ := runtime.Caller(0)
	script := filepath.Join(filepath.Dir(here), "..", "..", "tools", "deps-aws")
	var out, said bytes.Buffer
	cmd := exec.CommandContext(context.Background(), script)
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w: %s", script, err, strings.TrimSpace(said.String()))
	}
	return strings.TrimSpace(out.String()), nil
})

func start(t testing.TB, program string, settings []string) (*Emulator, error) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	address := l.Addr().String()
	_, port, _ := net.SplitHostPort(address)
	if err := l.Close(); err != nil {
		return nil, err
	}
	e := &Emulator{URL: "http://" + address, log: &bytes.Buffer{}}
	cmd := exec.CommandContext(context.Background(), program)
	cmd.Env = append(environment(), append([]string{
		"GATEWAY_PORT=" + port, "BIND_HOST=127.0.0.1", "MINISTACK_HOST=127.0.0.1", "IOT_MTLS_ENABLED=0",
		"MINISTACK_REGION=" + Region, "MINISTACK_ACCOUNT_ID=" + Account, "AWS_ENDPOINT_URL=" + e.URL,
		"AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "AWS_REGION=" + Region, "AWS_DEFAULT_REGION=" + Region,
		"AWS_EC2_METADATA_DISABLED=true", "TMPDIR=" + t.TempDir(),
	}, settings...)...)
	cmd.Stdout, cmd.Stderr = e.log, e.log
	cmd.WaitDelay = stopTime
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended := make(chan struct{})
	var end error // read after ended
	go func() {
		end = cmd.Wait()
		close(ended)
	}()
	stop := sync.OnceFunc(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		timer := time.NewTimer(stopTime)
		defer timer.Stop()
		select {
		case <-ended:
		case <-timer.C:
			_ = cmd.Process.Kill()
			<-ended
		}
	})
	t.Cleanup(stop)
	deadline := time.NewTimer(startTime)
	defer deadline.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !e.healthy() {
		select {
		case <-ended:
			return nil, fmt.Errorf("the emulator ended: %w\n%s", end, e.log)
		case <-deadline.C:
			stop()
			return nil, fmt.Errorf("the emulator does not answer\n%s", e.log)
		case <-tick.C:
		}
	}
	return e, nil
}

// environment is this process's, without what would lead the emulator, or the functions that it starts, to real AWS.
func environment() []string {
	var kept []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "AWS_") && !strings.HasPrefix(v, "OTEL_") {
			kept = append(kept, v)
		}
	}
	return append(kept, "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null")
}

func (e *Emulator) healthy() bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, e.URL+"/_ministack/health", http.NoBody)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}
