// Package cluster runs a real Kubernetes control plane on loopback: etcd,
// kube-apiserver and kube-controller-manager with TLS and RBAC, without nodes.
//
// In a test:
//
//	c := cluster.Shared(t)      // shared by the package; cluster.Start(t) starts another one
//	namespace := c.Namespace(t) // one namespace per test, so that tests run in parallel
//	client := kubernetes.NewForConfigOrDie(c.Config())
//
// The binaries are built from Go modules in the versions of bin/go.mod and kept in the
// user's cache directory. Older versions have modules below bin: set KUBEBUILDER_ASSETS to
// the directory that `control-plane build --kubernetes 1.30` prints. The first build takes minutes; run
// `go run ./test/framework/cluster/control-plane build` before the tests to see its progress
// and to exclude it from the timeout of `go test`.
//
// A cluster never outlives the process that started it, even after SIGKILL: see [reaper].
// It needs /bin/sh and runs on Linux and macOS.
package cluster
