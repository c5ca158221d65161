package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caarlos0/env/v11"
	"github.com/spf13/cobra"
)

// The variable that makes the test write the help texts instead of comparing them.
const updateGolden = "CLOUDFLOW_UPDATE_GOLDEN"

// The help of every command is kept in testdata/help.txt, to be read in a review.
func TestHelpTexts(t *testing.T) {
	t.Parallel()
	c := &cli{in: strings.NewReader(""), out: io.Discard, err: io.Discard}
	if err := env.ParseWithOptions(&c.settings, env.Options{Prefix: "CLOUDFLOW_", Environment: map[string]string{}}); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.Example == "" || cmd.Short == "" {
			t.Errorf("%s has no example or no description", cmd.CommandPath())
		}
		if cmd.HasParent() && !strings.Contains(cmd.Example, cmd.CommandPath()) {
			t.Errorf("the example of %s does not show it: %s", cmd.CommandPath(), cmd.Example)
		}
		args := append(strings.Fields(cmd.CommandPath())[1:], "--help")
		r := invoke(t, nil, args...).exits(0).prints("Usage:", "Examples:")
		text.WriteString("$ cloudflow " + strings.Join(args, " ") + "\n" + r.out + "\n")
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(c.root())
	path := filepath.Join("testdata", "help.txt")
	if os.Getenv(updateGolden) != "" {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if text.String() != string(want) {
		t.Errorf("the help texts are not those of %s; if the change is meant: %s=1 go test ./cmd/cloudflow -run TestHelpTexts\n%s",
			path, updateGolden, firstDifference(string(want), text.String()))
	}
}

func firstDifference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range max(len(w), len(g)) {
		if i >= len(w) || i >= len(g) || w[i] != g[i] {
			return "want " + strings.Join(w[min(i, len(w)):min(i+1, len(w))], "") + "\ngot  " + strings.Join(g[min(i, len(g)):min(i+1, len(g))], "")
		}
	}
	return ""
}
