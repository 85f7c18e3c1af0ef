package cel

import (
	"math/rand/v2"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apiserver/pkg/admission"
	apiserver "k8s.io/apiserver/pkg/admission/plugin/webhook"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/client-go/kubernetes/scheme"

	"drey.dev/drey/test/framework/fixtures"
	"drey.dev/drey/webhook/config"
)

// denying is what the built-in policy denies in a namespace without a target, as the
// API server evaluates it.
var denying = apiserver.NewValidatingWebhookAccessor("policy", "policy", &admissionv1.ValidatingWebhook{MatchConditions: config.PolicyConditions()})

func denied(t testing.TB, pod map[string]any) bool {
	t.Helper()
	o := &unstructured.Unstructured{Object: pod}
	kind := o.GroupVersionKind()
	attributes := admission.NewAttributesRecord(typed(t, pod), nil, kind, namespace, o.GetName(), resourceOf(kind), "", admission.Create, nil, false, &user.DefaultInfo{Name: "somebody"})
	versioned, err := admission.NewVersionedAttributes(attributes, kind, admission.NewObjectInterfacesFromScheme(scheme.Scheme))
	if err != nil {
		t.Fatal(err)
	}
	result := denying.GetCompiledMatcher(compiler).Match(t.Context(), versioned, nil, nil)
	if result.Error != nil {
		t.Fatal(result.Error)
	}
	return result.Matches
}

// TestPolicyFixtures: while drey is down, the policy denies exactly the pods that
// drey denies, but for those that show Flink only behind the first words.
func TestPolicyFixtures(t *testing.T) {
	code := newCode(t)
	for _, c := range fixtures.All(t) {
		if c.Kind() != "Pod" {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			acts := len(code.acting(t, c.Object)) > 0
			if got, want := denied(t, c.Object), acts && c.PolicyMisses == ""; got != want {
				t.Errorf("the policy denies it: %t, want %t", got, want)
			}
		})
	}
}

// TestPolicyGenerated: the policy never denies a pod that drey would admit.
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
			t.Fatalf("the policy denies it, and Go does not: %v", o)
		case denies:
			both++
		case acts:
			goAlone++
		}
	}
	t.Logf("the policy denies %d of the %d pods that Go recognizes", both, both+goAlone)
	if both < 2*goAlone {
		t.Errorf("the policy misses %d of %d", goAlone, both+goAlone)
	}
}

// TestRealFlink: the API server sends to drey what a real Flink created, and the policy
// denies its pods.
func TestRealFlink(t *testing.T) {
	for _, r := range fixtures.AllReal(t) {
		if len(called(t, admission.Create, r.Object, nil)) == 0 {
			t.Errorf("%s is not sent to drey", r.Name)
		}
		if r.Object["kind"] == "Pod" && !denied(t, r.Object) {
			t.Errorf("the policy does not deny %s", r.Name)
		}
	}
}
