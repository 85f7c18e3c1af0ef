// Command drey controls which Kubernetes namespaces may run Flink, and labels
// its workloads.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"drey.dev/drey/cmd/drey/cli"
	"drey.dev/drey/registry/rest"
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
	err := cli.New(rest.Build{Version: version, Time: date, Commit: commit}).ExecuteContext(ctx)
	code := cli.ExitCode(ctx, err)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "drey:", err)
		os.Exit(code)
	}
}
