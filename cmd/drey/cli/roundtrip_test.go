package cli

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"drey.dev/drey/cmd/drey/cli/document"
	"drey.dev/drey/registry"
	"drey.dev/drey/registry/kubestore"
	"drey.dev/drey/registry/rest"
	"drey.dev/drey/test/framework/documents"
)

// TestOutputRoundTrip: what get -o yaml and -o json print, in both forms, one object or a list,
// is unchanged when it is applied.
func TestOutputRoundTrip(t *testing.T) {
	d := start(t, t.TempDir())
	t.Setenv("DREY_SERVER", d.REST)
	random := rand.New(rand.NewPCG(1, 2))
	for _, k := range document.Kinds {
		for i := range 12 {
			body := documents.Random(random, k.Name, i)
			if _, err := d.Call(t.Context(), http.MethodPost, "/api/v1/namespaces/default/"+k.Collection, body); err != nil {
				t.Fatalf("%s: %v", body, err)
			}
		}
	}
	for _, k := range document.Kinds {
		names, _ := run(t, "", k.Command, "list", "-o", "name")
		_, first, _ := strings.Cut(strings.Fields(names)[0], "/")
		for _, read := range []string{"list", "list -A", "get", "get " + first} {
			for _, options := range []string{"-o yaml", "-o json", "-o yaml --api-version v1", "-o json --api-version v1"} {
				out, code := run(t, "", append([]string{k.Command}, strings.Fields(read+" "+options)...)...)
				if code != 0 {
					t.Errorf("drey %s %s %s: %s", k.Command, read, options, out)
					continue
				}
				want := 12
				if strings.HasPrefix(read, "get ") {
					want = 1
				}
				for _, apply := range [][]string{{k.Command, "apply", "-f", "-"}, {"apply", "-f", "-"}} {
					applied, code := run(t, out, apply...)
					if unchanged := strings.Count(applied, " unchanged\n"); code != 0 || unchanged != want || unchanged != strings.Count(applied, "\n") {
						t.Errorf("drey %s %s %s | drey %s: exit code %d, want %d lines unchanged:\n%s\n%s", k.Command, read, options, strings.Join(apply, " "), code, want, applied, out)
					}
				}
			}
		}
	}
}

// run runs a command in this process, and returns its combined output and its exit code. The start of
// the program takes longer than most commands.
func run(t *testing.T, stdin string, args ...string) (output string, code int) {
	t.Helper()
	c := New(rest.Build{})
	var out bytes.Buffer
	c.SetArgs(args)
	c.SetIn(strings.NewReader(stdin))
	c.SetOut(&out)
	c.SetErr(&out)
	err := c.ExecuteContext(t.Context())
	if err == nil {
		return out.String(), 0
	}
	return out.String() + err.Error(), ExitCode(t.Context(), err)
}

// TestEncodeDecode: a custom resource that Encode returns is the same object for Decode.
func TestEncodeDecode(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, k := range document.Kinds {
		for i := range 200 {
			text := documents.Random(random, k.Name, i)
			want, err := document.FromREST(registry.Kind(k.Name), text)
			if err != nil {
				t.Fatal(err)
			}
			want.Metadata.ID = "0b6dbf26-9a4c-4f5c-8b0b-0d4a5c1e2f3a"
			resource, err := kubestore.Encode(want, "")
			if err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			got, _, _, err := kubestore.Decode(want.Kind, resource)
			if err != nil {
				t.Fatalf("%s: %v", resource, err)
			}
			got.Metadata.CreatedAt, got.Metadata.ModifiedAt, got.Metadata.ResourceVersion = want.Metadata.CreatedAt, want.Metadata.ModifiedAt, 0
			var gotSpec, wantSpec any
			if json.Unmarshal(got.Spec, &gotSpec) != nil || json.Unmarshal(want.Spec, &wantSpec) != nil {
				t.Fatalf("spec is no JSON: %s", got.Spec)
			}
			got.Spec, want.Spec = nil, nil
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s\n%s", resource, diff)
			}
			if diff := cmp.Diff(wantSpec, gotSpec); diff != "" {
				t.Errorf("%s\n%s", resource, diff)
			}
		}
	}
}
