package main

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/utkarsh698/cloudflow/engine"
	"github.com/utkarsh698/cloudflow/internal/store"
)

// build copies the example into a module of its own, as a reader would, and builds it there: what it imports can be imported from anywhere.
func build(t *testing.T) (binary string) {
	t.Helper()
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, name := range []string{"main.go", "order.asl.json"} {
		copyFile(t, name, filepath.Join(dir, name))
	}
	copyFile(t, filepath.Join(root, "go.sum"), filepath.Join(dir, "go.sum"))
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	const project = "github.com/utkarsh698/cloudflow"
	mod = bytes.Replace(mod, []byte("module "+project+"\n"), []byte("module example.com/embed\n\nrequire "+project+" v0.0.0\n\nreplace "+project+" => "+root+"\n"), 1)
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), mod, 0o600); err != nil {
		t.Fatal(err)
	}
	binary = filepath.Join(dir, "embed")
	cmd := exec.Command("go", "build", "-mod=mod", "-o", binary, ".")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOFLAGS=", "GOWORK=off", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return binary
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestTheExampleGoesOnAfterAKill kills the program while it packs, starts it again, and looks into its books.
func TestTheExampleGoesOnAfterAKill(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds a program and runs it as a process")
	}
	binary, data := build(t), t.TempDir()
	args := []string{"--data", data, "--pack", "4", "order-1"}
	first := exec.Command(binary, args...)
	out, err := first.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	kill := time.AfterFunc(time.Minute, func() { _ = first.Process.Kill() }) // if it never packs
	packs := false
	for lines := bufio.NewScanner(out); !packs && lines.Scan(); {
		packs = strings.HasSuffix(lines.Text(), "Pack")
	}
	_ = first.Process.Kill()
	kill.Stop()
	rest, _ := io.ReadAll(out)
	if err := first.Wait(); err == nil || !packs {
		t.Fatalf("it was not killed while it packed: %v\n%s", err, rest)
	}
	again, err := exec.Command(binary, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, again)
	}
	for _, want := range []string{`Charge\n`, `Pack\n`, `calling the carrier for order-1, idempotency key order-1/\d+\.0\n`, `Ship\n`, `SUCCEEDED .*"tracking":"CF-order-1"`, `"charged_cents":1999`} {
		if !regexp.MustCompile(want).Match(again) {
			t.Errorf("no %q in\n%s", want, again)
		}
	}
	s, err := engine.Open(data)
	if err != nil {
		t.Fatal(err)
	}
	till, err := s.Get(t.Context(), engine.Key{Table: "books", PK: "till"}, store.Strong)
	if err != nil || till.Int("cents") != 1999 {
		t.Errorf("the till has %v, %v", till, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
