package console_test

import (
	"bufio"
	"fmt"
	"html"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"drey.dev/drey/console/page"
	"drey.dev/drey/denials"
	"drey.dev/drey/inventory"
	"drey.dev/drey/registry"
	"drey.dev/drey/registry/access"
	"drey.dev/drey/test/framework/console"
)

// client is a browser without scripts.
type client struct {
	t testing.TB
	*console.Server
	*http.Client
	header http.Header
}

// newClient returns a client with cookies of its own, which follows no redirects.
func newClient(t testing.TB, s *console.Server) *client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	h := s.Client()
	return &client{t, s, &http.Client{Transport: h.Transport, Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, http.Header{"Accept": {"text/html"}}}
}

// answer is a response with its body.
type answer struct {
	*http.Response
	body string
}

func (c *client) do(method, path string, form url.Values, header http.Header) answer {
	c.t.Helper()
	request, err := http.NewRequestWithContext(c.t.Context(), method, c.URL+path, strings.NewReader(form.Encode()))
	if err != nil {
		c.t.Fatal(err)
	}
	request.Header = c.header.Clone()
	maps.Copy(request.Header, header)
	if form != nil {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	response, err := c.Do(request)
	if err != nil {
		c.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return answer{response, string(text)}
}

func (c *client) get(path string) answer { c.t.Helper(); return c.do(http.MethodGet, path, nil, nil) }

func (c *client) post(path string, form url.Values) answer {
	c.t.Helper()
	return c.do(http.MethodPost, path, form, nil)
}

// want fails the test unless a response has a status and its page has all texts.
func (a answer) want(t testing.TB, status int, texts ...string) {
	t.Helper()
	if a.StatusCode != status {
		t.Errorf("%s: status %d, want %d: %s", a.Request.URL, a.StatusCode, status, a.body)
	}
	shown := html.UnescapeString(a.body)
	for _, text := range texts {
		if !strings.Contains(shown, text) {
			t.Errorf("%s: %q is missing in %s", a.Request.URL, text, shown)
		}
	}
}

// TestPages: each page has its data.
func TestPages(t *testing.T) {
	c := newClient(t, console.Start(t, console.Options{}))
	for path, texts := range map[string][]string{
		"/":                                    {"6 Kubernetes namespaces, 4 platform namespaces", "50 of 53 pods ready", "392 GiB", "FlinkDeployment clickstream", "mara@example.com", "drey-6f7c9d8b54-k2x8w", "drey-ca, until 2026-05-09"},
		"/console/targets":                     {"myDeploymentTarget", "payments-prod", "1–6 of 6", "/console/targets/payments/production"},
		"/console/targets?show=notready":       {"1–1 of 1", `Kubernetes namespace "analytics-sandbox" does not exist: kubectl create namespace analytics-sandbox`},
		"/console/targets/analytics/sandbox":   {"Not ready", "kubectl create namespace analytics-sandbox"},
		"/console/targets/new?ns=web":          {`value="web"`, "<option selected>default"},
		"/console/targets/payments/production": {"settlement-window", "23 of 24 ready", "fraud-scoring"},
		"/console/workloads":                   {"11 workloads request 99 cores and 392 GiB", "no target for its namespace: register one", "pods lack deploymentId, jobId"},
		"/console/workloads?q=ledger":          {"1–1 of 1"},
		"/console/workloads?show=unhealthy":    {"1–2 of 2"},
		"/console/workloads?target=staging":    {"1–1 of 1"},
		"/console/workloads/payments-prod/FlinkDeployment/fraud-scoring": {"14 of 14 ready", `href="/console/targets/payments/production"`, `href="/console/deployments/payments/fraud-scoring"`, "fraud-scoring-taskmanager-1-13", "kubectl describe flinkdeployment fraud-scoring -n payments-prod", "Nothing of this workload was denied"},
		"/console/workloads/payments-prod/FlinkDeployment/ledger-sync":   {"LabelImmutable", "jonas@example.com"},
		"/console/workloads/web/FlinkDeployment/clickstream":             {"Kubernetes namespace web has no target", `href="/console/targets/new?ns=web"`},
		"/console/workloads/analytics/Deployment/rollup":                 {"1 of 2 pods lack it: drey adds it within a minute", "lacks deploymentId, jobId", "rollup-6d5f8b7c9-x2k4v"},
		"/console/denials":                             {"LabelConflict", "kubectl delete pod ledger-sync-taskmanager-1-4 -n payments-prod", "12×", "1–4 of 4"},
		"/console/denials?reason=LabelImmutable":       {"1–1 of 1", "jonas@example.com"},
		"/console/denials?show=1h":                     {"1–2 of 2"},
		"/console/denials?ns=analytics":                {"1–1 of 1"},
		"/console/deployments":                         {"catalog-indexer", "fraud-scoring", "1–2 of 2"},
		"/console/sessionclusters":                     {"notebooks", "1–1 of 1"},
		"/console/deployments/payments/fraud-scoring":  {`"jarUri": "s3://artifacts/fraud-scoring-1.4.2.jar"`, "14 of 14 pods ready"},
		"/console/sessionclusters/analytics/notebooks": {"shared-sessions"},
		"/console/explain":                             {`value="default"`},
		"/console/targets/payments/production/delete":  {"it cannot be deleted", "fraud-scoring", "new Flink workloads"},
		"/console/targets/analytics/sandbox/delete":    {"Nothing refers to it", "Delete target"},
	} {
		c.get(path).want(t, http.StatusOK, texts...)
	}
	if a := c.get("/console/deployments/payments/fraud-scoring"); strings.Contains(a.body, "payments-staging") {
		t.Error("a Deployment shows a workload of the same name with another id")
	}
	c.get("/console/targets/none/none").want(t, http.StatusNotFound, `platform namespace "none" does not exist: choose one of yours, or create it with drey namespaces create`)
	c.get("/console/targets/payments/none").want(t, http.StatusNotFound, "Not found", `DeploymentTarget "none" in platform namespace "payments" does not exist`)
	c.get("/console/workloads/web/Deployment/none").want(t, http.StatusNotFound, "Deployment none in namespace web is not a Flink workload that runs")
	c.get("/console/nothing").want(t, http.StatusNotFound, "the page does not exist: follow a link")
	if a := c.get("/console/"); a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != "/" {
		t.Errorf("/console/: %d to %s", a.StatusCode, a.Header.Get("Location"))
	}
}

// TestRootOfClients: clients of the REST API get at / what they got before the console.
func TestRootOfClients(t *testing.T) {
	c := newClient(t, console.Start(t, console.Options{}))
	for accept, isPage := range map[string]bool{
		"application/json": false, "*/*": false, "": false, "application/yaml": false, "text/html;q=0, */*": false,
		"text/html": true, "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8": true,
	} {
		a := c.do(http.MethodGet, "/", nil, http.Header{"Accept": {accept}})
		switch {
		case isPage && (a.StatusCode != http.StatusOK || !strings.HasPrefix(a.Header.Get("Content-Type"), "text/html")):
			t.Errorf("Accept %q: %d %s", accept, a.StatusCode, a.Header.Get("Content-Type"))
		case !isPage && (a.StatusCode != http.StatusNotFound || a.Header.Get("Content-Type") != "application/json" || !strings.Contains(a.body, `"reason":"NotFound"`)):
			t.Errorf("Accept %q: %d %s", accept, a.StatusCode, a.body)
		}
	}
}

// TestTargetsTable: 10,000 targets are filtered, sorted and paged on the server.
func TestTargetsTable(t *testing.T) {
	s := console.Start(t, console.Options{Empty: true})
	for i := range 10_000 {
		s.Target(t, []string{"default", "payments"}[i%2], fmt.Sprintf("t%05d", i), fmt.Sprintf("ns-%d", i%100))
	}
	c := newClient(t, s)
	c.get("/console/targets").want(t, http.StatusOK, "1–50 of 10,000", "Page 1 of 200", ">t00000<", ">t00049<")
	c.get("/console/targets?page=200&sort=-name").want(t, http.StatusOK, "9,951–10,000 of 10,000", ">t00000<")
	c.get("/console/targets?page=999").want(t, http.StatusOK, "Page 200 of 200")
	c.get("/console/targets?q=T0123&scope=payments&sort=namespace").want(t, http.StatusOK, "1–5 of 5", ">t01231<", `href="/console/targets?q=T0123&scope=payments&sort=-namespace"`)
	c.get("/console/targets?sort=nothing&page=x").want(t, http.StatusOK, "1–50 of 10,000")
}

// TestCreateTarget: the form creates a target by the rules of the REST API, and shows its refusals.
func TestCreateTarget(t *testing.T) {
	s := console.Start(t, console.Options{})
	c := newClient(t, s)
	form := url.Values{"scope": {"search"}, "ns": {"web"}, "name": {"clicks"}}
	a := c.post("/console/targets/new", form)
	if a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != "/console/targets/search/clicks?done=created" {
		t.Fatalf("%d to %q: %s", a.StatusCode, a.Header.Get("Location"), a.body)
	}
	c.get(a.Header.Get("Location")).want(t, http.StatusOK, "Target created", "Flink is admitted to Kubernetes namespace web now.")
	if !strings.Contains(s.Log.String(), "msg=audit user=anonymous verb=create kind=DeploymentTarget namespace=search name=clicks") {
		t.Errorf("no audit in %s", s.Log)
	}
	for name, test := range map[string]struct {
		form   url.Values
		status int
		text   string
	}{
		"exists":         {form, http.StatusConflict, "already exists: choose another name"},
		"invalid name":   {url.Values{"scope": {"search"}, "name": {"a b"}}, http.StatusBadRequest, `"a b" is not a valid name for a DeploymentTarget: use 1 to 250 characters`},
		"namespace":      {url.Values{"scope": {"search"}, "name": {"x"}, "ns": {"UPPER"}}, http.StatusBadRequest, "is not a valid name of a Kubernetes namespace"},
		"no scope":       {url.Values{"scope": {"none"}, "name": {"x"}}, http.StatusNotFound, `platform namespace "none" does not exist`},
		"path traversal": {url.Values{"scope": {"search/deployments"}, "name": {"x"}}, http.StatusBadRequest, "is not a valid name"},
	} {
		a := c.post("/console/targets/new", test.form)
		a.want(t, test.status, "Not created", test.text, `value="`+test.form.Get("name")+`"`)
		if t.Failed() {
			t.Fatal(name)
		}
	}
}

// TestDeleteTarget: a deletion applies to the target that was previewed, and is refused while it
// is referenced.
func TestDeleteTarget(t *testing.T) {
	s := console.Start(t, console.Options{})
	c := newClient(t, s)
	page := c.get("/console/targets/analytics/sandbox/delete")
	_, after, _ := strings.Cut(page.body, `name="revision" value="`)
	revision, _, _ := strings.Cut(after, `">`)
	form := url.Values{"revision": {html.UnescapeString(revision)}}
	c.post("/console/targets/analytics/sandbox/delete", url.Values{"revision": {`"00000000-0000-4000-8000-000000000000.1"`}}).want(t, http.StatusConflict, "Not deleted", "is at resourceVersion 1")
	if a := c.post("/console/targets/analytics/sandbox/delete", form); a.StatusCode != http.StatusSeeOther {
		t.Errorf("%d: %s", a.StatusCode, a.body)
	}
	c.get("/console/targets/analytics/sandbox").want(t, http.StatusNotFound)
	c.post("/console/targets/analytics/sandbox/delete", form).want(t, http.StatusNotFound, "does not exist")
	c.post("/console/targets/payments/production/delete", nil).want(t, http.StatusConflict, "cannot be deleted while it is referenced")
}

const flinkDeployment = "apiVersion: flink.apache.org/v1beta1\nkind: FlinkDeployment\nmetadata: {name: clicks}\nspec: {job: {jarURI: local:///a.jar}}\n"

// TestExplain: a manifest gets the verdicts of admission, with reasons and remedy.
func TestExplain(t *testing.T) {
	c := newClient(t, console.Start(t, console.Options{}))
	explain := func(manifest, namespace string) answer {
		t.Helper()
		return c.post("/console/explain", url.Values{"manifest": {manifest}, "ns": {namespace}})
	}
	explain(flinkDeployment, "web").want(t, http.StatusOK, "denied", "NoDeploymentTarget", `namespace "web" has no DeploymentTarget`, "curl -X POST http://127.0.0.1:8080/api/v1", "/console/targets/new?ns=web")
	explain(flinkDeployment, "payments-prod").want(t, http.StatusOK, "allowed", "HasTarget", "vvpNamespace", "payments")
	explain(flinkDeployment+"---\napiVersion: drey.dev/v1\nkind: DeploymentTarget\nmetadata: {name: web, namespace: search}\nspec: {kubernetes: {namespace: web}}\n", "web").
		want(t, http.StatusOK, "1 workload", "HasTarget", "search")
	explain("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: a}\n", "web").want(t, http.StatusOK)
	explain("apiVersion: v1\nkind: Secret\nmetadata: {name: a}\n", "web").want(t, http.StatusOK, "No workload in the manifest")
	explain("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: flink}]}\n", "web").
		want(t, http.StatusOK, "InsufficientSignal", "Recognized with one of", "the label component with the value jobmanager or taskmanager")
	explain("  ", "web").want(t, http.StatusBadRequest, "the manifest is empty: paste")
	explain("a: [", "web").want(t, http.StatusBadRequest, "Not explained", "line 1")
	explain("kind: Pod\n", "web").want(t, http.StatusBadRequest, "apiVersion is missing")
	explain(strings.Repeat("a", 1<<20+1), "web").want(t, http.StatusBadRequest, "exceeds the limit of 1 MiB")
	explain(strings.Repeat("#", 3<<20), "web").want(t, http.StatusRequestEntityTooLarge, "exceeds the limit")
}

// markup is a name that is markup in each of HTML's contexts.
const markup = `</a><script>alert(1)</script>"'onload=x javascript:{{.}}`

// TestEscaping: text of users is text, wherever a page shows it.
func TestEscaping(t *testing.T) {
	s := console.Start(t, console.Options{})
	marked := inventory.Workload{
		Namespace: markup, PlatformNamespace: markup, Target: markup, Owner: inventory.Owner{Kind: markup, Name: markup}, Flavor: markup, Mode: markup, State: markup, Pods: 2,
		Kind: "Deployment", Name: markup, ID: markup, JobID: markup, Registered: true, Misplaced: true, MissingLabels: []string{markup}, ConflictingLabels: []string{markup}, Requests: inventory.Resources{Memory: 1 << 50},
	}
	s.Inventory.Put(marked)
	s.Deny(denials.Denial{
		User: markup, Groups: []string{markup}, Kind: markup, Namespace: markup, Name: markup, Owner: denials.Owner{Kind: markup, Name: markup}, Operation: markup, PlatformNamespace: markup,
		Reason: "NoDeploymentTarget", Message: markup, Remedy: markup, Mode: markup, Replica: markup, Last: console.Now, Count: 2,
	})
	s.Create(t, registry.Deployment, "search", "a", map[string]any{"state": markup, "deploymentTargetName": "indexing", "note": markup})
	o, err := s.Registry.Create(t.Context(), registry.Object{Kind: registry.DeploymentTarget, Metadata: registry.Metadata{Namespace: "search", Name: "m", Labels: map[string]string{markup: markup}, Annotations: map[string]string{markup: markup}}, Spec: []byte(`{"kubernetes":{}}`)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t, s)
	query := url.QueryEscape(markup)
	pages := []answer{
		c.get("/"), c.get("/console/workloads"), c.get((page.Workload{Workload: marked}).URL()), c.get("/console/denials"), c.get("/console/deployments"), c.get("/console/deployments/search/a"), c.get("/console/targets/search/" + o.Metadata.Name),
		c.get("/console/targets/search/" + url.PathEscape(markup)), c.get("/console/" + url.PathEscape(markup)),
		c.post("/console/targets/new", url.Values{"scope": {markup}, "ns": {markup}, "name": {markup}}),
		c.post("/console/explain", url.Values{"manifest": {strings.ReplaceAll(flinkDeployment, "clicks", `"`+strings.ReplaceAll(markup, `"`, `\"`)+`"`)}, "ns": {markup}}),
	}
	for _, path := range []string{"targets", "workloads", "denials", "deployments", "targets/new", "explain"} {
		pages = append(pages, c.get("/console/"+path+"?q="+query+"&ns="+query+"&scope="+query+"&sort="+query+"&target="+query+"&reason="+query+"&page="+query))
	}
	shown := 0
	for _, a := range pages {
		if strings.Contains(a.body, "<script>") || strings.Contains(a.body, "</a><script") || strings.Contains(a.body, `="'`) || strings.Contains(a.body, `"'onload`) {
			t.Errorf("%s: markup in %s", a.Request.URL, a.body)
		}
		if strings.Contains(html.UnescapeString(a.body), markup) {
			shown++
		}
	}
	if shown < 10 {
		t.Errorf("the text is shown in %d pages", shown)
	}
}

// TestHeaders: pages have a strict policy, and are not cached; static files are.
func TestHeaders(t *testing.T) {
	c := newClient(t, console.Start(t, console.Options{}))
	a := c.get("/")
	for header, want := range map[string]string{
		"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "same-origin", "Cache-Control": "no-store", "Cross-Origin-Opener-Policy": "same-origin",
		"Cross-Origin-Resource-Policy": "same-origin", "Vary": "Accept, Cookie", "Content-Type": "text/html; charset=utf-8",
	} {
		if got := a.Header.Get(header); got != want {
			t.Errorf("%s: %q, want %q", header, got, want)
		}
	}
	policy := a.Header.Get("Content-Security-Policy")
	if !strings.Contains(policy, "default-src 'none'") || !strings.Contains(policy, "frame-ancestors 'none'") || strings.Contains(policy, "unsafe") || strings.Contains(policy, "http") {
		t.Errorf("policy %s", policy)
	}
	for _, forbidden := range []string{" style=", " onclick", "<style", "://"} { // inline, or of another host
		if strings.Contains(strings.ReplaceAll(a.body, "http://127.0.0.1", ""), forbidden) {
			t.Errorf("%q in %s", forbidden, a.body)
		}
	}
	for _, part := range strings.Split(a.body, `"`) {
		if strings.HasPrefix(part, "/console/static/") {
			file := c.get(part)
			if file.StatusCode != http.StatusOK || !strings.Contains(file.Header.Get("Cache-Control"), "immutable") || len(file.body) == 0 {
				t.Errorf("%s: %d %s", part, file.StatusCode, file.Header.Get("Cache-Control"))
			}
		}
	}
	c.get("/console/static/none.css").want(t, http.StatusNotFound)
}

// TestCrossOrigin: a page of another site cannot act, and cannot reach a server without
// authentication by another host name.
func TestCrossOrigin(t *testing.T) {
	s := console.Start(t, console.Options{})
	c := newClient(t, s)
	form := url.Values{"scope": {"search"}, "ns": {"web"}, "name": {"evil"}}
	for name, header := range map[string]http.Header{
		"another site":  {"Sec-Fetch-Site": {"cross-site"}},
		"a subdomain":   {"Sec-Fetch-Site": {"same-site"}},
		"another port":  {"Origin": {"http://127.0.0.1:1"}},
		"opaque origin": {"Origin": {"null"}},
	} {
		a := c.do(http.MethodPost, "/console/targets/new", form, header)
		if a.StatusCode != http.StatusForbidden || !strings.Contains(a.body, "another site") {
			t.Errorf("%s: %d %s", name, a.StatusCode, a.body)
		}
	}
	c.get("/console/targets/search/evil").want(t, http.StatusNotFound)
	for _, path := range []string{"/", "/console/targets", "/console/events"} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Host, request.Header = "attacker.example", c.header
		response, err := c.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusForbidden {
			t.Errorf("%s with another host: %d", path, response.StatusCode)
		}
	}
}

// TestEvents: a change of what a page shows is announced before the next heartbeat, and others are
// not.
func TestEvents(t *testing.T) {
	s := console.Start(t, console.Options{})
	listen := func(topics string) *bufio.Reader {
		response, err := s.Client().Get(s.URL + "/console/events?topics=" + topics)
		if err != nil || response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != "text/event-stream" {
			t.Fatalf("%v, %v", response, err)
		}
		t.Cleanup(func() { response.Body.Close() })
		lines := bufio.NewReader(response.Body)
		if line, err := lines.ReadString('\n'); err != nil || line != "retry: 2000\n" { // it has subscribed
			t.Fatalf("%q, %v", line, err)
		}
		return lines
	}
	await := func(lines *bufio.Reader, what string) {
		t.Helper()
		for {
			switch line, err := lines.ReadString('\n'); {
			case err != nil:
				t.Fatalf("no event of %s: %v", what, err)
			case line == "event: change\n":
				return
			case strings.HasPrefix(line, ":"):
				t.Fatalf("no event of %s before the heartbeat", what)
			}
		}
	}
	both, denied := listen("targets+denials"), listen("denials")
	s.Target(t, "search", "new", "web")
	await(both, "a new target")
	s.Deny(denials.Denial{Namespace: "web", Kind: "Pod", Name: "a"})
	await(both, "a new denial")
	await(denied, "a new denial")
	s.EndStreams()
	if rest, err := io.ReadAll(denied); err != nil || strings.Contains(string(rest), "event: change") {
		t.Errorf("an event of a topic that the page does not show: %v %q", err, rest)
	}
}

// TestAuthorization: a user sees and does what their token permits.
func TestAuthorization(t *testing.T) {
	s := console.Start(t, console.Options{Auth: true})
	bearer := func(token string) *client {
		c := newClient(t, s)
		c.header.Set("Authorization", "Bearer "+token)
		return c
	}
	owner, viewer, search := bearer(s.Token(t, registry.Everywhere, access.Owner)), bearer(s.Token(t, registry.Everywhere, access.Viewer)), bearer(s.Token(t, "search", access.Owner))

	owner.get("/console/workloads").want(t, http.StatusOK, "11 workloads", "clickstream")
	owner.get("/console/targets").want(t, http.StatusOK, "1–6 of 6", "New target")
	viewer.get("/console/workloads").want(t, http.StatusOK, "11 workloads")
	if a := viewer.get("/console/targets"); strings.Contains(a.body, "New target") {
		t.Error("a viewer is offered a new target")
	}
	viewer.post("/console/targets/new", url.Values{"scope": {"search"}, "ns": {"web"}, "name": {"x"}}).want(t, http.StatusForbidden, "Not created", "may not create DeploymentTarget", "get a token with a sufficient role")
	viewer.post("/console/targets/analytics/sandbox/delete", nil).want(t, http.StatusForbidden, "Not permitted", "may not delete DeploymentTarget")

	search.get("/console/targets").want(t, http.StatusOK, "1–1 of 1", "indexing")
	search.get("/console/workloads").want(t, http.StatusOK, "1–2 of 2")
	search.get("/").want(t, http.StatusOK, "1 Kubernetes namespace, 1 platform namespace")
	search.get("/console/targets/payments/production").want(t, http.StatusForbidden, "may not get DeploymentTarget")
	search.get("/console/deployments/payments/fraud-scoring").want(t, http.StatusForbidden)
	search.get("/console/workloads/search-indexing/Deployment/query-log").want(t, http.StatusOK, "0 of 2 ready")
	for _, path := range []string{"payments-prod/FlinkDeployment/fraud-scoring", "web/FlinkDeployment/clickstream"} { // as if it did not exist
		search.get("/console/workloads/"+path).want(t, http.StatusNotFound, "is not a Flink workload that runs, or you may not see it")
		viewer.get("/console/workloads/"+path).want(t, http.StatusOK)
	}
	for _, path := range []string{"/", "/console/targets", "/console/workloads", "/console/denials", "/console/deployments", "/console/sessionclusters", "/console/targets/new"} {
		if a := search.get(path); strings.Contains(a.body, "payments") || strings.Contains(a.body, "clickstream") {
			t.Errorf("%s shows another platform namespace: %s", path, a.body)
		}
	}
	a := search.post("/console/explain", url.Values{"manifest": {flinkDeployment}, "ns": {"payments-prod"}})
	a.want(t, http.StatusOK, "NoDeploymentTarget", "are not considered: admission may decide otherwise")
	search.post("/console/targets/new", url.Values{"scope": {"search"}, "ns": {"web"}, "name": {"x"}}).want(t, http.StatusSeeOther)

	bearer("drey_wrong_token").get("/").want(t, http.StatusUnauthorized, "the token is not valid")
}

// TestSession: a user logs in by a token, which the browser gets encrypted, and logs out.
func TestSession(t *testing.T) {
	key := []byte(strings.Repeat("k", 32))
	s := console.Start(t, console.Options{Auth: true, CookieKey: key})
	c := newClient(t, s)
	a := c.get("/console/targets?q=a")
	if a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != "/console/login?next=%2Fconsole%2Ftargets%3Fq%3Da" {
		t.Fatalf("without a session: %d to %s", a.StatusCode, a.Header.Get("Location"))
	}
	c.get(a.Header.Get("Location")).want(t, http.StatusOK, "Log in", `value="/console/targets?q=a"`, "drey tokens create")
	c.post("/console/login", url.Values{"token": {"drey_a_b"}}).want(t, http.StatusUnauthorized, "Not logged in", "the token is not valid: it is mistyped, expired or deleted")

	token := s.Token(t, "search", access.Viewer)
	a = c.post("/console/login", url.Values{"token": {token}, "next": {"/console/targets"}})
	a.want(t, http.StatusSeeOther)
	if len(a.Cookies()) != 1 {
		t.Fatalf("cookies %v", a.Cookies())
	}
	cookie := a.Cookies()[0]
	if !cookie.HttpOnly || !cookie.Secure || cookie.SameSite != http.SameSiteStrictMode || cookie.Path != "/" || cookie.Domain != "" || !strings.HasPrefix(cookie.Name, "__Host-") || cookie.MaxAge != 12*60*60 {
		t.Errorf("cookie %s", cookie)
	}
	if strings.Contains(cookie.String(), token[5:]) || a.Header.Get("Location") != "/console/targets" {
		t.Errorf("cookie %s to %s", cookie, a.Header.Get("Location"))
	}
	c.get("/console/targets").want(t, http.StatusOK, "token search/viewer-0", "Log out", "indexing")

	for name, other := range map[string]string{"changed": cookie.Value[:len(cookie.Value)-2] + "AA", "cut": cookie.Value[:20], "not base64": "!", "empty": ""} {
		forged := newClient(t, s)
		forged.header.Set("Cookie", cookie.Name+"="+other)
		if a := forged.get("/"); a.StatusCode != http.StatusSeeOther {
			t.Errorf("%s cookie: %d", name, a.StatusCode)
		}
	}
	c.post("/console/logout", nil).want(t, http.StatusSeeOther)
	if a := c.get("/"); a.StatusCode != http.StatusSeeOther {
		t.Errorf("after the logout: %d", a.StatusCode)
	}

	replica := console.Start(t, console.Options{Auth: true, CookieKey: key, Empty: true})
	elsewhere := newClient(t, replica)
	elsewhere.header.Set("Cookie", cookie.Name+"="+cookie.Value)
	if a := elsewhere.get("/"); a.StatusCode != http.StatusSeeOther { // readable, but the token is another store's
		t.Errorf("token of another store: %d", a.StatusCode)
	}
	stolen := newClient(t, s)
	stolen.header.Set("Cookie", cookie.Name+"="+cookie.Value)
	stolen.get("/").want(t, http.StatusOK)
	if _, err := s.Registry.Delete(t.Context(), registry.Key{Kind: registry.APIToken, Namespace: "search", Name: "viewer-0"}, registry.Precondition{}); err != nil {
		t.Fatal(err)
	}
	if a := stolen.get("/"); a.StatusCode != http.StatusSeeOther {
		t.Errorf("after the token was deleted: %d", a.StatusCode)
	}
}

// TestLoginRedirect: the login continues on this site only.
func TestLoginRedirect(t *testing.T) {
	s := console.Start(t, console.Options{Auth: true})
	token := s.Token(t, registry.Everywhere, access.Viewer)
	for _, next := range []string{"https://attacker.example/", "//attacker.example/console/", `/\attacker.example`, "/console/../..//attacker.example", "javascript:alert(1)", "/api/v1/status", ""} {
		a := newClient(t, s).post("/console/login", url.Values{"token": {token}, "next": {next}})
		if got := a.Header.Get("Location"); a.StatusCode != http.StatusSeeOther || got != "/" && !strings.HasPrefix(got, "/console/") {
			t.Errorf("next %q: %d to %q", next, a.StatusCode, got)
		}
	}
}

// TestLoginThrottle: wrong tokens are throttled, together with those of the REST API.
func TestLoginThrottle(t *testing.T) {
	s := console.Start(t, console.Options{Auth: true})
	c := newClient(t, s)
	for i := range 12 {
		c.post("/console/login", url.Values{"token": {fmt.Sprintf("drey_k_%d", i)}})
	}
	a := c.post("/console/login", url.Values{"token": {"drey_k_x"}})
	a.want(t, http.StatusTooManyRequests, "too many requests with a wrong token from this address")
	if a := c.do(http.MethodGet, "/namespaces/v1/namespaces", nil, http.Header{"Authorization": {"Bearer drey_k_y"}}); a.StatusCode != http.StatusTooManyRequests {
		t.Errorf("REST: %d", a.StatusCode)
	}
}
