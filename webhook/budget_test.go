package webhook_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"drey.dev/drey/webhook"
	"drey.dev/drey/webhook/config"
)

// TestReviewsInFlight: large reviews beyond the in-flight limit get a 503 with Retry-After,
// while small ones are answered.
func TestReviewsInFlight(t *testing.T) {
	handler := newWebhooks(t, nil, webhook.Options{}).Handlers()[config.PathLabelPods]
	var held []*io.PipeWriter
	done := make(chan struct{})
	for range 3 { // each declares the most that a review may have
		body, w := io.Pipe()
		held = append(held, w)
		request := httptest.NewRequest(http.MethodPost, "/", body)
		request.Header.Set("Content-Type", "application/json")
		request.ContentLength = 7 << 20
		go func() {
			handler.ServeHTTP(httptest.NewRecorder(), request)
			done <- struct{}{}
		}()
		if _, err := io.WriteString(w, "{"); err != nil { // it is read
			t.Fatal(err)
		}
	}
	large := []byte(strings.Repeat(" ", 7<<20))
	if response := send(handler, large); response.Code != http.StatusServiceUnavailable || response.Header().Get("Retry-After") == "" {
		t.Errorf("a large one beside them: %d, Retry-After %q", response.Code, response.Header().Get("Retry-After"))
	}
	if response := send(handler, reviewOf(t, pod(), "flink")); response.Code != http.StatusOK {
		t.Errorf("a small one beside them: %d %s", response.Code, response.Body)
	}
	for _, w := range held {
		w.Close()
		<-done
	}
	if response := send(handler, large); response.Code != http.StatusBadRequest {
		t.Errorf("a large one afterwards: %d", response.Code)
	}
	values := bytes.Repeat([]byte(`{},`), 2<<20)
	if response := send(handler, values); response.Code != http.StatusRequestEntityTooLarge || !strings.Contains(response.Body.String(), "values") {
		t.Errorf("one of two million values: %d %s", response.Code, response.Body)
	}
}
