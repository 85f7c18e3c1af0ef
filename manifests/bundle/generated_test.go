package bundle

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"drey.dev/drey/manifests"
	"drey.dev/drey/webhook/config"
)

var update = flag.Bool("update", false, "write the files that are made from this package, as make manifests does")

const header = "# Written by `make manifests` from package manifests/bundle.\n"

// TestWhatIsMadeFromThisPackageIsInTheTree compares the kustomize base, the patches of
// its overlays, and the part of the chart that no value changes in detail.
func TestWhatIsMadeFromThisPackageIsInTheTree(t *testing.T) {
	for path, want := range generated(t) {
		path = filepath.Join("..", path)
		if *update {
			if err := os.WriteFile(path, want, 0o600); err != nil {
				t.Error(err)
			}
			continue
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what this package makes (%v): make manifests", path, err)
		}
	}
}

func generated(t *testing.T) map[string][]byte {
	t.Helper()
	base, certManager, embedded := Defaults(), Defaults(), Defaults()
	certManager.Certs = CertManager
	embedded.Store, embedded.Replicas = Embedded, 1
	files := map[string][]byte{
		"base/namespace.yaml": documents(t, pick(t, base, Definitions, "Namespace")),
		"base/rights.yaml":    documents(t, pick(t, base, Rights)),
		"base/server.yaml":    documents(t, pick(t, base, Server)),
		"base/admission.yaml": documents(t, pick(t, base, Gates)),

		"overlays/cert-manager/rights.yaml":     documents(t, named(pick(t, certManager, Rights, "Role"), roleCerts)),
		"overlays/cert-manager/deployment.yaml": patch(t, certManager),
		"overlays/embedded/deployment.yaml":     patch(t, embedded),
		"overlays/embedded/volume.yaml":         documents(t, pick(t, embedded, Server, "PersistentVolumeClaim")),
		"overlays/embedded/gate.yaml":           documents(t, named(pick(t, embedded, Gates, "ValidatingAdmissionPolicy"), config.PodPolicy)),
		"overlays/embedded/webhooks.yaml":       lacking(t, base, embedded),
	}
	for path, text := range templates(t) {
		files["chart/templates/"+path] = text
	}
	return files
}

// templates are those of the chart that are made from here: what of the values
// matters to them is put in where a word stands for it.
func templates(t *testing.T) map[string][]byte {
	t.Helper()
	o := Defaults()
	o.Namespace, o.RESTURL = "a-release-namespace", "https://a-rest-url"
	fill := strings.NewReplacer("a-release-namespace", "{{ .Release.Namespace }}", "https://a-rest-url", `{{ include "drey.restURL" . }}`)
	text := func(objects []Object) string {
		return fill.Replace(strings.TrimPrefix(string(documents(t, objects)), header))
	}
	when := func(condition, text string) string { return "{{- if " + condition + " }}\n" + text + "{{- end }}\n" }

	crds, err := manifests.CRDs()
	if err != nil {
		t.Fatal(err)
	}
	var definitions []string
	for _, crd := range crds {
		definitions = append(definitions, strings.Replace(strings.TrimPrefix(string(crd), "---\n"), "  annotations:\n", "  annotations:\n    helm.sh/resource-policy: keep # with them goes the registry\n", 1))
	}

	rights := pick(t, o, Rights)
	account, rights := rights[:1], rights[1:]
	registry := named(rights, roleRegistry)
	own := named(rights, roleCerts)
	rest := slices.DeleteFunc(slices.Clone(rights), func(o Object) bool { return o.GetName() == roleRegistry || o.GetName() == roleCerts })
	withCertManager := o
	withCertManager.Certs = CertManager
	theirs := named(pick(t, withCertManager, Rights), roleCerts)
	const target = "a-target-namespace"
	withTargets := o
	withTargets.TargetNamespaces = []string{target}
	inTargets := slices.DeleteFunc(pick(t, withTargets, Rights), func(o Object) bool { return o.GetNamespace() != target })

	withFile := o
	withFile.Store, withFile.Replicas = Embedded, 1
	validating := text(pick(t, withFile, Gates, "ValidatingWebhookConfiguration"))
	ownObjects, ok := strings.CutPrefix(text(pick(t, o, Gates, "ValidatingWebhookConfiguration")), validating)
	if !ok {
		t.Fatal("the webhook for drey's own objects is not the last")
	}
	isGate := func(o Object) bool { return o.GetName() == config.PodPolicy }
	gates := text(pick(t, o, Gates, "MutatingWebhookConfiguration")) + "---\n" +
		validating + when(`eq .Values.store.type "kubernetes"`, ownObjects) + "---\n" +
		text(slices.DeleteFunc(pick(t, o, Gates, "ValidatingAdmissionPolicy"), isGate))
	for _, store := range []string{Kubernetes, Embedded} { // it says how a target is registered
		o.Store, o.Replicas = store, 1
		gates += when(fmt.Sprintf("eq .Values.store.type %q", store), "---\n"+text(named(pick(t, o, Gates, "ValidatingAdmissionPolicy"), config.PodPolicy)))
	}
	o.Store = Kubernetes
	for _, mode := range []config.Mode{config.Enforce, config.Warn, config.Audit} {
		o.Mode = mode
		gates += when(fmt.Sprintf("eq .Values.mode %q", mode), "---\n"+text(pick(t, o, Gates, "ValidatingAdmissionPolicyBinding")))
	}
	accountText := text(account)
	accountText = strings.Replace(accountText, "metadata:\n", "metadata:\n  {{- with .Values.serviceAccount.annotations }}\n  annotations:\n    {{- toYaml . | nindent 4 }}\n  {{- end }}\n", 1)
	return map[string][]byte{
		"crds.yaml": []byte(header + when(".Values.crds.install", strings.Join(definitions, "---\n"))),
		"rights.yaml": []byte(header + accountText + when(".Values.rbac.create",
			"---\n"+text(rest)+
				when(`eq .Values.store.type "kubernetes"`, "---\n"+text(registry))+
				when(`eq .Values.certs.mode "self-signed"`, "---\n"+text(own))+
				when(`eq .Values.certs.mode "cert-manager"`, "---\n"+text(theirs))+
				"{{- range .Values.rbac.additionalNamespaces }}\n---\n"+strings.ReplaceAll(text(inTargets), target, "{{ . }}")+"{{- end }}\n")),
		"admission.yaml": []byte(header + gates),
	}
}

// lacking is the patch that takes away the validating webhooks of one variant that
// another does not have.
func lacking(t *testing.T, from, to Options) []byte {
	t.Helper()
	names := func(o Options) (all []string) {
		for _, w := range pick(t, o, Gates, "ValidatingWebhookConfiguration")[0].Object["webhooks"].([]any) {
			all = append(all, w.(map[string]any)["name"].(string))
		}
		return all
	}
	kept := names(to)
	gone := slices.DeleteFunc(names(from), func(name string) bool { return slices.Contains(kept, name) })
	if len(gone) == 0 {
		t.Fatal("nothing is taken away")
	}
	text := header + "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingWebhookConfiguration\nmetadata:\n  name: drey\nwebhooks:\n"
	for _, name := range gone {
		text += "- $patch: delete\n  name: " + name + "\n"
	}
	return []byte(text)
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

func named(all []Object, name string) []Object {
	return slices.DeleteFunc(slices.Clone(all), func(o Object) bool { return o.GetName() != name })
}

func documents(t *testing.T, all []Object) []byte {
	t.Helper()
	var texts []string
	for _, o := range all {
		text, err := o.YAML()
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	return []byte(header + strings.Join(texts, "---\n"))
}

// patch makes of the base's Deployment the one of the options.
func patch(t *testing.T, o Options) []byte {
	t.Helper()
	d := pick(t, o, Server, "Deployment")[0]
	spec := d.Object["spec"].(map[string]any)
	pod := spec["template"].(map[string]any)["spec"].(map[string]any)
	container := pod["containers"].([]any)[0].(map[string]any)
	changed := map[string]any{"name": container["name"], "args": container["args"]}
	podChange, change := map[string]any{"containers": []any{changed}}, map[string]any{}
	if o.Store == Embedded {
		changed["volumeMounts"], podChange["volumes"] = container["volumeMounts"], pod["volumes"]
		change["replicas"], change["strategy"] = spec["replicas"], map[string]any{"type": "Recreate", "rollingUpdate": nil}
	}
	change["template"] = map[string]any{"spec": podChange}
	text, err := yaml.Marshal(map[string]any{
		"apiVersion": d.GetAPIVersion(), "kind": d.GetKind(), "metadata": map[string]any{"namespace": d.GetNamespace(), "name": d.GetName()}, "spec": change,
	})
	if err != nil {
		t.Fatal(err)
	}
	return append([]byte(header), text...)
}
