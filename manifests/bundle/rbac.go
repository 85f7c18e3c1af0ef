package bundle

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"drey.dev/drey/certs"
	"drey.dev/drey/denials"
	"drey.dev/drey/registry"
	"drey.dev/drey/webhook/config"
	"drey.dev/drey/webhook/flink"
)

// rule is a rule of a role, with the reason for it.
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

// The names of the roles other than Name.
const (
	RoleRegistry     = "drey-registry" // the custom resources of the registry
	RoleDenials      = "drey-denials"  // the history of denials
	RoleCertificates = "drey-certs"    // the serving certificate
	roleMetrics      = "drey-metrics"  // GET /metrics; not bound
	roleView         = "drey-view"     // of people; these three are aggregated to the roles
	roleEdit         = "drey-edit"     // view, edit and admin of Kubernetes
	roleAdmin        = "drey-admin"
	roleFlink        = "flink" // a Flink job, in a target namespace
)

// ConsoleSecret is the name of the Secret with the key of the console's cookies, which drey creates
// in its namespace.
const ConsoleSecret = "drey-console"

// rbac returns the ServiceAccount, its roles and bindings, and the roles of people.
func (o *Options) rbac() ([]Object, error) {
	all, err := convert(&corev1.ServiceAccount{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceAccount"}, ObjectMeta: metav1.ObjectMeta{Namespace: o.Namespace, Name: o.ServiceAccount, Labels: labels()},
	})
	if err != nil {
		return nil, err
	}
	grants := []grant{
		{name: Name, rules: clusterRules()},
		{namespace: o.Namespace, name: Name, rules: ownRules()},
		{namespace: o.Namespace, name: RoleCertificates, rules: certRules(o.Certs)},
		{name: roleMetrics, rules: []rule{{"Scrape metrics: bind this role to the ServiceAccount of Prometheus.", rbacv1.PolicyRule{NonResourceURLs: []string{"/metrics"}, Verbs: []string{"get"}}}}, unbound: true},
	}
	grants = append(grants, o.peopleGrants()...)
	if o.Store == Kubernetes {
		grants = append(grants, grant{name: RoleRegistry, rules: registryRules()}, grant{namespace: o.Namespace, name: RoleDenials, rules: denialRules()})
	}
	for _, g := range grants {
		made, err := g.objects(o.Namespace, o.ServiceAccount)
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
		allow("Label the namespaces of targets, and read the labels that set modes and mark platform namespaces.", append(watching[:3:3], "patch"), "", "namespaces"),
		allow("Label Flink pods that lack labels; list running Jobs, and the references that hold targets.", append(watching[:3:3], "patch"), "", "pods"),
		allow("Resolve the owners of pods, and label Flink workloads that lack labels.", append(watching[:3:3], "patch"), "apps", "deployments", "statefulsets"),
		allow("The same for Jobs that run Flink.", append(watching[:3:3], "patch"), "batch", "jobs"),
		allow("Resolve the owners of Jobs.", watching, "batch", "cronjobs"),
		allow("Label those of Flink clusters that lack labels. Only metadata is read.", []string{"list", "patch"}, "", "services", "configmaps"),
		allow("Read the selector of a pod's controller, which restricts the pod's labels, and the controller's owner.", []string{"get"}, "apps", "replicasets", "daemonsets"),
	}
	for i, c := range flink.CustomResources {
		if i > 0 && flink.CustomResources[i-1].Group == c.Group {
			last := &all[len(all)-1]
			last.Resources = append(last.Resources, c.Resource)
			continue
		}
		verbs, reason := watching, "Resolve owners among the custom resources of "+c.Group+", and the references that hold targets."
		if c.Kind != "FlinkApplication" { // its operator would redeploy the job when a label is added
			verbs, reason = slices.Concat(watching, []string{"patch"}), reason+" Label those that lack labels."
		}
		all = append(all, allow(reason, verbs, c.Group, c.Resource))
	}
	return append(all,
		allow("Record events: repaired pods, targets without a namespace, and denials.", []string{"create", "patch"}, "", "events"),
		allow("Read the usage of Flink pods, where the cluster serves it.", []string{"list"}, "metrics.k8s.io", "pods"),
		allow("Write reports of workloads and denials, where the cluster serves them.", []string{"list", "create", "patch", "delete"}, "openreports.io", "reports"),
		allow("The same in the older format.", []string{"list", "create", "patch", "delete"}, "wgpolicyk8s.io", "policyreports"),
		allow("Authenticate the bearer tokens of requests to the REST API and to /metrics.", creating, "authentication.k8s.io", "tokenreviews"),
		allow("Authorize these requests.", creating, "authorization.k8s.io", "subjectaccessreviews"),
		allow("Write the caBundles of drey's own webhooks, and the tokens in their paths.", append(watching[:3:3], "patch"),
			"admissionregistration.k8s.io", "mutatingwebhookconfigurations", "validatingwebhookconfigurations").named(config.Name),
	)
}

// AggregationLabel returns the label by which Kubernetes adds the rules of a ClusterRole to one of its own.
func AggregationLabel(role string) string { return "rbac.authorization.k8s.io/aggregate-to-" + role }

// peopleGrants are the roles of people in a platform namespace, over kubectl and REST.
// Kubernetes adds their rules to its own roles, of which edit includes view, and admin edit.
func (o *Options) peopleGrants() []grant {
	aggregateTo := func(role string) map[string]string {
		if !slices.Contains(o.AggregateTo, role) {
			return nil
		}
		return map[string]string{AggregationLabel(role): "true"}
	}
	writing := []string{"create", "update", "patch", "delete"}
	return []grant{
		{name: roleView, labels: aggregateTo("view"), unbound: true, rules: []rule{
			allow("Read the registry, and the Jobs of the REST API.", watching, registry.Group, "deploymenttargets", "deployments", "sessionclusters", "jobs"),
		}},
		{name: roleEdit, labels: aggregateTo("edit"), unbound: true, rules: []rule{
			allow("Write Deployments and SessionClusters of the registry.", writing, registry.Group, "deployments", "sessionclusters"),
		}},
		{name: roleAdmin, labels: aggregateTo("admin"), unbound: true, rules: []rule{
			allow("Register targets, for namespaces in which the user can create pods.", writing, registry.Group, "deploymenttargets"),
		}},
	}
}

func registryRules() []rule {
	return []rule{
		allow("Read and write the registry.", append(watching[:3:3], "create", "update", "delete"), registry.Group, "deploymenttargets", "deployments", "sessionclusters", "deploymentdefaults"),
		allow("Write the status of its objects: ids, and references.", []string{"update"}, registry.Group, "deploymenttargets/status", "deployments/status", "sessionclusters/status", "deploymentdefaults/status"),
	}
}

// ownRules are the rules for drey's own namespace, without those for certificates.
func ownRules() []rule {
	return []rule{
		allow("Elect a leader. RBAC cannot restrict create by name.", creating, "coordination.k8s.io", "leases"),
		allow("Hold the leases of the controllers and of the certificates.", []string{"get", "update"}, "coordination.k8s.io", "leases").named(Name, "drey-certs"),
		allow("Create the Secret with the key that encrypts the console's cookies. RBAC cannot restrict create by name.", creating, "", "secrets"),
		allow("Read the key in all replicas.", []string{"get"}, "", "secrets").named(ConsoleSecret),
	}
}

// denialRules are the rules for the history of denials, which the embedded store has in a file.
func denialRules() []rule {
	return []rule{
		allow("Create the history of denials. RBAC cannot restrict create by name.", creating, "", "configmaps"),
		allow("Share it among replicas.", append(watching[:3:3], "update"), "", "configmaps").named(denials.ConfigMapName),
	}
}

// certRules are the rules that package certs requires.
func certRules(mode string) []rule {
	if mode == CertManager {
		names := []string{"drey-bootstrap", "drey-ca", certs.ServingName}
		return []rule{
			allow("Read the certificate that cert-manager issues, and its CA.", watching, "", "secrets").named("drey-ca", certs.ServingName),
			allow("Create the Issuers and Certificates. RBAC cannot restrict create by name.", creating, "cert-manager.io", "issuers", "certificates"),
			allow("Keep them as specified.", []string{"get", "patch"}, "cert-manager.io", "issuers", "certificates").named(names...),
		}
	}
	return []rule{
		allow("Create the Secret with the certificate. RBAC cannot restrict create by name.", creating, "", "secrets"),
		allow("Read the certificate in all replicas, and renew it in the leader.", append(watching[:3:3], "update"), "", "secrets").named(certs.SecretName),
	}
}

// flinkRules are the permissions of a Flink job in its own namespace (Flink's documentation,
// "Native Kubernetes", "RBAC", and Kubernetes high availability).
func flinkRules() []rule {
	writing := []string{"get", "list", "watch", "create", "update", "patch", "delete"}
	return []rule{
		allow("A JobManager creates and deletes TaskManagers, and the ConfigMaps and Services of high availability.", append(writing[:7:7], "deletecollection"), "", "pods", "configmaps", "services"),
		allow("A session or an application ends by deleting its Deployment.", writing, "apps", "deployments"),
	}
}

// grant is a role with its binding to a ServiceAccount.
type grant struct {
	namespace string // empty: a ClusterRole
	name      string
	rules     []rule
	labels    map[string]string // beside those of all objects
	unbound   bool              // without the binding
}

func (g grant) objects(accountNamespace, account string) ([]Object, error) {
	role := &rbacv1.ClusterRole{
		TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "ClusterRole"},
		ObjectMeta: metav1.ObjectMeta{Name: g.name, Namespace: g.namespace, Labels: with(labels(), g.labels)},
	}
	binding := &rbacv1.ClusterRoleBinding{
		TypeMeta: metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "ClusterRoleBinding"}, ObjectMeta: role.ObjectMeta,
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: g.name},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: accountNamespace, Name: account}},
	}
	if g.namespace != "" { // Role has the same fields
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
