package config

import (
	"maps"
	"slices"
	"strconv"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"drey.dev/drey/registry"
	"drey.dev/drey/webhook/flink"
)

// labels identify the configurations as drey's: drey writes the caBundle of no others.
var labels = map[string]string{"app.kubernetes.io/name": "drey"}

// Client returns the client configuration of the webhook that is served at a path.
type Client func(path string) admissionregistrationv1.WebhookClientConfig

// ByURL returns a Client for a drey outside the cluster. base is a scheme, host and port,
// such as https://127.0.0.1:9443. pathToken is appended to each path unless it is empty.
func ByURL(base string, caBundle []byte, pathToken string) Client {
	return func(path string) admissionregistrationv1.WebhookClientConfig {
		url := base + path
		if pathToken != "" {
			url += "/" + pathToken
		}
		return admissionregistrationv1.WebhookClientConfig{URL: &url, CABundle: caBundle}
	}
}

// ByService returns a Client for a drey behind a Service. drey writes the path, which has a
// token in it, and drey or cert-manager the caBundle. Manifests state neither, so that
// applying them again changes neither.
func ByService(namespace, name string, port int32) Client {
	return func(string) admissionregistrationv1.WebhookClientConfig {
		return admissionregistrationv1.WebhookClientConfig{Service: &admissionregistrationv1.ServiceReference{Namespace: namespace, Name: name, Port: &port}}
	}
}

// Paths returns the path of each webhook, by name, without a token.
func Paths() map[string]string {
	all := map[string]string{}
	client := ByURL("", nil, "")
	for _, w := range Mutating(client, nil, "").Webhooks {
		all[w.Name] = *w.ClientConfig.URL
	}
	for _, w := range append(Validating(client, nil).Webhooks, ValidatingRegistry(client, "")...) {
		all[w.Name] = *w.ClientConfig.URL
	}
	return all
}

// Mutating returns the configuration of the webhooks that label pods, and the metadata of
// the objects that Flink and its operators create for a cluster. The webhook for pods also
// denies, so a pod costs one call. Another one resets LabelRegistered, so that tools that
// replace namespaces neither remove nor set it. All fail open: a pod without labels does less
// harm than a job that cannot recover. username is drey's.
func Mutating(client Client, exclude []string, username string) *admissionregistrationv1.MutatingWebhookConfiguration {
	webhook := func(name, path string, s scope) admissionregistrationv1.MutatingWebhook {
		return admissionregistrationv1.MutatingWebhook{
			Name: name, ClientConfig: client(path),
			FailurePolicy:      new(admissionregistrationv1.Ignore),
			ReinvocationPolicy: new(admissionregistrationv1.IfNeededReinvocationPolicy), // a later webhook may change labels that drey decides by
			Rules:              s.rules, NamespaceSelector: s.namespaces, MatchConditions: s.conditions,
			MatchPolicy: new(admissionregistrationv1.Equivalent), SideEffects: new(admissionregistrationv1.SideEffectClassNoneOnDryRun),
			TimeoutSeconds: new(int32(Timeout / time.Second)), AdmissionReviewVersions: []string{"v1"},
		}
	}
	return &admissionregistrationv1.MutatingWebhookConfiguration{
		TypeMeta:   metav1.TypeMeta{APIVersion: admissionregistrationv1.SchemeGroupVersion.String(), Kind: "MutatingWebhookConfiguration"},
		ObjectMeta: metav1.ObjectMeta{Name: Name, Labels: maps.Clone(labels)},
		Webhooks: []admissionregistrationv1.MutatingWebhook{
			withTypeLabel(webhook(NameLabelPods, PathLabelPods, newScope(exclude, rule("", "pods"), orStates(conditions("object")))), metav1.LabelSelectorOpNotIn),
			withTypeLabel(webhook(NameLabelTypedPods, PathLabelPods, newScope(exclude, rule("", "pods"), nil)), metav1.LabelSelectorOpIn),
			webhook(NameLabelWorkloads, PathLabelWorkloads, newScope(exclude, labeledWorkloads(), conditions("object.spec.template"))),
			webhook(NameLabelRelated, PathLabelWorkloads, newScope(exclude, rule("", "services", "configmaps"), []admissionregistrationv1.MatchCondition{
				{Name: "is-flink", Expression: celRelated},
				{Name: "not-operator", Expression: anyOf(celNotNamedOperator("object"), celTypeLabel("object"))},
			})),
			webhook(NameLabelCustom, PathLabelCustom, newScope(exclude, customResources(), nil)),
			webhook(NameRestoreLabels, PathRestoreLabels, newScope(exclude, onUpdate(append(withStatus(labeledWorkloads()), customResources()...)), updateConditions(celLoses))),
			webhook(NameRegisteredLabel, PathRegisteredLabel, newScope(exclude, registeredLabelRules(), registeredLabelConditions(username))),
		},
	}
}

// withTypeLabel selects objects by the label type that Flink and its operator set, In or NotIn.
// The label alone makes a pod Flink's. For a selector the API server converts no object, as it
// does for each evaluation of match conditions, before and after the patch: that costs more than
// the call.
func withTypeLabel(w admissionregistrationv1.MutatingWebhook, operator metav1.LabelSelectorOperator) admissionregistrationv1.MutatingWebhook {
	w.ObjectSelector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
		{Key: flink.LabelType, Operator: operator, Values: []string{flink.TypeNative, flink.TypeStandalone}},
	}}
	return w
}

// Validating returns the configuration of the webhooks that deny objects with a pod
// template when a user applies them, and changes of identifying labels. They fail closed:
// while drey is down nothing new enters. Running jobs do not depend on them: pods are not
// validated again, and neither are objects that an operator creates for an admitted custom
// resource, which it recreates on upgrade and recovery.
func Validating(client Client, exclude []string) *admissionregistrationv1.ValidatingWebhookConfiguration {
	webhook := func(name, path string, s scope) admissionregistrationv1.ValidatingWebhook {
		return admissionregistrationv1.ValidatingWebhook{
			Name: name, ClientConfig: client(path),
			FailurePolicy: new(admissionregistrationv1.Fail),
			Rules:         s.rules, NamespaceSelector: s.namespaces, MatchConditions: s.conditions,
			MatchPolicy: new(admissionregistrationv1.Equivalent), SideEffects: new(admissionregistrationv1.SideEffectClassNoneOnDryRun),
			TimeoutSeconds: new(int32(Timeout / time.Second)), AdmissionReviewVersions: []string{"v1"},
		}
	}
	notOwned := admissionregistrationv1.MatchCondition{Name: "not-owned-by-custom-resource", Expression: "!" + celHasFlinkOwner}
	noController := admissionregistrationv1.MatchCondition{Name: "no-controller", Expression: celNoController}
	owned := []admissionregistrationv1.MatchCondition{{Name: "owned-by-custom-resource", Expression: celHasFlinkOwner}}
	states := admissionregistrationv1.MatchCondition{Name: "states-identity", Expression: celStates}
	hasTemplate := admissionregistrationv1.MatchCondition{Name: "has-pod-template", Expression: celHasTemplate}
	return &admissionregistrationv1.ValidatingWebhookConfiguration{
		TypeMeta:   metav1.TypeMeta{APIVersion: admissionregistrationv1.SchemeGroupVersion.String(), Kind: "ValidatingWebhookConfiguration"},
		ObjectMeta: metav1.ObjectMeta{Name: Name, Labels: maps.Clone(labels)},
		Webhooks: []admissionregistrationv1.ValidatingWebhook{
			webhook(NameValidateWorkloads, PathValidateWorkloads, newScope(exclude, validatedWorkloads(), append(orStates(conditions("object.spec.template")), notOwned))),
			webhook(NameValidateCronJobs, PathValidateWorkloads, newScope(exclude, rule("batch", "cronjobs"), append(orStates(conditions("object.spec.jobTemplate.spec.template")), notOwned))),
			webhook(NameValidateReplicaSets, PathValidateWorkloads, newScope(exclude, rule("apps", "replicasets"), append(orStates(conditions("object.spec.template")), notOwned, noController))),
			webhook(NameValidateRollouts, PathValidateWorkloads, newScope(exclude, anyVersion(rule(RolloutGroup, "rollouts")), append(conditions("object.spec.template"), notOwned, hasTemplate))),
			inNamespaces(webhook(NameValidateOwned, PathValidateWorkloads, newScope(exclude, allWorkloads(), owned)), metav1.LabelSelectorOpNotIn, admissionregistrationv1.Fail),
			inNamespaces(webhook(NameValidateOwnedLabels, PathValidateWorkloads, newScope(exclude, allWorkloads(), append(slices.Clone(owned), states))), metav1.LabelSelectorOpIn, admissionregistrationv1.Ignore),
			webhook(NameValidateCustom, PathValidateCustom, newScope(exclude, customResources(), nil)),
			webhook(NameValidatePodLabels, PathValidatePodLabels, newScope(exclude, onUpdate(withStatus(rule("", "pods"))), updateConditions(allOf(celChanges("spec.containers", "spec.?volumes"), celChangesPod)))),
			webhook(NameValidateLabels, PathValidateLabels, newScope(exclude, onUpdate(withStatus(labeledWorkloads())), updateConditions(allOf(celChanges("spec.template"),
				anyOf(allOf(celClaims, celLabeled), celBecomesFlink(".spec.template")))))),
			webhook(NameValidateCustomLabels, PathValidateCustomLabels, newScope(exclude, onUpdate(customResources()), updateConditions(allOf(celClaims, celLabeled)))),
		},
	}
}

// inNamespaces selects namespaces by LabelRegistered, In or NotIn, and sets the failure
// policy. An owner reference to a custom resource is no proof that the resource exists, so
// drey checks it where no target is registered; where one is, the operator must not depend
// on drey.
func inNamespaces(w admissionregistrationv1.ValidatingWebhook, operator metav1.LabelSelectorOperator, failure admissionregistrationv1.FailurePolicyType) admissionregistrationv1.ValidatingWebhook {
	w.FailurePolicy = &failure
	w.NamespaceSelector.MatchExpressions = append(w.NamespaceSelector.MatchExpressions,
		metav1.LabelSelectorRequirement{Key: LabelRegistered, Operator: operator, Values: []string{Registered, Draining}})
	return w
}

// ValidatingRegistry returns the webhooks for drey's own custom resources, which belong
// into the [Validating] configuration where the registry is kept in the cluster. They cover
// every namespace. The second one holds updates of metadata to the quota, and fails open, so
// that labels and annotations can be changed while drey is down. username is drey's: the registry has checked drey's own writes.
// Deletions by the garbage collector pass without a call, so that a namespace can be
// deleted while drey is down.
func ValidatingRegistry(client Client, username string) []admissionregistrationv1.ValidatingWebhook {
	resources := []string{"deploymenttargets", "deployments", "sessionclusters", "deploymentdefaults"}
	written := anyVersion(rule(registry.Group, resources...))
	written[0].Operations = append(written[0].Operations, admissionregistrationv1.Update)
	deleted := anyVersion(rule(registry.Group, "deploymenttargets", "sessionclusters")) // nothing refers to the others
	deleted[0].Operations = []admissionregistrationv1.OperationType{admissionregistrationv1.Delete}
	objects := admissionregistrationv1.ValidatingWebhook{
		Name: NameValidateRegistry, ClientConfig: client(PathValidateRegistry),
		FailurePolicy: new(admissionregistrationv1.Fail),
		Rules:         append(written, deleted...),
		MatchConditions: []admissionregistrationv1.MatchCondition{
			{Name: "not-drey", Expression: "request.userInfo.username != " + strconv.Quote(username)},
			{Name: "not-garbage-collector", Expression: celNotGarbageCollector},
			{Name: "not-terminating", Expression: `request.operation == "CREATE" || !has(oldObject.metadata.deletionTimestamp)`},
			{Name: "changes-spec-or-id", Expression: celChangesObject},
		},
		MatchPolicy: new(admissionregistrationv1.Equivalent), SideEffects: new(admissionregistrationv1.SideEffectClassNoneOnDryRun),
		TimeoutSeconds: new(int32(RegistryTimeout / time.Second)), AdmissionReviewVersions: []string{"v1"},
	}
	metadata := *objects.DeepCopy()
	metadata.Name, metadata.FailurePolicy, metadata.TimeoutSeconds = NameValidateMetadata, new(admissionregistrationv1.Ignore), new(int32(Timeout/time.Second))
	metadata.Rules = onUpdate(anyVersion(rule(registry.Group, resources...)))
	last := len(metadata.MatchConditions) - 1
	metadata.MatchConditions[last] = admissionregistrationv1.MatchCondition{Name: "changes-metadata-only", Expression: "!(" + celChangesObject + ") && (" + celGrowsMetadata + ")"}
	return []admissionregistrationv1.ValidatingWebhook{objects, metadata}
}

// conditions match a pod, or a template at a CEL path, that may run Flink.
func conditions(pod string) []admissionregistrationv1.MatchCondition {
	return []admissionregistrationv1.MatchCondition{
		{Name: "is-flink", Expression: celFlink(pod)},
		{Name: "not-operator", Expression: celNotOperator(pod)},
		{Name: "not-mirror-pod", Expression: celNotMirror},
	}
}

// orStates extends [conditions] to objects that state an identity and are not Flink.
func orStates(all []admissionregistrationv1.MatchCondition) []admissionregistrationv1.MatchCondition {
	for i := range all[:2] {
		all[i].Expression = anyOf(celStates, all[i].Expression)
	}
	return all
}

// updateConditions match an update for which an expression holds.
func updateConditions(expression string) []admissionregistrationv1.MatchCondition {
	return []admissionregistrationv1.MatchCondition{
		{Name: "changes-decision-inputs", Expression: expression},
		{Name: "not-terminating", Expression: celNotTerminating},
	}
}

// PolicyConditions match the Flink pods that CEL alone recognizes for sure, which the
// built-in policy denies in a namespace without a target.
func PolicyConditions() []admissionregistrationv1.MatchCondition {
	all := orStates(conditions("object"))
	all[0].Expression, all[1].Expression = anyOf(celStates, celRunsFlink("object")), anyOf(celStates, celSurelyNotOperator("object"))
	return all
}
