// Command make builds the krew archives and manifest; see package krew.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"

	"drey.dev/drey/hack/krew"
)

func main() {
	var r krew.Release
	var dir string
	flag.StringVar(&r.Version, "version", "", "version of the release, such as v0.1.0")
	flag.StringVar(&r.URL, "url", "", "download URL of the archives")
	flag.StringVar(&r.License, "license", "LICENSE", "path of the license")
	flag.StringVar(&dir, "out", "bin/krew", "directory for the archives and the manifest")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "make -version VERSION -url URL OS/ARCH=BINARY...")
		flag.PrintDefaults()
	}
	flag.Parse()
	r.Binaries = map[string]string{}
	var platforms []string
	for _, arg := range flag.Args() {
		platform, binary, _ := strings.Cut(arg, "=")
		platforms = append(platforms, platform)
		r.Binaries[platform] = binary
	}
	err := os.MkdirAll(dir, 0o755)
	if err == nil {
		err = krew.Pack(r, platforms, dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "krew:", err)
		os.Exit(1)
	}
}
