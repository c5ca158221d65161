package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Who is woken by an alert types what it says: every command in the rules and in their document is there, with its flags.
func TestTheAlertsNameCommandsThatAreThere(t *testing.T) {
	named := regexp.MustCompile("`cloudflow ([^`]+)`")
	found := 0
	for _, path := range []string{"monitoring/prometheus/alerts.yml", "docs/monitoring.md"} {
		text, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(path)))
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range named.FindAllStringSubmatch(string(text), -1) {
			found++
			words := strings.Fields(match[1])
			cmd, rest, err := (&cli{}).root().Find(words)
			if err != nil || !cmd.Runnable() || cmd.HasSubCommands() {
				t.Errorf("%s: cloudflow %s is no command: %v", path, match[1], err)
				continue
			}
			for _, word := range rest {
				if name, ok := strings.CutPrefix(word, "--"); ok && cmd.Flag(name) == nil {
					t.Errorf("%s: cloudflow %s has no flag --%s", path, cmd.Name(), name)
				}
			}
		}
	}
	if found < 20 {
		t.Errorf("only %d commands are named", found)
	}
}
