package rest_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"drey.dev/drey/registry/access"
	"drey.dev/drey/test/framework/eventually"
)

// slowly begins requests with bodies that do not end until finish is called,
// which returns their answers.
func (g *guarded) slowly(t *testing.T, n int, path, token string) (finish func() []int) {
	t.Helper()
	var bodies []*io.PipeWriter
	answers := make(chan int, n)
	for range n {
		body, w := io.Pipe()
		bodies = append(bodies, w)
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, g.URL+path, body)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+token)
		go func() {
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				answers <- 0
				return
			}
			_ = response.Body.Close()
			answers <- response.StatusCode
		}()
		go func() { _, _ = io.WriteString(w, `{"spec":`) }() // returns with an error if the answer is there before
	}
	return func() (all []int) {
		for _, w := range bodies {
			go func() {
				_, _ = io.WriteString(w, "{}}")
				_ = w.Close()
			}()
		}
		for range n {
			all = append(all, <-answers)
		}
		return all
	}
}

// TestLimiterShares: slow bodies exhaust the limit of their caller or platform namespace only.
func TestLimiterShares(t *testing.T) {
	g := newGuarded(t)
	const path = "/api/v1/namespaces/team-a/deployments"
	until := func(status int, path, token string) (text string) {
		t.Helper()
		eventually.OK(t, func() error {
			var got int
			if got, text, _ = g.call(t, http.MethodGet, path, token, ""); got != status {
				return fmt.Errorf("GET %s: got %d, want %d", path, got, status)
			}
			return nil
		})
		return text
	}
	all := []func() []int{g.slowly(t, 300, path+"/slow", g.tokens["editor"])}
	if text := until(http.StatusTooManyRequests, path, g.tokens["editor"]); !strings.Contains(text, "token team-a/editor") {
		t.Errorf("who is slow is not told that it is they: %s", text)
	}
	for who, path := range map[string]string{"viewer": path, "other owner": "/api/v1/namespaces/team-b/deployments", "global owner": path} {
		if status, text, _ := g.call(t, http.MethodGet, path, g.tokens[who], ""); status != http.StatusOK {
			t.Errorf("%s got %d: %s", who, status, text)
		}
	}
	for i := range 3 {
		o, secret, err := access.Issue("team-a", fmt.Sprintf("many-%d", i), access.Editor)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := g.rules.Create(t.Context(), o, nil); err != nil {
			t.Fatal(err)
		}
		all = append(all, g.slowly(t, 100, path+"/slow", secret))
	}
	until(http.StatusTooManyRequests, path, g.tokens["viewer"])
	if status, text, _ := g.call(t, http.MethodGet, "/api/v1/namespaces/team-b/deployments", g.tokens["other owner"], ""); status != http.StatusOK {
		t.Errorf("in another platform namespace, its owner got %d: %s", status, text)
	}
	served := 0
	for _, finish := range all {
		for _, status := range finish() {
			switch status {
			case http.StatusOK, http.StatusCreated:
				served++
			case http.StatusTooManyRequests:
			default:
				t.Errorf("a slow one got %d", status)
			}
		}
	}
	if served < 128 { // and those that came when the first had been answered
		t.Errorf("of the slow ones %d were served, want at least the half of 256", served)
	}
	until(http.StatusOK, path, g.tokens["editor"])
}

// TestTokenDeletedDuringBody: a token that is deleted while the body is received writes nothing.
func TestTokenDeletedDuringBody(t *testing.T) {
	g := newGuarded(t)
	const path = "/api/v1/namespaces/team-a/deployments/slow"
	body, w := io.Pipe()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, g.URL+path, io.MultiReader(strings.NewReader(`{"spec":`), body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+g.tokens["editor"])
	request.Header.Set("Expect", "100-continue") // the body is sent when it is read: after the door
	answered := make(chan int)
	go func() {
		response, err := (&http.Client{Transport: &http.Transport{ExpectContinueTimeout: 1 << 40}}).Do(request)
		if err != nil {
			answered <- 0
			return
		}
		_ = response.Body.Close()
		answered <- response.StatusCode
	}()
	if _, err := io.WriteString(w, "{"); err != nil { // returns once it is taken
		t.Fatal(err)
	}
	if status, text, _ := g.call(t, http.MethodDelete, "/apitokens/v1/namespaces/team-a/apitokens/editor", g.tokens["owner"], ""); status != http.StatusOK {
		t.Fatal(text)
	}
	if _, err := io.WriteString(w, "}}"); err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	if status := <-answered; status != http.StatusUnauthorized {
		t.Errorf("the deleted token got %d", status)
	}
	if status, text, _ := g.call(t, http.MethodGet, path, g.tokens["owner"], ""); status != http.StatusNotFound {
		t.Errorf("it wrote: %d %s", status, text)
	}
}
