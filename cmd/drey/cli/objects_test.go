package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"drey.dev/drey/cmd/drey/cli/command"
	"drey.dev/drey/test/framework/drey"
)

// TestObjectCommands plays commands against a running drey, one after
// the other, and compares what they print and how they end.
func TestObjectCommands(t *testing.T) {
	d := start(t, t.TempDir())
	files := []string{
		writeFile(t, "1.yaml", "metadata: {name: file-1}\nspec: {kubernetes: {namespace: a}}\n---\nmetadata: {name: file-2}\nspec: {kubernetes: {namespace: a}}\n"),
		writeFile(t, "2.yaml", "apiVersion: drey.dev/v1\nkind: DeploymentTarget\nmetadata: {name: file-3}\nspec: {kubernetes: {namespace: a}}\n"),
		writeFile(t, "3.yaml", "metadata: {name: file-4}\nspec: {kubernetes: {namespace: a}}\n"),
	}
	for _, c := range []struct {
		command, stdin string
		code           int
		prints         string // with ages and ids taken out
	}{
		{"targets list", "", 0, "No DeploymentTargets in platform namespace default.\n"},
		{"targets create staging --kubernetes-namespace flink-staging", "", 0, "deploymenttarget/staging created\n"},
		{"targets create staging --kubernetes-namespace other", "", command.ExitRefused, `drey: DeploymentTarget "staging" in platform namespace "default" already exists: choose another name, or replace it with apply (AlreadyExists)` + "\n"},
		{"targets create nowhere", "", command.ExitUsage, "drey: --kubernetes-namespace is missing: the Kubernetes namespace of the target\n"},
		{"targets create -f -", "metadata: {name: own}\nspec: {kubernetes: {}}\n", 0, "Warning: DeploymentTarget \"own\" in platform namespace \"default\" points at \"drey-system\", the Kubernetes namespace that drey runs in: use separate namespaces for drey and for jobs\ndeploymenttarget/own created\n"},
		{"targets apply -f -", "metadata: {name: own, namespace: default}\nspec: {kubernetes: {}}\n", 0, "Warning: DeploymentTarget \"own\" in platform namespace \"default\" points at \"drey-system\", the Kubernetes namespace that drey runs in: use separate namespaces for drey and for jobs\ndeploymenttarget/own unchanged\n"},
		{"targets list", "", 0, "NAME      KUBERNETES NAMESPACE   READY   AGE\nown       <drey's own>           -       AGE\nstaging   flink-staging          -       AGE\n"},
		{"targets list -o name", "", 0, "deploymenttarget/own\ndeploymenttarget/staging\n"},
		{"targets get staging", "", 0, "NAME      KUBERNETES NAMESPACE   READY   AGE\nstaging   flink-staging          -       AGE\n"},
		{"targets get staging -o yaml", "", 0, "apiVersion: drey.dev/v1\nkind: DeploymentTarget\nmetadata:\n  annotations:\n    drey.dev/id: ID\n  name: staging\n  namespace: default\nspec:\n  kubernetes:\n    namespace: flink-staging\n"},
		{"targets get staging -o yaml --api-version v1", "", 0, "apiVersion: v1\nkind: DeploymentTarget\nmetadata:\n  annotations: {}\n  createdAt: TIME\n  id: ID\n  labels: {}\n  modifiedAt: TIME\n  name: staging\n  namespace: default\n  resourceVersion: 1\nspec:\n  kubernetes:\n    namespace: flink-staging\n"},
		{"targets get staging -A", "", command.ExitUsage, "drey: a name excludes -l and -A: give one of them\n"},
		{"targets get -o wide -A", "", 0, "NAME      PLATFORM NAMESPACE   KUBERNETES NAMESPACE   READY   WORKLOADS   MESSAGE   ID                                     VERSION   AGE\nown       default              <drey's own>           -       -           -         ID   1         AGE\nstaging   default              flink-staging          -       -           -         ID   1         AGE\n"},
		{"targets get -w -o yaml", "", command.ExitUsage, "drey: -w prints a table or names: leave out -o yaml\n"},
		{"targets apply -f -", "apiVersion: drey.dev/v1\nkind: DeploymentTarget\nmetadata: {name: staging, namespace: default}\nspec: {kubernetes: {namespace: flink-staging}}\n", 0, "deploymenttarget/staging unchanged\n"},
		{"targets apply -f - --platform-namespace b", "metadata: {name: staging, namespace: a}\n", command.ExitUsage, "drey: DeploymentTarget \"staging\" has the namespace a, and the command b: leave one of them out\n"},
		{"targets apply -f -", "kind: Deployment\nmetadata: {name: one}\n", command.ExitUsage, "drey: Deployment \"one\" is no DeploymentTarget: use drey deployments apply, or drey apply for all kinds\n"},
		{"targets get prod", "", command.ExitNotFound, `drey: DeploymentTarget "prod" in platform namespace "default" does not exist (NotFound)` + "\n"},
		{"targets list -n team-z", "", command.ExitUsage, "drey: -n is a Kubernetes namespace, and the server at SERVER has platform namespaces: use --platform-namespace team-z\n"},
		{"targets list --platform-namespace team-z", "", command.ExitNotFound, `drey: platform namespace "team-z" does not exist: list yours with drey namespaces list, or create it with drey namespaces create (NotFound)` + "\n"},
		{"deployments apply -f -", "metadata: {name: one, labels: {team: nuts}}\nspec: {deploymentTargetName: staging, big: 12345678901234567890.10}\n---\nmetadata: {name: Two Words}\nspec: {}\n", 0, "deployment/one created\ndeployment/two-words created\n"},
		{"deployments apply -f -", "metadata: {name: one, labels: {team: nuts}}\nspec: {deploymentTargetName: staging, big: 12345678901234567890.10}\n", 0, "deployment/one unchanged\n"},
		{"deployments apply -f -", "metadata: {name: one, labels: {team: oaks}}\nspec: {deploymentTargetName: staging, big: 12345678901234567890.10}\n", 0, "deployment/one configured\n"},
		{"deployments apply -f -", "spec: {}\n", command.ExitUsage, "drey: standard input, document 1: metadata.name is missing or unreadable in: spec: {}\n"},
		{"deployments list", "", 0, "NAME        TARGET    SESSION CLUSTER   STATE       DISPLAY NAME   AGE\none         staging   -                 CANCELLED   -              AGE\ntwo-words   -         -                 CANCELLED   Two Words      AGE\n"},
		{"deployments list -l team=oaks -o name", "", 0, "deployment/one\n"},
		{"targets delete staging", "", command.ExitRefused, `drey: DeploymentTarget "staging" in platform namespace "default" cannot be deleted while it is referenced: Deployment "one": delete these or change their references first (TargetReferenced)` + "\n"},
		{"targets delete staging --preview", "", command.ExitRefused, "DeploymentTarget staging is referenced by\n\nKIND         NAME\nDeployment   one\n\nDenied after the deletion:\n- Deployments and SessionClusters in platform namespace \"default\" that refer to it\n- new Flink workloads in Kubernetes namespace \"flink-staging\", which no other target points at\ndrey: DeploymentTarget \"staging\" cannot be deleted: 1 reference\n"},
		{"targets delete own --preview -o yaml", "", 0, "apiVersion: v1\nitems: []\nkind: ReferenceList\nmetadata:\n  id: ID\n  name: own\n  namespace: default\nrefusedAfterwards:\n- Deployments and SessionClusters in platform namespace \"default\" that refer to it\n- new Flink workloads in Kubernetes namespace \"drey-system\", which no other target points at\n"},
		{"targets delete own prod --preview", "", command.ExitNotFound, "DeploymentTarget own has no references and can be deleted.\n\nDenied after the deletion:\n- Deployments and SessionClusters in platform namespace \"default\" that refer to it\n- new Flink workloads in Kubernetes namespace \"drey-system\", which no other target points at\n" + `drey: DeploymentTarget "prod" in platform namespace "default" does not exist (NotFound)` + "\n"},
		{"deployments delete one two-words", "", 0, "deployment/one deleted\ndeployment/two-words deleted\n"},
		{"targets delete own nothing staging", "", command.ExitNotFound, "deploymenttarget/own deleted\ndeploymenttarget/staging deleted\n" + `drey: DeploymentTarget "nothing" in platform namespace "default" does not exist (NotFound)` + "\n"},
		{"sessionclusters create -f -", "metadata: {name: shared}\nspec: {}\n", 0, "sessioncluster/shared created\n"},
		{"sessionclusters get shared -o name", "", 0, "sessioncluster/shared\n"},
		{"sessionclusters get -o name", "", 0, "sessioncluster/shared\n"},
		{"apply -f -", "", command.ExitUsage, "drey: nothing to apply: no object in standard input\n"},
		{"deployments create -f -", `{"metadata":{"name":"red","displayName":"\u001b[31m\tred\n"},"spec":{}}`, 0, "deployment/red created\n"},
		{"deployments list", "", 0, "NAME   TARGET   SESSION CLUSTER   STATE       DISPLAY NAME        AGE\nred    -        -                 CANCELLED   \"\\x1b[31m\\tred\\n\"   AGE\n"},
		{"targets apply -f -", "---\n# the first\n---\nmetadata: {name: one}\nspec: {kubernetes: {namespace: a}}\n---\n", 0, "deploymenttarget/one created\n"},
		{"targets apply -f -", "apiVersion: drey.dev/v1\nkind: DeploymentTarget\nmetadata: {name: moved, annotations: {drey.dev/id: " + foreignID + "}}\nspec: {kubernetes: {namespace: a}}\n", 0, "Warning: DeploymentTarget \"moved\" has the id ID, not ID of the manifest: a registry assigns ids; drey migrate and drey restore keep them\ndeploymenttarget/moved created\n"},
		{"apply -f -", "apiVersion: v1\nkind: List\nitems:\n- kind: DeploymentTarget\n  metadata: {name: moved, id: " + foreignID + "}\n  spec: {kubernetes: {namespace: a}}\n", 0, "Warning: DeploymentTarget \"moved\" has the id ID, not ID of the manifest: a registry assigns ids; drey migrate and drey restore keep them\ndeploymenttarget/moved unchanged\n"},
		{"apply -f -", "kind: DeploymentTarget\nmetadata: {name: moved, id: 7}\nspec: {kubernetes: {namespace: a}}\n", 0, "deploymenttarget/moved unchanged\n"},
		{"targets delete moved", "", 0, "deploymenttarget/moved deleted\n"},
		{"namespaces create team-q", "", 0, "namespace/team-q created\n"},
		{"namespaces create team-q", "", command.ExitRefused, `drey: platform namespace "team-q" already exists: use it, or choose another name (AlreadyExists)` + "\n"},
		{"namespaces list", "", 0, "NAME      ROLE BINDINGS   AGE\ndefault   0               AGE\nteam-q    0               AGE\n"},
		{"namespaces get team-q -o name", "", 0, "namespace/team-q\n"},
		{"namespaces delete team-q nowhere", "", command.ExitNotFound, "namespace/team-q deleted\n" + `drey: platform namespace "nowhere" does not exist: list yours with drey namespaces list, or create it with drey namespaces create (NotFound)` + "\n"},
		{"jobs list", "", 0, "No jobs in platform namespace default.\n"},
		{"jobs get nothing", "", command.ExitNotFound, `drey: there is no Job with id "nothing" in platform namespace "default": jobs exist while their pods do (NotFound)` + "\n"},
		{"version --client -o xml", "", command.ExitUsage, `drey: invalid argument "xml" for "-o, --output" flag: want text or json: see drey version --help` + "\n"},
		{"audit --fail-on all", "", command.ExitUsage, `drey: invalid argument "all" for "--fail-on" flag: want none, denied or any: see drey audit --help` + "\n"},
		{"targets list -v -o name", "", 0, "Registry: SERVER\ndeploymenttarget/one\n"},
		{"targets create system --kubernetes-namespace kube-system", "", 0, "Warning: DeploymentTarget \"system\" in platform namespace \"default\" points at \"kube-system\", a system namespace, which drey does not admit Flink to: create a target that points elsewhere\ndeploymenttarget/system created\n"},
		{"targets lst", "", command.ExitUsage, `drey: "lst" is not a command of drey targets, did you mean list or get: see drey targets --help` + "\n"},
		{"tokens rotate", "", command.ExitUsage, `drey: "rotate" is not a command of drey tokens: see drey tokens --help` + "\n"},
		{"target", "", command.ExitUsage, `drey: "target" is not a command of drey, did you mean targets: see drey --help` + "\n"},
		{"targets list --server localhost:8080", "", command.ExitUsage, `drey: --server is "localhost:8080": want a base URL, such as http://127.0.0.1:8080` + "\n"},
		{"targets list --server 127.0.0.1:8080", "", command.ExitUsage, `drey: --server is "127.0.0.1:8080": want a base URL, such as http://127.0.0.1:8080` + "\n"},
		{"denials --since -1h", "", command.ExitUsage, "drey: --since is -1h0m0s: use a positive duration, such as 24h\n"},
		{"apply -f -", "{\"x\":", command.ExitUsage, "drey: standard input, document 1: error converting YAML to JSON: yaml: line 1: did not find expected node content\n"},
		{"apply -f https://example.com/a.yaml", "", command.ExitUsage, `drey: -f is "https://example.com/a.yaml": URLs are not read; download it: curl -fsSL 'https://example.com/a.yaml' | drey apply -f -` + "\n"},
		{"check -f https://example.com/a.yaml", "", command.ExitUsage, `drey: -f is "https://example.com/a.yaml": URLs are not read; download it: curl -fsSL 'https://example.com/a.yaml' | drey check -f -` + "\n"},
		{"apply -f nowhere.yaml", "", command.ExitFailure, "drey: stat nowhere.yaml: no such file or directory\n"},
		{"check -f nowhere.yaml", "", command.ExitFailure, "drey: stat nowhere.yaml: no such file or directory\n"},
		{"targets create -f nowhere.yaml", "", command.ExitFailure, "drey: stat nowhere.yaml: no such file or directory\n"},
		{"deployments create", "", command.ExitUsage, "drey: -f is missing: give a file, a directory, or - for standard input\n"},
		{"deployments create -f -", "# nothing\n", command.ExitUsage, "drey: nothing to create: no object in standard input\n"},
		{"targets create -f -", "kind: Deployment\nmetadata: {name: one}\n", command.ExitUsage, "drey: Deployment \"one\" is no DeploymentTarget: use drey deployments create, or drey apply for all kinds\n"},
		{"targets create -f " + files[0] + " -f " + files[1], "", 0, "deploymenttarget/file-1 created\ndeploymenttarget/file-2 created\ndeploymenttarget/file-3 created\n"},
		{"targets create -f " + files[0] + " -f " + files[2], "", command.ExitRefused, "deploymenttarget/file-4 created\n" +
			`drey: DeploymentTarget "file-1" in platform namespace "default" already exists: choose another name, or replace it with apply (AlreadyExists)` + "\n" +
			`DeploymentTarget "file-2" in platform namespace "default" already exists: choose another name, or replace it with apply (AlreadyExists)` + "\n"},
		{"apply -f - -f -", "", command.ExitUsage, "drey: standard input is given twice; give - once\n"},
		{"serve now", "", command.ExitUsage, `drey: unknown command "now" for "drey serve": see drey serve --help` + "\n"},
		{"serve --rest-auth users", "", command.ExitUsage, `drey: --rest-auth is "users": use tokens, cluster, tokens,cluster or off` + "\n"},
		{"serve --log-level loud", "", command.ExitUsage, `drey: --log-level is "loud": use debug, info, warn or error` + "\n"},
		{"targets list -o xml", "", command.ExitUsage, `drey: invalid argument "xml" for "-o, --output" flag: want table, wide, json, yaml or name: see drey targets list --help` + "\n"},
		{"__complete sessionclusters delete sh", "", 0, "shared\n:4\nCompletion ended with directive: ShellCompDirectiveNoFileComp\n"},
	} {
		t.Setenv("DREY_SERVER", d.REST)
		out, code := runDrey(t, c.stdin, strings.Fields(c.command))
		out = strings.ReplaceAll(out, d.REST, "SERVER")
		if code != c.code || out != c.prints {
			t.Errorf("drey %s\ngot %d:\n%s\nwant %d:\n%s", c.command, code, out, c.code, c.prints)
		}
	}
	if out, code := runDrey(t, "", []string{"targets", "list", "--server", "http://127.0.0.1:1"}); code != command.ExitUnavailable || !strings.Contains(out, "--server") {
		t.Errorf("without a server: %d: %s", code, out)
	}
}

// writeFile writes a file, and returns its path.
func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const foreignID = "11111111-1111-4111-8111-111111111111"

var (
	agePattern  = regexp.MustCompile(`(?m)[0-9]+s$`)
	uuidPattern = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)
	timePattern = regexp.MustCompile(`"20[0-9-]+T[0-9:.]+Z"`)
)

func runDrey(t *testing.T, stdin string, args []string) (string, int) {
	t.Helper()
	text, code := drey.Run(t, program, stdin, args...)
	text = agePattern.ReplaceAllString(text, "AGE")
	text = uuidPattern.ReplaceAllString(text, "ID")
	return timePattern.ReplaceAllString(text, "TIME"), code
}

// TestApplyFiles: apply reads files, directories below them, UTF-16 and byte order marks, as check does,
// and creates targets first. Errors name the file.
func TestApplyFiles(t *testing.T) {
	d := start(t, t.TempDir())
	t.Setenv("DREY_SERVER", d.REST)
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	target := "apiVersion: drey.dev/v1\nkind: DeploymentTarget\nmetadata: {name: %s}\nspec: {kubernetes: {namespace: flink}}\n"
	write("all/a.yaml", "apiVersion: drey.dev/v1\nkind: Deployment\nmetadata: {name: job}\nspec: {deploymentTargetName: below}\n")
	write("all/sub/b.yml", "\ufeff---\n# nothing\n---\n"+fmt.Sprintf(target, "below"))
	write("all/README.md", "no manifest")
	wide := []byte{0xff, 0xfe}
	for _, c := range fmt.Sprintf(target, "wide") {
		wide = append(wide, byte(c), 0)
	}
	utf16 := write("wide.yaml", string(wide))
	bad, comments := write("bad.yaml", "a: ["), write("comments.yaml", "# nothing\n")
	for _, c := range []struct {
		args []string
		want string
		code int
	}{
		{[]string{"apply", "-f", filepath.Join(dir, "all"), "-f", utf16}, "deploymenttarget/below created\ndeploymenttarget/wide created\ndeployment/job created\n", 0},
		{[]string{"apply", "-f", filepath.Join(dir, "all"), "-f", bad}, "drey: " + bad + ", document 1: ", command.ExitUsage},
		{[]string{"apply", "-f", comments}, "drey: nothing to apply: no object in " + comments + "\n", command.ExitUsage},
	} {
		if out, code := runDrey(t, "", c.args); code != c.code || !strings.HasPrefix(out, c.want) {
			t.Errorf("drey %s: %d %q\nwant %d %q", strings.Join(c.args, " "), code, out, c.code, c.want)
		}
	}
}
