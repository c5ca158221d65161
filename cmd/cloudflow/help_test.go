package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/internal/httpapi/apigen"
)

// patience bounds every wait for something that should come soon.
const patience = 60 * time.Second

// A result is what a command has said.
type result struct {
	t        *testing.T
	args     string
	code     int
	out, err string
}

// invoke runs a command in this process with a bare environment.
func invoke(t *testing.T, environ []string, args ...string) result {
	t.Helper()
	var out, errOut bytes.Buffer
	code := run(t.Context(), args, strings.NewReader(""), &out, &errOut, environ)
	return result{t, strings.Join(args, " "), code, out.String(), errOut.String()}
}

// exits requires the exit code. A failure says why on stderr, as one line of ours.
func (r result) exits(code int) result {
	r.t.Helper()
	if r.code != code {
		r.t.Fatalf("cloudflow %s: exit %d, want %d\nstdout: %s\nstderr: %s", r.args, r.code, code, r.out, r.err)
	}
	if code != 0 && !strings.HasPrefix(r.err, "cloudflow: ") {
		r.t.Errorf("cloudflow %s says on stderr: %q", r.args, r.err)
	}
	return r
}

// prints requires each text on stdout.
func (r result) prints(texts ...string) result {
	r.t.Helper()
	for _, text := range texts {
		if !strings.Contains(r.out, text) {
			r.t.Errorf("cloudflow %s prints no %q:\n%s", r.args, text, r.out)
		}
	}
	return r
}

// hints requires each text on stderr.
func (r result) hints(texts ...string) result {
	r.t.Helper()
	for _, text := range texts {
		if !strings.Contains(r.err, text) {
			r.t.Errorf("cloudflow %s does not hint at %q: %s", r.args, text, r.err)
		}
	}
	return r
}

// one requires that stdout is exactly one JSON value and a newline, and decodes it.
func one[T any](r result) T {
	r.t.Helper()
	var v T
	d := json.NewDecoder(strings.NewReader(r.out))
	if err := d.Decode(&v); err != nil {
		r.t.Fatalf("cloudflow %s: %v in %q", r.args, err, r.out)
	}
	if _, err := d.Token(); err != io.EOF || !strings.HasSuffix(r.out, "\n") {
		r.t.Fatalf("cloudflow %s prints more or less than one JSON value and a newline: %q", r.args, r.out)
	}
	return v
}

// A service is `cloudflow serve`, run in this process on a free port.
type service struct {
	t    *testing.T
	url  string
	data string
	log  *serveLog
	end  func() int // stops it as Ctrl-C does; its exit code
}

func serve(t *testing.T, data string, args ...string) *service {
	t.Helper()
	return serveIn(t, nil, data, args...)
}

// serveIn is serve in an environment.
func serveIn(t *testing.T, environ []string, data string, args ...string) *service {
	t.Helper()
	s := &service{t: t, data: data, log: newServeLog()}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan int, 1)
	args = append([]string{"serve", "--addr", "127.0.0.1:0", "--data", data}, args...)
	go func() { ended <- run(ctx, args, strings.NewReader(""), io.Discard, s.log, environ) }()
	s.end = sync.OnceValue(func() int {
		cancel()
		return <-ended
	})
	t.Cleanup(func() {
		if code := s.end(); code != 0 {
			t.Errorf("serve: exit %d\n%s", code, s.log)
		}
	})
	s.url = s.log.url(t)
	return s
}

// cli runs a command against the service.
func (s *service) cli(args ...string) result {
	s.t.Helper()
	return invoke(s.t, []string{"CLOUDFLOW_URL=" + s.url}, args...)
}

// place places an order and returns it as it ended.
func (s *service) place(args ...string) apigen.Order {
	s.t.Helper()
	args = append([]string{"order", "place", "--customer", "cust-1", "--wait", "20s", "--json"}, args...)
	return one[apigen.Order](s.cli(args...).exits(0))
}

// A serveLog is the stderr of a serve: JSON lines, each whole in a Write. It knows the address once it is logged.
type serveLog struct {
	mu        sync.Mutex
	text      bytes.Buffer
	listening chan string
}

func newServeLog() *serveLog { return &serveLog{listening: make(chan string, 1)} }

func (l *serveLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(p)
	for _, text := range bytes.Split(p, []byte("\n")) {
		var line struct{ URL string }
		if bytes.Contains(text, []byte(`"message":"Listening"`)) && json.Unmarshal(text, &line) == nil {
			select {
			case l.listening <- line.URL:
			default:
			}
		}
	}
	return len(p), nil
}

func (l *serveLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// url waits until it is served.
func (l *serveLog) url(t *testing.T) string {
	t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case url := <-l.listening:
		l.listening <- url // for whoever asks again
		return url
	case <-timer.C:
		t.Fatalf("it does not listen:\n%s", tail(l.String(), 30))
		return ""
	}
}

// eventually asks until the answer is yes.
func eventually(t *testing.T, what string, yes func() bool) {
	t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !yes() {
		select {
		case <-limit.C:
			t.Fatalf("it does not happen that %s", what)
		case <-tick.C:
		}
	}
}

// wait lets d pass, where the moment is the subject.
func wait(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	<-timer.C
}
