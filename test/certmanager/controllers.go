// Package certmanager runs the cert-manager controllers that drey needs, and cainjector, in
// this process against a cluster of package cluster. cert-manager's validating webhook does
// not run.
package certmanager

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	cmscheme "github.com/cert-manager/cert-manager/pkg/client/clientset/versioned/scheme"
	cmcontroller "github.com/cert-manager/cert-manager/pkg/controller"
	"github.com/cert-manager/cert-manager/pkg/controller/cainjector"
	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apiext "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	kscheme "k8s.io/client-go/kubernetes/scheme"
	apireg "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	// Each package registers its controller in init.
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/approver"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/ca"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificaterequests/selfsigned"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/issuing"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/keymanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/readiness"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/requestmanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/revisionmanager"
	_ "github.com/cert-manager/cert-manager/pkg/controller/certificates/trigger"
	_ "github.com/cert-manager/cert-manager/pkg/controller/issuers"
	_ "github.com/cert-manager/cert-manager/pkg/issuer/ca"
	_ "github.com/cert-manager/cert-manager/pkg/issuer/selfsigned"

	"drey.dev/drey/test/framework/cluster"
)

// InstallCRDs installs cert-manager's CRDs.
func InstallCRDs(t testing.TB, c *cluster.Cluster) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/cert-manager/cert-manager").Output()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(strings.TrimSpace(string(out)), "deploy", "crds")
	for _, args := range [][]string{
		{"apply", "--server-side", "-f", dir},
		{"wait", "--for=condition=Established", "--timeout=2m", "crd", "certificates.cert-manager.io", "issuers.cert-manager.io", "certificaterequests.cert-manager.io"},
	} {
		if out, err := c.KubectlCommand(t.Context(), args...).CombinedOutput(); err != nil {
			t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// Start runs the controllers until the test ends.
func Start(t testing.TB, c *cluster.Cluster) {
	t.Helper()
	InstallCRDs(t, c)
	ctrl.SetLogger(logr.Discard())
	ctx, cancel := context.WithCancel(context.Background())
	var parts sync.WaitGroup
	t.Cleanup(func() { cancel(); parts.Wait() })
	if err := startControllers(ctx, c, &parts); err != nil {
		t.Fatal(err)
	}
	if err := startInjector(ctx, c, &parts); err != nil {
		t.Fatal(err)
	}
}

func startControllers(ctx context.Context, c *cluster.Cluster, parts *sync.WaitGroup) error {
	factory, err := cmcontroller.NewContextFactory(ctx, cmcontroller.ContextOptions{
		Kubeconfig: c.Kubeconfig(), KubernetesAPIQPS: 1000, KubernetesAPIBurst: 2000,
		IssuerOptions: cmcontroller.IssuerOptions{ClusterResourceNamespace: "kube-system"},
		CertificateOptions: cmcontroller.CertificateOptions{
			CertificateRequestMinimumBackoffDuration: time.Second, CertificateRequestMaximumBackoffDuration: time.Minute,
		},
	})
	if err != nil {
		return err
	}
	for name, construct := range cmcontroller.Known() {
		controller, err := construct(factory)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		parts.Go(func() { _ = controller.Run(2, ctx) }) // ctx ends it
	}
	informers, err := factory.Build("informers")
	if err != nil {
		return err
	}
	informers.SharedInformerFactory.Start(ctx.Done())
	informers.KubeSharedInformerFactory.Start(ctx.Done())
	informers.HTTP01ResourceMetadataInformersFactory.Start(ctx.Done())
	return nil
}

func startInjector(ctx context.Context, c *cluster.Cluster, parts *sync.WaitGroup) error {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{kscheme.AddToScheme, cmscheme.AddToScheme, apiext.AddToScheme, apireg.AddToScheme} {
		utilruntime.Must(add(scheme))
	}
	api := c.Config()
	api.UserAgent = "cainjector"
	manager, err := ctrl.NewManager(api, ctrl.Options{
		Scheme: scheme, Metrics: metricsserver.Options{BindAddress: "0"},
		Controller: config.Controller{SkipNameValidation: new(true)}, // one manager per test
		Client:     client.Options{Cache: &client.CacheOptions{DisableFor: []client.Object{&corev1.Secret{}}}},
	})
	if err != nil {
		return err
	}
	if err := cainjector.RegisterAllInjectors(ctx, manager, cainjector.SetupOptions{
		EnableCertificatesDataSource: true,
		EnabledReconcilersFor: map[string]bool{
			cainjector.MutatingWebhookConfigurationName: true, cainjector.ValidatingWebhookConfigurationName: true,
		},
	}); err != nil {
		return err
	}
	parts.Go(func() { _ = manager.Start(ctx) }) // ctx ends it
	return nil
}
