// Package cluster runs a real Kubernetes control plane on loopback: etcd,
// kube-apiserver and kube-controller-manager, with TLS and RBAC, and nothing
// behind them that would run a pod.
//
// A test asks for one and forgets about it:
//
//	c := cluster.Shared(t)      // one for the whole package, or cluster.Start(t) for its own
//	namespace := c.Namespace(t) // every test in a fresh one, so that tests run in parallel
//	client := kubernetes.NewForConfigOrDie(c.Config())
//
// The programs are built from Go modules, in the versions that bin/go.mod
// names, and kept in the user's cache directory. The first build takes minutes;
// `go run ./test/framework/cluster/control-plane build` does it ahead of the tests, where
// its progress can be seen and `go test`'s time limit does not count.
//
// A cluster never outlives the process that started it, however that process
// ends: see [reaper]. It needs /bin/sh, so Linux or macOS.
package cluster
