package main

import (
	"bytes"
	"fmt"

	"github.com/spf13/cobra"
)

// shells are those that completion scripts are written for, and how a script is loaded for good.
var shells = []struct {
	name, install string
	script        func(root *cobra.Command, to *bytes.Buffer) error
}{
	{"bash", "cloudflow completion bash > ~/.local/share/bash-completion/completions/cloudflow",
		func(root *cobra.Command, to *bytes.Buffer) error { return root.GenBashCompletionV2(to, true) }},
	{"zsh", `cloudflow completion zsh > "${fpath[1]}/_cloudflow"`,
		func(root *cobra.Command, to *bytes.Buffer) error { return root.GenZshCompletion(to) }},
	{"fish", "cloudflow completion fish > ~/.config/fish/completions/cloudflow.fish",
		func(root *cobra.Command, to *bytes.Buffer) error { return root.GenFishCompletion(to, true) }},
	{"powershell", "cloudflow completion powershell | Out-String | Invoke-Expression",
		func(root *cobra.Command, to *bytes.Buffer) error { return root.GenPowerShellCompletionWithDesc(to) }},
}

func (c *cli) completionCommand() *cobra.Command {
	g := group("completion", "Print a script that completes commands and flags in a shell", "  "+shells[0].install)
	for _, shell := range shells {
		g.AddCommand(&cobra.Command{
			Use:   shell.name,
			Short: "Print the completion script for " + shell.name,
			Long: "Print the script that lets " + shell.name + ` complete the commands and flags of cloudflow. Shells
that are started after it was put where the example puts it do.`,
			Example: "  " + shell.install,
			Args:    exactly(0, "no argument"),
			RunE: func(cmd *cobra.Command, _ []string) error {
				var script bytes.Buffer
				if err := shell.script(cmd.Root(), &script); err != nil {
					return err
				}
				if c.JSON {
					return c.printJSON(map[string]string{"shell": shell.name, "script": script.String()})
				}
				_, err := fmt.Fprint(c.out, script.String())
				return err
			},
		})
	}
	return g
}
