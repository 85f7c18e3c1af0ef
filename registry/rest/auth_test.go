package rest_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"drey.dev/drey/denials"
	"drey.dev/drey/inventory"
	"drey.dev/drey/registry"
	"drey.dev/drey/registry/access"
	"drey.dev/drey/registry/memstore"
	"drey.dev/drey/registry/rest"
)

// guarded is a server with authentication, and tokens for it.
type guarded struct {
	*httptest.Server
	rules  *registry.Registry
	log    *bytes.Buffer
	tokens map[string]string // secrets by caller

	workloads *inventory.Inventory
	denials   *denials.History
	closing   chan struct{}
}

func newGuarded(t *testing.T) *guarded {
	t.Helper()
	ctx, store := t.Context(), memstore.New()
	rules, err := registry.New(ctx, store, registry.Options{OwnNamespace: "drey-system", Namespaces: []string{"team-a", "team-b", "empty"}})
	if err != nil {
		t.Fatal(err)
	}
	g := &guarded{workloads: observedWorkloads(), denials: observedDenials(), closing: make(chan struct{}), rules: rules, log: &bytes.Buffer{}, tokens: map[string]string{"no token": "", "unknown token": "drey_stranger_secret", "malformed token": "drey_"}}
	for who, in := range map[string]string{"viewer": "team-a", "editor": "team-a", "owner": "team-a", "other owner": "team-b", "global owner": registry.Everywhere, "global viewer": registry.Everywhere} {
		role := access.Role(who[strings.LastIndexByte(who, ' ')+1:])
		o, secret, err := access.Issue(in, strings.NewReplacer(" ", "-", "'", "").Replace(who), role)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := rules.Create(ctx, o, nil); err != nil {
			t.Fatal(err)
		}
		g.tokens[who] = secret
	}
	known, err := access.Follow(ctx, store)
	if err != nil {
		t.Fatal(err)
	}
	g.Server = httptest.NewServer(rest.New(rest.Options{Registry: rules, Log: slog.New(slog.NewTextHandler(g.log, nil)), Access: access.Any{known}, Inventory: g.workloads, Denials: g.denials, Closing: g.closing}))
	t.Cleanup(g.Close)
	return g
}

func (g *guarded) call(t *testing.T, method, path, token, body string) (int, string, http.Header) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, g.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text), response.Header
}

// TestRolePermissions: the permissions of each role, for each route.
func TestRolePermissions(t *testing.T) {
	roles := []string{"viewer", "editor", "owner", "other owner", "global owner", "global viewer"}
	const (
		api    = "/api/v1/namespaces/team-a/"
		tokens = "/apitokens/v1/namespaces/team-a/apitokens"
		spaces = "/namespaces/v1/namespaces"
		spec   = `"spec":{"kubernetes":{"namespace":"x"}}`
	)
	for _, row := range []struct {
		method, path, body string
		may                string // a letter for each role
	}{
		{"GET", api + "deployment-targets", "", "yyynyy"},
		{"GET", api + "deployment-targets/there", "", "yyynyy"},
		{"POST", api + "deployment-targets", `{"metadata":{"name":"new"},` + spec + `}`, "nnynyn"},
		{"PUT", api + "deployment-targets/new", `{` + spec + `}`, "nnynyn"},
		{"PUT", api + "deployment-targets/there", `{` + spec + `}`, "nnynyn"},
		{"DELETE", api + "deployment-targets/there", "", "nnynyn"},

		{"GET", api + "deployments", "", "yyynyy"},
		{"GET", api + "deployments/there", "", "yyynyy"},
		{"POST", api + "deployments", `{"metadata":{"name":"new"},"spec":{}}`, "nyynyn"},
		{"PUT", api + "deployments/new", `{"spec":{}}`, "nyynyn"},
		{"PATCH", api + "deployments/there", `{"metadata":{"labels":{"a":"b"}}}`, "nyynyn"},
		{"DELETE", api + "deployments/there", "", "nyynyn"},

		{"GET", api + "sessionclusters", "", "yyynyy"},
		{"GET", api + "sessionclusters/there", "", "yyynyy"},
		{"POST", api + "sessionclusters", `{"metadata":{"name":"new"},"spec":{}}`, "nyynyn"},
		{"PUT", api + "sessionclusters/new", `{"spec":{}}`, "nyynyn"},
		{"PATCH", api + "sessionclusters/there", `{"metadata":{"labels":{"a":"b"}}}`, "nyynyn"},
		{"DELETE", api + "sessionclusters/there", "", "nyynyn"},

		{"GET", api + "jobs", "", "yyynyy"},

		{"GET", tokens, "", "nnynyn"},
		{"GET", tokens + "/viewer", "", "nnynyn"},
		{"POST", tokens, `{"name":"new","role":"owner"}`, "nnynyn"},
		{"DELETE", tokens + "/viewer", "", "nnynyn"},
		{"GET", "/apitokens/v1/namespaces/*/apitokens", "", "nnnnyn"},
		{"POST", "/apitokens/v1/namespaces/*/apitokens", `{"name":"new","role":"viewer"}`, "nnnnyn"},

		{"GET", spaces, "", "yyyyyy"},
		{"GET", spaces + "/team-a", "", "yyynyy"},
		{"GET", spaces + "/team-b", "", "nnnyyy"},
		{"POST", spaces, `{"name":"new"}`, "nnnnyn"},
		{"PUT", spaces + "/team-a", `{"roleBindings":[{"role":"viewer","members":["system:authenticated"]}]}`, "nnynyn"},
		{"DELETE", spaces + "/empty", "", "nnnnyn"},

		{"GET", "/api/v1/namespaces/nowhere/deployments", "", "nnn" + "n" + "--"}, // 404 with permission
		{"GET", "/api/v1/namespaces/*/deployments", "", "nnnn--"},
	} {
		t.Run(strings.ReplaceAll(row.method+row.path, "/", "_"), func(t *testing.T) {
			for i, role := range roles {
				g := newGuarded(t)
				g.fill(t)
				status, body, _ := g.call(t, row.method, row.path, g.tokens[role], row.body)
				switch row.may[i] {
				case 'y':
					if status < 200 || status > 299 {
						t.Errorf("%s got %d, and may: %s", role, status, body)
					}
				case 'n':
					if status != http.StatusForbidden || !strings.Contains(body, `"reason":"Forbidden"`) {
						t.Errorf("%s got %d, and may not: %s", role, status, body)
					}
				default:
					if status != http.StatusNotFound {
						t.Errorf("%s got %d, want 404: %s", role, status, body)
					}
				}
			}
			for _, who := range []string{"no token", "unknown token", "malformed token"} {
				g := newGuarded(t)
				status, body, header := g.call(t, row.method, row.path, g.tokens[who], row.body)
				if status != http.StatusUnauthorized || !strings.Contains(body, `"reason":"Unauthorized"`) || header.Get("WWW-Authenticate") == "" {
					t.Errorf("%s got %d, want 401 with a challenge: %s", who, status, body)
				}
			}
		})
	}
}

// TestRoleBindings: role bindings of a platform namespace grant roles to API tokens, and a warning names
// the members that have none.
func TestRoleBindings(t *testing.T) {
	const path, deployments = "/namespaces/v1/namespaces/team-a", "/api/v1/namespaces/team-a/deployments"
	for _, row := range []struct {
		name, bindings string
		warning        string
		reads, writes  int // of other owner, the owner of team-b
	}{
		{"none", `[]`, "", 403, 403},
		{"all tokens", `[{"role":"viewer","members":["system:authenticated"]}]`, "", 200, 403},
		{"one token", `[{"role":"viewer","members":["user:a"]},{"role":"editor","members":["namespaces/team-b/apitokens/other-owner"]}]`,
			`grant nothing to \"user:a\": use`, 200, 201},
		{"another token", `[{"role":"owner","members":["namespaces/team-b/apitokens/x"]}]`, "", 403, 403},
		{"users", `[{"role":"owner","members":["user:a","group:b","user:a"]}]`, `grant nothing to \"user:a\", \"group:b\": use`, 403, 403},
	} {
		t.Run(row.name, func(t *testing.T) {
			g := newGuarded(t)
			owner, other := g.tokens["owner"], g.tokens["other owner"]
			status, body, header := g.call(t, http.MethodPut, path, owner, `{"roleBindings":`+row.bindings+`}`)
			if warning := header.Get("Warning"); status != http.StatusOK || row.warning == "" && warning != "" || !strings.Contains(warning, row.warning) {
				t.Fatalf("PUT: got %d %s %q, want a warning with %q", status, body, warning, row.warning)
			}
			if status, body, _ := g.call(t, http.MethodGet, deployments, other, ""); status != row.reads {
				t.Errorf("GET: got %d %s, want %d", status, body, row.reads)
			}
			if status, body, _ := g.call(t, http.MethodPost, deployments, other, `{"metadata":{"name":"new"},"spec":{}}`); status != row.writes {
				t.Errorf("POST: got %d %s, want %d", status, body, row.writes)
			}
			if status, body, _ := g.call(t, http.MethodPut, path, other, `{}`); status != http.StatusForbidden {
				t.Errorf("PUT of role bindings: got %d %s, want 403", status, body)
			}
			g.call(t, http.MethodPut, path, owner, `{}`)
			if status, body, _ := g.call(t, http.MethodGet, deployments, other, ""); status != http.StatusForbidden {
				t.Errorf("GET after the removal: got %d %s, want 403", status, body)
			}
		})
	}
}

// fill makes one object of each kind, called there.
func (g *guarded) fill(t *testing.T) {
	t.Helper()
	for kind, spec := range map[registry.Kind]string{
		registry.DeploymentTarget: `{"kubernetes":{"namespace":"x"}}`, registry.Deployment: `{}`, registry.SessionCluster: `{}`,
	} {
		o := registry.Object{Kind: kind, Metadata: registry.Metadata{Namespace: "team-a", Name: "there"}, Spec: []byte(spec)}
		if _, err := g.rules.Create(context.Background(), o, nil); err != nil {
			t.Fatal(err)
		}
	}
}

// TestStatusPublic: the status needs no token.
func TestStatusPublic(t *testing.T) {
	g := newGuarded(t)
	for _, path := range []string{"/api/v1/status", "/api/v1/status/system-info"} {
		if status, body, _ := g.call(t, http.MethodGet, path, "", ""); status != http.StatusOK {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
}

// TestNamespaceListFiltered: a list has only the platform namespaces that the caller may get.
func TestNamespaceListFiltered(t *testing.T) {
	g := newGuarded(t)
	for who, want := range map[string]string{"viewer": "team-a", "other owner": "team-b", "global viewer": "default empty team-a team-b"} {
		_, body, _ := g.call(t, http.MethodGet, "/namespaces/v1/namespaces", g.tokens[who], "")
		for _, name := range []string{"default", "empty", "team-a", "team-b"} {
			if got := strings.Contains(body, `"namespaces/`+name+`"`); got != strings.Contains(want, name) {
				t.Errorf("%s sees %s: %t, want the other: %s", who, name, got, body)
			}
		}
	}
}

// TestTokenLifecycle: the secret is returned once, and valid until its token is deleted.
func TestTokenLifecycle(t *testing.T) {
	g := newGuarded(t)
	const path = "/apitokens/v1/namespaces/team-a/apitokens"
	owner := g.tokens["owner"]
	status, body, header := g.call(t, http.MethodPost, path, owner, `{"name":"namespaces/team-a/apitokens/ci","role":"editor"}`)
	_, after, _ := strings.Cut(body, `"secret":"`)
	secret, _, _ := strings.Cut(after, `"`)
	if status != http.StatusOK || len(secret) < 40 || header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %s %v", status, body, header)
	}
	works := func() bool {
		status, _, _ := g.call(t, http.MethodGet, "/api/v1/namespaces/team-a/deployments", secret, "")
		return status == http.StatusOK
	}
	if !works() {
		t.Error("the new token opens nothing")
	}
	for _, p := range []string{path, path + "/ci"} {
		_, body, _ := g.call(t, http.MethodGet, p, owner, "")
		if !strings.Contains(body, `"namespaces/team-a/apitokens/ci"`) || strings.Contains(body, "secret") || strings.Contains(body, "hash") {
			t.Errorf("%s: %s", p, body)
		}
	}
	if status, body, _ := g.call(t, http.MethodPost, path, owner, `{"name":"ci","role":"editor"}`); status != http.StatusConflict {
		t.Errorf("a second one of the same name: %d %s", status, body)
	}
	if status, body, _ := g.call(t, http.MethodDelete, path+"/ci", owner, ""); status != http.StatusOK || !strings.Contains(body, `"namespaces/team-a/apitokens/ci"`) {
		t.Errorf("delete: %d %s", status, body)
	}
	if works() {
		t.Error("the deleted token still opens")
	}
}

// TestTokenRequestInvalid: an invalid request for a token is a 400 with a remedy.
func TestTokenRequestInvalid(t *testing.T) {
	g := newGuarded(t)
	for body, says := range map[string]string{
		`{"name":"ci","role":"king"}`:   "viewer, editor or owner",
		`{"name":"ci"}`:                 "viewer, editor or owner",
		`{"name":"c/i","role":"owner"}`: "c/i",
		`{"role":"owner"}`:              "name",
		`{"name":[7],"role":"owner"}`:   "a string",
		`{"name":"` + strings.Repeat("x", 300) + `","role":"owner"}`:    "250",
		`{"name":"namespaces/team-a/apitokens/../x","role":"owner"}`:    "../x",
		`{"name":"namespaces/team-a/apitokens/team-a","role":"owner "}`: "viewer, editor or owner",
	} {
		status, answer, _ := g.call(t, http.MethodPost, "/apitokens/v1/namespaces/team-a/apitokens", g.tokens["owner"], body)
		if status != http.StatusBadRequest || !strings.Contains(answer, says) {
			t.Errorf("%s: %d %s, want 400 that says %q", body, status, answer, says)
		}
	}
}

// TestNamespaceRecreatedTokens: a new platform namespace has no tokens of a deleted one of its
// name.
func TestNamespaceRecreatedTokens(t *testing.T) {
	g := newGuarded(t)
	all := g.tokens["global owner"]
	if status, body, _ := g.call(t, http.MethodDelete, "/namespaces/v1/namespaces/team-b", all, ""); status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	if status, body, _ := g.call(t, http.MethodPost, "/namespaces/v1/namespaces", all, `{"name":"team-b"}`); status != http.StatusCreated {
		t.Fatalf("%d %s", status, body)
	}
	if status, body, _ := g.call(t, http.MethodGet, "/api/v1/namespaces/team-b/deployments", g.tokens["other owner"], ""); status != http.StatusUnauthorized {
		t.Errorf("a token of the deleted namespace got %d %s", status, body)
	}
}

// TestThrottleWrongTokens: wrong tokens are throttled, valid ones are not.
func TestThrottleWrongTokens(t *testing.T) {
	g := newGuarded(t)
	const path = "/api/v1/namespaces/team-a/deployments"
	for i := range 9 {
		if status, _, _ := g.call(t, http.MethodGet, path, fmt.Sprintf("drey_guess_%d", i), ""); status != http.StatusUnauthorized {
			t.Fatalf("guess %d: %d", i, status)
		}
	}
	blocked := 0
	for i := range 30 {
		status, _, header := g.call(t, http.MethodGet, path, fmt.Sprintf("drey_more_%d", i), "")
		if status == http.StatusTooManyRequests && header.Get("Retry-After") != "" {
			blocked++
		}
	}
	if blocked < 25 {
		t.Errorf("%d of 30 further guesses were held up", blocked)
	}
	if status, body, _ := g.call(t, http.MethodGet, path, g.tokens["viewer"], ""); status != http.StatusOK {
		t.Errorf("a right token from the same address: %d %s", status, body)
	}
	if strings.Contains(g.log.String(), "guess_") || strings.Contains(g.log.String(), "more_") {
		t.Errorf("the log has tokens in it: %s", g.log)
	}
	if n := strings.Count(g.log.String(), "token refused"); n < 9 || n > 15 {
		t.Errorf("%d lines in the log for 39 guesses", n)
	}
}

// TestAuditLog: every write is logged with its user and object.
func TestAuditLog(t *testing.T) {
	g := newGuarded(t)
	g.fill(t)
	const one = "/api/v1/namespaces/team-a/deployments/there"
	for _, c := range []struct{ method, path, body, line string }{
		{"PUT", one, `{"spec":{"a":1}}`, `verb=update kind=Deployment namespace=team-a name=there oldResourceVersion=1 resourceVersion=2`},
		{"PATCH", one, `{"spec":{"a":2}}`, `verb=patch kind=Deployment namespace=team-a name=there oldResourceVersion=2 resourceVersion=3`},
		{"DELETE", one, ``, `verb=delete kind=Deployment namespace=team-a name=there oldResourceVersion=3 resourceVersion=0`},
		{"POST", "/api/v1/namespaces/team-a/deployments", `{"metadata":{"name":"x"},"spec":{}}`, `verb=create kind=Deployment namespace=team-a name=x oldResourceVersion=0 resourceVersion=1`},
		{"PUT", "/api/v1/namespaces/team-a/deployments/y", `{"spec":{}}`, `verb=create kind=Deployment namespace=team-a name=y oldResourceVersion=0 resourceVersion=1`},
		{"PUT", "/api/v1/namespaces/team-a/deployments/y", `{"spec":{}}`, ``},
	} {
		g.log.Reset()
		if status, body, _ := g.call(t, c.method, c.path, g.tokens["editor"], c.body); status > 299 {
			t.Fatalf("%s %s: %d %s", c.method, c.path, status, body)
		}
		lines := strings.Count(g.log.String(), "msg=audit")
		if c.line == "" && lines == 0 {
			continue
		}
		for _, part := range []string{c.line, `user="token team-a/editor"`, "client=127.0.0.1:"} {
			if lines != 1 || !strings.Contains(g.log.String(), part) {
				t.Errorf("%s %s: want one line with %s: %s", c.method, c.path, part, g.log)
			}
		}
	}
}

// TestUnauthenticatedServer: without authentication, other hosts and origins are refused, and
// tokens ignored.
func TestUnauthenticatedServer(t *testing.T) {
	server := newServer(t)
	for rule, c := range map[string]struct {
		method, host string
		header       [2]string
		want         int
	}{
		"by address":                        {"GET", "", [2]string{}, 200},
		"by name":                           {"GET", "localhost:8080", [2]string{}, 200},
		"by IPv6 address":                   {"GET", "[::1]:8080", [2]string{}, 200},
		"by a name that points here":        {"GET", "rebound.example:8080", [2]string{}, 403},
		"by a name that looks like it":      {"GET", "localhost.example", [2]string{}, 403},
		"a write from another page":         {"DELETE", "", [2]string{"Sec-Fetch-Site", "cross-site"}, 403},
		"a write from another origin":       {"DELETE", "", [2]string{"Origin", "https://web.example"}, 403},
		"a token is ignored":                {"GET", "", [2]string{"Authorization", "Bearer whatever"}, 200},
		"other authentication is, too":      {"GET", "", [2]string{"Authorization", "Basic eDp5"}, 200},
		"status by a name that points here": {"GET /api/v1/status", "rebound.example", [2]string{}, 403},
	} {
		t.Run(rule, func(t *testing.T) {
			method, path, _ := strings.Cut(c.method, " ")
			if path == "" {
				path = "/api/v1/namespaces/default/deployments"
				if method == http.MethodDelete {
					path += "/x"
				}
			}
			request, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Host = c.host
			if c.header[0] != "" {
				request.Header.Set(c.header[0], c.header[1])
			}
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if response.StatusCode != c.want {
				t.Errorf("got %s, want %d", response.Status, c.want)
			}
		})
	}
}

// TestAuditDeletedTokens: tokens deleted with their platform namespace are audited.
func TestAuditDeletedTokens(t *testing.T) {
	g := newGuarded(t)
	if status, text, _ := g.call(t, http.MethodDelete, "/namespaces/v1/namespaces/team-b", g.tokens["viewer"], ""); status != http.StatusForbidden || !strings.Contains(text, `delete Namespace \"team-b\"`) {
		t.Errorf("a denial does not name the missing permission: %d %s", status, text)
	}
	if status, text, _ := g.call(t, http.MethodDelete, "/namespaces/v1/namespaces/team-b", g.tokens["global owner"], ""); status != http.StatusOK {
		t.Fatal(text)
	}
	for _, line := range []string{"verb=delete kind=ApiToken namespace=team-b name=other-owner", "verb=delete kind=Namespace"} {
		if !strings.Contains(g.log.String(), line) {
			t.Errorf("no line of the log has %q:\n%s", line, g.log)
		}
	}
}
