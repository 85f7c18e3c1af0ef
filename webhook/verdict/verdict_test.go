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

// world is a registry in memory, and what runs in a cluster.
type world struct {
	*registry.Index
	live   map[string]bool
	record bool // of a target that is gone
}

func (w world) HadTarget(string) bool { return w.record }

func (w world) Live(id string) bool { return w.live[id] }

func (w world) Cluster(string, string) (flink.Cluster, bool) { return flink.Cluster{}, false }

// known makes a world of a line of words. team-a/x is a target of the platform
// namespace team-a for the Kubernetes namespace flink, team-a/x@other one for
// other; D:team-a/nuts@x is a Deployment that refers to that target, S: a
// SessionCluster; live:uid is a workload in the cluster. The id of a registered
// object is its UUID: id(name) is the one that ids gets.
func known(t testing.TB, line string) (w world, ids map[string]string) {
	t.Helper()
	store := memstore.New()
	rules, err := registry.New(t.Context(), store, registry.Options{Namespaces: []string{"team-a", "team-b", "a", "b", "c"}})
	if err != nil {
		t.Fatal(err)
	}
	w, ids = world{Index: registry.NewIndex("drey-system"), live: map[string]bool{}}, map[string]string{}
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
			w.live[rest] = true
			continue
		case "had":
			w.record = true
			continue
		case "T":
			o.Kind, o.Spec = registry.DeploymentTarget, fmt.Appendf(nil, `{"kubernetes":{"namespace":%q}}`, cmp.Or(at, "flink"))
		case "D":
			o.Kind, o.Spec = registry.Deployment, fmt.Appendf(nil, `{"deploymentTargetName":%q}`, at)
		case "S":
			o.Kind, o.Spec = registry.SessionCluster, fmt.Appendf(nil, `{"deploymentTargetName":%q}`, at)
		}
		made, err := rules.Create(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		ids[platform+"/"+name] = made.Metadata.ID
	}
	if err := w.Follow(t.Context(), store); err != nil {
		t.Fatal(err)
	}
	return w, ids
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
		"what is not Flink's is left alone":                     {flink.Workload{}, nil, "", "allow NotFlink"},
		"also where there is a target":                          {flink.Workload{}, nil, "default/a", "allow NotFlink"},
		"a weak signal is left alone":                           {flink.Workload{Strength: flink.Weak}, nil, "", "allow InsufficientSignal"},
		"no target, no Flink":                                   {jobManager, nil, "", "deny NoDeploymentTarget"},
		"an application":                                        {jobManager, nil, "default/a", "allow HasTarget app=flink-job drey.dev/app=flink-job system=ververica-platform vvpNamespace=default deploymentId=id-1 deploymentName=my-job jobId=job-1"},
		"a session cluster has no job":                          {session, nil, "default/a", "allow HasTarget app=flink-session-cluster drey.dev/app=flink-session-cluster system=ververica-platform vvpNamespace=default sessionClusterId=id-1 sessionClusterName=my-session"},
		"an unknown mode gets what both have":                   {unknown, nil, "default/a", "allow HasTarget system=ververica-platform vvpNamespace=default"},
		"labels that are there stay":                            {jobManager, map[string]string{"app": "mine", "jobId": "other"}, "default/a", "allow HasTarget drey.dev/app=flink-job system=ververica-platform vvpNamespace=default deploymentId=id-1 deploymentName=my-job kept:app=mine kept:jobId=other"},
		"an empty label is there too":                           {jobManager, map[string]string{"app": ""}, "default/a", "allow HasTarget drey.dev/app=flink-job system=ververica-platform vvpNamespace=default deploymentId=id-1 deploymentName=my-job jobId=job-1 kept:app="},
		"labels as they should be are no conflict":              {jobManager, map[string]string{"app": "flink-job", "system": "ververica-platform"}, "default/a", "allow HasTarget drey.dev/app=flink-job vvpNamespace=default deploymentId=id-1 deploymentName=my-job jobId=job-1"},
		"two platform namespaces, and nothing says which":       {jobManager, nil, "a/x b/y", "deny AmbiguousTarget"},
		"two platform namespaces, and the pod says":             {unknown, map[string]string{"vvpNamespace": "b"}, "a/x b/y", "allow HasTarget system=ververica-platform"},
		"two platform namespaces, and the pod says a third":     {jobManager, map[string]string{"vvpNamespace": "c"}, "a/x b/y", "deny LabelConflict"},
		"two targets of one platform namespace":                 {unknown, nil, "a/x a/y", "allow HasTarget system=ververica-platform vvpNamespace=a"},
		"a running job's TaskManager without a target":          {recovering, nil, "", "allow RunningJob system=ververica-platform"},
		"a running job's TaskManager where it is ambiguous":     {recovering, nil, "a/x b/y", "allow RunningJob system=ververica-platform"},
		"a running job's TaskManager with a target":             {recovering, nil, "a/x", "allow HasTarget system=ververica-platform vvpNamespace=a"},
		"an id that is no label value is left out":              {flink.Workload{Strength: flink.Strong, Mode: flink.Application, Identity: flink.Identity{ID: "no id", Name: "a", JobID: "not hex!"}}, nil, "a/x", "allow HasTarget app=flink-job drey.dev/app=flink-job system=ververica-platform vvpNamespace=a deploymentName=a"},
		"a workload without identity gets what does not say it": {flink.Workload{Strength: flink.Strong, Mode: flink.Application}, nil, "a/x", "allow HasTarget app=flink-job drey.dev/app=flink-job system=ververica-platform vvpNamespace=a"},
	} {
		t.Run(rule, func(t *testing.T) {
			c.workload.Object = &flink.Object{Kind: "Pod", Namespace: "flink", Name: "p", Labels: c.labels, Pod: flink.Pod{Labels: c.labels}}
			if got := sentence(decide(t, c.workload, c.targets)); got != c.want {
				t.Errorf("\ngot  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestAnIDIsAClaim(t *testing.T) {
	k, ids := known(t, "team-a/x team-b/far@elsewhere D:team-a/nuts@x D:team-b/acorn@far live:uid-9")
	for rule, c := range map[string]struct{ id, want string }{
		"of what is registered here, it is a link":             {ids["team-a/nuts"], "allow HasTarget app=flink-job drey.dev/app=flink-job system=ververica-platform vvpNamespace=team-a deploymentName=nuts"},
		"of what is registered elsewhere, it is another's":     {ids["team-b/acorn"], "deny LabelConflict"},
		"of what runs, it is another's":                        {"uid-9", "deny LabelConflict"},
		"its own, it is the truth":                             {"uid-1", "allow HasTarget app=flink-job drey.dev/app=flink-job system=ververica-platform vvpNamespace=team-a deploymentName=a"},
		"of nobody, it stays":                                  {"uid-8", "allow HasTarget app=flink-job drey.dev/app=flink-job system=ververica-platform vvpNamespace=team-a deploymentName=a kept:deploymentId=uid-8"},
		"of nobody and no label value, it is the API server's": {"no id", "allow HasTarget app=flink-job drey.dev/app=flink-job system=ververica-platform vvpNamespace=team-a deploymentName=a kept:deploymentId=no id"},
	} {
		t.Run(rule, func(t *testing.T) {
			labels := map[string]string{"deploymentId": c.id}
			o := &flink.Object{Kind: "Pod", Namespace: "flink", Name: "p", Labels: labels, Pod: flink.Pod{Labels: labels}}
			w := flink.Workload{Object: o, Strength: flink.Strong, Mode: flink.Application, Root: flink.Root{UID: "uid-1"}, Identity: flink.Identity{ID: "uid-1", Name: "a"}}
			if got := sentence(verdict.Decide(w, k)); got != c.want {
				t.Errorf("\ngot  %s\nwant %s", got, c.want)
			}
		})
	}
}

func decide(t testing.TB, w flink.Workload, line string) verdict.Verdict {
	t.Helper()
	k, _ := known(t, line)
	return verdict.Decide(w, k)
}

func sentence(v verdict.Verdict) string {
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

// TestDecideWithWhatIsKnown has workloads with owners, registered objects, and what
// else runs in the cluster. ID(name) stands for the id of a registered object.
func TestDecideWithWhatIsKnown(t *testing.T) {
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
		world      string
		owners     []flink.Owner
		incomplete bool
		labels     string
		want       string
	}{
		"the root's uid and name are the identity": {"a/x", []flink.Owner{plain}, false, "", "allow HasTarget " + all + "uid-nuts deploymentName=nuts"},
		"a custom resource above is the root, and knows the job": {"a/x", []flink.Owner{plain, custom}, false, "",
			"allow HasTarget " + all + "uid-custom deploymentName=nuts jobId=7a0c0e1d-2b3a-4958-8776-655443322110"},
		"what could not be looked up is left out":  {"a/x", []flink.Owner{plain}, true, "", "allow HasTarget " + app},
		"or comes from an owner that was admitted": {"a/x", []flink.Owner{admitted}, true, "", "allow HasTarget " + all + "uid-before deploymentName=before"},

		"who is registered has the registered id":                   {"a/x D:a/nuts@x", []flink.Owner{plain}, false, "", "allow HasTarget " + all + "ID(a/nuts) deploymentName=nuts"},
		"not if it is registered for another namespace":             {"a/x a/y@other D:a/nuts@y", []flink.Owner{plain}, false, "", "allow HasTarget " + all + "uid-nuts deploymentName=nuts"},
		"not if it is a session cluster that is registered":         {"a/x S:a/nuts@x", []flink.Owner{plain}, false, "", "allow HasTarget " + all + "uid-nuts deploymentName=nuts"},
		"an owner may state as what it is registered":               {"a/x D:a/payments@x", []flink.Owner{plain, linked}, false, "", "allow HasTarget " + all + "ID(a/payments) deploymentName=payments jobId=7a0c0e1d-2b3a-4958-8776-655443322110"},
		"what it states and is not registered gives nothing":        {"a/x D:a/nuts@x", []flink.Owner{plain, linked}, false, "", "allow HasTarget " + all + "uid-custom deploymentName=nuts jobId=7a0c0e1d-2b3a-4958-8776-655443322110 warning"},
		"a stated id that is registered here is a link":             {"a/x D:a/payments@x", []flink.Owner{plain}, false, "deploymentId=ID(a/payments)", "allow HasTarget " + app + " deploymentName=payments"},
		"being registered settles which platform namespace":         {"a/x b/y D:a/nuts@x", []flink.Owner{plain}, false, "", "allow HasTarget " + all + "ID(a/nuts) deploymentName=nuts"},
		"unless it is registered in both":                           {"a/x b/y D:a/nuts@x D:b/nuts@y", []flink.Owner{plain}, false, "", "deny AmbiguousTarget"},
		"the id of what is registered elsewhere is a claim":         {"a/x a/y@other D:a/payments@y", []flink.Owner{plain}, false, "deploymentId=ID(a/payments)", "deny LabelConflict"},
		"the id of a registered session cluster is a claim":         {"a/x S:a/payments@x", []flink.Owner{plain}, false, "deploymentId=ID(a/payments)", "deny LabelConflict"},
		"the uid of another workload is a claim":                    {"a/x live:uid-other", []flink.Owner{plain}, false, "deploymentId=uid-other", "deny LabelConflict"},
		"also as the id of what it is not":                          {"a/x live:uid-other", []flink.Owner{plain}, false, "sessionClusterId=uid-other", "deny LabelConflict"},
		"its own uid is none":                                       {"a/x live:uid-nuts", []flink.Owner{plain, custom}, false, "deploymentId=uid-nuts", "allow HasTarget " + app + " deploymentName=nuts jobId=7a0c0e1d-2b3a-4958-8776-655443322110 kept:deploymentId=uid-nuts"},
		"a uid that was not found is an identity":                   {"a/x", []flink.Owner{unverified}, false, "", "allow HasTarget " + all + "uid-nuts deploymentName=nuts"},
		"not if something that runs has it":                         {"a/x live:uid-nuts", []flink.Owner{unverified}, false, "", "allow HasTarget " + app + " deploymentName=nuts"},
		"nor does it vouch for a label":                             {"a/x live:uid-nuts", []flink.Owner{unverified}, false, "deploymentId=uid-nuts", "deny LabelConflict"},
		"also if it is no root for sure":                            {"a/x live:uid-nuts", []flink.Owner{unverified}, true, "deploymentId=uid-nuts", "deny LabelConflict"},
		"an id that nobody has stays":                               {"a/x", []flink.Owner{plain}, false, "deploymentId=restored", "allow HasTarget " + app + " deploymentName=nuts kept:deploymentId=restored"},
		"a name stays, whoever has it":                              {"a/x D:a/payments@x", []flink.Owner{plain}, false, "deploymentName=payments", "allow HasTarget " + all + "uid-nuts kept:deploymentName=payments"},
		"a platform namespace without a target here is a claim":     {"a/x", []flink.Owner{plain}, false, "vvpNamespace=b", "deny LabelConflict"},
		"also against an owner that was admitted":                   {"a/x", []flink.Owner{admitted}, false, "vvpNamespace=b", "deny LabelConflict"},
		"an owner that was admitted settles the platform namespace": {"a/x b/y", []flink.Owner{admitted}, false, "", "allow HasTarget " + all + "uid-nuts deploymentName=nuts"},

		"a template may state another than the workload": {"a/x", []flink.Owner{plain}, false, "vvpNamespace=a own:vvpNamespace=b", "deny LabelConflict"},

		"its target is gone, and its owner was admitted":             {"had:", []flink.Owner{admitted}, false, "", "allow RunningJob " + all + "uid-before deploymentName=before"},
		"also where another platform namespace has come":             {"b/y", []flink.Owner{admitted}, false, "", "allow RunningJob " + all + "uid-before deploymentName=before"},
		"also if its template states where it was":                   {"b/y", []flink.Owner{admitted}, false, "vvpNamespace=a", "allow RunningJob app=flink-job drey.dev/app=flink-job system=ververica-platform deploymentId=uid-before deploymentName=before"},
		"its target is gone, and its owner was never admitted":       {"", []flink.Owner{plain}, false, "", "deny NoDeploymentTarget"},
		"nothing has recorded that there was a target":               {"", []flink.Owner{admitted}, false, "", "deny NoDeploymentTarget"},
		"its owner was not found":                                    {"had:", []flink.Owner{gone}, false, "", "deny NoDeploymentTarget"},
		"the custom resource above was not found":                    {"had:", []flink.Owner{admitted, noCustom}, false, "", "deny NoDeploymentTarget"},
		"its owner is not Flink's":                                   {"had:", []flink.Owner{other}, false, "", "deny NoDeploymentTarget"},
		"its owner is of a kind that drey does not label":            {"had:", []flink.Owner{foreign}, false, "", "deny NoDeploymentTarget"},
		"a running job is not asked whose id its new pods carry":     {"had: live:uid-other", []flink.Owner{admitted}, false, "deploymentId=uid-other", "allow RunningJob " + app + " deploymentName=before kept:deploymentId=uid-other"},
		"its target is gone, and its owners could not be looked up ": {"", nil, true, "", "deny NoDeploymentTarget"},
	} {
		t.Run(rule, func(t *testing.T) {
			k, ids := known(t, c.world)
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
			got := sentence(v)
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
		"nothing changes":                      {ours, ours, "allow NotApplicable"},
		"a label that is not ours changes":     {ours + " x=1", ours + " x=2 y=3", "allow NotApplicable"},
		"what is missing may come":             {"system=ververica-platform", ours, "allow NotApplicable"},
		"a pod that drey has never seen":       {"deploymentId=1 app=flink-job", "deploymentId=2", "allow NotApplicable"},
		"an id changes":                        {ours, strings.Replace(ours, "Id=1", "Id=2", 1), "deny LabelImmutable"},
		"a job id goes":                        {ours, strings.Replace(ours, " jobId=j", "", 1), "deny LabelImmutable"},
		"the label system goes":                {ours, strings.Replace(ours, "system=ververica-platform", "", 1), "deny LabelImmutable"},
		"all labels go":                        {ours, "", "deny LabelImmutable"},
		"our app changes":                      {ours, strings.Replace(ours, "app=flink-job", "app=x", 1), "deny LabelImmutable"},
		"an app that its maker chose changes":  {"system=ververica-platform app=x", "system=ververica-platform app=y", "allow NotApplicable"},
		"an empty label goes":                  {"system=ververica-platform jobId=", "system=ververica-platform", "deny LabelImmutable"},
		"a label becomes empty, and is a word": {ours, strings.Replace(ours, "jobId=j", "jobId=", 1), "deny LabelImmutable"},
	} {
		t.Run(rule, func(t *testing.T) {
			k, _ := known(t, "a/x")
			v := verdict.DecideUpdate(flink.Workload{Object: &flink.Object{Kind: "Pod", Namespace: "flink", Name: "p", Labels: read(c.after)}}, read(c.before), k)
			if got := sentence(v); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			if message := v.Message(verdict.Registry{}); v.Allowed != (message == "") || !v.Allowed && !strings.Contains(message, "kubectl delete pod p -n flink") {
				t.Errorf("message %q", message)
			}
		})
	}
}

// TestDecideStated has what is not Flink's say whose it is.
func TestDecideStated(t *testing.T) {
	for rule, c := range map[string]struct{ world, before, labels, want string }{
		"a platform namespace with a target":          {"a/x", "", "system=ververica-platform vvpNamespace=a", "allow"},
		"one without":                                 {"a/x", "", "system=ververica-platform vvpNamespace=b", "deny LabelConflict"},
		"one that had one":                            {"had:", "", "system=ververica-platform vvpNamespace=a", "deny LabelConflict"},
		"not of the platform":                         {"", "", "system=mine vvpNamespace=b", "allow"},
		"of the platform alone":                       {"", "", "system=ververica-platform", "allow"},
		"what it said before":                         {"", "system=ververica-platform vvpNamespace=b", "system=ververica-platform vvpNamespace=b x=y", "allow"},
		"the uid of what runs":                        {"a/x live:uid-other", "", "system=ververica-platform vvpNamespace=a deploymentId=uid-other", "deny LabelConflict"},
		"the id of what is registered here":           {"a/x D:a/nuts@x", "", "system=ververica-platform vvpNamespace=a deploymentId=ID(a/nuts)", "allow"},
		"the id of what is registered elsewhere":      {"a/x a/y@other D:a/nuts@y", "", "system=ververica-platform vvpNamespace=a deploymentId=ID(a/nuts)", "deny LabelConflict"},
		"likewise as that of a session":               {"a/x D:a/nuts@x", "", "system=ververica-platform vvpNamespace=a sessionClusterId=ID(a/nuts)", "deny LabelConflict"},
		"an id that nobody has":                       {"a/x", "", "system=ververica-platform vvpNamespace=a deploymentId=restored", "allow"},
		"what is another's is not believed later":     {"live:uid-other", "deploymentId=uid-other", "system=ververica-platform deploymentId=uid-other", "deny LabelConflict"},
		"a label without the platform's is no matter": {"live:uid-other", "", "deploymentId=uid-other", "allow"},
	} {
		t.Run(rule, func(t *testing.T) {
			k, ids := known(t, c.world)
			for name, id := range ids {
				c.labels = strings.ReplaceAll(c.labels, "ID("+name+")", id)
			}
			for _, strength := range []flink.Strength{flink.None, flink.Weak} {
				w := flink.Workload{Object: &flink.Object{Kind: "Deployment", Namespace: "flink", Name: "p", Labels: read(c.labels)}, Strength: strength}
				all := []verdict.Verdict{verdict.DecideUpdate(w, read(c.before), k)}
				if c.before == "" {
					all = append(all, verdict.Decide(w, k))
				}
				for _, v := range all {
					if got := sentence(v); !strings.HasPrefix(got, c.want) {
						t.Errorf("%v: got %s, want %s", strength, got, c.want)
					}
					if message := v.Message(verdict.Registry{}); v.Allowed != (message == "") || !v.Allowed && !strings.Contains(message, "which is not its own") {
						t.Errorf("message %q", message)
					}
				}
			}
		})
	}
}

// TestDecideClaims has labels come to a pod that runs. ID(name) stands for the id of a
// registered object.
func TestDecideClaims(t *testing.T) {
	for _, kind := range []string{"Pod", "Deployment"} {
		t.Run(kind, func(t *testing.T) { testClaims(t, kind) })
	}
}

func testClaims(t *testing.T, kind string) {
	t.Helper()
	owner := flink.Owner{APIVersion: "apps/v1", Kind: "Deployment", Name: "nuts", UID: "uid-nuts"}
	for rule, c := range map[string]struct{ world, before, comes, want string }{
		"its owner's uid may come":                             {"a/x live:uid-nuts", "system=ververica-platform vvpNamespace=a", "deploymentId=uid-nuts", "allow NotApplicable"},
		"the id as which it is registered may come":            {"a/x D:a/nuts@x", "system=ververica-platform vvpNamespace=a", "deploymentId=ID(a/nuts)", "allow NotApplicable"},
		"an id that nobody has may come":                       {"a/x", "system=ververica-platform", "deploymentId=restored", "allow NotApplicable"},
		"a job's id may come":                                  {"a/x", "system=ververica-platform", "jobId=j", "allow NotApplicable"},
		"the uid of another workload may not":                  {"a/x live:uid-other", "system=ververica-platform vvpNamespace=a", "deploymentId=uid-other", "deny LabelConflict"},
		"nor as the id of what it is not":                      {"a/x live:uid-other", "system=ververica-platform vvpNamespace=a", "sessionClusterId=uid-other", "deny LabelConflict"},
		"nor the id of what is registered elsewhere":           {"a/x a/y@other D:a/payments@y", "system=ververica-platform", "deploymentId=ID(a/payments)", "deny LabelConflict"},
		"nor to a pod on which drey has never been":            {"a/x live:uid-other", "", "deploymentId=uid-other", "deny LabelConflict"},
		"nor when its target is gone":                          {"live:uid-other", "system=ververica-platform vvpNamespace=a", "deploymentId=uid-other", "deny LabelConflict"},
		"a platform namespace that has no target here may not": {"a/x", "system=ververica-platform", "vvpNamespace=b", "deny LabelConflict"},
		"one that has may come":                                {"a/x", "", "vvpNamespace=a", "allow NotApplicable"},
		"another label may come to a pod that carries a claim": {"a/x live:uid-other", "deploymentId=uid-other", "vvpNamespace=a", "allow NotApplicable"},
		"where no target is, no platform namespace may come":   {"", "", "vvpNamespace=a", "deny LabelConflict"},
		"an id may not be set to another's":                    {"a/x live:uid-other", "deploymentId=mine", "deploymentId=uid-other", "deny LabelConflict"},
		"what is another's is not believed later":              {"a/x live:uid-other", "system=x deploymentId=uid-other", "system=ververica-platform deploymentId=uid-other", "deny LabelConflict"},
	} {
		t.Run(rule, func(t *testing.T) {
			k, ids := known(t, c.world)
			for name, id := range ids {
				c.comes = strings.ReplaceAll(c.comes, "ID("+name+")", id)
			}
			labels := read(c.before + " " + c.comes)
			w := flink.Workload{
				Object:   &flink.Object{Kind: kind, Namespace: "flink", Name: "p", Labels: labels, Pod: flink.Pod{Labels: labels}},
				Strength: flink.Strong, Signals: flink.MainContainer, Mode: flink.Application, Flavor: flink.Docs,
			}.WithOwners([]flink.Owner{owner}, true)
			v := verdict.DecideUpdate(w, read(c.before), k)
			if got := sentence(v); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
			if message := v.Message(verdict.Registry{}); v.Allowed != (message == "") || !v.Allowed && !strings.Contains(message, "leave that out") {
				t.Errorf("message %q", message)
			}
		})
	}
}

func TestLost(t *testing.T) {
	const ours = "app=flink-job system=ververica-platform vvpNamespace=a deploymentId=1"
	for rule, c := range map[string]struct{ before, after, want string }{
		"nothing is forgotten":                   {ours, ours + " x=1", ""},
		"all is forgotten":                       {ours, "", "system=ververica-platform vvpNamespace=a deploymentId=1 app=flink-job"},
		"what is set to another value is theirs": {ours, "system=x deploymentId=2 app=y", "vvpNamespace=a"},
		"labels of others are theirs to forget":  {ours + " x=1", ours, ""},
		"an app that its maker chose is theirs":  {"system=ververica-platform app=x", "system=ververica-platform", ""},
		"where drey has never been":              {"deploymentId=1 app=flink-job", "", ""},
	} {
		t.Run(rule, func(t *testing.T) {
			var got []string
			for _, l := range verdict.Lost(read(c.before), read(c.after)) {
				got = append(got, l.Key+"="+l.Value)
			}
			if got := strings.Join(got, " "); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// read makes labels of "a=b c=d".
func read(text string) map[string]string {
	labels := map[string]string{}
	for pair := range strings.FieldsSeq(text) {
		key, value, _ := strings.Cut(pair, "=")
		labels[key] = value
	}
	return labels
}

// TestNever holds for any workload among any targets: labels are only added,
// only absent ones, only valid ones; deciding again changes nothing; and every
// denial names the namespace and a command.
func TestNever(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	pick := func(list ...string) string { return list[rng.IntN(len(list))] }
	keys := []string{"app", "system", "vvpNamespace", "deploymentId", "deploymentName", "jobId", "sessionClusterId", "sessionClusterName", "component", "type"}
	var worlds []world
	for _, line := range []string{"", "team-a/x", "team-a/x team-b/y D:team-a/a@x", "default/z D:default/b@z S:default/a@z live:uid-1 live:a"} {
		k, _ := known(t, line)
		worlds = append(worlds, k)
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
		list := worlds[rng.IntN(len(worlds))]
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
			t.Fatalf("%v: first %s, then %s", o, sentence(v), sentence(again))
		}
		message := v.Message(verdict.Registry{URL: "http://127.0.0.1:8080"})
		switch {
		case v.Allowed && message != "", !v.Allowed && len(v.Add) > 0:
			t.Fatalf("%v: %s says %q", o, sentence(v), message)
		case !v.Allowed && (!strings.Contains(message, `namespace "flink"`) || !strings.Contains(message, "curl ") && !strings.Contains(message, "kubectl ") && !strings.Contains(message, "-Dkubernetes.")):
			t.Fatalf("%v: the denial does not name the namespace, or no command: %s", o, message)
		case strings.Contains(commands(message), "reboot"):
			t.Fatalf("%v: the command would run what the object says: %s", o, message)
		}
	}
}

// commands are those of a message, which end before " ; " or " . ", or with it.
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

// BenchmarkDecide is the decision on a pod with its owners known, among few and
// many targets: recognition is measured apart.
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
			k := world{Index: registry.NewIndex("drey-system")}
			if err := k.Follow(b.Context(), store); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if v := verdict.Decide(w, k); !v.Allowed || len(v.Add) != 5 {
					b.Fatal(sentence(v))
				}
			}
		})
	}
}

func TestTheCommandOfADenialHasTheTokenThatItNeeds(t *testing.T) {
	w := flink.Recognize(&flink.Object{Kind: "Deployment", Namespace: "sandbox", Name: "x", Pod: flink.Pod{Labels: map[string]string{"type": "flink-native-kubernetes", "component": "jobmanager"}}})
	message := decide(t, w, "").Message(verdict.Registry{URL: "https://drey.example", AsksWho: true})
	if want := `curl -X POST https://drey.example/api/v1/namespaces/default/deployment-targets -H "Authorization: Bearer $DREY_TOKEN" -H`; !strings.Contains(message, want) {
		t.Errorf("no %s in %s", want, message)
	}
	message = decide(t, w, "").Message(verdict.Registry{URL: "https://drey.example", AsksWho: true, InCluster: true})
	if want := `Register it: echo '{"apiVersion":"drey.dev/v1","kind":"DeploymentTarget","metadata":{"name":"sandbox","namespace":"default"},"spec":{"kubernetes":{"namespace":"sandbox"}}}' | kubectl apply -f - ;`; !strings.Contains(message, want) {
		t.Errorf("no %s in %s", want, message)
	}
}
