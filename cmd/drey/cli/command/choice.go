package command

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Choice adds a flag with a closed set of values, which completion offers, to flags of cmd.
// Its default is the first value, unless *value is set.
func Choice[T ~string](cmd *cobra.Command, flags *pflag.FlagSet, value *T, name, shorthand, usage string, values ...T) {
	if *value == "" {
		*value = values[0]
	}
	c := &choice[T]{value: value, name: name}
	for _, v := range values {
		c.values = append(c.values, string(v))
	}
	flags.VarP(c, name, shorthand, usage)
	Complete(cmd, name, cobra.FixedCompletions(c.values, cobra.ShellCompDirectiveNoFileComp))
}

// Complete sets the completion of a flag that the command has.
func Complete(cmd *cobra.Command, flag string, f cobra.CompletionFunc) {
	if err := cmd.RegisterFlagCompletionFunc(flag, f); err != nil {
		panic(err) // the flag is missing, or has one
	}
}

// Alternatives joins values: a, b or c.
func Alternatives(values []string) string {
	last := len(values) - 1
	return strings.Join(values[:last], ", ") + " or " + values[last]
}

// choice implements pflag.Value.
type choice[T ~string] struct {
	value  *T
	name   string
	values []string
}

// String implements pflag.Value.
func (c *choice[T]) String() string {
	if c.value == nil { // pflag compares with the zero value
		return ""
	}
	return string(*c.value)
}

// Type implements pflag.Value.
func (c *choice[T]) Type() string {
	if c.name == "output" {
		return "format"
	}
	return "string"
}

// Set implements pflag.Value.
func (c *choice[T]) Set(s string) error {
	if !slices.Contains(c.values, s) {
		return fmt.Errorf("want %s", Alternatives(c.values))
	}
	*c.value = T(s)
	return nil
}
