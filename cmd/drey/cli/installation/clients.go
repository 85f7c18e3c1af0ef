package installation

import (
	"errors"

	admissionregistrationv1 "k8s.io/client-go/kubernetes/typed/admissionregistration/v1"
	appsv1 "k8s.io/client-go/kubernetes/typed/apps/v1"
	coordinationv1 "k8s.io/client-go/kubernetes/typed/coordination/v1"
	corev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	discoveryv1 "k8s.io/client-go/kubernetes/typed/discovery/v1"
	"k8s.io/client-go/rest"
)

// clients are the clients of the API groups that are examined. That of all groups, package
// kubernetes of client-go, makes the binary larger by a tenth.
type clients struct {
	core         corev1.CoreV1Interface
	apps         appsv1.AppsV1Interface
	coordination coordinationv1.CoordinationV1Interface
	discovery    discoveryv1.DiscoveryV1Interface
	admission    admissionregistrationv1.AdmissionregistrationV1Interface
}

// newClients returns clients with the connections of one.
func newClients(config *rest.Config) (*clients, error) {
	connections, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	core, errCore := corev1.NewForConfigAndClient(config, connections)
	apps, errApps := appsv1.NewForConfigAndClient(config, connections)
	coordination, errCoordination := coordinationv1.NewForConfigAndClient(config, connections)
	discovery, errDiscovery := discoveryv1.NewForConfigAndClient(config, connections)
	admission, errAdmission := admissionregistrationv1.NewForConfigAndClient(config, connections)
	return &clients{core, apps, coordination, discovery, admission}, errors.Join(errCore, errApps, errCoordination, errDiscovery, errAdmission)
}
