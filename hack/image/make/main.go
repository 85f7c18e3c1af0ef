// Command make writes an OCI image of a binary and its SBOM.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"drey.dev/drey/hack/image"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func run() error {
	binary := flag.String("binary", "", "path of the static binary")
	out := flag.String("out", "", "path of the image, ending in .tar; the SBOM has .spdx.json instead")
	created := flag.String("created", "", "commit time in RFC 3339")
	var o image.Options
	flag.StringVar(&o.Platform, "arch", "amd64", "GOARCH of the binary")
	flag.StringVar(&o.Name, "name", "", "name of the image")
	flag.StringVar(&o.Version, "version", "dev", "version of the binary")
	flag.StringVar(&o.Revision, "revision", "", "commit of the binary")
	flag.Parse()
	var err error
	if o.Created, err = time.Parse(time.RFC3339, *created); err != nil {
		return fmt.Errorf("-created: %w", err)
	}
	if o.Binary, err = os.ReadFile(*binary); err != nil {
		return err
	}
	layout, err := image.Layout(o)
	if err != nil {
		return err
	}
	sbom, err := image.SBOM(o)
	if err != nil {
		return err
	}
	if err := os.WriteFile(*out, layout, 0o600); err != nil {
		return err
	}
	return os.WriteFile(strings.TrimSuffix(*out, ".tar")+".spdx.json", sbom, 0o600)
}
