package rest_test

import (
	"bufio"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"drey.dev/drey/denials"
	"drey.dev/drey/inventory"
	"drey.dev/drey/registry/rest"
)

// TestObserveVisible: a caller sees the workloads, totals and denials of the platform namespaces
// that it may read, and those without one if it may read all.
func TestObserveVisible(t *testing.T) {
	g := newGuarded(t)
	for caller, want := range map[string]struct{ workloads, denials int }{
		"viewer": {1, 1}, "owner": {1, 1}, "other owner": {1, 0}, "global viewer": {3, 2}, "global owner": {3, 2},
	} {
		for path, n := range map[string]int{"workloads": want.workloads, "usage": want.workloads, "denials": want.denials} {
			status, text, _ := g.call(t, "GET", "/drey/v1/"+path, g.tokens[caller], "")
			var list struct {
				Metadata struct{ Total int }
				Items    []struct{ PlatformNamespace string }
			}
			if err := json.Unmarshal([]byte(text), &list); err != nil || status != http.StatusOK || len(list.Items) != n || list.Metadata.Total != n {
				t.Errorf("%s gets %s: %d %s, want %d items", caller, path, status, text, n)
			}
			for _, item := range list.Items {
				if want.workloads == 1 && item.PlatformNamespace != map[bool]string{true: "team-b", false: "team-a"}[caller == "other owner"] {
					t.Errorf("%s sees %s of %q", caller, path, item.PlatformNamespace)
				}
			}
		}
	}
	for _, caller := range []string{"no token", "unknown token"} {
		for _, path := range []string{"targets", "workloads", "usage", "denials", "events"} {
			if status, text, _ := g.call(t, "GET", "/drey/v1/"+path, g.tokens[caller], ""); status != http.StatusUnauthorized {
				t.Errorf("%s gets %s: %d %s", caller, path, status, text)
			}
		}
	}
}

// TestTargetList: a caller lists the targets of the platform namespaces that it may read, in pages
// that have each target once.
func TestTargetList(t *testing.T) {
	g := newGuarded(t)
	createTargets(t, g.rules, "team-b/prod/flink", "team-a/z/z", "team-a/prod/flink", "team-a/a/a")
	for caller, want := range map[string][]string{
		"viewer": {"a", "prod", "z"}, "other owner": {"prod"}, "global viewer": {"a", "prod", "z", "prod"},
	} {
		var names []string
		next := ""
		for {
			status, text, _ := g.call(t, "GET", "/drey/v1/targets?limit=1&continue="+next, g.tokens[caller], "")
			var list struct {
				Metadata struct {
					Total    int
					Continue string
				}
				Items []struct {
					Name      string
					Ready     *bool
					Workloads int
				}
			}
			if err := json.Unmarshal([]byte(text), &list); err != nil || status != http.StatusOK || len(list.Items) != 1 || list.Metadata.Total != len(want) {
				t.Fatalf("%s: %d %s, want one of %d", caller, status, text, len(want))
			}
			item := list.Items[0]
			if item.Ready != nil || (item.Workloads == 1) != (item.Name == "prod") {
				t.Errorf("%s: %s", caller, text)
			}
			names = append(names, item.Name)
			if next = list.Metadata.Continue; next == "" {
				break
			}
		}
		if !slices.Equal(names, want) {
			t.Errorf("%s lists %q, want %q", caller, names, want)
		}
	}
}

// TestSincePattern: the description has the pattern by which the server accepts ?since=, and the
// server parses all that matches.
func TestSincePattern(t *testing.T) {
	server := newServer(t)
	_, text := getText(t, server.URL+"/openapi.json")
	var document struct {
		Paths map[string]struct {
			Get struct {
				Parameters []struct {
					Name   string
					Schema struct{ Pattern string }
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(text), &document); err != nil {
		t.Fatal(err)
	}
	var described *regexp.Regexp
	for _, p := range document.Paths["/drey/v1/denials"].Get.Parameters {
		if p.Name == "since" {
			described = regexp.MustCompile(p.Schema.Pattern)
		}
	}
	for since, want := range map[string]bool{
		"": true, "24h": true, "1h30m": true, "1h0m0s": true, "90s": true, "999999h999999m999999s": true, "2026-03-01T12:00:00Z": true, "2026-03-31T23:59:59.123456789+05:30": true,
		"2024-02-29T00:00:00Z": true, "2000-02-29T00:00:00Z": true, "0000-01-01T00:00:00Z": true, "9999-12-31T23:59:59-23:59": true,
		"2025-02-29T00:00:00Z": false, "1900-02-29T00:00:00Z": false, "2026-02-30T00:00:00Z": false, "2026-04-31T00:00:00Z": false, "2026-03-01T24:00:00Z": false, "2026-03-01T12:00:60Z": false, "2026-03-01": false,
		"-1h": false, "1.5h": false, "1ms": false, "1": false, "1000000h": false, "1m1h": false, "h": false, "yesterday": false, "24h\n": false,
	} {
		if got := described.MatchString(since); got != want {
			t.Errorf("the description accepts %q: %v, want %v", since, got, want)
		}
		status, text := getText(t, server.URL+"/drey/v1/denials?since="+url.QueryEscape(since))
		if want != (status == http.StatusOK) {
			t.Errorf("the server answers %q with %d %s", since, status, text)
		}
	}
}

// TestObserveUnsynced: before the workloads of the cluster are listed, the answer is not an
// empty list.
func TestObserveUnsynced(t *testing.T) {
	g := newGuarded(t)
	server := httptest.NewServer(rest.New(rest.Options{Registry: g.rules, Log: slog.New(slog.DiscardHandler), Inventory: inventory.New()}))
	t.Cleanup(server.Close)
	g.URL = server.URL
	for _, path := range []string{"targets", "workloads", "usage"} {
		if status, text, header := g.call(t, "GET", "/drey/v1/"+path, "", ""); status != http.StatusServiceUnavailable || header.Get("Retry-After") == "" {
			t.Errorf("%s: %d %s", path, status, text)
		}
	}
}

// TestEventStream: a stream has the changes that its caller may see, and ends when the server
// closes.
func TestEventStream(t *testing.T) {
	g := newGuarded(t)
	open := func(caller string) *bufio.Reader {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, g.URL+"/drey/v1/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+g.tokens[caller])
		response, err := http.DefaultClient.Do(request)
		if err != nil || response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != "text/event-stream" {
			t.Fatalf("%v %+v", err, response)
		}
		t.Cleanup(func() { _ = response.Body.Close() })
		lines := bufio.NewReader(response.Body)
		if line, err := lines.ReadString('\n'); err != nil || !strings.HasPrefix(line, ":") {
			t.Fatalf("first line %q, %v", line, err)
		}
		return lines
	}
	viewer := open("viewer")
	all := open("global viewer")
	for _, platform := range []string{"team-b", "", "team-a"} {
		g.workloads.Put(inventory.Workload{Namespace: "flink", PlatformNamespace: platform, Owner: inventory.Owner{Kind: "Job", Name: "live-" + platform}})
		g.denials.Record(denials.Denial{User: "carol", PlatformNamespace: platform, Kind: "Pod", Namespace: "flink", Name: "denied-" + platform}, "")
	}
	read := func(lines *bufio.Reader, n int) (names []string) {
		heartbeats := 0
		for len(names) < n {
			line, err := lines.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(line, ":") {
				if heartbeats++; heartbeats == 2 {
					t.Fatalf("got %v before the second heartbeat, want %d changes at once", names, n)
				}
			}
			data, ok := strings.CutPrefix(line, "data: ")
			if !ok {
				continue
			}
			var event struct {
				Object struct {
					Name  string
					Owner struct{ Name string }
				}
			}
			if err := json.Unmarshal([]byte(data), &event); err != nil {
				t.Fatal(err)
			}
			names = append(names, event.Object.Name+event.Object.Owner.Name)
		}
		slices.Sort(names)
		return names
	}
	if got := read(all, 6); !slices.Equal(got, []string{"denied-", "denied-team-a", "denied-team-b", "live-", "live-team-a", "live-team-b"}) {
		t.Errorf("a reader of all gets %v", got)
	}
	if got := read(viewer, 2); !slices.Equal(got, []string{"denied-team-a", "live-team-a"}) {
		t.Errorf("a viewer of team-a gets %v", got)
	}
	close(g.closing)
	for name, lines := range map[string]*bufio.Reader{"viewer": viewer, "global viewer": all} {
		if rest, err := io.ReadAll(lines); err != nil || strings.Contains(string(rest), "data:") {
			t.Errorf("%s: %q, %v after the server closed", name, rest, err)
		}
	}
}
