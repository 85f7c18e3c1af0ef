package cluster

import (
	"fmt"
	"net"
	"path/filepath"
	"strconv"
)

// Component is the name of a control plane binary.
type Component string

// Components, in the order in which they start.
const (
	Etcd              Component = "etcd"
	APIServer         Component = "kube-apiserver"
	ControllerManager Component = "kube-controller-manager"
)

var components = []Component{Etcd, APIServer, ControllerManager}

// ports are the ports of a cluster. The controller manager does not listen.
type ports struct {
	etcd, etcdPeer, apiServer int
}

// freePorts returns distinct free ports. Another process may take one before the component
// listens; then New retries.
func freePorts() (ports, error) {
	var free [3]int
	for i := range free {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return ports{}, err
		}
		defer l.Close()
		free[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports{etcd: free[0], etcdPeer: free[1], apiServer: free[2]}, nil
}

func loopback(port int) string { return "https://127.0.0.1:" + strconv.Itoa(port) }

// serviceRange is the address range of Services. The first address is the Service of the
// API server, and is in the serving certificate.
const serviceRange, serviceIP = "10.96.0.0/16", "10.96.0.1"

// args returns the arguments of a component.
func (c *Cluster) args(component Component) []string {
	file := func(name string) string { return filepath.Join(c.dir, name) }
	switch component {
	case Etcd:
		client, peer := loopback(c.ports.etcd), loopback(c.ports.etcdPeer)
		return []string{
			"--name=drey",
			"--data-dir=" + file("etcd"),
			"--listen-client-urls=" + client,
			"--advertise-client-urls=" + client,
			"--listen-peer-urls=" + peer,
			"--initial-advertise-peer-urls=" + peer,
			"--initial-cluster=drey=" + peer,
			"--cert-file=" + file(servingCert),
			"--key-file=" + file(servingKey),
			"--trusted-ca-file=" + file(etcdCACert),
			"--client-cert-auth=true",
			// Of the JSON gateway, which is a client of etcd; see Seed.
			"--client-cert-file=" + file(etcdClientCert),
			"--client-key-file=" + file(etcdClientKey),
			"--peer-cert-file=" + file(servingCert),
			"--peer-key-file=" + file(servingKey),
			"--peer-trusted-ca-file=" + file(etcdCACert),
			"--peer-client-cert-auth=true",
			"--log-level=warn",
			// The data survives a crash of the process without fsync, which would
			// dominate the duration of a test.
			"--unsafe-no-fsync=true",
		}
	case APIServer:
		return append([]string{
			"--bind-address=127.0.0.1",
			fmt.Sprintf("--secure-port=%d", c.ports.apiServer),
			"--tls-cert-file=" + file(servingCert),
			"--tls-private-key-file=" + file(servingKey),
			"--client-ca-file=" + file(clusterCACert),
			"--etcd-servers=" + loopback(c.ports.etcd),
			"--etcd-cafile=" + file(clusterCACert),
			"--etcd-certfile=" + file(etcdClientCert),
			"--etcd-keyfile=" + file(etcdClientKey),
			"--authorization-mode=RBAC",
			"--allow-privileged=true",
			"--service-cluster-ip-range=" + serviceRange,
			"--service-account-issuer=https://kubernetes.default.svc",
			"--service-account-key-file=" + file(serviceAccountKey),
			"--service-account-signing-key-file=" + file(serviceAccountKey),
			// Endpoints on loopback are invalid.
			"--endpoint-reconciler-type=none",
			// At 0, shutdown waits up to a minute for clients to end their watches.
			"--shutdown-watch-termination-grace-period=1s",
			"--cert-dir=" + c.dir,
			"--profiling=false",
		}, c.options.APIServerArgs...)
	case ControllerManager:
		return append([]string{
			"--kubeconfig=" + file(controllerManagerKubeconfig),
			"--secure-port=0",
			"--leader-elect=false",
			// Each controller is authorized by its own role, as in a real cluster.
			"--use-service-account-credentials=true",
			"--service-account-private-key-file=" + file(serviceAccountKey),
			"--root-ca-file=" + file(clusterCACert),
			"--cluster-signing-cert-file=" + file(clusterCACert),
			"--cluster-signing-key-file=" + file(clusterCAKey),
			// The default of 20 requests per second delays tests.
			"--kube-api-qps=1000",
			"--kube-api-burst=2000",
			// The default is below /usr.
			"--flex-volume-plugin-dir=" + file("flexvolume"),
			"--cert-dir=" + c.dir,
			"--profiling=false",
		}, c.options.ControllerManagerArgs...)
	}
	panic("unknown component: " + string(component))
}
