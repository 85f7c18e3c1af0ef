package client

import (
	"net/http"
	"testing"
)

// TestCredentialsAfterRedirect: a redirect from https to http of the same host would send the
// token in the clear.
func TestCredentialsAfterRedirect(t *testing.T) {
	for to, sent := range map[string]bool{"https://drey.example.com/": true, "http://drey.example.com/": false, "http://127.0.0.1/": true} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, to, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer secret")
		for _, insists := range []bool{false, true} {
			if err := (&Client{sendToken: insists}).checkCredentials(request); (err == nil) != (sent || insists) {
				t.Errorf("to %s, with the flag: %t: %v", to, insists, err)
			}
		}
	}
}
