package bundle

import (
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

func TestWhatCannotRunIsRefusedWithWhatToDo(t *testing.T) {
	for rule, c := range map[string]struct {
		change func(*Options)
		says   string
	}{
		"a namespace of no name":           {func(o *Options) { o.Namespace = "Drey System" }, `"Drey System" is no name`},
		"Kubernetes' own namespace":        {func(o *Options) { o.Namespace = "kube-system" }, "drey-system"},
		"no image":                         {func(o *Options) { o.Image = "" }, "image"},
		"certificates of nowhere":          {func(o *Options) { o.Certs = "letsencrypt" }, "self-signed or cert-manager"},
		"a store that does not exist":      {func(o *Options) { o.Store = "sqlite" }, "kubernetes or embedded"},
		"nobody to serve":                  {func(o *Options) { o.Replicas = 0 }, "use 2"},
		"two processes of one file":        {func(o *Options) { o.Store = Embedded }, "use 1"},
		"a mode that does not exist":       {func(o *Options) { o.Mode = "strict" }, "enforce, warn or audit"},
		"a size that is none, of a volume": {func(o *Options) { o.Store, o.Replicas, o.VolumeSize = Embedded, 1, "big" }, `"big"`},
	} {
		t.Run(rule, func(t *testing.T) {
			o := Defaults()
			c.change(&o)
			if _, err := Stages(o); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %q", err, c.says)
			}
		})
	}
}

// TestRightsAreTheLeast looks at every rule of every role, in every variant.
func TestRightsAreTheLeast(t *testing.T) {
	seen := 0
	for _, certs := range []string{SelfSigned, CertManager} {
		for _, store := range []string{Kubernetes, Embedded} {
			o := Defaults()
			o.Certs, o.Store, o.Replicas, o.TargetNamespaces = certs, store, 1, []string{"staging"}
			for _, object := range pick(t, o, Rights, "Role", "ClusterRole") {
				var role rbacv1.ClusterRole
				if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &role); err != nil {
					t.Fatal(err)
				}
				if len(role.Rules) == 0 || len(object.reasons) != len(role.Rules) {
					t.Errorf("%s: %d rules and %d reasons", object, len(role.Rules), len(object.reasons))
				}
				for i, r := range role.Rules {
					seen++
					if !strings.HasSuffix(object.reasons[i], ".") {
						t.Errorf("%s: nobody says why: %v", object, r)
					}
					for _, word := range slices.Concat(r.APIGroups, r.Resources, r.Verbs, r.ResourceNames, r.NonResourceURLs) {
						if strings.Contains(word, "*") {
							t.Errorf("%s: %v has a wildcard", object, r)
						}
					}
					for _, grave := range []string{"secrets", "mutatingwebhookconfigurations", "validatingwebhookconfigurations"} {
						switch {
						case !slices.Contains(r.Resources, grave):
						case grave == "secrets" && (role.Kind != "Role" || role.Namespace != o.Namespace):
							t.Errorf("%s: %v reaches Secrets that are not drey's", object, r)
						case len(r.ResourceNames) == 0 && !slices.Equal(r.Verbs, creating):
							t.Errorf("%s: %v reaches more than drey's own", object, r)
						}
					}
					for _, verb := range []string{"escalate", "bind", "impersonate", "delete", "deletecollection"} {
						if slices.Contains(r.Verbs, verb) && !slices.Contains(r.APIGroups, "drey.dev") && role.Name != roleFlink {
							t.Errorf("%s: drey does not %s: %v", object, verb, r)
						}
					}
				}
			}
		}
	}
	if seen < 40 {
		t.Errorf("only %d rules were looked at", seen)
	}
}

// TestTheRulesOfTheRegistryHoldForKubectl where the cluster keeps it: else whoever may
// create a target in one namespace could let Flink into any other. A drey that keeps it
// in a file does not answer such a call.
func TestTheRulesOfTheRegistryHoldForKubectl(t *testing.T) {
	for store, want := range map[string]bool{Kubernetes: true, Embedded: false} {
		o := Defaults()
		o.Store, o.Replicas = store, 1
		found := false
		for _, w := range pick(t, o, Gates, "ValidatingWebhookConfiguration")[0].Object["webhooks"].([]any) {
			found = found || w.(map[string]any)["name"] == "registry.drey.dev"
		}
		if found != want {
			t.Errorf("%s: there is a webhook for drey's own objects: %t, want %t", store, found, want)
		}
	}
}

func TestWhatCallsDreyComesLast(t *testing.T) {
	stages, err := Stages(Defaults())
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, s := range stages {
		for _, o := range s.Objects {
			kinds = append(kinds, o.GetKind())
		}
	}
	at := func(kind string) int { return slices.Index(kinds, kind) }
	order := []string{"CustomResourceDefinition", "Namespace", "ServiceAccount", "ClusterRole", "Deployment", "MutatingWebhookConfiguration", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}
	for i := range order[1:] {
		if at(order[i]) < 0 || at(order[i]) > at(order[i+1]) {
			t.Errorf("%s does not come before %s: %v", order[i], order[i+1], kinds)
		}
	}
}

// pick returns the objects of a stage, of all kinds or of some.
func pick(t *testing.T, o Options, stage string, kinds ...string) []Object {
	t.Helper()
	stages, err := Stages(o)
	if err != nil {
		t.Fatal(err)
	}
	var all []Object
	for _, s := range stages {
		for _, object := range s.Objects {
			if s.Name == stage && (len(kinds) == 0 || slices.Contains(kinds, object.GetKind())) {
				all = append(all, object)
			}
		}
	}
	if len(all) == 0 {
		t.Fatalf("stage %s has no %v", stage, kinds)
	}
	return all
}
