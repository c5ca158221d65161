package main

import (
	"fmt"
	"reflect"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

// A setting is a variable of the environment that is read.
type setting struct {
	Variable string `json:"variable"`
	Default  string `json:"default,omitempty"`
	Help     string `json:"help"`
}

// environment is every variable that is read: the fields of settings, so that none can be forgotten here.
func environment() []setting {
	var all []setting
	for _, field := range fieldsOf(reflect.TypeFor[settings]()) {
		all = append(all, setting{envPrefix + field.Tag.Get("env"), field.Tag.Get("envDefault"), field.Tag.Get("help")})
	}
	return all
}

// fieldsOf are the fields of settings, and of settings in them.
func fieldsOf(t reflect.Type) []reflect.StructField {
	var all []reflect.StructField
	for field := range t.Fields() {
		if field.Type.Kind() == reflect.Struct {
			all = append(all, fieldsOf(field.Type)...)
		} else {
			all = append(all, field)
		}
	}
	return all
}

func (c *cli) environmentCommand() *cobra.Command {
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	for _, s := range environment() {
		fmt.Fprintf(w, "%s\t%s\t%s\n", s.Variable, s.Default, s.Help)
	}
	_ = w.Flush() // a strings.Builder takes all
	return &cobra.Command{
		Use:   "environment",
		Short: "List the variables that are read, and their defaults",
		Long: `The variables of the environment that are read, their defaults, and what they mean. A flag wins over its variable,
which wins over the default. Passwords have a variable and no flag: a command line can be read by others. OpenTelemetry's own
variables (OTEL_EXPORTER_OTLP_ENDPOINT and others, see docs/tracing.md) say whether telemetry is exported, and where to.

` + strings.TrimRight(table.String(), "\n"),
		Example: `  cloudflow environment --json
  CLOUDFLOW_URL=http://127.0.0.1:9000 cloudflow product list`,
		Args: exactly(0, "no argument"),
		RunE: func(*cobra.Command, []string) error {
			if c.JSON {
				return c.printJSON(map[string]any{"variables": environment()})
			}
			_, err := fmt.Fprint(c.out, table.String())
			return err
		},
	}
}
