package verdict_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/memstore"
	"drey.dev/drey/webhook/flink"
	"drey.dev/drey/webhook/verdict"
)

// fakeState is a registry in memory, and the UIDs of the workloads in a cluster.
type fakeState struct {
	*registry.Index
	uids      map[string]bool
	hadTarget bool
}

func (s fakeState) HadTarget(string) bool { return s.hadTarget }

func (s fakeState) HasUID(id string) bool { return s.uids[id] }

func (s fakeState) Cluster(string, string) (flink.Cluster, bool) { return flink.Cluster{}, false }

// newState parses a line of words. team-a/x is a target of the platform namespace team-a for
// the Kubernetes namespace flink, team-a/x@other one for other; D:team-a/nuts@x is a
// Deployment that refers to that target, S: a SessionCluster; live:uid is a workload in the
// cluster; had: records a target that was deleted. ids has the id of each registered object
// by platform namespace and name.
func newState(t testing.TB, line string) (s fakeState, ids map[string]string) {
	t.Helper()
	store := memstore.New()
	rules, err := registry.New(t.Context(), store, registry.Options{Namespaces: []string{"team-a", "team-b", "a", "b", "c"}})
	if err != nil {
		t.Fatal(err)
	}
	s, ids = fakeState{Index: registry.NewIndex("drey-system"), uids: map[string]bool{}}, map[string]string{}
	for word := range strings.FieldsSeq(line) {
		kind, rest, isKind := strings.Cut(word, ":")
		if !isKind {
			kind, rest = "T", word
		}
		platform, name, _ := strings.Cut(rest, "/")
		name, at, _ := strings.Cut(name, "@")
		o := registry.Object{Metadata: registry.Metadata{Namespace: platform, Name: name}}
		switch kind {
		case "live":
			s.uids[rest] = true
			continue
		case "had":
			s.hadTarget = true
			continue
		case "T":
			o.Kind, o.Spec = registry.DeploymentTarget, fmt.Appendf(nil, `{"kubernetes":{"namespace":%q}}`, cmp.Or(at, "flink"))
		case "D":
			o.Kind, o.Spec = registry.Deployment, fmt.Appendf(nil, `{"deploymentTargetName":%q}`, at)
		case "S":
			o.Kind, o.Spec = registry.SessionCluster, fmt.Appendf(nil, `{"deploymentTargetName":%q}`, at)
		}
		made, err := rules.Create(t.Context(), o, nil)
		if err != nil {
			t.Fatal(err)
		}
		ids[platform+"/"+name] = made.Metadata.ID
	}
	if err := s.Follow(t.Context(), store); err != nil {
		t.Fatal(err)
	}
	return s, ids
}

func TestDecide(t *testing.T) {
	jobManager := flink.Workload{Strength: flink.Strong, Mode: flink.Application, Role: flink.JobManager, Identity: flink.Identity{ID: "id-1", Name: "My Job", JobID: "job-1"}}
	session := flink.Workload{Strength: flink.Medium, Mode: flink.Session, Role: flink.JobManager, Identity: flink.Identity{ID: "id-1", Name: "my-session", JobID: "job-1"}}
	unknown := flink.Workload{Strength: flink.Strong, Role: flink.TaskManager, Identity: flink.Identity{ID: "id-1", Name: "my-session"}}
	recovering := unknown
	recovering.MadeByJobManager = true

	for rule, c := range map[string]struct {
		workload flink.Workload
		labels   map[string]string
		targets  string
		want     string
	}{
		"not Flink":                                          {flink.Workload{}, nil, "", "allow NotFlink"},
		"not Flink, with a target":                           {flink.Workload{}, nil, "default/a", "allow NotFlink"},
		"weak signal":                                        {flink.Workload{Strength: flink.Weak}, nil, "", "allow InsufficientSignal"},
		"no target":                                          {jobManager, nil, "", "deny NoDeploymentTarget"},
		"application":                                        {jobManager, nil, "default/a", "allow HasTarget app=flink-job drey.dev/app=flink-job system=ververica-platform vvpNamespace=default deploymentId=id-1 deploymentName=my-job jobId=job-1"},
		"session cluster has no job id":                      {session, nil, "default/a", "allow HasTarget app=flink-session-cluster drey.dev/app=flink-session-cluster system=ververica-platform vvpNamespace=default sessionClusterId=id-1 sessionClusterName=my-session"},
		"unknown mode gets shared labels":                    {unknown, nil, "default/a", "allow HasTarget system=ververica-platform vvpNamespace=default"},
		"existing labels are kept":                           {jobManager, map[string]string{"app": "mine", "jobId": "other"}, "default/a", "allow HasTarget drey.dev/app=flink-job system=ververica-platform vvpNamespace=default deploymentId=id-1 deploymentName=my-job kept:app=mine kept:jobId=other"},
		"empty label is kept":                                {jobManager, map[string]string{"app": ""}, "default/a", "allow HasTarget drey.dev/app=flink-job system=ververica-platform vvpNamespace=default deploymentId=id-1 deploymentName=my-job jobId=job-1 kept:app="},
		"labels with desired values":                         {jobManager, map[string]string{"app": "flink-job", "system": "ververica-platform"}, "default/a", "allow HasTarget drey.dev/app=flink-job vvpNamespace=default deploymentId=id-1 deploymentName=my-job jobId=job-1"},
		"two platform namespaces":                            {jobManager, nil, "a/x b/y", "deny AmbiguousTarget"},
		"two platform namespaces, pod label selects one":     {unknown, map[string]string{"vvpNamespace": "b"}, "a/x b/y", "allow HasTarget system=ververica-platform"},
		"two platform namespaces, pod label selects a third": {jobManager, map[string]string{"vvpNamespace": "c"}, "a/x b/y", "deny LabelConflict"},
		"two targets of one platform namespace":              {unknown, nil, "a/x a/y", "allow HasTarget system=ververica-platform vvpNamespace=a"},
		"TaskManager of a running job, no target":            {recovering, nil, "", "allow RunningJob system=ververica-platform"},
		"TaskManager of a running job, ambiguous target":     {recovering, nil, "a/x b/y", "allow RunningJob system=ververica-platform"},
		"TaskManager of a running job, with a target":        {recovering, nil, "a/x", "allow HasTarget system=ververica-platform vvpNamespace=a"},
		"id that is not a label value is left out":           {flink.Workload{Strength: flink.Strong, Mode: flink.Application, Identity: flink.Identity{ID: "no id", Name: "a", JobID: "not hex!"}}, nil, "a/x", "allow HasTarget app=flink-job drey.dev/app=flink-job system=ververica-platform vvpNamespace=a deploymentName=a"},
		"workload without identity gets shared labels":       {flink.Workload{Strength: flink.Strong, Mode: flink.Application}, nil, "a/x", "allow HasTarget app=flink-job drey.dev/app=flink-job system=ververica-platform vvpNamespace=a"},
	} {
		t.Run(rule, func(t *testing.T) {
			c.workload.Object = &flink.Object{Kind: "Pod", Namespace: "flink", Name: "p", Labels: c.labels, Pod: flink.Pod{Labels: c.labels}}
			if got := summary(decide(t, c.workload, c.targets)); got != c.want {
				t.Errorf("\ngot  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestDecideForeignID(t *testing.T) {
	k, ids := newState(t, "team-a/x team-b/far@elsewhere D:team-a/nuts@x D:team-b/acorn@far live:uid-9")
	for rule, c := range map[string]struct{ id, want string }{
		"registered here: a link":                      {ids["team-a/nuts"], "allow HasTarget app=flink-job drey.dev/app=flink-job system=ververica-platform vvpNamespace=team-a deploymentName=nuts"},
		"registered for another namespace: conflict":   {ids["team-b/acorn"], "deny LabelConflict"},
		"UID of another workload: conflict":            {"uid-9", "deny LabelConflict"},
		"own UID":                                      {"uid-1", "allow HasTarget app=flink-job drey.dev/app=flink-job system=ververica-platform vvpNamespace=team-a deploymentName=a"},
		"unknown id is kept":                           {"uid-8", "allow HasTarget app=flink-job drey.dev/app=flink-job system=ververica-platform vvpNamespace=team-a deploymentName=a kept:deploymentId=uid-8"},
		"unknown id that is not a label value is kept": {"no id", "allow HasTarget app=flink-job drey.dev/app=flink-job system=ververica-platform vvpNamespace=team-a deploymentName=a kept:deploymentId=no id"},
	} {
		t.Run(rule, func(t *testing.T) {
			labels := map[string]string{"deploymentId": c.id}
			o := &flink.Object{Kind: "Pod", Namespace: "flink", Name: "p", Labels: labels, Pod: flink.Pod{Labels: labels}}
			w := flink.Workload{Object: o, Strength: flink.Strong, Mode: flink.Application, Root: flink.Root{UID: "uid-1"}, Identity: flink.Identity{ID: "uid-1", Name: "a"}}
			if got := summary(verdict.Decide(w, k)); got != c.want {
				t.Errorf("\ngot  %s\nwant %s", got, c.want)
			}
		})
	}
}

func decide(t testing.TB, w flink.Workload, line string) verdict.Verdict {
	t.Helper()
	k, _ := newState(t, line)
	return verdict.Decide(w, k)
}

func summary(v verdict.Verdict) string {
	words := []string{"deny", string(v.Reason)}
	if v.Allowed {
		words[0] = "allow"
	}
	for _, l := range v.Add {
		words = append(words, l.Key+"="+l.Value)
	}
	for _, l := range v.Kept {
		words = append(words, "kept:"+l.Key+"="+l.Value)
	}
	return strings.Join(words, " ")
}

// TestDecideState decides on workloads with owners, registered objects and other workloads in
// the cluster. ID(name) stands for the id of a registered object.
func TestDecideState(t *testing.T) {
	plain := flink.Owner{APIVersion: "apps/v1", Kind: "Deployment", Name: "nuts", UID: "uid-nuts"}
	admitted, custom := plain, flink.Owner{APIVersion: "flink.apache.org/v1beta1", Kind: "FlinkDeployment", Name: "nuts", UID: "uid-custom", Mode: flink.Application, JobID: "7a0c0e1d2b3a49588776655443322110"}
	admitted.Labels = map[string]string{"system": "ververica-platform", "vvpNamespace": "a", "deploymentId": "uid-before", "deploymentName": "before"}
	unverified := plain
	unverified.Unresolved = true
	gone, other, foreign := admitted, admitted, admitted
	noCustom := custom
	noCustom.Unresolved = true
	gone.Unresolved, other.TemplateNotFlink, foreign.APIVersion = true, true, "x.example/v1"
	linked := custom
	linked.Annotations = map[string]string{"drey.dev/deployment": "payments"}
	const app, all = "app=flink-job drey.dev/app=flink-job system=ververica-platform vvpNamespace=a", "app=flink-job drey.dev/app=flink-job system=ververica-platform vvpNamespace=a deploymentId="
	for rule, c := range map[string]struct {
		state      string
		owners     []flink.Owner
		incomplete bool
		labels     string
		want       string
	}{
		"uid and name of the root": {"a/x", []flink.Owner{plain}, false, "", "allow HasTarget " + all + "uid-nuts deploymentName=nuts"},
		"custom resource is the root and has the job id": {"a/x", []flink.Owner{plain, custom}, false, "",
			"allow HasTarget " + all + "uid-custom deploymentName=nuts jobId=7a0c0e1d-2b3a-4958-8776-655443322110"},
		"failed lookup leaves the identity out": {"a/x", []flink.Owner{plain}, true, "", "allow HasTarget " + app},
		"failed lookup uses the admitted owner": {"a/x", []flink.Owner{admitted}, true, "", "allow HasTarget " + all + "uid-before deploymentName=before"},

		"registered id":                                                      {"a/x D:a/nuts@x", []flink.Owner{plain}, false, "", "allow HasTarget " + all + "ID(a/nuts) deploymentName=nuts"},
		"registered for another namespace":                                   {"a/x a/y@other D:a/nuts@y", []flink.Owner{plain}, false, "", "allow HasTarget " + all + "uid-nuts deploymentName=nuts"},
		"registered session cluster of that name":                            {"a/x S:a/nuts@x", []flink.Owner{plain}, false, "", "allow HasTarget " + all + "uid-nuts deploymentName=nuts"},
		"link on an owner":                                                   {"a/x D:a/payments@x", []flink.Owner{plain, linked}, false, "", "allow HasTarget " + all + "ID(a/payments) deploymentName=payments jobId=7a0c0e1d-2b3a-4958-8776-655443322110"},
		"broken link":                                                        {"a/x D:a/nuts@x", []flink.Owner{plain, linked}, false, "", "allow HasTarget " + all + "uid-custom deploymentName=nuts jobId=7a0c0e1d-2b3a-4958-8776-655443322110 warning"},
		"id label that is registered here is a link":                         {"a/x D:a/payments@x", []flink.Owner{plain}, false, "deploymentId=ID(a/payments)", "allow HasTarget " + app + " deploymentName=payments"},
		"registration selects the platform namespace":                        {"a/x b/y D:a/nuts@x", []flink.Owner{plain}, false, "", "allow HasTarget " + all + "ID(a/nuts) deploymentName=nuts"},
		"registered in both platform namespaces":                             {"a/x b/y D:a/nuts@x D:b/nuts@y", []flink.Owner{plain}, false, "", "deny AmbiguousTarget"},
		"id registered for another namespace: conflict":                      {"a/x a/y@other D:a/payments@y", []flink.Owner{plain}, false, "deploymentId=ID(a/payments)", "deny LabelConflict"},
		"id of a registered session cluster: conflict":                       {"a/x S:a/payments@x", []flink.Owner{plain}, false, "deploymentId=ID(a/payments)", "deny LabelConflict"},
		"UID of another workload: conflict":                                  {"a/x live:uid-other", []flink.Owner{plain}, false, "deploymentId=uid-other", "deny LabelConflict"},
		"UID of another workload in the label of the other mode: conflict":   {"a/x live:uid-other", []flink.Owner{plain}, false, "sessionClusterId=uid-other", "deny LabelConflict"},
		"UID of an owner is kept":                                            {"a/x live:uid-nuts", []flink.Owner{plain, custom}, false, "deploymentId=uid-nuts", "allow HasTarget " + app + " deploymentName=nuts jobId=7a0c0e1d-2b3a-4958-8776-655443322110 kept:deploymentId=uid-nuts"},
		"UID of an unresolved owner is used":                                 {"a/x", []flink.Owner{unverified}, false, "", "allow HasTarget " + all + "uid-nuts deploymentName=nuts"},
		"UID of an unresolved owner that a workload has is left out":         {"a/x live:uid-nuts", []flink.Owner{unverified}, false, "", "allow HasTarget " + app + " deploymentName=nuts"},
		"UID of an unresolved owner in a label: conflict":                    {"a/x live:uid-nuts", []flink.Owner{unverified}, false, "deploymentId=uid-nuts", "deny LabelConflict"},
		"UID of an unresolved owner in a label, incomplete owners: conflict": {"a/x live:uid-nuts", []flink.Owner{unverified}, true, "deploymentId=uid-nuts", "deny LabelConflict"},
		"unknown id is kept":                                                 {"a/x", []flink.Owner{plain}, false, "deploymentId=restored", "allow HasTarget " + app + " deploymentName=nuts kept:deploymentId=restored"},
		"name of another object is kept":                                     {"a/x D:a/payments@x", []flink.Owner{plain}, false, "deploymentName=payments", "allow HasTarget " + all + "uid-nuts kept:deploymentName=payments"},
		"platform namespace without a target here: conflict":                 {"a/x", []flink.Owner{plain}, false, "vvpNamespace=b", "deny LabelConflict"},
		"platform namespace without a target here, admitted owner: conflict": {"a/x", []flink.Owner{admitted}, false, "vvpNamespace=b", "deny LabelConflict"},
		"admitted owner selects the platform namespace":                      {"a/x b/y", []flink.Owner{admitted}, false, "", "allow HasTarget " + all + "uid-nuts deploymentName=nuts"},

		"template with another platform namespace: conflict": {"a/x", []flink.Owner{plain}, false, "vvpNamespace=a own:vvpNamespace=b", "deny LabelConflict"},

		"no target, admitted owner":                                       {"had:", []flink.Owner{admitted}, false, "", "allow RunningJob " + all + "uid-before deploymentName=before"},
		"target of another platform namespace, admitted owner":            {"b/y", []flink.Owner{admitted}, false, "", "allow RunningJob " + all + "uid-before deploymentName=before"},
		"no target, admitted owner, template with its platform namespace": {"b/y", []flink.Owner{admitted}, false, "vvpNamespace=a", "allow RunningJob app=flink-job drey.dev/app=flink-job system=ververica-platform deploymentId=uid-before deploymentName=before"},
		"no target, unlabeled owner":                                      {"", []flink.Owner{plain}, false, "", "deny NoDeploymentTarget"},
		"no target on record":                                             {"", []flink.Owner{admitted}, false, "", "deny NoDeploymentTarget"},
		"no target, unresolved owner":                                     {"had:", []flink.Owner{gone}, false, "", "deny NoDeploymentTarget"},
		"no target, unresolved custom resource":                           {"had:", []flink.Owner{admitted, noCustom}, false, "", "deny NoDeploymentTarget"},
		"no target, owner whose template is not Flink":                    {"had:", []flink.Owner{other}, false, "", "deny NoDeploymentTarget"},
		"no target, owner of another kind":                                {"had:", []flink.Owner{foreign}, false, "", "deny NoDeploymentTarget"},
		"no target, running job with a foreign id":                        {"had: live:uid-other", []flink.Owner{admitted}, false, "deploymentId=uid-other", "allow RunningJob " + app + " deploymentName=before kept:deploymentId=uid-other"},
		"no target, failed lookup":                                        {"", nil, true, "", "deny NoDeploymentTarget"},
	} {
		t.Run(rule, func(t *testing.T) {
			k, ids := newState(t, c.state)
			fill := func(text string) string {
				for name, id := range ids {
					text = strings.ReplaceAll(text, "ID("+name+")", id)
				}
				return text
			}
			labels, own := map[string]string{}, map[string]string{}
			for pair := range strings.FieldsSeq(fill(c.labels)) {
				key, value, _ := strings.Cut(pair, "=")
				if key, isOwn := strings.CutPrefix(key, "own:"); isOwn {
					own[key] = value
					continue
				}
				labels[key] = value
			}
			kind := "Pod"
			if len(own) > 0 {
				kind = "StatefulSet"
			} else {
				own = labels
			}
			w := flink.Workload{
				Object:   &flink.Object{Kind: kind, Namespace: "flink", Name: "p", Labels: own, Pod: flink.Pod{Labels: labels}},
				Strength: flink.Strong, Signals: flink.MainContainer, Mode: flink.Application, Flavor: flink.Docs, Root: flink.Root{Kind: "Deployment", Name: "nuts"}, Identity: flink.Identity{Name: "nuts"},
			}.WithOwners(c.owners, !c.incomplete)
			v := verdict.Decide(w, k)
			got := summary(v)
			if v.Warning() != "" {
				got += " warning"
			}
			if want := fill(c.want); got != want {
				t.Errorf("\ngot  %s\nwant %s", got, want)
			}
		})
	}
}

func TestDecideUpdate(t *testing.T) {
	const ours = "app=flink-job system=ververica-platform vvpNamespace=a deploymentId=1 deploymentName=n jobId=j"
	for rule, c := range map[string]struct{ before, after, want string }{
		"no change":                   {ours, ours, "allow NotApplicable"},
		"another label":               {ours + " x=1", ours + " x=2 y=3", "allow NotApplicable"},
		"missing labels may be added": {"system=ververica-platform", ours, "allow NotApplicable"},
		"pod without drey's labels":   {"deploymentId=1 app=flink-job", "deploymentId=2", "allow NotApplicable"},
		"id changed":                  {ours, strings.Replace(ours, "Id=1", "Id=2", 1), "deny LabelImmutable"},
		"job id removed":              {ours, strings.Replace(ours, " jobId=j", "", 1), "deny LabelImmutable"},
		"system removed":              {ours, strings.Replace(ours, "system=ververica-platform", "", 1), "deny LabelImmutable"},
		"all labels removed":          {ours, "", "deny LabelImmutable"},
		"drey's app changed":          {ours, strings.Replace(ours, "app=flink-job", "app=x", 1), "deny LabelImmutable"},
		"other app changed":           {"system=ververica-platform app=x", "system=ververica-platform app=y", "allow NotApplicable"},
		"empty label removed":         {"system=ververica-platform jobId=", "system=ververica-platform", "deny LabelImmutable"},
		"label emptied":               {ours, strings.Replace(ours, "jobId=j", "jobId=", 1), "deny LabelImmutable"},
	} {
		t.Run(rule, func(t *testing.T) {
			k, _ := newState(t, "a/x")
			v := verdict.DecideUpdate(flink.Workload{Object: &flink.Object{Kind: "Pod", Namespace: "flink", Name: "p", Labels: parseLabels(c.after)}}, parseLabels(c.before), k)
			if got := summary(v); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			if message := v.Message(verdict.RegisterHint{}); v.Allowed != (message == "") || !v.Allowed && !strings.Contains(message, "kubectl delete pod p -n flink") {
				t.Errorf("message %q", message)
			}
		})
	}
}

// TestDecideUnrecognized sets identity labels on an object that is not recognized as Flink.
func TestDecideUnrecognized(t *testing.T) {
	for rule, c := range map[string]struct{ state, before, labels, want string }{
		"platform namespace with a target":           {"a/x", "", "system=ververica-platform vvpNamespace=a", "allow"},
		"platform namespace without a target":        {"a/x", "", "system=ververica-platform vvpNamespace=b", "deny LabelConflict"},
		"platform namespace whose target is deleted": {"had:", "", "system=ververica-platform vvpNamespace=a", "deny LabelConflict"},
		"another system":                             {"", "", "system=mine vvpNamespace=b", "allow"},
		"system alone":                               {"", "", "system=ververica-platform", "allow"},
		"unchanged labels":                           {"", "system=ververica-platform vvpNamespace=b", "system=ververica-platform vvpNamespace=b x=y", "allow"},
		"UID of a workload":                          {"a/x live:uid-other", "", "system=ververica-platform vvpNamespace=a deploymentId=uid-other", "deny LabelConflict"},
		"id registered here":                         {"a/x D:a/nuts@x", "", "system=ververica-platform vvpNamespace=a deploymentId=ID(a/nuts)", "allow"},
		"id registered for another namespace":        {"a/x a/y@other D:a/nuts@y", "", "system=ververica-platform vvpNamespace=a deploymentId=ID(a/nuts)", "deny LabelConflict"},
		"id of a Deployment as sessionClusterId":     {"a/x D:a/nuts@x", "", "system=ververica-platform vvpNamespace=a sessionClusterId=ID(a/nuts)", "deny LabelConflict"},
		"unknown id":                                 {"a/x", "", "system=ververica-platform vvpNamespace=a deploymentId=restored", "allow"},
		"system added to a foreign id":               {"live:uid-other", "deploymentId=uid-other", "system=ververica-platform deploymentId=uid-other", "deny LabelConflict"},
		"foreign id without system":                  {"live:uid-other", "", "deploymentId=uid-other", "allow"},
	} {
		t.Run(rule, func(t *testing.T) {
			k, ids := newState(t, c.state)
			for name, id := range ids {
				c.labels = strings.ReplaceAll(c.labels, "ID("+name+")", id)
			}
			for _, strength := range []flink.Strength{flink.None, flink.Weak} {
				w := flink.Workload{Object: &flink.Object{Kind: "Deployment", Namespace: "flink", Name: "p", Labels: parseLabels(c.labels)}, Strength: strength}
				all := []verdict.Verdict{verdict.DecideUpdate(w, parseLabels(c.before), k)}
				if c.before == "" {
					all = append(all, verdict.Decide(w, k))
				}
				for _, v := range all {
					if got := summary(v); !strings.HasPrefix(got, c.want) {
						t.Errorf("%v: got %s, want %s", strength, got, c.want)
					}
					if message := v.Message(verdict.RegisterHint{}); v.Allowed != (message == "") || !v.Allowed && !strings.Contains(message, "kubectl label --local -f FILE ") {
						t.Errorf("message %q", message)
					}
				}
			}
		})
	}
}

// TestDecideUpdateIdentity adds labels to an existing object. ID(name) stands for the id of a
// registered object.
func TestDecideUpdateIdentity(t *testing.T) {
	for _, kind := range []string{"Pod", "Deployment"} {
		t.Run(kind, func(t *testing.T) { testUpdateIdentity(t, kind) })
	}
}

func testUpdateIdentity(t *testing.T, kind string) {
	t.Helper()
	owner := flink.Owner{APIVersion: "apps/v1", Kind: "Deployment", Name: "nuts", UID: "uid-nuts"}
	for rule, c := range map[string]struct{ state, before, comes, want string }{
		"UID of its owner":        {"a/x live:uid-nuts", "system=ververica-platform vvpNamespace=a", "deploymentId=uid-nuts", "allow NotApplicable"},
		"id of its registration":  {"a/x D:a/nuts@x", "system=ververica-platform vvpNamespace=a", "deploymentId=ID(a/nuts)", "allow NotApplicable"},
		"unknown id":              {"a/x", "system=ververica-platform", "deploymentId=restored", "allow NotApplicable"},
		"job id":                  {"a/x", "system=ververica-platform", "jobId=j", "allow NotApplicable"},
		"UID of another workload": {"a/x live:uid-other", "system=ververica-platform vvpNamespace=a", "deploymentId=uid-other", "deny LabelConflict"},
		"UID of another workload in the label of the other mode": {"a/x live:uid-other", "system=ververica-platform vvpNamespace=a", "sessionClusterId=uid-other", "deny LabelConflict"},
		"id registered for another namespace":                    {"a/x a/y@other D:a/payments@y", "system=ververica-platform", "deploymentId=ID(a/payments)", "deny LabelConflict"},
		"UID of another workload, unlabeled object":              {"a/x live:uid-other", "", "deploymentId=uid-other", "deny LabelConflict"},
		"UID of another workload, no target":                     {"live:uid-other", "system=ververica-platform vvpNamespace=a", "deploymentId=uid-other", "deny LabelConflict"},
		"platform namespace without a target":                    {"a/x", "system=ververica-platform", "vvpNamespace=b", "deny LabelConflict"},
		"platform namespace with a target":                       {"a/x", "", "vvpNamespace=a", "allow NotApplicable"},
		"platform namespace beside a foreign id":                 {"a/x live:uid-other", "deploymentId=uid-other", "vvpNamespace=a", "allow NotApplicable"},
		"platform namespace, no target at all":                   {"", "", "vvpNamespace=a", "deny LabelConflict"},
		"id changed to the UID of another workload":              {"a/x live:uid-other", "deploymentId=mine", "deploymentId=uid-other", "deny LabelConflict"},
		"system added to a foreign id":                           {"a/x live:uid-other", "system=x deploymentId=uid-other", "system=ververica-platform deploymentId=uid-other", "deny LabelConflict"},
	} {
		t.Run(rule, func(t *testing.T) {
			k, ids := newState(t, c.state)
			for name, id := range ids {
				c.comes = strings.ReplaceAll(c.comes, "ID("+name+")", id)
			}
			labels := parseLabels(c.before + " " + c.comes)
			w := flink.Workload{
				Object:   &flink.Object{Kind: kind, Namespace: "flink", Name: "p", Labels: labels, Pod: flink.Pod{Labels: labels}},
				Strength: flink.Strong, Signals: flink.MainContainer, Mode: flink.Application, Flavor: flink.Docs,
			}.WithOwners([]flink.Owner{owner}, true)
			v := verdict.DecideUpdate(w, parseLabels(c.before), k)
			if got := summary(v); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			if message := v.Message(verdict.RegisterHint{}); v.Allowed != (message == "") || !v.Allowed && !strings.Contains(message, "Leave the label out") {
				t.Errorf("message %q", message)
			}
		})
	}
}

func TestRemovedLabels(t *testing.T) {
	const ours = "app=flink-job system=ververica-platform vvpNamespace=a deploymentId=1"
	for rule, c := range map[string]struct{ before, after, want string }{
		"none removed":                  {ours, ours + " x=1", ""},
		"all removed":                   {ours, "", "system=ververica-platform vvpNamespace=a deploymentId=1 app=flink-job"},
		"other values are not removals": {ours, "system=x deploymentId=2 app=y", "vvpNamespace=a"},
		"other labels":                  {ours + " x=1", ours, ""},
		"other app":                     {"system=ververica-platform app=x", "system=ververica-platform", ""},
		"object without drey's labels":  {"deploymentId=1 app=flink-job", "", ""},
	} {
		t.Run(rule, func(t *testing.T) {
			var got []string
			for _, l := range verdict.RemovedLabels(parseLabels(c.before), parseLabels(c.after)) {
				got = append(got, l.Key+"="+l.Value)
			}
			if got := strings.Join(got, " "); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// parseLabels parses "a=b c=d".
func parseLabels(text string) map[string]string {
	labels := map[string]string{}
	for pair := range strings.FieldsSeq(text) {
		key, value, _ := strings.Cut(pair, "=")
		labels[key] = value
	}
	return labels
}

// TestDecideInvariants decides on random workloads: drey adds only absent and valid labels, a
// second decision adds none, and every denial has the namespace and a command that is safe in a
// shell.
func TestDecideInvariants(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	pick := func(list ...string) string { return list[rng.IntN(len(list))] }
	keys := []string{"app", "system", "vvpNamespace", "deploymentId", "deploymentName", "jobId", "sessionClusterId", "sessionClusterName", "component", "type"}
	var states []fakeState
	for _, line := range []string{"", "team-a/x", "team-a/x team-b/y D:team-a/a@x", "default/z D:default/b@z S:default/a@z live:uid-1 live:a"} {
		k, _ := newState(t, line)
		states = append(states, k)
	}
	for range 50_000 {
		labels := map[string]string{}
		for range rng.IntN(5) {
			labels[pick(keys...)] = pick("", "a", "team-a", "flink-job", "flink-session-cluster", "ververica-platform", "jobmanager", "taskmanager", "flink-native-kubernetes", "$(reboot)")
		}
		o := &flink.Object{
			Kind: pick("Pod", "Deployment", "Job", "CronJob"), Namespace: "flink", Name: pick("", "a", "b-jobmanager"), UID: pick("", "uid-1", "not valid"),
			Labels: labels, Pod: flink.Pod{Labels: labels, Containers: []flink.Container{{
				Name: pick("main", "jobmanager", "flink-main-container"), Image: pick("flink:2", "nginx"),
				Args: strings.Fields(pick("", "jobmanager", "taskmanager", "standalone-job --job-id x/y", "kubernetes-taskmanager.sh", "kubernetes-jobmanager.sh -Dkubernetes.cluster-id=Ö")),
			}}},
		}
		if rng.IntN(2) == 0 {
			o.OwnerReferences = []flink.OwnerReference{{APIVersion: pick("apps/v1", "flink.apache.org/v1beta1"), Kind: pick("ReplicaSet", "Deployment", "FlinkDeployment", "Job"), Name: pick("a-1", "", "$(reboot)"), UID: pick("", "u", "not valid"), Controller: rng.IntN(2) == 0}}
		}
		list := states[rng.IntN(len(states))]
		v := verdict.Decide(flink.Recognize(o), list)
		for _, l := range v.Add {
			if _, there := labels[l.Key]; there {
				t.Fatalf("%v: adds %s, which is there", o, l.Key)
			}
			if l.Value == "" || len(validation.IsValidLabelValue(l.Value)) > 0 {
				t.Fatalf("%v: adds %s with the value %q", o, l.Key, l.Value)
			}
			labels[l.Key] = l.Value
		}
		if again := verdict.Decide(flink.Recognize(o), list); again.Allowed != v.Allowed || again.Reason != v.Reason || len(again.Add) > 0 {
			t.Fatalf("%v: first %s, then %s", o, summary(v), summary(again))
		}
		message := v.Message(verdict.RegisterHint{URL: "http://127.0.0.1:8080"})
		switch {
		case v.Allowed && message != "", !v.Allowed && len(v.Add) > 0:
			t.Fatalf("%v: %s says %q", o, summary(v), message)
		case !v.Allowed && (!strings.Contains(message, `namespace "flink"`) || !strings.Contains(message, "curl ") && !strings.Contains(message, "kubectl ") && !strings.Contains(message, "-Dkubernetes.")):
			t.Fatalf("%v: the denial does not name the namespace, or no command: %s", o, message)
		case strings.Contains(commands(message), "reboot"):
			t.Fatalf("%v: the command would run what the object says: %s", o, message)
		}
	}
}

// commands returns the commands of a message. A command ends before " ; " or " . ".
func commands(message string) string {
	var all []string
	for _, begin := range []string{"curl ", "kubectl ", "-Dkubernetes."} {
		for rest := message; ; {
			_, after, ok := strings.Cut(rest, begin)
			if !ok {
				break
			}
			command, _, _ := strings.Cut(after, " . ")
			command, _, _ = strings.Cut(command, " ; ")
			all = append(all, command)
			rest = after
		}
	}
	return strings.Join(all, "\n")
}

// BenchmarkDecide measures the decision, without recognition, on a pod with owners among few
// and many targets.
func BenchmarkDecide(b *testing.B) {
	o := &flink.Object{Kind: "Pod", Namespace: "flink", GenerateName: "my-job-6d4b9c-", Labels: map[string]string{"app": "my-job", "component": "jobmanager", "type": "flink-native-kubernetes"},
		OwnerReferences: []flink.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "my-job-6d4b9c", Controller: true}}}
	o.Pod = flink.Pod{Labels: o.Labels, Containers: []flink.Container{{Name: "flink-main-container", Image: "flink:2.2", Args: []string{"bash", "-c", "kubernetes-jobmanager.sh kubernetes-application"}}}}
	w := flink.Recognize(o).WithOwners([]flink.Owner{
		{APIVersion: "apps/v1", Kind: "Deployment", Name: "my-job", UID: "0b0b0b0b-0000-4000-8000-000000000002"},
		{APIVersion: "flink.apache.org/v1beta1", Kind: "FlinkDeployment", Name: "my-job", UID: "0b0b0b0b-0000-4000-8000-000000000001", Mode: flink.Application, JobID: "7a0c0e1d2b3a49588776655443322110"},
	}, true)
	for _, targets := range []int{10, 100_000} {
		b.Run(fmt.Sprintf("%d targets", targets), func(b *testing.B) {
			store := memstore.New()
			for i := range targets {
				if _, err := store.Create(b.Context(), registry.Object{Kind: registry.DeploymentTarget,
					Metadata: registry.Metadata{Namespace: fmt.Sprint("team-", i%1000), Name: fmt.Sprint("t", i), ID: fmt.Sprint(i)},
					Spec:     fmt.Appendf(nil, `{"kubernetes":{"namespace":%q}}`, map[bool]string{true: "flink", false: fmt.Sprint("flink-", i)}[i == 0])}); err != nil {
					b.Fatal(err)
				}
			}
			k := fakeState{Index: registry.NewIndex("drey-system")}
			if err := k.Follow(b.Context(), store); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if v := verdict.Decide(w, k); !v.Allowed || len(v.Add) != 6 {
					b.Fatal(summary(v))
				}
			}
		})
	}
}

// TestRegisterHintToken checks that the command for the REST API passes a token if it needs one.
func TestRegisterHintToken(t *testing.T) {
	w := flink.Recognize(&flink.Object{Kind: "Deployment", Namespace: "sandbox", Name: "x", Pod: flink.Pod{Labels: map[string]string{"type": "flink-native-kubernetes", "component": "jobmanager"}}})
	message := decide(t, w, "").Message(verdict.RegisterHint{URL: "https://drey.example", NeedsToken: true})
	if want := `curl -X POST https://drey.example/api/v1/namespaces/default/deployment-targets -H "Authorization: Bearer $DREY_TOKEN" -H`; !strings.Contains(message, want) {
		t.Errorf("no %s in %s", want, message)
	}
	message = decide(t, w, "").Message(verdict.RegisterHint{URL: "https://drey.example", NeedsToken: true, InCluster: true})
	if want := `Register it: echo '{"apiVersion":"drey.dev/v1","kind":"DeploymentTarget","metadata":{"name":"sandbox","namespace":"default"},"spec":{"kubernetes":{"namespace":"sandbox"}}}' | kubectl apply -f - ;`; !strings.Contains(message, want) {
		t.Errorf("no %s in %s", want, message)
	}
}

// TestRegisterHintCommandLine: a user of drey's command line gets its command, and the contact
// stands beside it.
func TestRegisterHintCommandLine(t *testing.T) {
	for rule, c := range map[string]struct {
		labels map[string]string
		hint   verdict.RegisterHint
		want   string
	}{
		"default platform namespace": {nil, verdict.RegisterHint{URL: "https://drey.example", CommandLine: true},
			"Register it: drey targets create sandbox --kubernetes-namespace sandbox --server https://drey.example ; or deploy"},
		"platform namespace of a label": {map[string]string{"vvpNamespace": "team-a"}, verdict.RegisterHint{URL: "https://drey.example", CommandLine: true, PlatformNamespace: "team-b"},
			"--server https://drey.example --platform-namespace team-a ; or deploy"},
		"platform namespace of the options": {nil, verdict.RegisterHint{URL: "https://drey.example", CommandLine: true, PlatformNamespace: "team-b"},
			"--server https://drey.example --platform-namespace team-b ; or deploy"},
		"label that a shell would run": {map[string]string{"vvpNamespace": "$(reboot)"}, verdict.RegisterHint{URL: "https://drey.example", CommandLine: true},
			"--server https://drey.example ; or deploy"},
		"contact": {nil, verdict.RegisterHint{URL: "https://drey.example", CommandLine: true, Contact: "#platform"},
			"--server https://drey.example ; if you may not, ask #platform; or deploy"},
	} {
		t.Run(rule, func(t *testing.T) {
			o := &flink.Object{Kind: "Deployment", Namespace: "sandbox", Name: "x", Labels: c.labels}
			v := decide(t, flink.Workload{Object: o, Strength: flink.Strong, Signals: flink.MainContainer}, "")
			if got := v.Message(c.hint); !strings.Contains(got, c.want) {
				t.Errorf("no %s in %s", c.want, got)
			}
		})
	}
}

// TestOwnerToVerify checks which owner's template has to be read before a verdict.
func TestOwnerToVerify(t *testing.T) {
	plain := flink.Owner{APIVersion: "apps/v1", Kind: "Deployment", Name: "nuts", UID: "uid-nuts"}
	admitted, custom := plain, flink.Owner{APIVersion: "flink.apache.org/v1beta1", Kind: "FlinkDeployment", Name: "nuts", UID: "uid-custom"}
	admitted.Labels = map[string]string{"system": "ververica-platform", "vvpNamespace": "team-a"}
	custom.Labels = admitted.Labels
	for rule, c := range map[string]struct {
		state            string
		owners           []flink.Owner
		madeByJobManager bool
		want             int // -1: none
	}{
		"no owner":                                       {"", nil, true, -1},
		"admitted owner, its target is here":             {"team-a/x", []flink.Owner{admitted}, false, -1},
		"admitted owner, no target":                      {"", []flink.Owner{admitted}, false, 0},
		"admitted owner, target of another":              {"team-b/x", []flink.Owner{admitted}, false, 0},
		"admitted owner above":                           {"", []flink.Owner{plain, admitted}, false, 1},
		"admitted custom resource":                       {"", []flink.Owner{custom}, false, -1},
		"unlabeled owner":                                {"", []flink.Owner{plain}, false, -1},
		"TaskManager of native mode, no target":          {"", []flink.Owner{plain}, true, 0},
		"TaskManager of native mode, target":             {"team-a/x", []flink.Owner{plain}, true, -1},
		"TaskManager of native mode, admitted, a target": {"team-a/x", []flink.Owner{admitted}, true, -1},
	} {
		k, _ := newState(t, c.state)
		w := flink.Workload{Object: &flink.Object{Kind: "Pod", Namespace: "flink"}, Strength: flink.Strong, Owners: c.owners, MadeByJobManager: c.madeByJobManager}
		i, ok := verdict.OwnerToVerify(w, k)
		if !ok {
			i = -1
		}
		if i != c.want {
			t.Errorf("%s: got %d, want %d", rule, i, c.want)
		}
	}
}

// TestCachesWithoutCluster: a registry alone decides without workloads, and without a record of
// targets that were deleted.
func TestCachesWithoutCluster(t *testing.T) {
	k, _ := newState(t, "team-a/x")
	state := verdict.Caches{Registry: k.Index}
	if _, ok := state.Cluster("flink", "nuts"); ok || state.HasUID("uid-1") || state.HadTarget("other") {
		t.Error("state of a cluster without a cluster")
	}
	for namespace, want := range map[string]verdict.Reason{"flink": verdict.HasTarget, "other": verdict.NoDeploymentTarget} {
		w := flink.Workload{Object: &flink.Object{Kind: "Pod", Namespace: namespace, Name: "p"}, Strength: flink.Strong}
		v := verdict.Decide(w, state)
		if platform := v.PlatformNamespace(); v.Reason != want || (platform == "team-a") != (want == verdict.HasTarget) {
			t.Errorf("%s: %s, platform namespace %q", namespace, v.Reason, platform)
		}
	}
	two, _ := newState(t, "a/x b/y")
	w := flink.Workload{Object: &flink.Object{Kind: "Pod", Namespace: "flink", Name: "p"}, Strength: flink.Strong}
	if v := verdict.Decide(w, two); v.Reason != verdict.AmbiguousTarget || v.PlatformNamespace() != "" {
		t.Errorf("two platform namespaces: %s, %q", v.Reason, v.PlatformNamespace())
	}
	w.Object.Labels = map[string]string{"vvpNamespace": "b"}
	if v := verdict.Decide(w, state); v.Reason != verdict.LabelConflict || v.PlatformNamespace() != "team-a" {
		t.Errorf("conflict: %s, %q", v.Reason, v.PlatformNamespace())
	}
}

// TestForeignIDs: a pod with an id or a platform namespace of another that its owner has too
// is admitted. It inherits no such id, and IgnoreOwnerLabels denies it.
func TestForeignIDs(t *testing.T) {
	labels := func(platform, id string) map[string]string {
		return map[string]string{"system": "ververica-platform", "vvpNamespace": platform, "deploymentId": id}
	}
	for name, c := range map[string]struct {
		state         string
		owner, pod    map[string]string
		above         []flink.Owner // of the Deployment
		want, getsID  string        // the label that is reported, and the id that is added
		registeredIDs bool          // owner and pod have the id of D:team-b/nuts
	}{
		"own labels":                                         {state: "team-a/x live:owner", owner: labels("team-a", "owner"), pod: labels("team-a", "owner")},
		"an id of no object":                                 {state: "team-a/x", owner: labels("team-a", "old"), pod: labels("team-a", "old")},
		"foreign id on pod and owner":                        {state: "team-a/x live:other", owner: labels("team-a", "other"), pod: labels("team-a", "other"), want: "deploymentId"},
		"foreign id on the owner":                            {state: "team-a/x live:other", owner: labels("team-a", "other"), getsID: "owner"},
		"id of the owner's owner":                            {state: "team-a/x live:above", owner: labels("team-a", "above"), pod: labels("team-a", "above"), above: []flink.Owner{{APIVersion: "flink.apache.org/v1beta1", Kind: "FlinkDeployment", Name: "nuts", UID: "above"}}},
		"platform namespace without target on pod and owner": {state: "team-a/x", owner: labels("team-b", "owner"), pod: labels("team-b", "owner"), want: "vvpNamespace"},
		"platform namespace without target on the owner":     {state: "team-a/x", owner: labels("team-b", "owner"), want: "vvpNamespace", getsID: "owner"},
		"no target left":                                     {state: "had: live:owner", owner: labels("team-b", "owner"), pod: labels("team-b", "owner")},
		"no target left, registered id":                      {state: "had: team-b/y@other D:team-b/nuts@y", owner: labels("team-b", ""), pod: labels("team-b", ""), registeredIDs: true},
	} {
		t.Run(name, func(t *testing.T) {
			w, ids := newState(t, c.state)
			if c.registeredIDs {
				c.owner["deploymentId"], c.pod["deploymentId"] = ids["team-b/nuts"], ids["team-b/nuts"]
			}
			pod := flink.Recognize(&flink.Object{Kind: "Pod", Name: "p", Namespace: "flink", Labels: c.pod, Pod: flink.Pod{
				Labels: c.pod, Containers: []flink.Container{{Name: "flink-main-container", Image: "flink:2.2", Args: []string{"kubernetes-jobmanager.sh", "kubernetes-application"}}},
			}})
			owners := append([]flink.Owner{{APIVersion: "apps/v1", Kind: "Deployment", Name: "d", UID: "owner", Labels: c.owner}}, c.above...)
			v := verdict.Decide(pod.WithOwners(owners, true), w)
			if !v.Allowed {
				t.Fatalf("denied: %s", v.Reason)
			}
			for _, l := range v.Add {
				if l.Key == "deploymentId" && l.Value != c.getsID {
					t.Errorf("inherited id %q, want %q", l.Value, c.getsID)
				}
			}
			strict := v.IgnoreOwnerLabels(w)
			if strict.Allowed != (c.want == "") || !strict.Allowed && (strict.Reason != verdict.LabelConflict || !strings.Contains(strict.Message(verdict.RegisterHint{}), "label "+c.want+" is")) {
				t.Errorf("reported: %t, %s: %s", !strict.Allowed, strict.Reason, strict.Message(verdict.RegisterHint{}))
			}
			if len(c.pod) > 0 && c.want != "" && !verdict.MayConflict(pod, w) {
				t.Error("MayConflict is false")
			}
		})
	}
}
