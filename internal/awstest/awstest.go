// Package awstest starts the emulator of AWS that the tests of the adapters run against: MiniStack, as tools/deps-aws installs it, one fresh
// process for each test that asks, on loopback, ended by its own id.
//
// Where it cannot be installed a test skips with a line that says so; with CI=true it fails.
package awstest

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
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
	"github.com/utkarsh698/cloudflow/internal/certtest"
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
	CA  string // the file with the certificate that it shows; "" without TLS
	log *bytes.Buffer

	trusted *x509.CertPool // of CA
}

// Options of an emulator.
type Options struct {
	Settings []string // variables of its environment, such as SFN_WAIT_SCALE=0
	// Through says where the functions that it runs send their calls, such as to a Proxy in front of it; nil: to itself.
	Through func(e *Emulator) (url string)
	// IAM has it enforce what roles may do. It then speaks TLS, and so does what its functions are to ask: under the certificate of CA.
	IAM bool
}

// Start runs a fresh emulator until the test ends. settings are variables of its environment.
func Start(t testing.TB, settings ...string) *Emulator {
	t.Helper()
	return StartWith(t, Options{Settings: settings})
}

// StartWith is Start with more to say.
func StartWith(t testing.TB, o Options) *Emulator {
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
		e, err := start(t, program, o)
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
		HTTPClient: awscall.HTTPClient(awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
			t.TLSClientConfig = &tls.Config{RootCAs: e.trusted, MinVersion: tls.VersionTLS12}
		})),
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	}
}

// Nowhere are variables with which a program finds nothing of this machine's own AWS: no files, no role. What leads elsewhere it must not have from who
// starts it.
func Nowhere() []string {
	return []string{"AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_EC2_METADATA_DISABLED=true"}
}

// Environment is of a program that asks an emulator, or a proxy before it, and nobody else.
func Environment(url string) []string {
	return append(Nowhere(), "AWS_ENDPOINT_URL="+url, "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "AWS_REGION="+Region)
}

// HTTP is a client that trusts the emulator.
func (e *Emulator) HTTP() *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: e.trusted, MinVersion: tls.VersionTLS12}}}
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
	script := tool("deps-aws")
	var out, said bytes.Buffer
	cmd := exec.CommandContext(context.Background(), script)
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w: %s", script, err, strings.TrimSpace(said.String()))
	}
	return strings.TrimSpace(out.String()), nil
})

// tool is the path of one of tools/.
func tool(name string) string {
	_, here, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(here), "..", "..", "tools", name)
}

func start(t testing.TB, program string, o Options) (*Emulator, error) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	if err := l.Close(); err != nil {
		return nil, err
	}
	e := &Emulator{URL: "http://127.0.0.1:" + port, log: &bytes.Buffer{}}
	settings := append([]string{"CLOUDFLOW_MINISTACK=" + program, "TMPDIR=" + t.TempDir()}, o.Settings...)
	if o.IAM {
		settings = append(settings, e.secure(t, port)...)
	}
	if o.Through != nil {
		settings = append(settings, "CLOUDFLOW_EMULATOR_ENDPOINT="+o.Through(e))
	}
	cmd := exec.CommandContext(context.Background(), tool("emulator"), port)
	cmd.Env = append(os.Environ(), settings...)
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

// secure makes the emulator's certificate, and has it, its functions and its clients take that one.
func (e *Emulator) secure(t testing.TB, port string) (settings []string) {
	t.Helper()
	cert, key := certtest.SelfSigned(t, 1)
	dir := t.TempDir()
	e.URL, e.CA = "https://localhost:"+port, filepath.Join(dir, "cert.pem")
	keyFile := filepath.Join(dir, "key.pem")
	for path, text := range map[string][]byte{e.CA: cert, keyFile: key} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	e.trusted = x509.NewCertPool()
	e.trusted.AppendCertsFromPEM(cert)
	return []string{"AUTH=true", "USE_SSL=1", "MINISTACK_SSL_CERT=" + e.CA, "MINISTACK_SSL_KEY=" + keyFile, "SSL_CERT_FILE=" + e.CA}
}

// Certificate is what the emulator shows, for a server beside it that its functions are to trust too. It has one with IAM alone.
func (e *Emulator) Certificate(t testing.TB) tls.Certificate {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(e.CA, filepath.Join(filepath.Dir(e.CA), "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

func (e *Emulator) healthy() bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, e.URL+"/_ministack/health", http.NoBody)
	if err != nil {
		return false
	}
	resp, err := e.HTTP().Do(r)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}
