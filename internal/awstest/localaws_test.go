package awstest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// emulating answers as the emulator does when it is asked how it is.
const emulating = `#!/usr/bin/env python3
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self): self.send_response(200); self.end_headers()
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", int(os.environ["GATEWAY_PORT"])), Handler).serve_forever()
`

// localAWS is tools/local-aws in a tree in which all that it calls does nothing, but for the emulator.
func localAWS(t *testing.T, deploy string) (run func(command string) (said string, err error)) {
	t.Helper()
	for _, program := range []string{"python3", "curl", "ps"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(err)
		}
	}
	tree := t.TempDir()
	put := func(path, text string) {
		path = filepath.Join(tree, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o700); err != nil { //nolint:gosec // it is run
			t.Fatal(err)
		}
	}
	for _, name := range []string{"local-aws", "emulator"} {
		text, err := os.ReadFile(tool(name))
		if err != nil {
			t.Fatal(err)
		}
		put("tools/"+name, string(text))
	}
	put("ministack", emulating)
	put("tools/deps-aws", "#!/bin/sh\necho "+filepath.Join(tree, "ministack")+"\n")
	put("infra/deploy", "#!/bin/sh\n"+deploy+"\n")
	for _, path := range []string{"infra/cdk", "bin/go", "bin/npm"} {
		put(path, "#!/bin/sh\n")
	}
	run = func(command string) (string, error) {
		cmd := exec.CommandContext(t.Context(), filepath.Join(tree, "tools", "local-aws"), command)
		cmd.Env = append(os.Environ(), "PATH="+filepath.Join(tree, "bin")+":"+os.Getenv("PATH"), "PORT=")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	t.Cleanup(func() {
		cmd := exec.Command(filepath.Join(tree, "tools", "local-aws"), "down") //nolint:noctx // the test's context is over
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	return run
}

func TestLocalAWS(t *testing.T) {
	t.Parallel()
	t.Run("is up until it is ended", func(t *testing.T) {
		run := localAWS(t, "exit 0")
		for _, c := range []struct{ command, says string }{
			{"down", "nothing is up"}, {"up", "make local-down"}, {"up", "it is up already"}, {"down", "it is down"}, {"down", "nothing is up"},
		} {
			if said, err := run(c.command); err != nil || !strings.Contains(said, c.says) {
				t.Errorf("%s: %v: %s", c.command, err, said)
			}
		}
	})
	t.Run("leaves no emulator where deploying fails, and the next up begins anew", func(t *testing.T) {
		run := localAWS(t, "echo no; exit 1")
		for range 2 {
			if said, err := run("up"); err == nil || !strings.Contains(said, "deploying failed") || !strings.Contains(said, "stopping") {
				t.Fatalf("%v: %s", err, said)
			}
		}
		if said, err := run("down"); err != nil || !strings.Contains(said, "nothing is up") {
			t.Errorf("%v: %s", err, said)
		}
	})
	t.Run("that was killed while it came up is not said to be up", func(t *testing.T) {
		run := localAWS(t, "kill -9 $PPID")
		if said, err := run("up"); err == nil {
			t.Fatal(said)
		}
		if said, err := run("up"); err == nil || !strings.Contains(said, "make local-down ends it") || strings.Contains(said, "up already") {
			t.Errorf("%v: %s", err, said)
		}
	})
}
