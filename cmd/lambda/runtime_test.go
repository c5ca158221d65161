package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// A runtimeAPI is what Lambda is to the process: it hands out one invocation at a time, and takes what came of it
// (https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html).
type runtimeAPI struct {
	address string
	polled  chan time.Time  // when the process has asked for the next invocation
	next    chan []byte     // what it is given
	came    chan invocation // what came of it
	failed  chan []byte     // of the init
}

// An invocation is the end of one.
type invocation struct {
	at     time.Time
	body   []byte
	failed bool
}

const runtimePath = "/2018-06-01/runtime/"

func newRuntimeAPI(t *testing.T) *runtimeAPI {
	t.Helper()
	api := &runtimeAPI{polled: make(chan time.Time, 8), next: make(chan []byte), came: make(chan invocation, 8), failed: make(chan []byte, 1)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+runtimePath+"invocation/next", func(w http.ResponseWriter, r *http.Request) {
		api.polled <- time.Now()
		select {
		case payload := <-api.next:
			h := w.Header()
			h.Set("Lambda-Runtime-Aws-Request-Id", "request-1")
			h.Set("Lambda-Runtime-Deadline-Ms", fmt.Sprint(time.Now().Add(20*time.Second).UnixMilli()))
			h.Set("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:eu-west-1:000000000000:function:cloudflow")
			h.Set("Lambda-Runtime-Trace-Id", "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=0")
			_, _ = w.Write(payload)
		case <-r.Context().Done():
		}
	})
	mux.HandleFunc("POST "+runtimePath+"invocation/{id}/response", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		api.came <- invocation{at: time.Now(), body: body}
		w.WriteHeader(http.StatusAccepted)
	})
	mux.HandleFunc("POST "+runtimePath+"invocation/{id}/error", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		api.came <- invocation{time.Now(), body, true}
		w.WriteHeader(http.StatusAccepted)
	})
	mux.HandleFunc("POST "+runtimePath+"init/error", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		api.failed <- body
		w.WriteHeader(http.StatusAccepted)
	})
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		_ = server.Close()
		<-served
	})
	api.address = l.Addr().String()
	return api
}

// A process is the binary as Lambda runs it.
type process struct {
	t      *testing.T
	api    *runtimeAPI
	init   time.Duration // from its start until it asked for an invocation
	stdout bytes.Buffer  // read once it has ended
	stderr bytes.Buffer
	end    func()
}

// patience bounds each wait: on a busy machine a start takes a second.
const patience = 30 * time.Second

func start(t *testing.T, binary string, env ...string) *process {
	t.Helper()
	p := &process{t: t, api: newRuntimeAPI(t)}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, binary)
	cmd.Env = append([]string{
		"AWS_LAMBDA_RUNTIME_API=" + p.api.address, "_HANDLER=bootstrap", "AWS_LAMBDA_FUNCTION_NAME=cloudflow", "AWS_REGION=eu-west-1",
		"AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "AWS_SESSION_TOKEN=test",
		"AWS_ENDPOINT_URL=http://127.0.0.1:9", // the port of discard: nobody is asked
		"CLOUDFLOW_STAGE=test",
	}, env...)
	cmd.Stdout, cmd.Stderr = &p.stdout, &p.stderr
	cmd.WaitDelay = 5 * time.Second
	began := time.Now()
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	ended := false
	p.end = func() {
		if !ended {
			ended = true
			cancel()
			_ = cmd.Wait() // killed, as Lambda does it
		}
	}
	t.Cleanup(p.end)
	select {
	case at := <-p.api.polled:
		p.init = at.Sub(began)
	case <-time.After(patience):
		p.end()
		t.Fatalf("it has not asked for an invocation: %s", &p.stderr)
	}
	return p
}

// invoke has the process do an invocation, and says how long it took.
func (p *process) invoke(payload string) (invocation, time.Duration) {
	p.t.Helper()
	began := time.Now()
	select {
	case p.api.next <- []byte(payload):
	case <-time.After(patience):
		p.t.Fatal("it does not take an invocation")
	}
	select {
	case came := <-p.api.came:
		return came, came.at.Sub(began)
	case <-time.After(patience):
		p.t.Fatal("it does not answer")
	}
	return invocation{}, 0
}

// build makes the binary as the Makefile does, for this machine's system and processor, and says its size in bytes.
func build(t *testing.T, arch string) (path string, size int64) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "bootstrap")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-tags", "lambda.norpc", "-ldflags", "-s -w", "-o", path, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+runtime.GOOS, "GOARCH="+arch)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return path, info.Size()
}

// health is a request for /health as API Gateway makes it.
const health = `{"resource":"/health","path":"/health","httpMethod":"GET","multiValueHeaders":{"accept":["*/*"]},
	"requestContext":{"path":"/test/health","stage":"test","identity":{"sourceIp":"198.51.100.7"}},"body":null,"isBase64Encoded":false}`

// resultFile is where the figures go if the environment has it.
const resultFile = "CLOUDFLOW_LAMBDA_RESULT"

// secrets plays Secrets Manager, which has the signing keys.
func secrets(t *testing.T) (url string) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		if r.Header.Get("X-Amz-Target") != "secretsmanager.GetSecretValue" || strings.Contains(string(body), "AWSPREVIOUS") {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"__type":"ResourceNotFoundException","Message":"none"}`)
			return
		}
		text, _ := json.Marshal(map[string]any{
			"Name": "saga-keys", "VersionId": "v1", "SecretString": `{"signing":"k1","k1":"` + strings.Repeat("5a", 32) + `"}`,
		})
		_, _ = w.Write(text)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func tables(names ...string) (env []string) {
	for _, name := range names {
		env = append(env, "CLOUDFLOW_TABLE_"+name+"=test-"+strings.ToLower(name))
	}
	return env
}

// The binary under Lambda's own protocol: how large it is, how long it takes to start and to answer for the first time, and how an error looks
// from outside.
func TestTheBinaryUnderTheRuntimeAPI(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds a binary and starts it")
	}
	binary, size := build(t, runtime.GOARCH)
	orders := append([]string{
		"CLOUDFLOW_HANDLER=order-handler", "CLOUDFLOW_AUTH=none", "CLOUDFLOW_SAGA_KEYS_SECRET=saga-keys", "CLOUDFLOW_CURRENCY=USD",
		"CLOUDFLOW_STATE_MACHINE_ARN=arn:aws:states:eu-west-1:000000000000:stateMachine:saga",
		"CLOUDFLOW_QUEUE_URL=http://127.0.0.1:9/queue", "CLOUDFLOW_DLQ_URL=http://127.0.0.1:9/dlq", "AWS_ENDPOINT_URL=" + secrets(t),
	}, tables("ORDERS", "IDEMPOTENCY", "CONTACT_KEYS", "ERASURES", "INVENTORY", "CIRCUIT_BREAKERS")...)

	t.Run("an error has the name of its kind where Step Functions looks for it, and the process goes on", func(t *testing.T) {
		p := start(t, binary, orders...)
		for payload, want := range map[string]string{
			`{"task":"order.fail","input":{}}`:       "BadSignature",
			`{"task":"inventory.commit","input":{}}`: "Internal",
			`{"Records":[]}`:                         "BadRequest",
		} {
			came, _ := p.invoke(payload)
			var said struct{ ErrorMessage, ErrorType string }
			if err := json.Unmarshal(came.body, &said); err != nil || !came.failed || said.ErrorType != want || said.ErrorMessage == "" {
				t.Errorf("%s: %+v, %s, %v", payload, said, came.body, err)
			}
		}
		if came, _ := p.invoke(health); came.failed || !strings.Contains(string(came.body), `"statusCode":200`) {
			t.Errorf("%s", came.body)
		}
		p.end()
		if !strings.Contains(p.stderr.String(), `"function":"order-handler"`) {
			t.Errorf("the log does not name the function: %s", &p.stderr)
		}
		for line := range strings.Lines(p.stdout.String()) { // CloudWatch reads each line as metrics
			if !json.Valid([]byte(line)) {
				t.Errorf("stdout has %s", line)
			}
		}
	})
	t.Run("a token that is not good is the one word that API Gateway knows", func(t *testing.T) {
		p := start(t, binary, "CLOUDFLOW_HANDLER=authorizer", "CLOUDFLOW_AUTH=jwt")
		came, _ := p.invoke(`{"type":"TOKEN","authorizationToken":"Bearer a.b.c","methodArn":"arn:aws:execute-api:eu-west-1:1:api/test/GET/orders"}`)
		if !came.failed || !strings.Contains(string(came.body), `"errorMessage":"Unauthorized"`) {
			t.Errorf("%s", came.body)
		}
	})
	t.Run("what is missing is named, and nothing is started", func(t *testing.T) {
		for name, env := range map[string][]string{
			"CLOUDFLOW_DLQ_URL": {"CLOUDFLOW_HANDLER=dlq", "CLOUDFLOW_STAGE=test", "AWS_REGION=eu-west-1", "AWS_ACCESS_KEY_ID=test"},
			"CLOUDFLOW_HANDLER": {"CLOUDFLOW_STAGE=test"},
			"AWS_REGION":        {"CLOUDFLOW_HANDLER=dlq", "CLOUDFLOW_STAGE=test", "CLOUDFLOW_DLQ_URL=http://127.0.0.1:9/q"},
		} {
			cmd := exec.CommandContext(t.Context(), binary)
			cmd.Env = env
			if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), name) {
				t.Errorf("%v, %s", err, out)
			}
		}
	})
	t.Run("it starts and answers soon", func(t *testing.T) {
		var inits, firsts []time.Duration
		for range 5 { // each is a cold start
			p := start(t, binary, orders...)
			_, first := p.invoke(health)
			p.end()
			inits, firsts = append(inits, p.init), append(firsts, first)
		}
		slices.Sort(inits)
		slices.Sort(firsts)
		t.Logf("%.1f MB for %s/%s; init %v, first invocation %v (medians of 5)", float64(size)/1e6, runtime.GOOS, runtime.GOARCH, inits[2], firsts[2])
		if inits[2] > 10*time.Second { // what Lambda gives an init
			t.Errorf("init took %v", inits[2])
		}
		if path := os.Getenv(resultFile); path != "" {
			_, arm := build(t, "arm64")
			writeResult(t, path, result{
				Command: resultFile + "=docs/results/lambda.json go test -count=1 -run TestTheBinaryUnderTheRuntimeAPI ./cmd/lambda",
				Date:    time.Now().UTC().Format(time.DateOnly), Machine: machine(), Go: runtime.Version(), Starts: len(inits),
				SizeBytes: map[string]int64{runtime.GOARCH: size, "arm64": arm}, Measured: runtime.GOOS + "/" + runtime.GOARCH, Handler: "order-handler, GET /health; the secret comes from this machine",
				InitMS: milliseconds(inits), FirstMS: milliseconds(firsts),
			})
		}
	})
}

// A result is docs/results/lambda.json.
type result struct {
	Command   string           `json:"command"`
	Date      string           `json:"date"`
	Machine   string           `json:"machine"`
	Go        string           `json:"go"`
	Measured  string           `json:"measured"` // the build that was run
	Handler   string           `json:"handler"`
	Starts    int              `json:"starts"`
	SizeBytes map[string]int64 `json:"size_bytes"` // of the binary, by architecture
	InitMS    figures          `json:"init_ms"`    // from the start of the process until it asked for an invocation
	FirstMS   figures          `json:"first_ms"`   // from handing out the first invocation until its answer
}

type figures struct {
	Least  float64 `json:"least"`
	Median float64 `json:"median"`
	Most   float64 `json:"most"`
}

func milliseconds(sorted []time.Duration) figures {
	ms := func(d time.Duration) float64 {
		return float64(d.Round(10*time.Microsecond)) / float64(time.Millisecond)
	}
	return figures{ms(sorted[0]), ms(sorted[len(sorted)/2]), ms(sorted[len(sorted)-1])}
}

func writeResult(t *testing.T, path string, r result) {
	t.Helper()
	text, err := json.MarshalIndent(r, "", "  ")
	if err == nil {
		err = os.WriteFile(filepath.Join("..", "..", path), append(text, '\n'), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// machine names the processor and how much of it there is.
func machine() string {
	model := "unknown processor"
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	return fmt.Sprintf("%s, %d CPUs, %s", model, runtime.NumCPU(), runtime.GOOS)
}
