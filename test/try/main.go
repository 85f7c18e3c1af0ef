// Command try shows drey's admission without a cluster. It serves the registry's REST API and
// the webhooks in this process, on loopback, and sends the webhooks the AdmissionReviews that
// an API server would send for pods and Deployments recorded from Flink. It checks each
// result, and exits with 1 if one is unexpected.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"drey.dev/drey/test/framework/transcript"
)

func main() {
	program := flag.String("drey", "", "path of the drey binary; empty: make build compiles it, once the webhooks have been shown")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *program, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "\ntry:", err)
		os.Exit(1)
	}
}

// run starts drey's parts and runs all steps. The working directory is the root of the module.
func run(ctx context.Context, program string, out io.Writer) (err error) {
	began := time.Now()
	t := &try{Transcript: &transcript.Transcript{Out: out}, program: program}
	t.Heading("Serve the registry and the webhooks on loopback, without a cluster")
	if t.parts, err = start(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.stop()) }()
	t.Detail("REST API %s, webhooks %s", t.rest, t.webhooks)
	if err := inOrder(ctx, t.registerTarget, t.admitApplication, t.admitNginx, t.denyWithoutTarget); err != nil {
		return err
	}
	t.Table() // before drey is compiled
	if err := errors.Join(inOrder(ctx, t.build, t.explain, t.check), t.Err()); err != nil {
		return err
	}
	t.Heading("All results as expected after %s. Next: make demo does the same on a real control plane", time.Since(began).Round(100*time.Millisecond))
	return nil
}

// inOrder runs steps until one fails.
func inOrder(ctx context.Context, steps ...func(context.Context) error) error {
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}
