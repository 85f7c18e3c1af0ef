package peers

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"drey.dev/drey/certs"
	"drey.dev/drey/test/framework/cluster"
	"drey.dev/drey/test/framework/drey"
)

// gatekeeperPods stand for the processes: the status objects that they create have them as owners, and
// the garbage collector deletes those without one.
const gatekeeperPods = `
apiVersion: v1
kind: Pod
metadata: {name: gatekeeper-controller-manager-0, namespace: gatekeeper-system}
spec:
  securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
  containers:
  - {name: manager, image: gatekeeper, securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}}
---
apiVersion: v1
kind: Pod
metadata: {name: gatekeeper-audit-0, namespace: gatekeeper-system}
spec:
  securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
  containers:
  - {name: manager, image: gatekeeper, securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}}
`

// GatekeeperProcesses are the processes of Gatekeeper, with the operations of its two Deployments.
type GatekeeperProcesses struct {
	Webhook, Audit *Process
	Configurations []*unstructured.Unstructured // of its webhooks, with the address of the process in place of the Service
}

// Kill ends the processes.
func (g *GatekeeperProcesses) Kill() error { return errors.Join(g.Webhook.Kill(), g.Audit.Kill()) }

// StartGatekeeper applies the manifest of Gatekeeper, except its Deployments and webhook
// configurations, and runs its processes.
func StartGatekeeper(ctx context.Context, c *cluster.Cluster, progress io.Writer) (*GatekeeperProcesses, error) {
	_, dir, err := module(ctx, Gatekeeper)
	if err != nil {
		return nil, err
	}
	manifest, err := os.ReadFile(filepath.Join(dir, "deploy", "gatekeeper.yaml"))
	if err != nil {
		return nil, err
	}
	addresses, err := drey.FreeAddresses(5)
	if err != nil {
		return nil, err
	}
	certDir := filepath.Join(c.Dir(), "gatekeeper-certs")
	caBundle, err := writeCertificate(certDir)
	if err != nil {
		return nil, err
	}
	objects, webhooks, err := splitManifest(manifest, "https://"+addresses[0], caBundle)
	if err != nil {
		return nil, err
	}
	for _, input := range []string{objects, gatekeeperPods} {
		if err := apply(ctx, c, input); err != nil {
			return nil, err
		}
	}
	auditCache := filepath.Join(c.Dir(), "gatekeeper-audit")
	if err := os.MkdirAll(auditCache, 0o700); err != nil {
		return nil, err
	}
	run := func(pod, health, metrics string, args ...string) (*Process, error) {
		_, port, _ := net.SplitHostPort(metrics) // always host:port
		args = append(args, "--health-addr="+health, "--prometheus-port="+port, "--disable-cert-rotation", "--cert-dir="+certDir, "--logtostderr", "--disable-opa-builtin={http.send}")
		return start(ctx, c, Gatekeeper, progress, "http://"+health+"/readyz", []string{"POD_NAME=" + pod, "POD_NAMESPACE=gatekeeper-system"}, args...)
	}
	g := &GatekeeperProcesses{Configurations: webhooks}
	if g.Audit, err = run("gatekeeper-audit-0", addresses[1], addresses[2], "--api-cache-dir="+auditCache, "--operation=audit", "--operation=status", "--operation=mutation-status", "--operation=generate"); err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(addresses[0])
	g.Webhook, err = run("gatekeeper-controller-manager-0", addresses[3], addresses[4], "--host=127.0.0.1", "--port="+port, "--exempt-namespace=gatekeeper-system", "--operation=webhook", "--operation=mutation-webhook")
	if err != nil {
		return nil, errors.Join(err, g.Audit.Kill())
	}
	return g, nil
}

// splitManifest returns the objects of Gatekeeper's manifest that run without a kubelet, and its
// webhook configurations, with a URL in place of the Service.
func splitManifest(manifest []byte, url, caBundle string) (objects string, webhooks []*unstructured.Unstructured, err error) {
	var kept []string
	for document := range bytes.SplitSeq(manifest, []byte("\n---\n")) {
		o := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(document, &o.Object); err != nil {
			return "", nil, err
		}
		switch o.GetKind() {
		case "", "Deployment", "Service", "PodDisruptionBudget", "ResourceQuota":
		case "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration":
			all, _, err := unstructured.NestedSlice(o.Object, "webhooks")
			if err != nil {
				return "", nil, err
			}
			for _, w := range all {
				webhook := w.(map[string]any)
				path, _, _ := unstructured.NestedString(webhook, "clientConfig", "service", "path")
				webhook["clientConfig"] = map[string]any{"url": url + path, "caBundle": caBundle}
			}
			o.Object["webhooks"] = all
			webhooks = append(webhooks, o)
		default:
			kept = append(kept, string(document))
		}
	}
	return strings.Join(kept, "\n---\n"), webhooks, nil
}

// writeCertificate writes a serving certificate for loopback into a directory, as tls.crt and
// tls.key, and returns its caBundle in base64.
func writeCertificate(dir string) (caBundle string, err error) {
	memory, err := certs.NewMemory("127.0.0.1")
	if err != nil {
		return "", err
	}
	pair, err := memory.GetCertificate(nil)
	if err != nil {
		return "", err
	}
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		return "", err
	}
	var chain []byte
	for _, der := range pair.Certificate {
		chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	err = errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, "tls.crt"), chain, 0o600),
		os.WriteFile(filepath.Join(dir, "tls.key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), 0o600),
		os.WriteFile(filepath.Join(dir, "ca.crt"), memory.CABundle(), 0o600))
	return base64.StdEncoding.EncodeToString(memory.CABundle()), err
}
