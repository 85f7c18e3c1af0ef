package bundle

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	configv1alpha1 "drey.dev/drey/config/v1alpha1"
	"drey.dev/drey/webhook/config"
)

// TestStagesInvalidOptions: the error has the value and the remedy.
func TestStagesInvalidOptions(t *testing.T) {
	for rule, c := range map[string]struct {
		change func(*Options)
		says   string
	}{
		"invalid namespace":                  {func(o *Options) { o.Namespace = "Drey System" }, `invalid namespace "Drey System"`},
		"system namespace":                   {func(o *Options) { o.Namespace = "kube-system" }, "drey-system"},
		"no image":                           {func(o *Options) { o.Image = "" }, "image"},
		"unknown certificate issuer":         {func(o *Options) { o.Certs = "letsencrypt" }, "self-signed or cert-manager"},
		"unknown store":                      {func(o *Options) { o.Store = "sqlite" }, "kubernetes or embedded"},
		"no replicas":                        {func(o *Options) { o.Replicas = 0 }, "use 2"},
		"two replicas of the embedded store": {func(o *Options) { o.Store = Embedded }, "use 1"},
		"unknown mode":                       {func(o *Options) { o.Mode = "strict" }, "enforce, warn or audit"},
		"invalid volume size":                {func(o *Options) { o.Store, o.Replicas, o.VolumeSize = Embedded, 1, "big" }, `"big"`},
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

// TestRBACLeastPrivilege checks every rule of every role, in every variant.
func TestRBACLeastPrivilege(t *testing.T) {
	seen := 0
	for _, certs := range []string{SelfSigned, CertManager} {
		for _, store := range []string{Kubernetes, Embedded} {
			o := Defaults()
			o.Certs, o.Store, o.Replicas, o.TargetNamespaces = certs, store, 1, []string{"staging"}
			for _, object := range pick(t, o, RBAC, "Role", "ClusterRole") {
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
						t.Errorf("%s: no reason: %v", object, r)
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
							t.Errorf("%s: %v grants Secrets outside drey's namespace", object, r)
						case len(r.ResourceNames) == 0 && !slices.Equal(r.Verbs, creating):
							t.Errorf("%s: %v grants more than drey's own objects", object, r)
						}
					}
					for _, verb := range []string{"escalate", "bind", "impersonate", "delete", "deletecollection"} {
						isReport := verb == "delete" && (slices.Equal(r.Resources, []string{"reports"}) || slices.Equal(r.Resources, []string{"policyreports"}))
						if slices.Contains(r.Verbs, verb) && !slices.Contains(r.APIGroups, "drey.dev") && role.Name != roleFlink && !isReport {
							t.Errorf("%s: drey needs no verb %s: %v", object, verb, r)
						}
					}
				}
			}
		}
	}
	if seen < 40 {
		t.Errorf("only %d rules were checked", seen)
	}
}

// TestRegistryWebhook: the store kubernetes has the webhook that validates custom resources,
// without which a user with write access in one namespace could open any other to Flink. The
// store embedded does not serve it.
func TestRegistryWebhook(t *testing.T) {
	for store, want := range map[string]bool{Kubernetes: true, Embedded: false} {
		o := Defaults()
		o.Store, o.Replicas = store, 1
		found := false
		for _, w := range pick(t, o, Admission, "ValidatingWebhookConfiguration")[0].Object["webhooks"].([]any) {
			found = found || w.(map[string]any)["name"] == "registry.drey.dev"
		}
		if found != want {
			t.Errorf("%s: registry.drey.dev: %t, want %t", store, found, want)
		}
	}
}

// TestConfig: the configuration file is valid in all variants, and the options can be read
// from it.
func TestConfig(t *testing.T) {
	for _, certs := range []string{SelfSigned, CertManager} {
		for _, store := range []string{Kubernetes, Embedded} {
			for _, mode := range []config.Mode{config.Enforce, config.Warn, config.Audit} {
				o := Defaults()
				o.Certs, o.Store, o.Mode, o.Replicas, o.RESTURL = certs, store, mode, 1, "https://drey.example.com"
				text, _, err := unstructured.NestedString(pick(t, o, Server, "ConfigMap")[0].Object, "data", ConfigKey)
				if err != nil {
					t.Fatal(err)
				}
				c, err := configv1alpha1.Parse([]byte(text))
				if err != nil {
					t.Errorf("%v\n%s", err, text)
				}
				read := Defaults()
				read.Replicas = 1
				if diff := cmp.Diff(o, read.WithConfig(c)); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			}
		}
	}
}

// TestConfigChecksum: the pod template changes with the configuration, which rolls the
// Deployment.
func TestConfigChecksum(t *testing.T) {
	annotation := func(mode config.Mode) string {
		o := Defaults()
		o.Mode = mode
		value, _, err := unstructured.NestedString(pick(t, o, Server, "Deployment")[0].Object, "spec", "template", "metadata", "annotations", "checksum/config")
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
	if enforce, audit := annotation(config.Enforce), annotation(config.Audit); enforce == "" || enforce == audit {
		t.Errorf("got the annotations %q and %q, want different ones", enforce, audit)
	}
}

// TestStagesOrder: the API server calls drey only once it runs.
func TestStagesOrder(t *testing.T) {
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

// TestPodsOfPlatforms: pods run where admission restricts them: a quota permits their priority
// class, the image sets the user, and nodes with Linux are selected.
func TestPodsOfPlatforms(t *testing.T) {
	for store, fsGroup := range map[string]bool{Kubernetes: false, Embedded: true} {
		o := Defaults()
		o.Store, o.Replicas = store, 1
		var d appsv1.Deployment
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(pick(t, o, Server, "Deployment")[0].Object, &d); err != nil {
			t.Fatal(err)
		}
		pod := d.Spec.Template.Spec
		if c := pod.SecurityContext; c.RunAsUser != nil || c.RunAsGroup != nil || (c.FSGroup != nil) != fsGroup || c.RunAsNonRoot == nil {
			t.Errorf("%s: got the security context %+v, want no user and no group but that of the volume", store, c)
		}
		if pod.NodeSelector["kubernetes.io/os"] != "linux" {
			t.Errorf("%s: got the nodeSelector %v, want Linux", store, pod.NodeSelector)
		}
		var quota corev1.ResourceQuota
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(pick(t, o, Server, "ResourceQuota")[0].Object, &quota); err != nil {
			t.Fatal(err)
		}
		if values := quota.Spec.ScopeSelector.MatchExpressions[0].Values; !slices.Contains(values, pod.PriorityClassName) {
			t.Errorf("%s: got a quota for %v, want %s", store, values, pod.PriorityClassName)
		}
	}
}
