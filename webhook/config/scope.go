package config

import (
	"slices"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"drey.dev/drey/webhook/flink"
)

// scope selects the requests that a webhook is called for.
type scope struct {
	rules      []admissionregistrationv1.RuleWithOperations
	namespaces *metav1.LabelSelector
	conditions []admissionregistrationv1.MatchCondition
}

func newScope(exclude []string, rules []admissionregistrationv1.RuleWithOperations, conditions []admissionregistrationv1.MatchCondition) scope {
	return scope{rules: rules, conditions: conditions, namespaces: notIn(exclude)}
}

// notIn selects all namespaces but some.
func notIn(namespaces []string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{
		Key: corev1.LabelMetadataName, Operator: metav1.LabelSelectorOpNotIn, Values: slices.Sorted(slices.Values(namespaces)),
	}}}
}

// rule matches the creation of resources of a group's version v1.
func rule(group string, resources ...string) []admissionregistrationv1.RuleWithOperations {
	return []admissionregistrationv1.RuleWithOperations{{
		Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
		Rule: admissionregistrationv1.Rule{
			APIGroups: []string{group}, APIVersions: []string{"v1"}, Resources: resources,
			Scope: new(admissionregistrationv1.NamespacedScope),
		},
	}}
}

// anyVersion extends a single rule to all versions of its group.
func anyVersion(rules []admissionregistrationv1.RuleWithOperations) []admissionregistrationv1.RuleWithOperations {
	rules[0].APIVersions = []string{"*"}
	return rules
}

// onUpdate changes rules to match updates.
func onUpdate(rules []admissionregistrationv1.RuleWithOperations) []admissionregistrationv1.RuleWithOperations {
	for i := range rules {
		rules[i].Operations = []admissionregistrationv1.OperationType{admissionregistrationv1.Update}
	}
	return rules
}

// withStatus adds the status subresources, whose updates change labels too, except that of
// Deployments. The subresources scale, resize and ephemeralcontainers change no labels.
func withStatus(all []admissionregistrationv1.RuleWithOperations) []admissionregistrationv1.RuleWithOperations {
	for i, r := range all {
		for _, resource := range r.Resources {
			if resource != "deployments" {
				all[i].Resources = append(all[i].Resources, resource+"/status")
			}
		}
	}
	return all
}

// labeledWorkloads are the built-in workloads that are labeled and validated.
func labeledWorkloads() []admissionregistrationv1.RuleWithOperations {
	return append(rule("apps", "deployments", "statefulsets"), rule("batch", "jobs")...)
}

// validatedWorkloads adds the built-in workloads that are validated and not labeled.
func validatedWorkloads() []admissionregistrationv1.RuleWithOperations {
	return append(rule("apps", "deployments", "statefulsets", "daemonsets"), append(rule("batch", "jobs"), rule("", "replicationcontrollers")...)...)
}

// allWorkloads are all resources with a pod template.
func allWorkloads() []admissionregistrationv1.RuleWithOperations {
	all := validatedWorkloads()
	all[0].Resources = append(all[0].Resources, "replicasets")
	all[1].Resources = append(all[1].Resources, "cronjobs")
	return append(all, anyVersion(rule(RolloutGroup, "rollouts"))...)
}

// customResources are Flink's custom resources in any version, whether or not the cluster
// serves them yet.
func customResources() []admissionregistrationv1.RuleWithOperations {
	var all []admissionregistrationv1.RuleWithOperations
	for _, c := range flink.CustomResources {
		if n := len(all); n > 0 && all[n-1].APIGroups[0] == c.Group {
			all[n-1].Resources = append(all[n-1].Resources, c.Resource)
			continue
		}
		all = append(all, anyVersion(rule(c.Group, c.Resource))...)
	}
	return all
}
