package config

import (
	"maps"
	"slices"
	"strconv"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"drey.dev/drey/registry"
	"drey.dev/drey/webhook/flink"
)

// labels mark the configurations as drey's: drey changes no others.
var labels = map[string]string{"app.kubernetes.io/name": "drey"}

// Client says how the API server reaches the handler at a path.
type Client func(path string) admissionv1.WebhookClientConfig

// ByURL is a client for a drey that runs outside the cluster. base has no path,
// such as https://127.0.0.1:9443.
func ByURL(base string, caBundle []byte) Client {
	return func(path string) admissionv1.WebhookClientConfig {
		url := base + path
		return admissionv1.WebhookClientConfig{URL: &url, CABundle: caBundle}
	}
}

// ByService is a client for a drey that runs in the cluster. Its caBundle is written
// by whoever makes the certificate.
func ByService(namespace, name string, port int32) Client {
	return func(path string) admissionv1.WebhookClientConfig {
		return admissionv1.WebhookClientConfig{Service: &admissionv1.ServiceReference{Namespace: namespace, Name: name, Path: &path, Port: &port}}
	}
}

// Mutating is the configuration of the webhooks that label: pods, and the
// metadata of what Flink and its operators make beside them. That for pods denies
// too, so that a pod costs one call. The failure policy is Ignore: while drey is
// down, a pod without labels does less harm than a job that cannot recover.
func Mutating(client Client, exclude []string) *admissionv1.MutatingWebhookConfiguration {
	webhook := func(name, path string, s scope) admissionv1.MutatingWebhook {
		return admissionv1.MutatingWebhook{
			Name: name, ClientConfig: client(path),
			FailurePolicy:      new(admissionv1.Ignore),
			ReinvocationPolicy: new(admissionv1.NeverReinvocationPolicy), // one call an object; what others add changes no label of ours
			Rules:              s.rules, NamespaceSelector: s.namespaces, MatchConditions: s.conditions,
			MatchPolicy: new(admissionv1.Equivalent), SideEffects: new(admissionv1.SideEffectClassNone),
			TimeoutSeconds: new(int32(Timeout / time.Second)), AdmissionReviewVersions: []string{"v1"},
		}
	}
	return &admissionv1.MutatingWebhookConfiguration{
		TypeMeta:   metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "MutatingWebhookConfiguration"},
		ObjectMeta: metav1.ObjectMeta{Name: Name, Labels: maps.Clone(labels)},
		Webhooks: []admissionv1.MutatingWebhook{
			webhook(NameLabelPods, PathLabelPods, shape(exclude, rule("", "pods"), orStates(conditions("object")))),
			webhook(NameLabelWorkloads, PathLabelWorkloads, shape(exclude, workloads(), conditions("object.spec.template"))),
			webhook(NameLabelRelated, PathLabelWorkloads, shape(exclude, rule("", "services", "configmaps"), []admissionv1.MatchCondition{
				{Name: "is-flink", Expression: celRelated},
				{Name: "not-operator", Expression: anyOf(celNotNamedOperator("object"), celTypeLabel("object"))},
			})),
			webhook(NameLabelCustom, PathLabelCustom, shape(exclude, customResources(), nil)),
			webhook(NameRestoreLabels, PathRestoreLabels, shape(exclude, updates(append(withStatus(workloads()), customResources()...)), relabels(celLoses))),
		},
	}
}

// Validating is the configuration of the gate for what makes pods: the person
// who applies it sees the denial. Its failure policy is Fail: while drey is
// down nothing new enters, and what runs already does not need it. Pods are not
// asked about again: a running job makes them, and must not wait for drey. Neither
// is what an operator makes of a custom resource that was let in: it makes it anew
// when a job is upgraded, or recovers.
func Validating(client Client, exclude []string) *admissionv1.ValidatingWebhookConfiguration {
	webhook := func(name, path string, s scope) admissionv1.ValidatingWebhook {
		return admissionv1.ValidatingWebhook{
			Name: name, ClientConfig: client(path),
			FailurePolicy: new(admissionv1.Fail),
			Rules:         s.rules, NamespaceSelector: s.namespaces, MatchConditions: s.conditions,
			MatchPolicy: new(admissionv1.Equivalent), SideEffects: new(admissionv1.SideEffectClassNone),
			TimeoutSeconds: new(int32(Timeout / time.Second)), AdmissionReviewVersions: []string{"v1"},
		}
	}
	fromCustom := admissionv1.MatchCondition{Name: "not-owned-by-custom-resource", Expression: "!" + celHasFlinkOwner}
	notControlled := admissionv1.MatchCondition{Name: "no-controller", Expression: celNoController}
	owned := []admissionv1.MatchCondition{{Name: "owned-by-custom-resource", Expression: celHasFlinkOwner}}
	states := admissionv1.MatchCondition{Name: "states-identity", Expression: celStates}
	hasTemplate := admissionv1.MatchCondition{Name: "has-pod-template", Expression: celHasTemplate}
	return &admissionv1.ValidatingWebhookConfiguration{
		TypeMeta:   metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "ValidatingWebhookConfiguration"},
		ObjectMeta: metav1.ObjectMeta{Name: Name, Labels: maps.Clone(labels)},
		Webhooks: []admissionv1.ValidatingWebhook{
			webhook(NameValidateWorkloads, PathValidateWorkloads, shape(exclude, gated(), append(orStates(conditions("object.spec.template")), fromCustom))),
			webhook(NameValidateCronJobs, PathValidateWorkloads, shape(exclude, rule("batch", "cronjobs"), append(orStates(conditions("object.spec.jobTemplate.spec.template")), fromCustom))),
			webhook(NameValidateReplicaSets, PathValidateWorkloads, shape(exclude, rule("apps", "replicasets"), append(orStates(conditions("object.spec.template")), fromCustom, notControlled))),
			webhook(NameValidateRollouts, PathValidateWorkloads, shape(exclude, anyVersion(rule(RolloutGroup, "rollouts")), append(conditions("object.spec.template"), fromCustom, hasTemplate))),
			ofCustom(webhook(NameValidateOwned, PathValidateWorkloads, shape(exclude, makers(), owned)), metav1.LabelSelectorOpNotIn, admissionv1.Fail),
			ofCustom(webhook(NameValidateOwnedLabels, PathValidateWorkloads, shape(exclude, makers(), append(slices.Clone(owned), states))), metav1.LabelSelectorOpIn, admissionv1.Ignore),
			webhook(NameValidateCustom, PathValidateCustom, shape(exclude, customResources(), nil)),
			webhook(NameValidatePodLabels, PathValidatePodLabels, shape(exclude, updates(withStatus(rule("", "pods"))), relabels(allOf(celChanges("spec.containers", "spec.?volumes"),
				anyOf(celRelabels, allOf(celClaims, anyOf(celLabeled, celFlink("object"))), celBecomesFlink("")))))),
			webhook(NameValidateLabels, PathValidateLabels, shape(exclude, updates(withStatus(workloads())), relabels(allOf(celChanges("spec.template"),
				anyOf(allOf(celClaims, celLabeled), celBecomesFlink(".spec.template")))))),
			webhook(NameValidateCustomLabels, PathValidateCustomLabels, shape(exclude, updates(customResources()), relabels(allOf(celClaims, celLabeled)))),
		},
	}
}

// ValidatingRegistry is the webhook for drey's own objects, where the cluster keeps
// the registry: another of the [Validating] configuration. It holds in every
// namespace. self is the user that drey is to the API server: what drey writes has
// been checked. What a controller of the cluster deletes passes without a call, so
// that a namespace can go while drey is down.
func ValidatingRegistry(client Client, self string) admissionv1.ValidatingWebhook {
	written := ownObjects("deploymenttargets", "deployments", "sessionclusters")
	written[0].Operations = append(written[0].Operations, admissionv1.Update)
	deleted := ownObjects("deploymenttargets", "sessionclusters") // nothing refers to a Deployment
	deleted[0].Operations = []admissionv1.OperationType{admissionv1.Delete}
	return admissionv1.ValidatingWebhook{
		Name: NameValidateRegistry, ClientConfig: client(PathValidateRegistry),
		FailurePolicy: new(admissionv1.Fail),
		Rules:         append(written, deleted...),
		MatchConditions: []admissionv1.MatchCondition{
			{Name: "not-drey", Expression: "request.userInfo.username != " + strconv.Quote(self)},
			{Name: "not-garbage-collector", Expression: celNotGarbageCollector},
			{Name: "not-terminating", Expression: `request.operation == "CREATE" || !has(oldObject.metadata.deletionTimestamp)`},
			{Name: "changes-spec-or-id", Expression: celChangesObject},
		},
		MatchPolicy: new(admissionv1.Equivalent), SideEffects: new(admissionv1.SideEffectClassNoneOnDryRun),
		TimeoutSeconds: new(int32(RegistryTimeout / time.Second)), AdmissionReviewVersions: []string{"v1"},
	}
}

func ownObjects(resources ...string) []admissionv1.RuleWithOperations {
	return anyVersion(rule(registry.Group, resources...))
}

func anyVersion(rules []admissionv1.RuleWithOperations) []admissionv1.RuleWithOperations {
	rules[0].APIVersions = []string{"*"}
	return rules
}

// workloads are the kinds that are labeled and gated.
func workloads() []admissionv1.RuleWithOperations {
	return append(rule("apps", "deployments", "statefulsets"), rule("batch", "jobs")...)
}

// withStatus adds the subresource status, which changes labels, too, but for that of
// Deployments. The subresources scale, resize and ephemeralcontainers change none.
func withStatus(all []admissionv1.RuleWithOperations) []admissionv1.RuleWithOperations {
	for i, r := range all {
		for _, resource := range r.Resources {
			if resource != "deployments" {
				all[i].Resources = append(all[i].Resources, resource+"/status")
			}
		}
	}
	return all
}

// gated are the workloads, and the built-in kinds that make pods and get no labels.
func gated() []admissionv1.RuleWithOperations {
	return append(rule("apps", "deployments", "statefulsets", "daemonsets"), append(rule("batch", "jobs"), rule("", "replicationcontrollers")...)...)
}

// makers are all kinds that make pods and are gated.
func makers() []admissionv1.RuleWithOperations {
	all := gated()
	all[0].Resources = append(all[0].Resources, "replicasets")
	all[1].Resources = append(all[1].Resources, "cronjobs")
	return append(all, anyVersion(rule(RolloutGroup, "rollouts"))...)
}

// ofCustom has a webhook see the namespaces by drey's mark: In those that have it, or NotIn
// those. A custom resource that an owner reference names may not be there, so drey is asked;
// but where one was let in, its operator must not wait for drey.
func ofCustom(w admissionv1.ValidatingWebhook, by metav1.LabelSelectorOperator, failure admissionv1.FailurePolicyType) admissionv1.ValidatingWebhook {
	w.FailurePolicy = &failure
	w.NamespaceSelector.MatchExpressions = append(w.NamespaceSelector.MatchExpressions, metav1.LabelSelectorRequirement{Key: LabelRegistered, Operator: by, Values: []string{Registered, Draining}})
	return w
}

// customResources are those of Flink and its operators, whether or not the
// cluster serves them yet, in any version.
func customResources() []admissionv1.RuleWithOperations {
	var all []admissionv1.RuleWithOperations
	for _, c := range flink.CustomResources {
		if n := len(all); n > 0 && all[n-1].APIGroups[0] == c.Group {
			all[n-1].Resources = append(all[n-1].Resources, c.Resource)
			continue
		}
		all = append(all, anyVersion(rule(c.Group, c.Resource))...)
	}
	return all
}

// scope is what of the cluster a webhook sees.
type scope struct {
	rules      []admissionv1.RuleWithOperations
	namespaces *metav1.LabelSelector
	conditions []admissionv1.MatchCondition
}

func shape(exclude []string, rules []admissionv1.RuleWithOperations, conditions []admissionv1.MatchCondition) scope {
	return scope{
		rules:      rules,
		conditions: conditions,
		namespaces: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{
			Key: "kubernetes.io/metadata.name", Operator: metav1.LabelSelectorOpNotIn, Values: slices.Sorted(slices.Values(exclude)),
		}}},
	}
}

func rule(group string, resources ...string) []admissionv1.RuleWithOperations {
	return []admissionv1.RuleWithOperations{{
		Operations: []admissionv1.OperationType{admissionv1.Create},
		Rule: admissionv1.Rule{
			APIGroups: []string{group}, APIVersions: []string{"v1"}, Resources: resources,
			Scope: new(admissionv1.NamespacedScope),
		},
	}}
}

// relabels are the conditions of an update that changes an object so.
func relabels(how string) []admissionv1.MatchCondition {
	return []admissionv1.MatchCondition{
		{Name: "changes-decision-inputs", Expression: how},
		{Name: "not-terminating", Expression: celNotTerminating},
	}
}

// PolicyConditions hold for the pods of Flink's that the API server itself can tell:
// those that the built-in policy denies in a namespace without a target.
func PolicyConditions() []admissionv1.MatchCondition {
	all := orStates(conditions("object"))
	all[0].Expression, all[1].Expression = anyOf(celStates, celRunsFlink("object")), anyOf(celStates, celSurelyNotOperator("object"))
	return all
}

// updates are the same rules, of what is there already.
func updates(rules []admissionv1.RuleWithOperations) []admissionv1.RuleWithOperations {
	for i := range rules {
		rules[i].Operations = []admissionv1.OperationType{admissionv1.Update}
	}
	return rules
}

// orStates are conditions that hold, too, for what is not Flink's and states whose it is:
// the first two say what is.
func orStates(all []admissionv1.MatchCondition) []admissionv1.MatchCondition {
	for i := range all[:2] {
		all[i].Expression = anyOf(celStates, all[i].Expression)
	}
	return all
}

func conditions(pod string) []admissionv1.MatchCondition {
	return []admissionv1.MatchCondition{
		{Name: "is-flink", Expression: celFlink(pod)},
		{Name: "not-operator", Expression: celNotOperator(pod)},
		{Name: "not-mirror-pod", Expression: celNotMirror},
	}
}
