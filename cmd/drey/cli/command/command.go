// Package command holds what all commands of drey share: exit codes, argument checks and
// groups of subcommands.
package command

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// Exit codes, for scripts.
const (
	ExitFailure     = 1 // any other error
	ExitUsage       = 2 // the command line is wrong
	ExitNotFound    = 3 // the object does not exist
	ExitRefused     = 4 // the server refuses the request; a retry does not help
	ExitUnavailable = 5 // the server is unreachable or overloaded; retry
	ExitDenied      = 6 // check or audit --fail-on found a workload that admission would deny

	ExitInterrupted = 130 // a signal ended the command, except a watch or serve
)

// codeError is an error with an exit code of its own.
type codeError struct {
	code int
	err  error
}

func (e *codeError) Error() string { return e.err.Error() }
func (e *codeError) Unwrap() error { return e.err }

// WithCode returns err with the exit code of the process.
func WithCode(code int, err error) error { return &codeError{code, err} }

// CodeOf returns the exit code that an error carries, or 0.
func CodeOf(err error) int {
	if e, ok := errors.AsType[*codeError](err); ok {
		return e.code
	}
	return 0
}

// Args gives the errors of an argument check their exit code.
func Args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return WithCode(ExitUsage, fmt.Errorf("%w: see %s --help", err, cmd.CommandPath()))
		}
		return nil
	}
}

// Group makes a command print its help without a subcommand, and refuse an unknown one.
func Group(cmd *cobra.Command) *cobra.Command {
	cmd.Args = cobra.ArbitraryArgs
	cmd.SuggestionsMinimumDistance = 2
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		meant := ""
		if like := cmd.SuggestionsFor(args[0]); len(like) > 0 {
			meant = fmt.Sprintf(", did you mean %s", strings.Join(like, " or "))
		}
		return WithCode(ExitUsage, fmt.Errorf("%q is not a command of %s%s: see %s --help", args[0], cmd.CommandPath(), meant, cmd.CommandPath()))
	}
	return cmd
}
