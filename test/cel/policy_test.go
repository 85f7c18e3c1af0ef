package cel

import (
	"math/rand/v2"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apiserver/pkg/admission"
	apiserver "k8s.io/apiserver/pkg/admission/plugin/webhook"

	"drey.dev/drey/test/framework/fixtures"
	"drey.dev/drey/webhook/config"
)

// podPolicy has the conditions under which the ValidatingAdmissionPolicy denies a pod in a
// namespace without a target.
var podPolicy = apiserver.NewValidatingWebhookAccessor("policy", "policy", &admissionregistrationv1.ValidatingWebhook{MatchConditions: config.PolicyConditions()})

// denied reports whether the policy denies a pod.
func denied(t testing.TB, pod map[string]any) bool {
	t.Helper()
	result := podPolicy.GetCompiledMatcher(compiler).Match(t.Context(), creation(t, pod), nil, nil)
	if result.Error != nil {
		t.Fatal(result.Error)
	}
	return result.Matches
}

// TestPolicyFixtures: the policy denies the pods that drey denies, except those that only a
// parsed command line identifies.
func TestPolicyFixtures(t *testing.T) {
	code := newCode(t)
	for _, c := range fixtures.All(t) {
		if c.Kind() != "Pod" {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			acts := len(code.acting(t, c.Object)) > 0
			if got, want := denied(t, c.Object), acts && c.PolicyMisses == ""; got != want {
				t.Errorf("denied by the policy: got %t, want %t", got, want)
			}
		})
	}
}

// TestPolicyGenerated: the policy denies no pod that drey admits.
func TestPolicyGenerated(t *testing.T) {
	g := generator{rand.New(rand.NewPCG(5, 6))}
	code := newCode(t)
	both, goAlone := 0, 0
	for range generated {
		o := g.object()
		if o["kind"] != "Pod" {
			continue
		}
		acts := len(code.acting(t, o)) > 0
		switch denies := denied(t, o); {
		case denies && !acts:
			t.Fatalf("got a denial by the policy, want it admitted as by Go: %v", o)
		case denies:
			both++
		case acts:
			goAlone++
		}
	}
	t.Logf("the policy denies %d of the %d pods that Go recognizes", both, both+goAlone)
	if both < 2*goAlone {
		t.Errorf("got %d of %d Flink pods missed by the policy, want at most a third", goAlone, both+goAlone)
	}
}

// TestRealFlink: CEL matches the objects that a real Flink created, and the policy denies
// the pods among them.
func TestRealFlink(t *testing.T) {
	for _, r := range fixtures.AllReal(t) {
		if len(called(t, admission.Create, r.Object, nil)) == 0 {
			t.Errorf("%s: got no match, want it sent to drey", r.Name)
		}
		if r.Object["kind"] == "Pod" && !denied(t, r.Object) {
			t.Errorf("%s: got no denial by the policy", r.Name)
		}
	}
}
