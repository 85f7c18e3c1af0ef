package bundle

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"drey.dev/drey/certs"
	"drey.dev/drey/registry"
	"drey.dev/drey/webhook/config"
	"drey.dev/drey/webhook/flink"
)

// rule is one of a role's, and why drey needs it.
type rule struct {
	reason string
	rbacv1.PolicyRule
}

func allow(reason string, verbs []string, group string, resources ...string) rule {
	return rule{reason, rbacv1.PolicyRule{APIGroups: []string{group}, Resources: resources, Verbs: verbs}}
}

func (r rule) named(names ...string) rule {
	r.ResourceNames = names
	return r
}

var (
	watching = []string{"get", "list", "watch"}
	creating = []string{"create"}
)

// The roles, by their names.
const (
	RoleRegistry     = "drey-registry" // the registry in the cluster
	RoleCertificates = "drey-certs"    // what the certificate of the webhooks takes
	roleMetrics      = "drey-metrics"  // for whoever reads the metrics; bound to nobody
	roleFlink        = "flink"         // for a Flink job, in a target namespace
)

// rights are the ServiceAccount, its roles, and what binds them.
func (o *Options) rights() ([]Object, error) {
	all, err := convert(&corev1.ServiceAccount{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceAccount"}, ObjectMeta: o.meta(),
	})
	if err != nil {
		return nil, err
	}
	grants := []grant{
		{name: Name, rules: clusterRules()},
		{namespace: o.Namespace, name: Name, rules: leaseRules()},
		{namespace: o.Namespace, name: RoleCertificates, rules: certRules(o.Certs)},
		{name: roleMetrics, rules: []rule{{"For who reads the metrics: bind it to the ServiceAccount of Prometheus.", rbacv1.PolicyRule{NonResourceURLs: []string{"/metrics"}, Verbs: []string{"get"}}}}, unbound: true},
	}
	if o.Store == Kubernetes {
		grants = append(grants, grant{name: RoleRegistry, rules: registryRules()})
	}
	for _, g := range grants {
		made, err := g.objects(o.Namespace, Name)
		if err != nil {
			return nil, err
		}
		all = append(all, made...)
	}
	for _, namespace := range o.TargetNamespaces {
		account, err := convert(&corev1.ServiceAccount{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceAccount"}, ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: roleFlink, Labels: labels()},
		})
		if err != nil {
			return nil, err
		}
		made, err := grant{namespace: namespace, name: roleFlink, rules: flinkRules()}.objects(namespace, roleFlink)
		if err != nil {
			return nil, err
		}
		all = append(append(all, account...), made...)
	}
	return all, nil
}

func clusterRules() []rule {
	all := []rule{
		allow("Namespaces: those of targets are marked, a label may set their mode, and some are platform namespaces.", append(watching[:3:3], "patch"), "", "namespaces"),
		allow("Pods: those of Flink's that lack labels get them; what runs holds its target, and is listed as Jobs.", append(watching[:3:3], "patch"), "", "pods"),
		allow("Who owns a pod tells which job it belongs to. Those of Flink's that lack labels get them.", append(watching[:3:3], "patch"), "apps", "deployments", "statefulsets"),
		allow("The same, of jobs that are submitted by a Job.", append(watching[:3:3], "patch"), "batch", "jobs"),
		allow("Who owns a Job.", watching, "batch", "cronjobs"),
		allow("Those of Flink's that lack labels get them. Their metadata alone is read.", []string{"list", "patch"}, "", "services", "configmaps"),
		allow("What a pod's controller selects says which labels the pod cannot have; what controls it in turn, whose the pod is.", []string{"get"}, "apps", "replicasets", "daemonsets"),
	}
	for i, c := range flink.CustomResources {
		if i > 0 && flink.CustomResources[i-1].Group == c.Group {
			last := &all[len(all)-1]
			last.Resources = append(last.Resources, c.Resource)
			continue
		}
		verbs, reason := watching, "Custom resources of "+c.Group+", which own Deployments and pods, and hold their target."
		if c.Kind != "FlinkApplication" { // a label that comes later would have its operator redeploy the job
			verbs, reason = slices.Concat(watching, []string{"patch"}), reason+" Those that lack labels get them."
		}
		all = append(all, allow(reason, verbs, c.Group, c.Resource))
	}
	return append(all,
		allow("Events tell of pods that were labeled later, of targets whose namespace is missing, and of what the modes warn and audit let pass.", []string{"create", "patch"}, "", "events"),
		allow("Whose token a request to the REST API or to /metrics shows.", creating, "authentication.k8s.io", "tokenreviews"),
		allow("What its holder may do.", creating, "authorization.k8s.io", "subjectaccessreviews"),
		allow("The caBundle of drey's own webhooks, when its certificate changes.", append(watching[:3:3], "patch"),
			"admissionregistration.k8s.io", "mutatingwebhookconfigurations", "validatingwebhookconfigurations").named(config.Name),
	)
}

func registryRules() []rule {
	return []rule{
		allow("The registry itself.", append(watching[:3:3], "create", "update", "delete"), registry.Group, "deploymenttargets", "deployments", "sessionclusters"),
		allow("What drey says of its objects: their ids, and whether something refers to them.", []string{"update"}, registry.Group, "deploymenttargets/status", "deployments/status", "sessionclusters/status"),
	}
}

func leaseRules() []rule {
	return []rule{
		allow("One replica leads. RBAC cannot name what is not there yet.", creating, "coordination.k8s.io", "leases"),
		allow("The leases by which it leads: of marks and repair, and of the certificates.", []string{"get", "update"}, "coordination.k8s.io", "leases").named(Name, "drey-certs"),
	}
}

// certRules are those that package certs lists.
func certRules(mode string) []rule {
	if mode == CertManager {
		names := []string{"drey-bootstrap", "drey-ca", certs.ServingName}
		return []rule{
			allow("The certificate that cert-manager writes, and its CA.", watching, "", "secrets").named("drey-ca", certs.ServingName),
			allow("The leader asks cert-manager for them. RBAC cannot name what is not there yet.", creating, "cert-manager.io", "issuers", "certificates"),
			allow("And keeps what it asks for as it should be.", []string{"get", "patch"}, "cert-manager.io", "issuers", "certificates").named(names...),
		}
	}
	return []rule{
		allow("The certificate that drey makes, for all replicas. RBAC cannot name what is not there yet.", creating, "", "secrets"),
		allow("It is read by all, and renewed by the leader.", append(watching[:3:3], "update"), "", "secrets").named(certs.SecretName),
	}
}

// flinkRules are what a Flink job does in its own namespace (Flink's documentation,
// "Native Kubernetes", "RBAC", and its Kubernetes high availability).
func flinkRules() []rule {
	writing := []string{"get", "list", "watch", "create", "update", "patch", "delete"}
	return []rule{
		allow("A JobManager makes and removes its TaskManagers; high availability is kept in ConfigMaps, and Services lead there.", append(writing[:7:7], "deletecollection"), "", "pods", "configmaps", "services"),
		allow("A session or an application ends by removing its Deployment.", writing, "apps", "deployments"),
	}
}

// grant is a role, and who has it.
type grant struct {
	namespace string // empty: in all
	name      string
	rules     []rule
	unbound   bool
}

func (g grant) objects(accountNamespace, account string) ([]Object, error) {
	role := &rbacv1.ClusterRole{
		TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "ClusterRole"},
		ObjectMeta: metav1.ObjectMeta{Name: g.name, Namespace: g.namespace, Labels: labels()},
	}
	binding := &rbacv1.ClusterRoleBinding{
		TypeMeta: metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "ClusterRoleBinding"}, ObjectMeta: role.ObjectMeta,
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: g.name},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: accountNamespace, Name: account}},
	}
	if g.namespace != "" { // the types differ in nothing else
		role.Kind, binding.Kind, binding.RoleRef.Kind = "Role", "RoleBinding", "Role"
	}
	var reasons []string
	for _, r := range g.rules {
		role.Rules, reasons = append(role.Rules, r.PolicyRule), append(reasons, r.reason)
	}
	typed := []any{role, binding}
	if g.unbound {
		typed = typed[:1]
	}
	all, err := convert(typed...)
	if err == nil {
		all[0].reasons = reasons
	}
	return all, err
}
