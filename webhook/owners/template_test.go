package owners

import (
	"testing"

	"drey.dev/drey/webhook/flink"
)

func TestProve(t *testing.T) {
	deployment := flink.Owner{APIVersion: "apps/v1", Kind: "Deployment", Name: "nuts", UID: "uid-nuts"}
	other := deployment
	other.UID = "uid-other"
	custom := flink.Owner{APIVersion: "flink.apache.org/v1beta1", Kind: "FlinkDeployment", Name: "nuts", UID: "uid-nuts"}
	for rule, c := range map[string]struct {
		owner                flink.Owner
		isFlink              bool
		notFlink, unverified bool
		calls                int // for two questions
	}{
		"its template is Flink's":               {deployment, true, false, false, 1},
		"its template is another's":             {deployment, false, true, false, 1},
		"it has another uid":                    {other, true, false, true, 2},
		"a custom resource is Flink's by kind":  {custom, false, false, false, 0},
		"a kind that drey does not label stays": {flink.Owner{APIVersion: "x.example/v1", Kind: "Deployment", UID: "u"}, false, false, false, 0},
	} {
		t.Run(rule, func(t *testing.T) {
			f := newFakes(t, "apps/v1/Deployment/nuts uid-nuts")
			for range 2 {
				got := f.VerifyTemplate(t.Context(), "flink", c.owner, func(string, string, []byte) bool { return c.isFlink })
				if got.TemplateNotFlink != c.notFlink || got.Unresolved != c.unverified {
					t.Errorf("got %+v", got)
				}
			}
			if calls := f.calls(); calls != c.calls {
				t.Errorf("%d calls, want %d", calls, c.calls)
			}
		})
	}
}
