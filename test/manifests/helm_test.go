package manifests

import (
	"strings"
	"testing"
	"time"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chartutil"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/kubernetes"

	"drey.dev/drey/test/framework/cluster"
)

// TestHelmLifecycle installs, upgrades, rolls back and uninstalls the chart on a real API
// server. The caBundle that drey writes into webhook configurations survives.
func TestHelmLifecycle(t *testing.T) {
	c := cluster.Start(t)
	kubectl := func(args ...string) string {
		out, err := c.KubectlCommand(t.Context(), args...).CombinedOutput()
		if err != nil {
			t.Fatalf("kubectl %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	kubectl("create", "namespace", "drey-system")
	kubectl("label", "namespace", "drey-system", "pod-security.kubernetes.io/enforce=restricted")
	flags := genericclioptions.NewConfigFlags(false)
	flags.KubeConfig, flags.Namespace = new(c.Kubeconfig()), new("drey-system")
	var helm action.Configuration
	if err := helm.Init(flags, "drey-system", "secret", func(string, ...any) {}); err != nil {
		t.Fatal(err)
	}
	install := action.NewInstall(&helm)
	install.ReleaseName, install.Namespace = "drey", "drey-system"
	if _, err := install.Run(load(t), nil); err != nil {
		t.Fatal(err)
	}
	const path = "jsonpath={.webhooks[*].clientConfig.caBundle}"
	kubectl("patch", "validatingwebhookconfiguration", "drey", "--type=json", "-p", `[{"op": "add", "path": "/webhooks/0/clientConfig/caBundle", "value": "`+certificate+`"}]`)

	values, err := chartutil.ReadValues([]byte("{mode: warn, replicas: 3}"))
	if err != nil {
		t.Fatal(err)
	}
	upgrade := action.NewUpgrade(&helm)
	upgrade.Namespace = "drey-system"
	if _, err := upgrade.Run("drey", load(t), values); err != nil {
		t.Fatal(err)
	}
	if got := kubectl("get", "validatingwebhookconfiguration", "drey", "-o", path); !strings.Contains(got, certificate) {
		t.Errorf("after the upgrade: got the caBundle %q, want it unchanged", got)
	}
	if got := kubectl("get", "validatingadmissionpolicybinding", "drey-gate", "-o", "jsonpath={.spec.validationActions}"); got != `["Warn"]` {
		t.Errorf("mode warn: got the actions %s, want Warn", got)
	}
	rollback := action.NewRollback(&helm)
	rollback.Version = 1
	if err := rollback.Run("drey"); err != nil {
		t.Fatal(err)
	}
	if got := kubectl("get", "validatingadmissionpolicybinding", "drey-gate", "-o", "jsonpath={.spec.validationActions}"); got != `["Deny"]` {
		t.Errorf("mode enforce after the rollback: got the actions %s, want Deny", got)
	}
	if got := kubectl("get", "validatingwebhookconfiguration", "drey", "-o", path); !strings.Contains(got, certificate) {
		t.Errorf("after the rollback: got the caBundle %q, want it unchanged", got)
	}
	if got := kubectl("get", "deployment", "drey", "-n", "drey-system", "-o", "jsonpath={.spec.replicas}"); got != "2" {
		t.Errorf("after the rollback: got %s replicas, want 2", got)
	}
	if _, err := action.NewUninstall(&helm).Run("drey"); err != nil { // without a kubelet, no pod of a hook would run
		t.Fatal(err)
	}
	left := kubectl("get", "-A", "--ignore-not-found", "-o", "name", "-l", "app.kubernetes.io/name=drey",
		"clusterroles,clusterrolebindings,roles,rolebindings,serviceaccounts,services,deployments,pdb,networkpolicies,mutatingwebhookconfigurations,validatingwebhookconfigurations,validatingadmissionpolicies,validatingadmissionpolicybindings")
	if strings.TrimSpace(left) != "" {
		t.Errorf("after the uninstallation: got %s, want nothing", left)
	}
	kubectl("get", "deploymenttargets.drey.dev", "-A") // CRDs and registry are kept

	// Into another namespace: the CRDs are those of the first release.
	kubectl("create", "namespace", "other")
	flags.Namespace = new("other")
	if err := helm.Init(flags, "other", "secret", func(string, ...any) {}); err != nil {
		t.Fatal(err)
	}
	again := action.NewInstall(&helm)
	again.ReleaseName, again.Namespace = "drey", "other"
	if _, err := again.Run(load(t), nil); err == nil || !strings.Contains(err.Error(), "meta.helm.sh/release-namespace") {
		t.Errorf("without --take-ownership: got %v, want an error about the owner of the CRDs", err)
	}
	again = action.NewInstall(&helm)
	again.ReleaseName, again.Namespace, again.TakeOwnership = "drey", "other", true
	if _, err := again.Run(load(t), nil); err != nil {
		t.Errorf("with --take-ownership: %v", err)
	}
}

// TestHelmUninstallWindow: helm uninstall deletes the webhook configurations right after the
// Service. Flink is denied in between.
func TestHelmUninstallWindow(t *testing.T) {
	c := cluster.Start(t)
	flags := genericclioptions.NewConfigFlags(false)
	flags.KubeConfig, flags.Namespace = new(c.Kubeconfig()), new("drey-system")
	var helm action.Configuration
	if err := helm.Init(flags, "drey-system", "secret", func(string, ...any) {}); err != nil {
		t.Fatal(err)
	}
	install := action.NewInstall(&helm)
	install.ReleaseName, install.Namespace, install.CreateNamespace = "drey", "drey-system", true
	if _, err := install.Run(load(t), nil); err != nil {
		t.Fatal(err)
	}
	client := kubernetes.NewForConfigOrDie(c.Config())
	options := metav1.ListOptions{FieldSelector: "metadata.name=drey"}
	services, err := client.CoreV1().Services("drey-system").Watch(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	webhooks, err := client.AdmissionregistrationV1().ValidatingWebhookConfigurations().Watch(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	deleted := func(w watch.Interface) <-chan time.Time {
		at := make(chan time.Time, 1)
		go func() {
			for event := range w.ResultChan() {
				if event.Type == watch.Deleted {
					at <- time.Now()
				}
			}
		}()
		return at
	}
	service, webhook := deleted(services), deleted(webhooks)
	if _, err := action.NewUninstall(&helm).Run("drey"); err != nil {
		t.Fatal(err)
	}
	from := <-service
	window := (<-webhook).Sub(from)
	t.Logf("the webhook configuration outlived the Service by %s", window)
	if window > time.Minute { // helm waits longer for what it deletes in between
		t.Errorf("got %s, want seconds, or less than a minute on a busy machine", window)
	}
}

// certificate is a valid caBundle, which the API server requires: PEM in base64.
const certificate = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSUJkVENDQVJ1Z0F3SUJBZ0lVYWR5bVQrUS9MRFZiRSs1SkttWUIwZFlxQTlnd0NnWUlLb1pJemowRUF3SXcKRHpFTk1Bc0dBMVVFQXd3RWRHVnpkREFnRncweU5qRXhNak14TmpRd05UbGFHQTh5TVRJMk1UQXpNREUyTkRBMQpPVm93RHpFTk1Bc0dBMVVFQXd3RWRHVnpkREJaTUJNR0J5cUdTTTQ5QWdFR0NDcUdTTTQ5QXdFSEEwSUFCQ2c4CmFnc0xNTnUyT082alFFZDd5dFR5OUpDQUVtWkkyTTUzR3VTdG1kTVFYaThnUENFWHRXWEhMSGo5U0MyejZDL3kKQ2pvK3U5Q2JxeGtXYzFuZ0phT2pVekJSTUIwR0ExVWREZ1FXQkJUd0daSS9pQ3gwQ1RMaGk0TU05eVFZNTJTTgpmakFmQmdOVkhTTUVHREFXZ0JUd0daSS9pQ3gwQ1RMaGk0TU05eVFZNTJTTmZqQVBCZ05WSFJNQkFmOEVCVEFECkFRSC9NQW9HQ0NxR1NNNDlCQU1DQTBnQU1FVUNJUUNta3ZBZ1dZYy9mZlBZelZzeVF0cWFUVXRQUDl6TTUzWEIKbjROd3lsNkx3Z0lnU0kwWkl4U1lXQ2RmUlBZSDRxYUQ5UEFCS3I4ZTU1eEdpbDltZ0kxcU9vZz0KLS0tLS1FTkQgQ0VSVElGSUNBVEUtLS0tLQo="
