package stagetest

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/utkarsh698/cloudflow/internal/awsstage"
	"github.com/utkarsh698/cloudflow/internal/awstest"
)

// Environment variables.
const (
	// testStage is set by make test-aws.
	testStage = "CLOUDFLOW_TEST_STAGE"
)

// A stage is the five stacks on an emulator of their own.
type stage struct {
	*shop
	*faults
	name     string
	emulator *awstest.Emulator
	aws      aws.Config
	*awsstage.Stage
	program string // the path of cloudflow, the command line

	outputs map[string]string
}

// A deployment is how a stage is deployed.
type deployment struct {
	context []string // of the CDK, such as auth=none
	iam     bool     // the emulator enforces IAM
	beside  func(e *awstest.Emulator) (context []string)
}

// stageName is short: the machine's and the roles' names have it in them.
const stageName = "dev"

// deploy starts an emulator and deploys a stage to it. It skips, or in CI fails, where something for that is missing.
func deploy(t *testing.T, d deployment) *stage {
	t.Helper()
	if os.Getenv(testStage) == "" {
		t.Skip("the deployed stage is tested by `make test-aws`")
	}
	if _, err := exec.LookPath("npm"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("it needs Node.js and npm: ", err)
		}
		t.Skip("it needs Node.js and npm (https://nodejs.org): ", err)
	}
	s := &stage{name: stageName, faults: &faults{}}
	began := time.Now()
	options := awstest.Options{
		IAM: d.iam, Through: func(e *awstest.Emulator) string { return s.before(t, e) },
		Settings: []string{"SFN_WAIT_SCALE=0"}, // no pauses between retries
	}
	s.emulator = awstest.StartWith(t, options)
	s.aws = s.emulator.Config()
	t.Logf("the emulator runs after %s", time.Since(began).Round(100*time.Millisecond))
	if d.beside != nil {
		d.context = append(d.context, d.beside(s.emulator)...)
	}
	dir := t.TempDir()
	s.put(t, dir, d.context)
	s.outputs = readOutputs(t, filepath.Join(dir, "cdk.out", "outputs.json"))
	s.shop = &shop{url: s.emulator.URL + "/_aws/execute-api/" + s.outputs["ApiId"] + "/" + s.name, http: s.emulator.HTTP(), taken: new(atomic.Int64)}
	s.program = build(t)
	opened, err := awsstage.Open(t.Context(), s.aws, s.name)
	if err != nil {
		t.Fatal(err)
	}
	s.Stage = opened
	t.Logf("the stage stands after %s", time.Since(began).Round(100*time.Millisecond))
	return s
}

// deployTime is for a machine that builds the CDK's bindings for the first time, and has other work.
const deployTime = 15 * time.Minute

// put has tools/local-aws deploy the stage, and hands on what it says of its phases.
func (s *stage) put(t *testing.T, dir string, settings []string) {
	t.Helper()
	args := []string{"deploy", dir, s.emulator.URL, s.name}
	for _, setting := range settings {
		args = append(args, "-c", setting)
	}
	ctx, cancel := context.WithTimeout(t.Context(), deployTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(root, "tools", "local-aws"), args...)
	cmd.Env = append(os.Environ(), s.trust()...)
	cmd.WaitDelay = 5 * time.Second
	said, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(said); lines.Scan(); {
		t.Log(lines.Text())
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal("deploying: ", err)
	}
}

// root is the repository, seen from here.
var root = filepath.Join("..", "..")

// trust is the environment that makes programs take the emulator's certificate.
func (s *stage) trust() []string {
	if s.emulator.CA == "" {
		return nil
	}
	return []string{"AWS_CA_BUNDLE=" + s.emulator.CA, "NODE_EXTRA_CA_CERTS=" + s.emulator.CA, "SSL_CERT_FILE=" + s.emulator.CA}
}

// environment is that of a program that asks the stage.
func (s *stage) environment() []string {
	env := append(awstest.Environment(s.emulator.URL), "PATH="+os.Getenv("PATH"), "HOME="+os.Getenv("HOME"), "CLOUDFLOW_URL="+s.url)
	return append(env, s.trust()...)
}

// readOutputs reads the outputs of all stacks. No two have one of the same name.
func readOutputs(t *testing.T, path string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var stacks map[string]map[string]string
	if err := json.Unmarshal(text, &stacks); err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, outputs := range stacks {
		for name, value := range outputs {
			out[name] = value
		}
	}
	return out
}

// build makes the command line.
func build(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "cloudflow")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", path, "./cmd/cloudflow")
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

// cloudflow runs the command line against the stage.
func (s *stage) cloudflow(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), s.program, args...)
	var out, said strings.Builder
	cmd.Env, cmd.Stdout, cmd.Stderr = s.environment(), &out, &said
	err = cmd.Run()
	return out.String(), said.String(), err
}

// verify has the invariants checked by the command that operators have.
func (s *stage) verify(t *testing.T) {
	t.Helper()
	out, said, err := s.cloudflow(t, "verify", "--aws", "--stage", s.name)
	if err != nil {
		t.Errorf("%v\n%s%s", err, out, said)
	}
}

// patience bounds each wait: a minute for the clock that wakes sweeper and expirer, and as much for a busy machine.
const patience = 3 * time.Minute

// eventually looks again and again until what the rule says is so.
func eventually(t *testing.T, rule string, look func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !look() {
		select {
		case <-ctx.Done():
			t.Fatalf("after %s it is still not so: %s", patience, rule)
		case <-tick.C:
		}
	}
}
