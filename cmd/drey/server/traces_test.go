package server

import (
	"fmt"
	"net/http"
	"testing"

	"drey.dev/drey/test/framework/drey"
	"drey.dev/drey/test/framework/otlpcollector"
)

// TestTracing: REST requests make spans, and an unreachable collector does not hold up
// the shutdown.
func TestTracing(t *testing.T) {
	traces := otlpcollector.New(t)
	d, err := drey.Start(t.Context(), drey.Options{Program: program, DataDir: t.TempDir(), Args: []string{"--traces-endpoint", traces.URL, "--traces-ratio", "1"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Register(t.Context(), "default", "a", "b"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Call(t.Context(), http.MethodGet, "/api/v1/namespaces/default/deployment-targets/none", nil); err == nil {
		t.Fatal("what is not there is answered")
	}
	if err := d.Stop(); err != nil { // which sends what is left
		t.Fatal(err)
	}
	for name, want := range map[string]string{"REST POST": "201", "REST GET": "404"} {
		if span, ok := traces.Find(name); !ok || span.Attributes["http.response.status_code"] != want || span.Attributes["url.path"] == "" || span.Parent != "" {
			t.Errorf("%s: %+v", name, span)
		}
	}

	write, ok := traces.Find("store create")
	if request, _ := traces.Find("REST POST"); !ok || write.Attributes["drey.name"] != "a" || write.Parent != request.ID {
		t.Errorf("store create: %+v", write)
	}

	d, err = drey.Start(t.Context(), drey.Options{Program: program, DataDir: t.TempDir(), Args: []string{"--traces-endpoint", "http://127.0.0.1:1/v1/traces", "--traces-ratio", "1"}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		if err := d.Register(t.Context(), "default", fmt.Sprintf("t%d", i), "b"); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Stop(); err != nil {
		t.Error(err)
	}
}
