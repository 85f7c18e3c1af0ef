package bundle

import (
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// The ports of the pods, and the port webhookServicePort of the Service.
const (
	webhookPort        int32 = 9443
	webhookServicePort int32 = 443
	restPort           int32 = 8443
	metricsPort        int32 = 8081
	probePort          int32 = 8080
)

// dataDir is the mount path of the embedded store's volume.
const dataDir = "/data"

// imageGroup is the gid of the image's user.
const imageGroup int64 = 65532

// priorityClass is the priority class of the pods.
const priorityClass = "system-cluster-critical"

// server returns the objects that run drey.
func (o *Options) server() ([]Object, error) {
	config, err := o.config()
	if err != nil {
		return nil, err
	}
	typed := []any{o.priorityQuota(), config, o.service(), o.networkPolicy()}
	if o.Store == Embedded {
		typed = append(typed, o.volume())
	} else {
		typed = append(typed, o.budget())
	}
	return convert(append(typed, o.deployment(config))...)
}

// priorityQuota permits pods of priorityClass in drey's namespace. Clusters whose admission
// configuration limits that class to namespaces with a quota for it, such as GKE's, create no
// pod of drey without it.
func (o *Options) priorityQuota() *corev1.ResourceQuota {
	return &corev1.ResourceQuota{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ResourceQuota"}, ObjectMeta: o.meta(),
		Spec: corev1.ResourceQuotaSpec{
			Hard: corev1.ResourceList{corev1.ResourcePods: resource.MustParse("100")},
			ScopeSelector: &corev1.ScopeSelector{MatchExpressions: []corev1.ScopedResourceSelectorRequirement{{
				ScopeName: corev1.ResourceQuotaScopePriorityClass, Operator: corev1.ScopeSelectorOpIn, Values: []string{priorityClass},
			}}},
		},
	}
}

func (o *Options) service() *corev1.Service {
	port := func(name string, number int32) corev1.ServicePort {
		return corev1.ServicePort{Name: name, Port: number, TargetPort: intstr.FromString(name), Protocol: corev1.ProtocolTCP}
	}
	return &corev1.Service{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Service"}, ObjectMeta: o.meta(),
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeClusterIP, Selector: labels(),
			Ports: []corev1.ServicePort{port("webhooks", webhookServicePort), port("rest", restPort), port("metrics", metricsPort)},
		},
	}
}

// networkPolicy allows ingress to the ports that authenticate callers and to that of the
// webhooks, whose caller, the API server, has no known address; and egress to the API server
// and DNS.
func (o *Options) networkPolicy() *networkingv1.NetworkPolicy {
	ports := func(protocol corev1.Protocol, numbers ...int32) []networkingv1.NetworkPolicyPort {
		var all []networkingv1.NetworkPolicyPort
		for _, n := range numbers {
			all = append(all, networkingv1.NetworkPolicyPort{Protocol: &protocol, Port: new(intstr.FromInt32(n))})
		}
		return all
	}
	const https, apiServer, dns = 443, 6443, 53
	egress := []int32{https, apiServer}
	for _, port := range o.APIServerPorts {
		if !slices.Contains(egress, port) {
			egress = append(egress, port)
		}
	}
	return &networkingv1.NetworkPolicy{
		TypeMeta: metav1.TypeMeta{APIVersion: networkingv1.SchemeGroupVersion.String(), Kind: "NetworkPolicy"}, ObjectMeta: o.meta(),
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: metav1.LabelSelector{MatchLabels: labels()},
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress},
			Ingress:     []networkingv1.NetworkPolicyIngressRule{{Ports: ports(corev1.ProtocolTCP, webhookPort, restPort, metricsPort, probePort)}},
			Egress: []networkingv1.NetworkPolicyEgressRule{{
				Ports: append(ports(corev1.ProtocolTCP, append(egress, dns)...), ports(corev1.ProtocolUDP, dns)...),
			}},
		},
	}
}

func (o *Options) budget() *policyv1.PodDisruptionBudget {
	return &policyv1.PodDisruptionBudget{
		TypeMeta: metav1.TypeMeta{APIVersion: policyv1.SchemeGroupVersion.String(), Kind: "PodDisruptionBudget"}, ObjectMeta: o.meta(),
		Spec: policyv1.PodDisruptionBudgetSpec{
			MaxUnavailable: new(intstr.FromInt32(1)), Selector: &metav1.LabelSelector{MatchLabels: labels()},
			UnhealthyPodEvictionPolicy: new(policyv1.AlwaysAllow), // a pod that is not ready does not block a drain
		},
	}
}

func (o *Options) volume() *corev1.PersistentVolumeClaim {
	return &corev1.PersistentVolumeClaim{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PersistentVolumeClaim"}, ObjectMeta: o.meta(),
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(o.VolumeSize)}},
		},
	}
}

func (o *Options) deployment(config *corev1.ConfigMap) *appsv1.Deployment {
	d := &appsv1.Deployment{
		TypeMeta: metav1.TypeMeta{APIVersion: appsv1.SchemeGroupVersion.String(), Kind: "Deployment"}, ObjectMeta: o.meta(),
		Spec: appsv1.DeploymentSpec{
			Replicas: &o.Replicas, Selector: &metav1.LabelSelector{MatchLabels: labels()},
			Strategy: appsv1.DeploymentStrategy{
				Type:          appsv1.RollingUpdateDeploymentStrategyType,
				RollingUpdate: &appsv1.RollingUpdateDeployment{MaxUnavailable: new(intstr.FromInt32(0)), MaxSurge: new(intstr.FromInt32(1))},
			},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels(), Annotations: map[string]string{checksumAnnotation: checksum(config)}}, Spec: o.pod(),
			},
		},
	}
	if o.Store == Embedded { // the file is locked by one process
		d.Spec.Strategy = appsv1.DeploymentStrategy{Type: appsv1.RecreateDeploymentStrategyType}
	}
	return d
}

func (o *Options) pod() corev1.PodSpec {
	spread := func(key string) corev1.TopologySpreadConstraint {
		return corev1.TopologySpreadConstraint{
			TopologyKey: key, MaxSkew: 1, WhenUnsatisfiable: corev1.ScheduleAnyway,
			LabelSelector: &metav1.LabelSelector{MatchLabels: labels()}, MatchLabelKeys: []string{"pod-template-hash"},
		}
	}
	pod := corev1.PodSpec{
		ServiceAccountName: o.ServiceAccount,
		PriorityClassName:  priorityClass,
		NodeSelector:       with(map[string]string{corev1.LabelOSStable: string(corev1.Linux)}, o.NodeSelector),
		Tolerations:        o.Tolerations,
		// The image sets the user. OpenShift's restricted-v2 sets one of the namespace's range,
		// and refuses any other.
		SecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot: new(true), SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		TopologySpreadConstraints: []corev1.TopologySpreadConstraint{spread("kubernetes.io/hostname"), spread("topology.kubernetes.io/zone")},
		// preStop, --shutdown-delay, and 20 s for in-flight requests.
		TerminationGracePeriodSeconds: new(int64(45)),
		Containers:                    []corev1.Container{o.container()},
	}
	pod.Volumes = []corev1.Volume{{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: Name}}}}}
	if o.Store == Embedded {
		pod.SecurityContext.FSGroup = new(imageGroup) // a new volume is root's
		pod.Volumes = append(pod.Volumes, corev1.Volume{Name: "data", VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: Name}}})
	}
	return pod
}

func (o *Options) container() corev1.Container {
	port := func(name string, number int32) corev1.ContainerPort {
		return corev1.ContainerPort{Name: name, ContainerPort: number, Protocol: corev1.ProtocolTCP}
	}
	probe := func(path string, period, failures int32) *corev1.Probe {
		return &corev1.Probe{
			ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: path, Port: intstr.FromString("probes")}},
			PeriodSeconds: period, FailureThreshold: failures,
		}
	}
	c := corev1.Container{
		Name: Name, Image: o.Image, Args: []string{"serve", "--config=" + configDir + "/" + ConfigKey},
		Ports: []corev1.ContainerPort{port("webhooks", webhookPort), port("rest", restPort), port("metrics", metricsPort), port("probes", probePort)},
		// The garbage collector works harder near the memory limit, before an OOM kill.
		Env: []corev1.EnvVar{{Name: "GOMEMLIMIT", Value: "230MiB"}},
		Resources: corev1.ResourceRequirements{
			Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("50m"), corev1.ResourceMemory: resource.MustParse("128Mi")},
			Limits:   corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("256Mi")},
		},
		SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: new(false), ReadOnlyRootFilesystem: new(true), RunAsNonRoot: new(true),
			Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		},
		StartupProbe:   probe("/livez", 2, 60),
		LivenessProbe:  probe("/livez", 10, 3),
		ReadinessProbe: probe("/readyz", 2, 1),
		// Endpoints are removed from the nodes before the process turns unready.
		Lifecycle: &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: 5}}},
	}
	c.VolumeMounts = []corev1.VolumeMount{{Name: "config", MountPath: configDir, ReadOnly: true}}
	if o.Store == Embedded {
		c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: "data", MountPath: dataDir})
	}
	return c
}
