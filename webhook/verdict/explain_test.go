package verdict_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"drey.dev/drey/webhook/flink"
	"drey.dev/drey/webhook/verdict"
)

// explained formats the labels of an explanation, one a line.
func explained(e verdict.Explanation) (lines []string) {
	for _, l := range e.Labels {
		line := fmt.Sprintf("%s: %s=%s", l.Action, l.Key, l.Value)
		if l.Has != nil {
			line += fmt.Sprintf(" has %q", *l.Has)
		}
		if l.From != "" {
			line += ": " + l.From
		}
		lines = append(lines, line)
	}
	return lines
}

// TestExplain checks the action for each label, and the description of its source.
func TestExplain(t *testing.T) {
	deployment := flink.Owner{APIVersion: "apps/v1", Kind: "Deployment", Name: "nuts", UID: "uid-nuts"}
	admitted := deployment
	admitted.Labels = parseLabels("system=ververica-platform vvpNamespace=a sessionClusterId=uid-before sessionClusterName=before")
	excluding, unread, missing, invalid := deployment, deployment, deployment, deployment
	excluding.ExcludedKeys, unread.SelectorUnknown, missing.Unresolved, invalid.UID = []string{"sessionClusterId"}, true, true, "no id"
	const (
		all     = "the same for all Flink workloads"
		only    = "the only platform namespace with a target for this namespace"
		uid     = "uid of Deployment nuts"
		cluster = `cluster name "nuts"`
	)
	const registered, job = "registered as Deployment a/nuts", "--job-id, the status of the custom resource, or the job id label of another operator"
	const id = "7a0c0e1d-2b3a-4958-8776-655443322110"
	for rule, c := range map[string]struct {
		state      string
		mode       flink.Mode
		owner      flink.Owner
		incomplete bool
		labels     string
		want       []string
	}{
		"application": {"a/x", flink.Application, deployment, false, "", []string{
			"add: app=flink-job: mode application", "add: drey.dev/app=flink-job: mode application", "add: system=ververica-platform: " + all, "add: vvpNamespace=a: " + only,
			"add: deploymentId=uid-nuts: " + uid, "add: deploymentName=nuts: " + cluster, "add: jobId=" + id + ": " + job,
		}},
		"session": {"a/x", flink.Session, deployment, false, "", []string{
			"add: app=flink-session-cluster: mode session", "add: drey.dev/app=flink-session-cluster: mode session", "add: system=ververica-platform: " + all, "add: vvpNamespace=a: " + only,
			"add: sessionClusterId=uid-nuts: " + uid, "add: sessionClusterName=nuts: " + cluster,
		}},
		"labels of the object": {"a/x b/y", flink.Session, deployment, false, "app=mine drey.dev/app=flink-job system=ververica-platform vvpNamespace=b sessionClusterId=restored deploymentId=wrong", []string{
			`keep: app=flink-session-cluster has "mine": mode session`, `keep: drey.dev/app=flink-session-cluster has "flink-job": mode session`, `has: system=ververica-platform has "ververica-platform": ` + all,
			`has: vvpNamespace=b has "b": set on the object`, `keep: sessionClusterId=uid-nuts has "restored": ` + uid, "add: sessionClusterName=nuts: " + cluster,
			`mistaken: deploymentId= has "wrong": its process is of the other mode`, `mistaken: drey.dev/app= has "flink-job": its process is of the other mode`,
		}},
		"labels of the object, application": {"a/x", flink.Application, deployment, false, "system=ververica-platform sessionClusterId=wrong jobId=x", []string{
			"add: app=flink-job: mode application", "add: drey.dev/app=flink-job: mode application", `has: system=ververica-platform has "ververica-platform": ` + all, "add: vvpNamespace=a: " + only,
			"add: deploymentId=uid-nuts: " + uid, "add: deploymentName=nuts: " + cluster, "keep: jobId=" + id + ` has "x": ` + job,
			`mistaken: sessionClusterId= has "wrong": its process is of the other mode`,
		}},
		"registered": {"a/x b/y D:a/nuts@x", flink.Application, deployment, false, "", []string{
			"add: app=flink-job: mode application", "add: drey.dev/app=flink-job: mode application", "add: system=ververica-platform: " + all,
			"add: vvpNamespace=a: " + registered, "add: deploymentId=ID(a/nuts): " + registered, "add: deploymentName=nuts: " + registered, "add: jobId=" + id + ": " + job,
		}},
		"running job": {"had:", flink.Session, admitted, false, "", []string{
			"add: app=flink-session-cluster: mode session", "add: drey.dev/app=flink-session-cluster: mode session", "add: system=ververica-platform: " + all, "add: vvpNamespace=a: label of its admitted owner",
			"add: sessionClusterId=uid-before: label of its admitted owner", "add: sessionClusterName=before: label of its admitted owner",
		}},
		"conflict": {"a/x live:uid-other", flink.Session, deployment, false, "sessionClusterId=uid-other", []string{
			"add: app=flink-session-cluster: mode session", "add: drey.dev/app=flink-session-cluster: mode session", "add: system=ververica-platform: " + all, "add: vvpNamespace=a: " + only,
			`conflict: sessionClusterId=uid-nuts has "uid-other": ` + uid, "add: sessionClusterName=nuts: " + cluster,
		}},
		"label that the selector excludes": {"a/x", flink.Session, excluding, false, "", []string{
			"add: app=flink-session-cluster: mode session", "add: drey.dev/app=flink-session-cluster: mode session", "add: system=ververica-platform: " + all, "add: vvpNamespace=a: " + only,
			"leave off: sessionClusterId=uid-nuts: the selector of its controller excludes the label", "add: sessionClusterName=nuts: " + cluster,
		}},
		"selector that was not read": {"a/x", flink.UnknownMode, unread, false, "", []string{
			"none: app=", "none: drey.dev/app=", "leave off: system=ververica-platform: the selector of its controller could not be read", "leave off: vvpNamespace=a: the selector of its controller could not be read",
		}},
		"incomplete owners": {"a/x", flink.Session, missing, true, "sessionClusterId=restored", []string{
			"add: app=flink-session-cluster: mode session", "add: drey.dev/app=flink-session-cluster: mode session", "add: system=ververica-platform: " + all, "add: vvpNamespace=a: " + only,
			`keep: sessionClusterId= has "restored"`, "none: sessionClusterName=",
		}},
		"id that is no label value": {"a/x", flink.Session, invalid, false, "", []string{
			"add: app=flink-session-cluster: mode session", "add: drey.dev/app=flink-session-cluster: mode session", "add: system=ververica-platform: " + all, "add: vvpNamespace=a: " + only,
			`none: sessionClusterId=: "no id" is no label value`, "add: sessionClusterName=nuts: " + cluster,
		}},
		"no target": {"", flink.Session, deployment, false, "", nil},
	} {
		t.Run(rule, func(t *testing.T) {
			k, ids := newState(t, c.state)
			o := &flink.Object{Kind: "Pod", Namespace: "flink", GenerateName: "nuts-", Labels: parseLabels(c.labels), Pod: flink.Pod{Labels: parseLabels(c.labels)}}
			w := flink.Workload{
				Object: o, Strength: flink.Strong, Signals: flink.MainContainer, Mode: c.mode, Role: flink.JobManager, Flavor: flink.Docs,
				Root: flink.Root{Kind: "Deployment", Name: "nuts"}, Identity: flink.Identity{Name: "nuts", JobID: "7a0c0e1d-2b3a-4958-8776-655443322110"},
			}.WithOwners([]flink.Owner{c.owner}, !c.incomplete)
			w.ModeFromSpec = true
			e := verdict.Decide(w, k).Explain(verdict.RegisterHint{})
			for name, id := range ids {
				for i := range c.want {
					c.want[i] = strings.ReplaceAll(c.want[i], "ID("+name+")", id)
				}
			}
			if diff := cmp.Diff(c.want, explained(e)); diff != "" {
				t.Errorf("labels, -want +got:\n%s", diff)
			}
			if owner := map[bool]string{true: "Deployment nuts (not found, or not readable)", false: "Deployment nuts"}[c.owner.Unresolved]; e.Name != "nuts-*" || !slices.Equal(e.Owners, []string{owner}) {
				t.Errorf("name %s, owners %q", e.Name, e.Owners)
			}
		})
	}
}

// TestExplainAddedLabels checks on random workloads that an explanation has the labels that the
// verdict adds and keeps.
func TestExplainAddedLabels(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	pick := func(list ...string) string { return list[rng.IntN(len(list))] }
	random := func() map[string]string {
		labels := map[string]string{}
		for range rng.IntN(5) {
			labels[pick("app", "system", "vvpNamespace", "deploymentId", "deploymentName", "sessionClusterId", "component", "type")] = pick("", "a", "team-a", "flink-job", "ververica-platform", "jobmanager", "not valid")
		}
		return labels
	}
	k, _ := newState(t, "team-a/x D:team-a/a@x live:uid-1")
	compared := 0
	for range 5_000 {
		o := &flink.Object{
			Kind: pick("Pod", "Deployment", "Job"), Namespace: "flink", Name: pick("a", "b-jobmanager"), UID: pick("", "uid-1", "not valid"), Labels: random(),
			Pod: flink.Pod{Containers: []flink.Container{{Name: "jobmanager", Image: "flink:2", Args: strings.Fields(pick("jobmanager", "taskmanager", "standalone-job --job-id x/y"))}}},
		}
		if o.Pod.Labels = random(); o.Kind == "Pod" {
			o.Pod.Labels = o.Labels
		}
		v := verdict.Decide(flink.Recognize(o), k)
		if !v.Allowed || v.Reason != verdict.HasTarget {
			continue
		}
		compared++
		var adds, keeps []string
		for _, l := range v.Explain(verdict.RegisterHint{}).Labels {
			switch l.Action {
			case verdict.ActionAdd:
				adds = append(adds, l.Key+"="+l.Value)
			case verdict.ActionKeep:
				keeps = append(keeps, l.Key+"="+*l.Has)
			}
		}
		if diff := cmp.Diff(texts(v.Add), adds); diff != "" {
			t.Fatalf("%+v: added labels, -verdict +explanation:\n%s", o, diff)
		}
		for _, kept := range texts(v.Kept) {
			if !slices.Contains(keeps, kept) {
				t.Fatalf("%+v: keeps %s, explained as %q", o, kept, keeps)
			}
		}
	}
	if compared < 1000 {
		t.Errorf("%d verdicts compared", compared)
	}
}

func texts(labels []verdict.Label) (all []string) {
	for _, l := range labels {
		all = append(all, l.Key+"="+l.Value)
	}
	return all
}
