package cli

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

	"drey.dev/drey/cmd/drey/server"
	"drey.dev/drey/registry/boltstore"
)

func newBackupCommand() *cobra.Command {
	var dataDir string
	var overwrite bool
	c := &cobra.Command{
		Use:   "backup FILE",
		Short: "Copy the registry to a file, while drey runs or while it does not",
		Long: `Copy the registry, as it is at some moment, to a file that drey restore reads.
Drey may run meanwhile. The copy is checked before it gets its name. With - as
FILE it goes to standard output, unchecked.`,
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			copyTo := func(w io.Writer) error { return copyRegistry(c.Context(), dataDir, w) }
			if args[0] == "-" {
				return copyTo(c.OutOrStdout())
			}
			contents, err := boltstore.Save(args[0], overwrite, func(f *os.File) error { return copyTo(f) })
			if errors.Is(err, fs.ErrExist) {
				return &exitError{exitUsage, fmt.Errorf("%s exists: choose another name, or give --overwrite", args[0])}
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

// copyRegistry reads the file itself, or has the process that has it open read
// it.
func copyRegistry(ctx context.Context, dataDir string, w io.Writer) error {
	err := boltstore.Copy(server.RegistryFile(dataDir), w)
	if !errors.Is(err, boltstore.ErrInUse) {
		return err
	}
	running := http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", server.AdminSocket(dataDir))
		},
	}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://drey/backup", nil)
	if err != nil {
		return err
	}
	response, err := running.Do(request)
	if err != nil {
		return fmt.Errorf("another process has the file open and does not answer at %s: %w", server.AdminSocket(dataDir), err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("drey answers %s", response.Status)
	}
	_, err = io.Copy(w, response.Body)
	return err
}

func newRestoreCommand() *cobra.Command {
	var dataDir string
	c := &cobra.Command{
		Use:   "restore FILE",
		Short: "Put a backup in the place of the registry, while drey does not run",
		Long: `Put a copy of FILE, which drey backup made, in the place of the registry. FILE
is checked first. What was there is kept beside it under a name with the time.`,
		Args: usage(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			previous, contents, err := boltstore.Restore(server.RegistryFile(dataDir), args[0])
			if err != nil {
				return fmt.Errorf("restore %s: %w", args[0], err)
			}
			if _, err := fmt.Fprintf(c.OutOrStdout(), "%s: %s\n", server.RegistryFile(dataDir), contents); err != nil || previous == "" {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "what was there before: %s\n", previous)
			return err
		},
	}
	bindDataDir(c, &dataDir)
	return c
}

func bindDataDir(c *cobra.Command, dataDir *string) {
	c.Flags().StringVar(dataDir, "data-dir", "drey-data", "directory of the registry's file")
}
