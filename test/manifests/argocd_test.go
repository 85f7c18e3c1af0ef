package manifests

import (
	"testing"

	lua "github.com/yuin/gopher-lua"

	"drey.dev/drey/test/framework/page"
)

// TestArgoCDHealthCheck runs the documented health check of Argo CD on statuses of a target.
func TestArgoCDHealthCheck(t *testing.T) {
	blocks, err := page.CheckedBy("../..", t.Name())
	if err != nil {
		t.Fatal(err)
	}
	const key = "resource.customizations.health.drey.dev_DeploymentTarget"
	checks := map[string]string{}
	for path, text := range blocks {
		if err := page.Decode(text, &checks); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
	}
	for state, c := range map[string]struct{ object, want string }{
		"no status": {`obj = {}`, "Progressing"},
		"ready":     {`obj = {status = {conditions = {{type = "Ready", status = "True", message = "served"}}}}`, "Healthy"},
		"not ready": {`obj = {status = {conditions = {{type = "Referenced", status = "True"}, {type = "Ready", status = "False", message = "no such namespace"}}}}`, "Progressing"},
	} {
		t.Run(state, func(t *testing.T) {
			l := lua.NewState()
			defer l.Close()
			if err := l.DoString(c.object); err != nil {
				t.Fatal(err)
			}
			if err := l.DoString(checks[key]); err != nil {
				t.Fatal(err)
			}
			health, ok := l.Get(-1).(*lua.LTable)
			if !ok {
				t.Fatalf("got %v, want a table", l.Get(-1))
			}
			if got := health.RawGetString("status").String(); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			if message := health.RawGetString("message").String(); message == "" || message == "nil" {
				t.Error("got no message")
			}
		})
	}
}
