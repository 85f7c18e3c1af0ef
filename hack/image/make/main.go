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
	arch := flag.String("arch", "amd64", "GOARCH of the binary")
	flag.StringVar(&o.Name, "name", "", "name of the image")
	flag.StringVar(&o.Version, "version", "dev", "version of the binary")
	flag.StringVar(&o.Revision, "revision", "", "commit of the binary")
	flag.Parse()
	var err error
	if o.Created, err = time.Parse(time.RFC3339, *created); err != nil {
		return fmt.Errorf("-created: %w", err)
	}
	content, err := os.ReadFile(*binary)
	if err != nil {
		return err
	}
	o.Binaries = []image.Binary{{Arch: *arch, Content: content}}
	layout, digest, err := image.Layout(o)
	if err != nil {
		return err
	}
	sbom, err := image.SBOM(content, o.Version, o.Created)
	if err != nil {
		return err
	}
	if err := os.WriteFile(*out, layout, 0o644); err != nil {
		return err
	}
	list := strings.TrimSuffix(*out, ".tar") + ".spdx.json"
	if err := os.WriteFile(list, sbom, 0o644); err != nil {
		return err
	}
	fmt.Printf("image   %s@%s, linux/%s\nlayout  %s (%.1f MB)\nSBOM    %s\ncopy it to a registry: skopeo copy oci-archive:%s docker://REGISTRY/drey:%s\n",
		o.Name, digest, *arch, *out, float64(len(layout))/1e6, list, *out, o.Version)
	return nil
}
