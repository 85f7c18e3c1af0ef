// Command drey decides where Flink may run in a Kubernetes cluster, and labels
// what runs there.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// Set by the linker.
var (
	version = "dev"
	commit  string // the full hash
	date    string // of the commit, RFC 3339
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	err := newCommand().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "drey:", err)
		os.Exit(exitCode(err))
	}
}

func newCommand() *cobra.Command {
	root := onlyGroups(&cobra.Command{
		Use:           "drey",
		Short:         "Where Flink may run in a Kubernetes cluster, and how what runs there is labeled",
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
	})
	if isPlugin() {
		root.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl drey"}
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &exitError{exitUsage, fmt.Errorf("%w: see %s --help", err, cmd.CommandPath())}
	})
	root.AddCommand(newServeCommand(), newExplainCommand(), newCheckCommand(), newAuditCommand(), newTokensCommand(), newBackupCommand(), newRestoreCommand(), newMigrateCommand(),
		newInstallCommand(), newUninstallCommand(), newStatusCommand(), newDoctorCommand())
	for _, k := range objectKinds {
		root.AddCommand(newObjectCommand(k))
	}
	return root
}
