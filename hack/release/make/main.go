// Command make compiles drey for all platforms, and writes the artifacts of a release; see
// package release.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"drey.dev/drey/hack/release"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	o := release.Options{Log: func(step string) { fmt.Println(step) }}
	flag.StringVar(&o.Version, "version", "", "the tag, such as v0.1.0")
	flag.StringVar(&o.Revision, "revision", "", "commit hash")
	flag.StringVar(&o.Repository, "repository", "drey.dev/drey", "repository of the image")
	flag.StringVar(&o.URL, "url", "", "download URL of the artifacts")
	flag.StringVar(&o.Builder, "builder", "https://drey.dev/make-release", "URI of the builder in the provenance")
	flag.StringVar(&o.Root, "root", ".", "the module's folder")
	created := flag.String("created", "", "commit time in RFC 3339")
	platforms := flag.String("platforms", "linux/amd64", "GOOS/GOARCH of the binaries, separated by spaces")
	ldflags := flag.String("ldflags", "", "flags of the linker")
	out := flag.String("out", "dist", "directory of the artifacts, empty or absent")
	flag.Parse()
	var err error
	if o.Created, err = time.Parse(time.RFC3339, *created); err != nil {
		return fmt.Errorf("-created: %w", err)
	}
	o.Platforms = strings.Fields(*platforms)
	work, err := os.MkdirTemp("", "drey-release-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	build := func(ctx context.Context, platform, path string) error {
		system, arch, _ := strings.Cut(platform, "/")
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", *ldflags, "-o", path, "./cmd/drey")
		cmd.Dir, cmd.Stderr = o.Root, os.Stderr
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+system, "GOARCH="+arch)
		return cmd.Run()
	}
	o.Build = func(ctx context.Context, platform string) ([]byte, error) {
		path := filepath.Join(work, strings.ReplaceAll(platform, "/", "-"))
		if err := build(ctx, platform, path); err != nil {
			return nil, fmt.Errorf("compile drey for %s: %w", platform, err)
		}
		return os.ReadFile(path)
	}
	here := filepath.Join(work, "here")
	if err := build(ctx, runtime.GOOS+"/"+runtime.GOARCH, here); err != nil {
		return fmt.Errorf("compile drey: %w", err)
	}
	o.Run = func(ctx context.Context, args ...string) ([]byte, error) {
		var stdout, stderr bytes.Buffer
		cmd := exec.CommandContext(ctx, here, args...)
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		if err := cmd.Run(); err != nil {
			return nil, fmt.Errorf("drey %s: %w: %s", strings.Join(args, " "), err, stderr.String())
		}
		return stdout.Bytes(), nil
	}
	if err := release.Make(ctx, o, *out); err != nil {
		return err
	}
	return list(*out)
}

// list prints the artifacts with their sizes.
func list(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			return err
		}
		fmt.Printf("%10d  %s\n", info.Size(), filepath.Join(dir, e.Name()))
	}
	return nil
}
