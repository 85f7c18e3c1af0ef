// Package stores holds the commands that copy the registry: backup, restore and migrate.
package stores

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"

	"github.com/spf13/cobra"

	"drey.dev/drey/cmd/drey/cli/command"
	"drey.dev/drey/cmd/drey/server"
	"drey.dev/drey/registry/boltstore"
)

// Commands returns the commands.
func Commands() []*cobra.Command {
	return []*cobra.Command{newBackupCommand(), newRestoreCommand(), newMigrateCommand()}
}

func newBackupCommand() *cobra.Command {
	var dataDir string
	var overwrite bool
	c := &cobra.Command{
		Use:   "backup FILE",
		Short: "Back up the embedded registry to a file, online or offline",
		Long: `Write a consistent copy of the embedded registry to FILE, for drey restore. Drey may
be running. The copy is verified before it is renamed to FILE; with - it is written to
standard output, unverified.`,
		Example: `  drey backup registry.backup
  kubectl exec -n drey-system deploy/drey -- /drey backup - > registry.backup`,
		Args: command.Args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			copyTo := func(w io.Writer) error { return copyRegistry(c.Context(), dataDir, w) }
			if args[0] == "-" {
				return copyTo(c.OutOrStdout())
			}
			contents, err := boltstore.Save(args[0], overwrite, func(f *os.File) error { return copyTo(f) })
			if errors.Is(err, fs.ErrExist) {
				return command.WithCode(command.ExitUsage, fmt.Errorf("%s exists: choose another name, or use --overwrite", args[0]))
			}
			if err != nil {
				return fmt.Errorf("back up %s: %w", server.RegistryFile(dataDir), err)
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s: %s\n", args[0], contents)
			return err
		},
	}
	bindDataDir(c, &dataDir)
	c.Flags().BoolVar(&overwrite, "overwrite", false, "replace FILE if it exists")
	return c
}

// copyRegistry copies the file, through the admin socket if a running drey has it open.
func copyRegistry(ctx context.Context, dataDir string, w io.Writer) error {
	err := boltstore.Copy(server.RegistryFile(dataDir), w)
	if !errors.Is(err, boltstore.ErrInUse) {
		return err
	}
	client := http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", server.AdminSocket(dataDir))
		},
	}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://drey/backup", nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("the file is open in another process, which does not answer at %s: %w", server.AdminSocket(dataDir), err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("backup: unexpected response %s", response.Status)
	}
	_, err = io.Copy(w, response.Body)
	return err
}

func newRestoreCommand() *cobra.Command {
	var dataDir string
	c := &cobra.Command{
		Use:   "restore FILE",
		Short: "Replace the embedded registry by a backup, while drey is stopped",
		Long: `Replace the embedded registry by a copy of FILE, which drey backup wrote. FILE is
verified first. The previous registry is renamed, with the time in its name.`,
		Example: "  drey restore registry.backup",
		Args:    command.Args(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			previous, contents, err := boltstore.Restore(server.RegistryFile(dataDir), args[0])
			if err != nil {
				return fmt.Errorf("restore %s: %w", args[0], err)
			}
			if _, err := fmt.Fprintf(c.OutOrStdout(), "%s: %s\n", server.RegistryFile(dataDir), contents); err != nil || previous == "" {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "previous registry: %s\n", previous)
			return err
		},
	}
	bindDataDir(c, &dataDir)
	return c
}

func bindDataDir(c *cobra.Command, dataDir *string) {
	c.Flags().StringVar(dataDir, "data-dir", "drey-data", "directory of the registry's file")
}
