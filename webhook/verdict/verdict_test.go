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
	live map[string]bool
}

func (w world) Live(id string) bool { return w.live[id] }

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
	w, ids = world{registry.NewIndex("drey-system"), map[string]bool{}}, map[string]string{}
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
		"a weak signal is left alone":                           {flink.Workload{Strength: flink.Weak}, nil, "", "allow WeakSignal"},
		"no target, no Flink":                                   {jobManager, nil, "", "deny NoDeploymentTarget"},
		"an application":                                        {jobManager, nil, "default/a", "allow HasTarget app=flink-job system=ververica-platform vvpNamespace=default deploymentId=id-1 deploymentName=my-job jobId=job-1"},
		"a session cluster has no job":                          {session, nil, "default/a", "allow HasTarget app=flink-session-cluster system=ververica-platform vvpNamespace=default sessionClusterId=id-1 sessionClusterName=my-session"},
		"an unknown mode gets what both have":                   {unknown, nil, "default/a", "allow HasTarget system=ververica-platform vvpNamespace=default"},
		"labels that are there stay":                            {jobManager, map[string]string{"app": "mine", "jobId": "other"}, "default/a", "allow HasTarget system=ververica-platform vvpNamespace=default deploymentId=id-1 deploymentName=my-job kept:app=mine kept:jobId=other"},
		"an empty label is there too":                           {jobManager, map[string]string{"app": ""}, "default/a", "allow HasTarget system=ververica-platform vvpNamespace=default deploymentId=id-1 deploymentName=my-job jobId=job-1 kept:app="},
		"labels as they should be are no conflict":              {jobManager, map[string]string{"app": "flink-job", "system": "ververica-platform"}, "default/a", "allow HasTarget vvpNamespace=default deploymentId=id-1 deploymentName=my-job jobId=job-1"},
		"two platform namespaces, and nothing says which":       {jobManager, nil, "a/x b/y", "deny AmbiguousTarget"},
		"two platform namespaces, and the pod says":             {unknown, map[string]string{"vvpNamespace": "b"}, "a/x b/y", "allow HasTarget system=ververica-platform"},
		"two platform namespaces, and the pod says a third":     {jobManager, map[string]string{"vvpNamespace": "c"}, "a/x b/y", "deny LabelConflict"},
		"two targets of one platform namespace":                 {unknown, nil, "a/x a/y", "allow HasTarget system=ververica-platform vvpNamespace=a"},
		"a running job's TaskManager without a target":          {recovering, nil, "", "allow RunningJob system=ververica-platform"},
		"a running job's TaskManager where it is ambiguous":     {recovering, nil, "a/x b/y", "allow RunningJob system=ververica-platform"},
		"a running job's TaskManager with a target":             {recovering, nil, "a/x", "allow HasTarget system=ververica-platform vvpNamespace=a"},
		"an id that is no label value is left out":              {flink.Workload{Strength: flink.Strong, Mode: flink.Application, Identity: flink.Identity{ID: "no id", Name: "a", JobID: "not hex!"}}, nil, "a/x", "allow HasTarget app=flink-job system=ververica-platform vvpNamespace=a deploymentName=a"},
		"a workload without identity gets what does not say it": {flink.Workload{Strength: flink.Strong, Mode: flink.Application}, nil, "a/x", "allow HasTarget app=flink-job system=ververica-platform vvpNamespace=a"},
	} {
		t.Run(rule, func(t *testing.T) {
			c.workload.Object = &flink.Object{Kind: "Pod", Namespace: "flink", Name: "p", Labels: c.labels, Pod: flink.Pod{Labels: c.labels}}
			if got := sentence(decide(t, c.workload, c.targets)); got != c.want {
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
			o.Owners = []flink.Owner{{APIVersion: pick("apps/v1", "flink.apache.org/v1beta1"), Kind: pick("ReplicaSet", "Deployment", "FlinkDeployment", "Job"), Name: pick("a-1", "", "$(reboot)"), UID: pick("", "u", "not valid"), Controller: rng.IntN(2) == 0}}
		}
		list := worlds[rng.IntN(len(worlds))]
		v := verdict.Decide(flink.Recognise(o), list)
		for _, l := range v.Add {
			if _, there := labels[l.Key]; there {
				t.Fatalf("%v: adds %s, which is there", o, l.Key)
			}
			if l.Value == "" || len(validation.IsValidLabelValue(l.Value)) > 0 {
				t.Fatalf("%v: adds %s with the value %q", o, l.Key, l.Value)
			}
			labels[l.Key] = l.Value
		}
		if again := verdict.Decide(flink.Recognise(o), list); again.Allowed != v.Allowed || again.Reason != v.Reason || len(again.Add) > 0 {
			t.Fatalf("%v: first %s, then %s", o, sentence(v), sentence(again))
		}
		message := v.Message(verdict.Registry{URL: "http://127.0.0.1:8080"})
		switch {
		case v.Allowed && message != "", !v.Allowed && len(v.Add) > 0:
			t.Fatalf("%v: %s says %q", o, sentence(v), message)
		case !v.Allowed && (!strings.Contains(message, `namespace "flink"`) || !strings.Contains(message, "curl ") && !strings.Contains(message, "kubectl ")):
			t.Fatalf("%v: the denial does not name the namespace, or no command: %s", o, message)
		case strings.Contains(commands(message), "reboot"):
			t.Fatalf("%v: the command would run what the object says: %s", o, message)
		}
	}
}

// commands are those of a message, which end before " ; " or " . ", or with it.
func commands(message string) string {
	var all []string
	for _, begin := range []string{"curl ", "kubectl "} {
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

func BenchmarkDecide(b *testing.B) {
	o := &flink.Object{Kind: "Pod", Namespace: "flink", GenerateName: "my-job-6d4b9c-", Labels: map[string]string{"app": "my-job", "component": "jobmanager", "type": "flink-native-kubernetes"},
		Owners: []flink.Owner{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "my-job-6d4b9c", Controller: true}}}
	o.Pod = flink.Pod{Labels: o.Labels, Containers: []flink.Container{{Name: "flink-main-container", Image: "flink:2.2", Args: []string{"bash", "-c", "kubernetes-jobmanager.sh kubernetes-application"}}}}
	list, _ := known(b, "default/a")
	b.ReportAllocs()
	for b.Loop() {
		if v := verdict.Decide(flink.Recognise(o), list); !v.Allowed {
			b.Fatal(fmt.Sprint(v))
		}
	}
}

func TestTheCommandOfADenialHasTheTokenThatItNeeds(t *testing.T) {
	w := flink.Recognise(&flink.Object{Kind: "Deployment", Namespace: "sandbox", Name: "x", Pod: flink.Pod{Labels: map[string]string{"type": "flink-native-kubernetes", "component": "jobmanager"}}})
	message := decide(t, w, "").Message(verdict.Registry{URL: "https://drey.example", AsksWho: true})
	if want := `curl -X POST https://drey.example/api/v1/namespaces/default/deployment-targets -H "Authorization: Bearer $DREY_TOKEN" -H`; !strings.Contains(message, want) {
		t.Errorf("no %s in %s", want, message)
	}
}
