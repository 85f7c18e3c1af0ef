package owners

import (
	"testing"

	"drey.dev/drey/webhook/flink"
)

// TestVerifyTemplate checks the result, and that it is cached.
func TestVerifyTemplate(t *testing.T) {
	deployment := flink.Owner{APIVersion: "apps/v1", Kind: "Deployment", Name: "nuts", UID: "uid-nuts"}
	other := deployment
	other.UID = "uid-other"
	custom := flink.Owner{APIVersion: "flink.apache.org/v1beta1", Kind: "FlinkDeployment", Name: "nuts", UID: "uid-nuts"}
	for rule, c := range map[string]struct {
		owner                flink.Owner
		isFlink              bool
		notFlink, unresolved bool
		calls                int // of two verifications
	}{
		"Flink template":  {deployment, true, false, false, 1},
		"other template":  {deployment, false, true, false, 1},
		"other UID":       {other, true, false, true, 2},
		"custom resource": {custom, false, false, false, 0},
		"unknown kind":    {flink.Owner{APIVersion: "x.example/v1", Kind: "Deployment", UID: "u"}, false, false, false, 0},
	} {
		t.Run(rule, func(t *testing.T) {
			f := newFakes(t, "apps/v1/Deployment/nuts uid-nuts")
			for range 2 {
				got := f.VerifyTemplate(t.Context(), "flink", c.owner, func(string, string, []byte) bool { return c.isFlink })
				if got.TemplateNotFlink != c.notFlink || got.Unresolved != c.unresolved {
					t.Errorf("got %+v", got)
				}
			}
			if calls := f.calls(); calls != c.calls {
				t.Errorf("%d calls, want %d", calls, c.calls)
			}
		})
	}
}
