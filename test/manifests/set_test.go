package manifests

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"k8s.io/cli-runtime/pkg/genericclioptions"

	"drey.dev/drey/manifests/bundle"
	"drey.dev/drey/test/framework/cluster"
	"drey.dev/drey/test/framework/drey"
	"drey.dev/drey/test/framework/drey/installed"
	"drey.dev/drey/test/framework/eventually"
)

// setTemplate is a chart's template with a target and workloads. ANNOTATIONS are those of the target.
const setTemplate = `
apiVersion: drey.dev/v1
kind: DeploymentTarget
metadata: {name: {{ .Release.Namespace }}, namespace: retail, annotations: {ANNOTATIONS}}
spec: {kubernetes: {namespace: {{ .Release.Namespace }}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: jm, namespace: {{ .Release.Namespace }}, labels: {revision: "{{ .Release.Revision }}"}}
spec:
  selector: {matchLabels: {app: flink}}
  template: {metadata: {labels: {app: flink, component: jobmanager}}, spec: {containers: [{name: jobmanager, image: "flink:1.20", args: [standalone-job]}]}}
---
apiVersion: v1
kind: Pod
metadata: {name: bare, namespace: {{ .Release.Namespace }}, labels: {component: jobmanager}}
spec: {containers: [{name: jobmanager, image: "flink:1.20", args: [standalone-job]}]}
`

// TestHelmSet installs, upgrades and reinstalls a chart with a target and its workloads. Helm creates
// custom resources last, so the target is a hook before the installation. Without the hook the first
// installation fails, and upgrade --install succeeds.
func TestHelmSet(t *testing.T) {
	c := cluster.Start(t)
	program, err := drey.BuildIn(t.Context(), "../..", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	d, err := installed.Start(t.Context(), drey.Options{Program: program, Cluster: c, DataDir: t.TempDir()}, bundle.Defaults())
	if err != nil {
		t.Fatal(err)
	}
	d.LogOnFailure(t)
	t.Cleanup(func() {
		if err := d.Stop(); err != nil {
			t.Error(err)
		}
	})
	c.MustKubectl(t, "", "create", "namespace", "retail")

	t.Run("hook", func(t *testing.T) {
		helm, set := newHelm(t, c, "hooked"), setChart(t, `helm.sh/hook: pre-install`)
		install := func() error {
			i := action.NewInstall(helm)
			i.ReleaseName, i.Namespace = "team", "hooked"
			_, err := i.RunWithContext(t.Context(), set, nil)
			return err
		}
		if err := install(); err != nil {
			t.Fatalf("install: %v", err)
		}
		uid := c.MustKubectl(t, "", "get", "dt", "hooked", "-n", "retail", "-o", "jsonpath={.metadata.uid}")
		if err := upgrade(t.Context(), helm, set, "hooked"); err != nil {
			t.Errorf("upgrade: %v", err)
		}
		if got := c.MustKubectl(t, "", "get", "deployment", "jm", "-n", "hooked", "-o", "jsonpath={.metadata.labels.revision} {.metadata.labels.vvpNamespace}"); got != "2 retail" {
			t.Errorf("revision and platform namespace after the upgrade: got %q, want 2 retail", got)
		}
		if got := c.MustKubectl(t, "", "get", "dt", "hooked", "-n", "retail", "-o", "jsonpath={.metadata.uid}"); got != uid {
			t.Errorf("target after the upgrade: got the uid %s, want %s", got, uid)
		}
		if _, err := action.NewUninstall(helm).Run("team"); err != nil {
			t.Errorf("uninstall: %v", err)
		}
		c.MustKubectl(t, "", "get", "dt", "hooked", "-n", "retail") // Helm keeps hooks
		eventually.OK(t, func() error {                             // until the workloads, which refer to the target, are gone
			if err := install(); err != nil {
				_, _ = action.NewUninstall(helm).Run("team")
				return fmt.Errorf("reinstall: %w", err)
			}
			return nil
		})
	})
	t.Run("no hook", func(t *testing.T) {
		helm, set := newHelm(t, c, "plain"), setChart(t, "")
		i := action.NewInstall(helm)
		i.ReleaseName, i.Namespace = "team", "plain"
		if _, err := i.RunWithContext(t.Context(), set, nil); err == nil || !strings.Contains(err.Error(), `namespace "plain" has no DeploymentTarget`) {
			t.Errorf("install: got %v, want a denial", err)
		}
		if err := upgrade(t.Context(), helm, set, "plain"); err != nil {
			t.Errorf("upgrade --install: %v", err)
		}
	})
}

func upgrade(ctx context.Context, helm *action.Configuration, set *chart.Chart, namespace string) error {
	u := action.NewUpgrade(helm)
	u.Namespace = namespace
	_, err := u.RunWithContext(ctx, "team", set, nil)
	return err
}

// newHelm returns a configuration of Helm for a new namespace.
func newHelm(t *testing.T, c *cluster.Cluster, namespace string) *action.Configuration {
	t.Helper()
	c.MustKubectl(t, "", "create", "namespace", namespace)
	c.MustKubectl(t, "", "wait", "--for=create", "serviceaccount/default", "-n", namespace)
	flags := genericclioptions.NewConfigFlags(false)
	flags.KubeConfig, flags.Namespace = new(c.Kubeconfig()), new(namespace)
	helm := &action.Configuration{}
	if err := helm.Init(flags, namespace, "secret", func(string, ...any) {}); err != nil {
		t.Fatal(err)
	}
	return helm
}

func setChart(t *testing.T, annotations string) *chart.Chart {
	t.Helper()
	set, err := loader.LoadFiles([]*loader.BufferedFile{
		{Name: "Chart.yaml", Data: []byte("apiVersion: v2\nname: team\nversion: 0.1.0\n")},
		{Name: "templates/all.yaml", Data: []byte(strings.Replace(setTemplate, "ANNOTATIONS", annotations, 1))},
	})
	if err != nil {
		t.Fatal(err)
	}
	return set
}
