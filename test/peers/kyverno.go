package peers

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"path/filepath"

	"drey.dev/drey/test/framework/cluster"
	"drey.dev/drey/test/framework/drey"
)

// insecure is a client for the probes of peers, whose certificates are self-signed.
var insecure = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}

// kyvernoSetup is the part of Kyverno's chart that the admission controller reads: its filters of
// resources without those of the chart's own objects.
const kyvernoSetup = `
apiVersion: v1
kind: Namespace
metadata: {name: kyverno}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: kyverno, namespace: kyverno}
data:
  enableDefaultRegistryMutation: "true"
  defaultRegistry: docker.io
  generateSuccessEvents: "false"
  excludeGroups: system:nodes
  resourceFilters: >-
    [Event,*,*] [*/*,kube-system,*] [*/*,kube-public,*] [*/*,kube-node-lease,*] [Node,*,*] [Node/?*,*,*] [APIService,*,*]
    [APIService/?*,*,*] [TokenReview,*,*] [SubjectAccessReview,*,*] [SelfSubjectAccessReview,*,*] [Binding,*,*] [Pod/binding,*,*]
    [ReplicaSet,*,*] [ReplicaSet/?*,*,*] [EphemeralReport,*,*] [ClusterEphemeralReport,*,*]
  webhooks: '{"namespaceSelector": {"matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["kube-system", "kyverno"]}]}}'
---
apiVersion: v1
kind: ConfigMap
metadata: {name: kyverno-metrics, namespace: kyverno}
`

// StartKyverno installs the CustomResourceDefinitions of Kyverno and runs its admission controller
// with the arguments of its chart. It writes its own webhook configurations, with its address in
// place of a Service.
func StartKyverno(ctx context.Context, c *cluster.Cluster, progress io.Writer) (*Process, error) {
	_, dir, err := module(ctx, Kyverno)
	if err != nil {
		return nil, err
	}
	crds := filepath.Join(dir, "config", "crds")
	if err := apply(ctx, c, "", filepath.Join(crds, "kyverno"), filepath.Join(crds, "policies.kyverno.io"), filepath.Join(crds, "policyreport"), filepath.Join(crds, "reports")); err != nil {
		return nil, err
	}
	if err := apply(ctx, c, kyvernoSetup); err != nil {
		return nil, err
	}
	addresses, err := drey.FreeAddresses(2)
	if err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(addresses[0]) // always host:port
	_, metrics, _ := net.SplitHostPort(addresses[1])
	env := []string{
		"KYVERNO_NAMESPACE=kyverno", "INIT_CONFIG=kyverno", "METRICS_CONFIG=kyverno-metrics", "KYVERNO_SVC=kyverno-svc", "KYVERNO_POD_NAME=kyverno-0",
		"KYVERNO_DEPLOYMENT=kyverno-admission-controller", "KYVERNO_SERVICEACCOUNT_NAME=kyverno-admission-controller", "KYVERNO_ROLE_NAME=kyverno:admission-controller",
	}
	return start(ctx, c, Kyverno, progress, "https://"+addresses[0]+"/health/readiness", env,
		"--kubeconfig="+c.Kubeconfig(), "--serverIP="+addresses[0], "--webhookServerHost=127.0.0.1", "--webhookServerPort="+port,
		"--metricsHost=127.0.0.1", "--metricsPort="+metrics, "--controllerRuntimeMetricsAddress=0",
		"--caSecretName=kyverno-svc.kyverno.svc.kyverno-tls-ca", "--tlsSecretName=kyverno-svc.kyverno.svc.kyverno-tls-pair",
		"--backgroundServiceAccountName=system:serviceaccount:kyverno:kyverno-background-controller",
		"--reportsServiceAccountName=system:serviceaccount:kyverno:kyverno-reports-controller",
		"--omitEvents=PolicyApplied,PolicySkipped", "--generateValidatingAdmissionPolicy=true", "--loggingFormat=text", "--v=2")
}
