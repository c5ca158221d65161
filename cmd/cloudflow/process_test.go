package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
)

// built is the binary under test, made once for all tests that start processes.
var built struct {
	once sync.Once
	dir  string
	path string
	err  error
}

// asBinary lets this test binary be the program: with -short, where linking another would take longer than the tests.
const asBinary = "CLOUDFLOW_TEST_IS_BINARY"

func TestMain(m *testing.M) {
	if os.Getenv(asBinary) != "" {
		main()
	}
	code := m.Run()
	if built.dir != "" {
		_ = os.RemoveAll(built.dir)
	}
	os.Exit(code)
}

// program is the binary with arguments, ready to start.
func program(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	built.once.Do(build)
	if built.err != nil {
		t.Fatal(built.err)
	}
	cmd := exec.Command(built.path, args...)
	cmd.Env = append(os.Environ(), asBinary+"=1")
	return cmd
}

func build() {
	if testing.Short() {
		built.path, built.err = os.Executable()
		return
	}
	if built.dir, built.err = os.MkdirTemp("", "cloudflow-test-"); built.err != nil {
		return
	}
	built.path = filepath.Join(built.dir, "cloudflow")
	if out, err := exec.Command("go", "build", "-o", built.path, ".").CombinedOutput(); err != nil {
		built.err = fmt.Errorf("go build: %w\n%s", err, out)
	}
}

// A process is the binary serving. It is ended by its own id and no other way.
type process struct {
	t     *testing.T
	cmd   *exec.Cmd
	log   *serveLog
	ended chan struct{} // closed when it has
	err   error         // its end; read after ended
}

func start(t *testing.T, data string, args ...string) *process {
	t.Helper()
	p := &process{t: t, log: newServeLog(), ended: make(chan struct{})}
	p.cmd = program(t, append([]string{"serve", "--addr", "127.0.0.1:0", "--data", data}, args...)...)
	p.cmd.Stderr = &byLine{to: p.log}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(p.kill)
	return p
}

// kill ends it with SIGKILL: nothing of it runs on, nothing is flushed.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// terminate ends it with SIGTERM, and requires that it drains and exits 0.
func (p *process) terminate() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	p.drained()
}

// drained requires that it exits 0.
func (p *process) drained() {
	p.t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case <-p.ended:
	case <-limit.C:
		p.t.Fatalf("it does not stop on SIGTERM\n%s", tail(p.log.String(), 30))
	}
	if p.err != nil {
		p.t.Fatalf("on SIGTERM it ended with %v\n%s", p.err, p.log)
	}
}

// byLine hands on whole lines, as a serve in this process writes them.
type byLine struct {
	to   *serveLog
	rest string
}

func (b *byLine) Write(p []byte) (int, error) {
	b.rest += string(p)
	for {
		line, rest, ok := strings.Cut(b.rest, "\n")
		if !ok {
			return len(p), nil
		}
		_, _ = b.to.Write([]byte(line + "\n"))
		b.rest = rest
	}
}

// SIGTERM: no new work is taken, what is asked is answered, open sagas go on after the next start.
func TestTerminateDrains(t *testing.T) {
	if testing.Short() {
		t.Skip("eight seconds of real time")
	}
	t.Parallel()
	dir := t.TempDir()
	p := start(t, dir)
	s := &service{t: t, url: p.log.url(t), data: dir}
	s.cli("product", "put", "A", "--name", "A", "--price", "1000", "--stock", "5").exits(0)
	// Its charge takes eight seconds. A drain first waits for the requests, and for connections that were made and never used
	// net/http waits five.
	const method = "pm_sim_timeout_charged"
	answered := make(chan result, 1)
	go func() {
		answered <- s.cli("order", "place", "--customer", "c", "--item", "A=1", "--payment-method", method, "--wait", "20s",
			"--idempotency-key", "k1", "--json")
	}()
	var id string
	eventually(t, "the order is stored", func() bool {
		report := one[apigen.VerifyReport](s.cli("verify", "--json").exits(0))
		return report.Orders == 1
	})
	began := time.Now()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	r := (<-answered).exits(0)
	accepted := one[apigen.OrderAccepted](r)
	if id = accepted.OrderID; accepted.Status != "PENDING" || id == "" {
		t.Errorf("who was waiting was answered %s", r.out)
	}
	t.Logf("answered %s after SIGTERM", time.Since(began).Round(time.Millisecond))
	p.drained()
	if resp, err := http.Get(s.url + "/health"); err == nil { //nolint:noctx // it must fail
		resp.Body.Close()
		t.Error("it answers still")
	}
	report := one[apigen.VerifyReport](s.cli("verify", "--data", dir, "--json").exits(0))
	if report.Orders != 1 || report.Skipped != 1 {
		t.Errorf("the directory it left: %+v, want one order with an open saga", report)
	}

	after := start(t, dir)
	s.url = after.log.url(t)
	again := one[apigen.Order](s.cli("order", "place", "--customer", "c", "--item", "A=1", "--payment-method", method,
		"--wait", "20s", "--idempotency-key", "k1", "--json").exits(0))
	if again.OrderID != id || again.Status != "CONFIRMED" {
		t.Errorf("after the restart the order is %+v", again)
	}
	after.terminate()
	if report := one[apigen.VerifyReport](s.cli("verify", "--data", dir, "--json").exits(0)); !report.Ok || report.Orders != 1 {
		t.Errorf("the directory it left: %+v", report)
	}
}

// A second process on the same directory is refused, whoever asks, and the first is not disturbed.
func TestTwoProcessesOnOneDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := start(t, dir)
	url := p.log.url(t)
	out, err := program(t, "serve", "--addr", "127.0.0.1:0", "--data", dir).CombinedOutput()
	var e *exec.ExitError
	if !errors.As(err, &e) || e.ExitCode() != 1 || !strings.Contains(string(out), "in use") {
		t.Errorf("the second ended with %v: %s", err, out)
	}
	invoke(t, nil, "product", "list", "--url", url).exits(0)
	p.terminate()
}

// `| head -1` takes what it wants and goes: that is no error, and nothing is said of it.
func TestABrokenPipeIsNoError(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	var said bytes.Buffer
	c := program(t, "completion", "bash")
	c.Stdout, c.Stderr = w, &said
	err = c.Run()
	w.Close()
	var e *exec.ExitError
	if !errors.As(err, &e) || said.Len() > 0 {
		t.Errorf("it ended with %v and said %q", err, said.String())
	}
}
