package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func (c *cli) manCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "man DIR",
		Short: "Write the manual pages, one for each command",
		Long: `Write a manual page for each command into the directory, which is made if it is not there: cloudflow.1,
cloudflow-order-place.1 and so on. They say what --help says. The same build writes the same bytes. Prints the
files.`,
		Example: `  cloudflow man ~/.local/share/man/man1`,
		Args:    exactly(1, "a directory"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return err
			}
			written := []string{}
			err := eachCommand(cmd.Root(), func(one *cobra.Command) error {
				path := filepath.Join(args[0], manName(one)+".1")
				written = append(written, path)
				return os.WriteFile(path, []byte(manPage(one)), 0o644) //nolint:gosec // a manual is for everybody
			})
			if err != nil {
				return err
			}
			if c.JSON {
				return c.printJSON(map[string]any{"pages": written})
			}
			_, err = fmt.Fprintln(c.out, strings.Join(written, "\n"))
			return err
		},
	}
}

// eachCommand calls fn for the command and all below it, but for those that cobra adds.
func eachCommand(cmd *cobra.Command, fn func(*cobra.Command) error) error {
	if err := fn(cmd); err != nil {
		return err
	}
	for _, sub := range cmd.Commands() {
		if !sub.IsAvailableCommand() {
			continue
		}
		if err := eachCommand(sub, fn); err != nil {
			return err
		}
	}
	return nil
}

func manName(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

// manPage is a command's page in the macros of man(7). There is no date in it: it would be that of the build, and no two builds would
// be alike.
func manPage(cmd *cobra.Command) string {
	var b strings.Builder
	name := manName(cmd)
	cmd.InitDefaultHelpFlag() // else only the command that runs has one
	fmt.Fprintf(&b, ".TH %s 1 \"\" \"CloudFlow %s\" \"CloudFlow\"\n", roff(strings.ToUpper(name)), roff(version))
	fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n", roff(name), roff(cmd.Short))
	fmt.Fprintf(&b, ".SH SYNOPSIS\n.B %s\n", roff(cmd.UseLine()))
	long := cmd.Long
	if long == "" {
		long = cmd.Short + "."
	}
	verbatim(&b, "DESCRIPTION", long)
	manFlags(&b, "OPTIONS", cmd.NonInheritedFlags())
	manFlags(&b, "OPTIONS OF ALL COMMANDS", cmd.InheritedFlags())
	verbatim(&b, "EXAMPLES", cmd.Example)
	b.WriteString(".SH EXIT STATUS\n0 done, 1 failed, 2 the command line was wrong.\n")
	var also []string
	if cmd.HasParent() {
		also = append(also, manName(cmd.Parent()))
	}
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			also = append(also, manName(sub))
		}
	}
	if name != "cloudflow-environment" {
		also = append(also, "cloudflow-environment")
	}
	b.WriteString(".SH SEE ALSO\n" + roff(strings.Join(also, "(1), ")) + "(1)\n")
	return b.String()
}

// verbatim is a section that keeps its lines: our texts are set for a terminal already, and some are tables.
func verbatim(b *strings.Builder, title, text string) {
	fmt.Fprintf(b, ".SH %s\n.nf\n%s\n.fi\n", title, roff(text))
}

func manFlags(b *strings.Builder, title string, flags *pflag.FlagSet) {
	if !flags.HasAvailableFlags() {
		return
	}
	fmt.Fprintf(b, ".SH %s\n", title)
	flags.VisitAll(func(f *pflag.Flag) {
		what, usage := pflag.UnquoteUsage(f)
		head := "--" + f.Name
		if f.Shorthand != "" {
			head = "-" + f.Shorthand + ", " + head
		}
		if what != "" {
			head += " " + what
		}
		fmt.Fprintf(b, ".TP\n.B %s\n%s\n", roff(head), roff(usage))
	})
}

// roff is plain text for roff: a hyphen that can be copied, no escape, and no line that begins as a request does.
func roff(text string) string {
	lines := strings.Split(strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text), "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
			lines[i] = `\&` + line
		}
	}
	return strings.Join(lines, "\n")
}
