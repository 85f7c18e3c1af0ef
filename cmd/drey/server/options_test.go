package server

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	configv1alpha1 "drey.dev/drey/config/v1alpha1"
	"drey.dev/drey/test/framework/drey"
)

var update = flag.Bool("update", false, "write the table of docs/reference/configuration.md")

// withoutField are the flags of one start or of a person, which no file has.
var withoutField = []string{"config", "kubeconfig", "new-owner-token"}

// TestFlagsMatchFields: each flag sets the field that [configv1alpha1.Fields] has for it, and
// every field has a flag.
func TestFlagsMatchFields(t *testing.T) {
	defaults := fieldValues(t, configv1alpha1.Default())
	unset := maps.Clone(defaults)
	for _, s := range new(Options).Flags() {
		s.VisitAll(func(f *pflag.Flag) {
			if slices.Contains(withoutField, f.Name) {
				return
			}
			var o Options
			for _, s := range o.Flags() {
				if s.Lookup(f.Name) == nil {
					continue
				}
				if err := s.Set(f.Name, otherValue(f)); err != nil {
					t.Fatal(err)
				}
			}
			var changed []string
			for path, value := range fieldValues(t, o.config) {
				if value != defaults[path] {
					changed = append(changed, path)
				}
			}
			if want := []string{configv1alpha1.Fields[f.Name]}; !slices.Equal(changed, want) {
				t.Errorf("--%s: got the fields %v changed, want %v", f.Name, changed, want)
			}
			delete(unset, configv1alpha1.Fields[f.Name])
		})
	}
	if len(unset) > 0 {
		t.Errorf("fields without a flag: %v", slices.Sorted(maps.Keys(unset)))
	}
}

// otherValue returns a value of the flag's type, other than its default.
func otherValue(f *pflag.Flag) string {
	switch f.Value.Type() {
	case "bool":
		return "true"
	case "duration":
		return "77s"
	case "float64":
		return "0.77"
	case "quantity":
		return "77Mi"
	}
	return "other"
}

// fieldValues returns the values of all fields, in JSON, by path.
func fieldValues(t *testing.T, c configv1alpha1.DreyConfiguration) map[string]string {
	t.Helper()
	all := map[string]string{}
	var walk func(path string, v reflect.Value)
	walk = func(path string, v reflect.Value) {
		if _, isLeaf := reflect.TypeAssert[json.Marshaler](v); v.Kind() != reflect.Struct || isLeaf {
			text, err := json.Marshal(v.Interface())
			if err != nil {
				t.Fatal(err)
			}
			all[strings.TrimPrefix(path, ".")] = string(text)
			return
		}
		for i := range v.NumField() {
			if f := v.Type().Field(i); !f.Anonymous { // the TypeMeta
				name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
				walk(path+"."+name, v.Field(i))
			}
		}
	}
	walk("", reflect.ValueOf(c))
	return all
}

// TestConfigFile: fields replace defaults, and flags that are given replace fields.
func TestConfigFile(t *testing.T) {
	file := writeConfig(t, `
namespace: apps
registry: {store: kubernetes, platformNamespaces: [a, b], platformNamespaceQuota: 1Mi, createNamespaces: true}
rest: {auth: [cluster], url: "https://drey.example.com/"}
certificates: {lifetime: 48h}
tracing: {samplingRatio: 0.5}
`)
	var o Options
	flags := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	for _, s := range o.Flags() {
		flags.AddFlagSet(s.FlagSet)
	}
	err := flags.Parse([]string{
		"--platform-namespace", "c", "--platform-namespace", "d", "--create-namespaces=false", "--config", file,
		"--certs-lifetime", "24h", "--log-format", "text", "--platform-namespace-quota", "32Mi",
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := o.complete(); err != nil {
		t.Fatal(err)
	}
	c := o.config
	for field, ok := range map[string]bool{
		"file over default":                      c.Registry.Store == "kubernetes" && c.Namespace == "apps" && slices.Equal(c.REST.Auth, []string{"cluster"}) && c.Tracing.SamplingRatio == 0.5,
		"normalized URL":                         c.REST.URL == "https://drey.example.com",
		"flag over file, list":                   slices.Equal(c.Registry.PlatformNamespaces, []string{"c", "d"}),
		"flag over file, false":                  !c.Registry.CreateNamespaces,
		"flag over file, duration":               c.Certificates.Lifetime.Duration == 24*time.Hour,
		"flag over file, with the default value": c.Registry.PlatformNamespaceQuota.String() == "32Mi",
		"neither":                                c.Metrics.BindAddress == "127.0.0.1:8081",
	} {
		if !ok {
			t.Errorf("%s: got %+v", field, c)
		}
	}
}

// TestServeInvalidConfigFile: errors name the file or its fields, and exit with the code of
// invalid flags.
func TestServeInvalidConfigFile(t *testing.T) {
	for rule, c := range map[string]struct {
		text string
		args []string
		want string
	}{
		"unknown field":        {"registry: {stor: embedded}", nil, `unknown field "registry.stor"`},
		"invalid value":        {"registry: {store: sqlite}", nil, `registry.store is "sqlite"`},
		"invalid combination":  {"rest: {auth: [tokens]}\nregistry: {store: kubernetes}", nil, "rest.auth tokens requires registry.store embedded"},
		"flag over the field":  {"rest: {auth: [tokens]}", []string{"--store", "kubernetes"}, "rest.auth tokens requires --store embedded"},
		"requires a cluster":   {"registry: {store: kubernetes}", nil, "registry.store kubernetes needs a cluster: give --kubeconfig"},
		"flag without a field": {"rest: {auth: [cluster]}", []string{"--new-owner-token"}, "--new-owner-token requires rest.auth tokens"},
	} {
		t.Run(rule, func(t *testing.T) {
			args := append([]string{"serve", "--config", writeConfig(t, c.text)}, c.args...)
			cmd := exec.Command(program, args...)
			out, _ := cmd.CombinedOutput() // the exit code is compared
			if code := cmd.ProcessState.ExitCode(); code != exitUsage || !strings.Contains(string(out), c.want) {
				t.Errorf("got exit code %d and %s, want %d and %q", code, out, exitUsage, c.want)
			}
		})
	}
	out, err := exec.Command(program, "serve", "--config", "none.yaml").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "--config: open none.yaml") {
		t.Errorf("missing file: got %v %s", err, out)
	}
}

// TestServeConfigFile runs drey by a file, with the addresses as flags.
func TestServeConfigFile(t *testing.T) {
	d, err := drey.Start(t.Context(), drey.Options{Program: program, DataDir: t.TempDir(), Args: []string{
		"--config", writeConfig(t, "registry: {dataDir: /nonexistent, platformNamespaces: [team-a]}\nlogging: {format: json}\nrest: {bindAddress: ':1'}"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Stop() }) // it may have ended
	if err := d.Register(t.Context(), "team-a", "t", "staging"); err != nil {
		t.Error(err)
	}
	if !strings.Contains(d.Log(), `"msg":"drey is up"`) {
		t.Errorf("got the log %s, want JSON", d.Log())
	}
}

// writeConfig writes a configuration file with fields, and returns its path.
func writeConfig(t *testing.T, fields string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte("apiVersion: config.drey.dev/v1alpha1\nkind: DreyConfiguration\n"+fields), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestConfigurationDocument compares the tables of docs/reference/configuration.md with the flags.
func TestConfigurationDocument(t *testing.T) {
	const path, heading = "../../../docs/reference/configuration.md", "## Fields\n"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, _, ok := bytes.Cut(text, []byte(heading))
	if !ok {
		t.Fatalf("no heading %q", heading)
	}
	want := append(bytes.Clone(before), []byte(heading+fieldTables())...)
	if *update {
		if err := os.WriteFile(path, want, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(text, want) {
		t.Error("docs/reference/configuration.md is out of date: run go test ./cmd/drey/server -run TestConfigurationDocument -update")
	}
}

// fieldTables returns a table for each section of flags, in Markdown.
func fieldTables() string {
	var b strings.Builder
	for _, s := range new(Options).Flags() {
		fmt.Fprintf(&b, "\n### %s\n\n| field | flag | default | |\n|---|---|---|---|\n", s.Title)
		s.SortFlags = false
		s.VisitAll(func(f *pflag.Flag) {
			field, value := "", strings.Trim(f.DefValue, "[]")
			if configv1alpha1.Fields[f.Name] != "" {
				field = "`" + configv1alpha1.Fields[f.Name] + "`"
			}
			if value != "" {
				value = "`" + value + "`"
			}
			_, usage := pflag.UnquoteUsage(f)
			fmt.Fprintf(&b, "| %s | `--%s` | %s | %s |\n", field, f.Name, value, strings.ReplaceAll(usage, "|", `\|`))
		})
	}
	return b.String()
}
