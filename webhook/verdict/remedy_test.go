package verdict_test

import (
	"strings"
	"testing"

	"drey.dev/drey/webhook/flink"
	"drey.dev/drey/webhook/verdict"
)

// TestRemedyIsShellSafe has labels, names and options that a shell would run if they stood
// in the command as they are.
func TestRemedyIsShellSafe(t *testing.T) {
	const wrong = "team-z"
	stated := func(kind string, configuration map[string]any) []flink.LabelField {
		return flink.PodLabelFields(kind, map[string]any{"spec": map[string]any{"flinkConfiguration": configuration}})
	}
	pod := flink.Object{Kind: "Pod", Namespace: "flink", Name: "p", Labels: map[string]string{"vvpNamespace": wrong}}
	native := flink.Object{Kind: "Deployment", Namespace: "flink", Name: "d", Labels: map[string]string{"vvpNamespace": wrong, "team": "blue", "evil": "$(reboot)", "$(reboot)": "x", "app": "d", "component": "jobmanager", "type": "flink-native-kubernetes"}}
	for rule, c := range map[string]struct {
		object    flink.Object
		relatives []flink.Owner
		want      string
	}{
		"an option with quotes": {pod, []flink.Owner{{APIVersion: "flink.apache.org/v1beta1", Kind: "FlinkDeployment", Name: "f", UID: "u",
			PodLabelFields: stated("FlinkDeployment", map[string]any{"kubernetes.jobmanager.labels": "a:'; reboot #,vvpNamespace:team-z"})}},
			`kubectl patch flinkdeployment f -n flink --type merge -p '{"spec":{"flinkConfiguration":{"kubernetes.jobmanager.labels":"a:\u0027; reboot #"}}}' ;`},
		"a name": {pod, []flink.Owner{{APIVersion: "apps/v1", Kind: "DaemonSet", Name: "$(reboot)", UID: "u"}},
			`kubectl patch daemonset NAME -n flink --type merge -p '{"spec":{"template":{"metadata":{"labels":{"vvpNamespace":null}}}}}' ;`},
		"a kind": {pod, []flink.Owner{{APIVersion: "$(reboot)/v1", Kind: "a;b", Name: "a", UID: "u", Unresolved: true}}, "kubectl edit KIND.GROUP a -n flink ;"},
		"of the core": {pod, []flink.Owner{{APIVersion: "v1", Kind: "ReplicationController", Name: "a", UID: "u", Unresolved: true}},
			`kubectl patch replicationcontroller a -n flink --type merge -p '{"spec":{"template":{"metadata":{"labels":{"vvpNamespace":null}}}}}' ;`},
		"labels of a Deployment of Flink's client": {native, nil, "-Dkubernetes.jobmanager.labels=team:blue , and kubernetes.taskmanager.labels likewise ;"},
	} {
		t.Run(rule, func(t *testing.T) {
			o := c.object
			o.Pod.Labels = o.Labels
			w := flink.Workload{Object: &o, Strength: flink.Strong, Signals: flink.TypeLabel, Flavor: flink.Native}.WithOwners(c.relatives, true)
			v := decide(t, w, "team-a/x")
			if got := v.Message(verdict.RegisterHint{}); v.Reason != verdict.LabelConflict || !strings.Contains(got, c.want) {
				t.Errorf("%s\ngot  %s\nwant %s", v.Reason, got, c.want)
			}
		})
	}
}

// TestRemedy checks the command that corrects a conflicting label, or an ambiguous target, at the
// object that the pods come from.
func TestRemedy(t *testing.T) {
	owner := func(apiVersion, kind string) flink.Owner {
		return flink.Owner{APIVersion: apiVersion, Kind: kind, Name: "nuts", UID: "uid-nuts"}
	}
	labels := map[string]string{"vvpNamespace": "team-z"}
	pod := &flink.Object{Kind: "Pod", Namespace: "flink", Name: "nuts-1"}
	for rule, c := range map[string]struct {
		object              *flink.Object
		flavor              flink.Flavor
		owners              []flink.Owner
		conflict, ambiguous string
	}{
		"Job": {pod, flink.Docs, []flink.Owner{owner("batch/v1", "Job")},
			`kubectl get job nuts -n flink -o json | kubectl patch --local -f - --type merge -p '{"metadata":{"labels":{"vvpNamespace":null}},"spec":{"selector":null,"template":{"metadata":{"labels":{"batch.kubernetes.io/controller-uid":null,"controller-uid":null,"vvpNamespace":null}}}}}' -o json | kubectl replace --force -f -`,
			`kubectl get job nuts -n flink -o json | kubectl patch --local -f - --type merge -p '{"spec":{"selector":null,"template":{"metadata":{"labels":{"batch.kubernetes.io/controller-uid":null,"controller-uid":null,"vvpNamespace":"a"}}}}}' -o json | kubectl replace --force -f -`},
		"Rollout": {pod, flink.Docs, []flink.Owner{owner("argoproj.io/v1alpha1", "Rollout")},
			`kubectl patch rollout.argoproj.io nuts -n flink --type merge -p '{"spec":{"template":{"metadata":{"labels":{"vvpNamespace":null}}}}}'`,
			`kubectl patch rollout.argoproj.io nuts -n flink --type merge -p '{"spec":{"template":{"metadata":{"labels":{"vvpNamespace":"a"}}}}}'`},
		"CronJob": {pod, flink.Docs, []flink.Owner{owner("batch/v1", "CronJob")},
			`kubectl patch cronjob nuts -n flink --type merge -p '{"spec":{"jobTemplate":{"spec":{"template":{"metadata":{"labels":{"vvpNamespace":null}}}}}}}'`,
			`kubectl patch cronjob nuts -n flink --type merge -p '{"spec":{"jobTemplate":{"spec":{"template":{"metadata":{"labels":{"vvpNamespace":"a"}}}}}}}'`},
		"another kind": {pod, flink.Docs, []flink.Owner{owner("example.com/v1", "App")},
			`kubectl edit app.example.com nuts -n flink`,
			`kubectl edit app.example.com nuts -n flink`},
		"custom resource": {pod, flink.Custom, []flink.Owner{owner("flink.apache.org/v1beta1", "FlinkDeployment")},
			`flinkdeployment nuts does not set it: its operator has not recreated the pods yet, or sets it in its default configuration`,
			`kubectl patch flinkdeployment nuts -n flink --type merge -p '{"spec":{"podTemplate":{"metadata":{"labels":{"vvpNamespace":"a"}}}}}'`},
		"Deployment by the name of a ReplicaSet": {pod, flink.Docs, nil,
			`kubectl patch deployment nuts -n flink --type merge -p '{"spec":{"template":{"metadata":{"labels":{"vvpNamespace":null}}}}}'`,
			`kubectl patch deployment nuts -n flink --type merge -p '{"spec":{"template":{"metadata":{"labels":{"vvpNamespace":"a"}}}}}'`},
		"manifest of a custom resource": {&flink.Object{Kind: "FlinkDeployment", Namespace: "flink", Name: "nuts", FromManifest: true}, flink.Custom, nil,
			`kubectl patch --local -f FILE --type merge -p '{"metadata":{"labels":{"vvpNamespace":null}}}' -o yaml | kubectl apply -n flink -f -`,
			`kubectl patch --local -f FILE --type merge -p '{"metadata":{"labels":{"vvpNamespace":"a"}}}' -o yaml | kubectl apply -n flink -f -`},
		"manifest of a Deployment": {&flink.Object{Kind: "Deployment", Namespace: "flink", Name: "nuts", FromManifest: true}, flink.Docs, nil,
			`kubectl patch --local -f FILE --type merge -p '{"spec":{"template":{"metadata":{"labels":{"vvpNamespace":null}}}}}' -o yaml | kubectl apply -n flink -f -`,
			`kubectl patch --local -f FILE --type merge -p '{"spec":{"template":{"metadata":{"labels":{"vvpNamespace":"a"}}}}}' -o yaml | kubectl apply -n flink -f -`},
		"manifest of a kind with its template elsewhere": {&flink.Object{Kind: "ScaledJob", Namespace: "flink", Name: "nuts", FromManifest: true, TemplatePath: []string{"spec", "jobTargetRef", "template"}}, flink.Docs, nil,
			`kubectl patch --local -f FILE --type merge -p '{"spec":{"jobTargetRef":{"template":{"metadata":{"labels":{"vvpNamespace":null}}}}}}' -o yaml | kubectl apply -n flink -f -`,
			`kubectl patch --local -f FILE --type merge -p '{"spec":{"jobTargetRef":{"template":{"metadata":{"labels":{"vvpNamespace":"a"}}}}}}' -o yaml | kubectl apply -n flink -f -`},
		"manifest of a kind with templates in a list": {&flink.Object{Kind: "Job", Namespace: "flink", Name: "nuts", FromManifest: true, TemplatePath: []string{"spec", "tasks", "1", "template"}}, flink.Docs, nil,
			`edit FILE: remove spec.tasks.1.template.metadata.labels.vvpNamespace`,
			`edit FILE: set spec.tasks.1.template.metadata.labels.vvpNamespace to a`},
		"manifest in another one": {&flink.Object{Kind: "Deployment", Namespace: "flink", Name: "nuts", FromManifest: true, HeldAt: "objects.0"}, flink.Docs, nil,
			`edit FILE: remove objects.0.spec.template.metadata.labels.vvpNamespace`,
			`edit FILE: set objects.0.spec.template.metadata.labels.vvpNamespace to a`},
		"Deployment of Flink's client": {&flink.Object{Kind: "Deployment", Namespace: "flink", Name: "nuts"}, flink.Native, nil,
			`run Flink's client again with another kubernetes.pod-template-file.jobmanager (or .default), without it: kubectl patch --local -f FILE --type merge -p '{"metadata":{"labels":{"vvpNamespace":null}}}' -o yaml`,
			`run Flink's client again with -Dkubernetes.jobmanager.labels=vvpNamespace:a`},
	} {
		t.Run(rule, func(t *testing.T) {
			for state, want := range map[string]string{"team-a/x": c.conflict, "a/x b/y": c.ambiguous} {
				o := *c.object
				if state == "team-a/x" {
					o.Pod.Labels = labels
					if o.Kind == "Pod" || o.Kind == "FlinkDeployment" {
						o.Labels = labels
					}
				}
				w := flink.Workload{Object: &o, Strength: flink.Strong, Signals: flink.MainContainer, Flavor: c.flavor, Root: flink.Root{Kind: "Deployment", Name: "nuts"}}.WithOwners(c.owners, true)
				v := decide(t, w, state)
				if got := v.Remedy(verdict.RegisterHint{}); got != want {
					t.Errorf("%s\ngot  %s\nwant %s", v.Reason, got, want)
				}
			}
		})
	}
}
