package main

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// update makes the test write what it saw into the page, instead of comparing.
const update = "CLOUDFLOW_UPDATE_README"

// The README's commands work as printed: `make run` serves, and each curl answers what the page says, but for ids and times.
func TestReadmeCommands(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a server with make")
	}
	path := filepath.Join("..", "..", "README.md")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	commands := consoleCommands(string(text))
	if len(commands) < 6 || commands[0].line != "make run" {
		t.Fatalf("found %d commands, beginning with %v", len(commands), commands)
	}
	addr := freeAddr(t)
	makeRun(t, addr)

	ids := map[string]string{} // the page's order ids -> ours
	tested, page := false, string(text)
	for _, c := range commands[1:] {
		if c.line == "make test" {
			tested = true // it is what runs this test
			continue
		}
		line := strings.ReplaceAll(c.line, "127.0.0.1:8080", addr)
		for theirs, ours := range ids {
			line = strings.ReplaceAll(line, theirs, ours)
		}
		got := shell(t, line)
		if strings.Contains(c.line, "/orders/ord-") { // the saga runs beside us: read until it has ended
			for deadline := time.Now().Add(10 * time.Second); strings.Contains(got, "PENDING") && time.Now().Before(deadline); {
				got = shell(t, line)
			}
		}
		if os.Getenv(update) != "" {
			page = strings.Replace(page, "$ "+c.line+"\n"+c.output, "$ "+c.line+"\n"+strings.TrimSpace(got)+"\n", 1)
		} else if want := c.output; normal(got) != normal(want) {
			t.Errorf("%s\ngot  %s\nwant %s", c.line, normal(got), normal(want))
		}
		if theirs, ours := orderID.FindString(c.output), orderID.FindString(got); theirs != "" {
			ids[theirs] = ours
		}
	}
	if !tested {
		t.Error("the page does not name make test")
	}
	if os.Getenv(update) == "" {
		return
	}
	for theirs, ours := range ids {
		page = strings.ReplaceAll(page, theirs, ours)
	}
	if err := os.WriteFile(path, []byte(page), 0o600); err != nil {
		t.Fatal(err)
	}
}

type command struct{ line, output string }

// consoleCommands are the commands of the page's console blocks with what they print.
func consoleCommands(page string) []command {
	var out []command
	for _, block := range regexp.MustCompile("(?s)```console\n(.*?)```").FindAllStringSubmatch(page, -1) {
		for _, line := range strings.Split(strings.TrimSpace(block[1]), "\n") {
			if rest, ok := strings.CutPrefix(line, "$ "); ok {
				out = append(out, command{line: rest})
			} else if len(out) > 0 {
				out[len(out)-1].output += line + "\n"
			}
		}
	}
	return out
}

var (
	orderID  = regexp.MustCompile(`ord-[0-9A-Z]{26}`)
	anyID    = regexp.MustCompile(`(ord|pay|res|corr)-[0-9A-Z]{26}`)
	anyTime  = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`)
	anyRetry = regexp.MustCompile(`"retry_after_seconds":\d+`)
)

// normal leaves out what differs from run to run.
func normal(s string) string {
	s = anyID.ReplaceAllString(strings.TrimSpace(s), "$1-ID")
	s = anyTime.ReplaceAllString(s, "TIME")
	return anyRetry.ReplaceAllString(s, `"retry_after_seconds":N`)
}

func shell(t *testing.T, line string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "sh", "-c", line).Output()
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return string(out)
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// makeRun runs the page's first command, on another port and in another directory, and waits until it serves.
func makeRun(t *testing.T, addr string) {
	t.Helper()
	cmd := exec.Command("make", "run", "ADDR="+addr, "DATA="+t.TempDir())
	cmd.Dir = filepath.Join("..", "..")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // make, go run and the server end together
	var log bytes.Buffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(40 * time.Second):
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			t.Error("make run did not stop on SIGTERM")
		}
	})
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for deadline := time.After(5 * time.Minute); ; { // a cold build is part of it
		select {
		case <-ticker.C:
		case err := <-ended:
			t.Fatalf("make run ended: %v\n%s", err, log.String())
		case <-deadline:
			t.Fatal("make run does not serve")
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+"/ready", nil)
		if err != nil {
			t.Fatal(err)
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
	}
}
