// Command control-plane runs the control plane of package cluster for a shell.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"drey.dev/drey/test/framework/cluster"
)

const usage = `control-plane runs etcd, kube-apiserver and kube-controller-manager on loopback.

  go run ./test/framework/cluster/control-plane build [--kubernetes VERSION]
        build the binaries of the newest or another version, such as 1.30, into the cache,
        and print their directory, for KUBEBUILDER_ASSETS
  go run ./test/framework/cluster/control-plane versions
        print the versions, from the oldest to the newest
  go run ./test/framework/cluster/control-plane up [--kubeconfig FILE]
        run until Ctrl-C
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The second signal kills this process; the reaper cleans up.
	context.AfterFunc(ctx, stop)
	err := run(ctx, os.Args[1:])
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "control-plane:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("control-plane", flag.ContinueOnError)
	flags.Usage = func() { fmt.Fprint(os.Stderr, usage) }
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch flags.Arg(0) {
	case "build":
		version := flags.String("kubernetes", "", "")
		if err := parseRest(flags); err != nil {
			return err
		}
		return build(ctx, *version)
	case "versions":
		versions, err := cluster.Versions()
		if err == nil {
			fmt.Println(strings.Join(versions, "\n"))
		}
		return err
	case "up":
		kubeconfig := flags.String("kubeconfig", filepath.Join(".drey", "kubeconfig"), "")
		if err := parseRest(flags); err != nil {
			return err
		}
		return up(ctx, *kubeconfig)
	}
	flags.Usage()
	return errors.New("missing command: use build, versions or up")
}

// parseRest parses the flags after the command.
func parseRest(flags *flag.FlagSet) error {
	if err := flags.Parse(flags.Args()[1:]); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q; see --help", flags.Arg(0))
	}
	return nil
}

// build builds the binaries of a version. Empty: those of [cluster.Binaries].
func build(ctx context.Context, version string) (err error) {
	var dir string
	if version == "" {
		dir, err = cluster.Binaries(ctx, os.Stderr)
	} else {
		dir, err = cluster.BinariesOf(ctx, version, os.Stderr)
	}
	if err != nil {
		return err
	}
	fmt.Println(dir)
	return nil
}

func up(ctx context.Context, kubeconfig string) error {
	began := time.Now()
	c, err := cluster.New(ctx, cluster.Options{Kubeconfig: kubeconfig})
	if err != nil {
		return err
	}
	fmt.Printf(`The control plane is up after %s.

  export KUBECONFIG=%s KUBECACHEDIR=%s
  alias kubectl=%s

Logs and data are in %s. Ctrl-C stops it and removes them.
`, time.Since(began).Round(100*time.Millisecond), c.Kubeconfig(), filepath.Join(c.Dir(), "kubectl-cache"), c.Kubectl(), c.Dir())
	<-ctx.Done()
	return c.Stop()
}
