package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"drey.dev/drey/test/framework/cluster"
	"drey.dev/drey/webhook/config"
)

// maxReview is the largest review that the webhooks take, in bytes.
const maxReview = 7 << 20

// reviewAround is a review of a Pod whose spec is so many bytes: text between begin and
// end over and over.
func reviewAround(size int, begin, text, end string) []byte {
	head := `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"1","operation":"CREATE","namespace":"default","kind":{"kind":"Pod"},"object":{"kind":"Pod","metadata":{"name":"a","labels":{}},"spec":` + begin
	end += `}}}`
	n := (size - len(head) - len(end)) / len(text)
	return []byte(head + strings.TrimSuffix(strings.Repeat(text, n), ",") + end)
}

// TestLargeReviewMemory: a hundred of the largest reviews at once, held open or sent
// whole, leave drey below 200 MiB, and small reviews are answered meanwhile.
func TestLargeReviewMemory(t *testing.T) {
	const atOnce, most = 100, 200
	t.Parallel()
	w, err := newWorld(t.Context(), cluster.Start(t))
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, MaxIdleConnsPerHost: atOnce}}
	defer client.CloseIdleConnections()
	post := func(ctx context.Context, path string, body io.Reader, length int64) (int, string, error) {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.drey.Webhook+path, body)
		if err != nil {
			return 0, "", err
		}
		r.Header.Set("Content-Type", "application/json")
		r.ContentLength = length
		response, err := client.Do(r)
		if err != nil {
			return 0, "", err
		}
		defer response.Body.Close()
		_, _ = io.Copy(io.Discard, response.Body)
		return response.StatusCode, response.Header.Get("Retry-After"), nil
	}
	small := reviewAround(10<<10, `{"containers":[{"name":"a","args":[`, `"--a=b",`, `]}]}`)
	answered := func(when string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second) // the API server waits no longer
		defer cancel()
		if status, _, err := post(ctx, config.PathLabelPods, bytes.NewReader(small), int64(len(small))); err != nil || status != http.StatusOK {
			t.Errorf("a small review %s: %d, %v", when, status, err)
		}
	}
	shapes := []struct {
		name   string
		review []byte
		known  bool // by its declared length
	}{
		{"one word", reviewAround(maxReview, `{"containers":[{"name":"a","args":["`, `aaaaaaaaaaaaaaaa`, `"]}]}`), true},
		{"one word, chunked", reviewAround(maxReview, `{"containers":[{"name":"a","args":["`, `aaaaaaaaaaaaaaaa`, `"]}]}`), false},
		{"many words", reviewAround(maxReview, `{"containers":[{"name":"a","args":[`, `"",`, `]}]}`), true},
		{"words of 32 bytes", reviewAround(maxReview, `{"containers":[{"name":"a","args":[`, `"`+strings.Repeat("a", 32)+`",`, `]}]}`), true},
		{"many containers", reviewAround(maxReview, `{"containers":[`, `{},`, `]}`), true},
		{"containers of 40 bytes", reviewAround(maxReview, `{"containers":[`, `{"name":"`+strings.Repeat("a", 24)+`"},`, `]}`), true},
		{"many numbers", reviewAround(maxReview, `{"containers":[{"name":"a","args":["flink"]}],"x":[`, `{"a":1},`, `]}`), true},
		{"many small ones", reviewAround(64<<10, `{"containers":[`, `{},`, `]}`), true},
	}
	for _, s := range shapes {
		var wait sync.WaitGroup
		statuses := make([]int, atOnce)
		for i := range atOnce {
			wait.Go(func() {
				length := int64(-1)
				if s.known {
					length = int64(len(s.review))
				}
				status, retry, err := post(t.Context(), config.PathLabelPods, io.MultiReader(bytes.NewReader(s.review)), length)
				if status == http.StatusServiceUnavailable && retry == "" {
					t.Errorf("%s: a 503 without Retry-After", s.name)
				}
				statuses[i] = status
				_ = err // a connection is closed when its body is not read
			})
		}
		time.Sleep(50 * time.Millisecond)
		for range 5 {
			answered("beside " + s.name)
		}
		wait.Wait()
		count := map[int]int{}
		for _, status := range statuses {
			count[status]++
		}
		t.Logf("%s: answered with %v; peak %d MiB so far", s.name, count, peak(t, w.drey.PID()))
	}
	// Held open: all but the last byte has been sent.
	ctx, cancel := context.WithCancel(t.Context())
	var wait sync.WaitGroup
	for range atOnce {
		review := shapes[0].review
		body, writer := io.Pipe()
		wait.Go(func() { _, _, _ = post(ctx, config.PathLabelPods, body, int64(len(review))) })
		go func() { _, _ = writer.Write(review[:len(review)-1]) }()
		context.AfterFunc(ctx, func() { _ = writer.Close() })
	}
	time.Sleep(3 * time.Second)
	for range 20 {
		answered("beside those that are held open")
	}
	t.Logf("held open: peak %d MiB", peak(t, w.drey.PID()))
	cancel()
	wait.Wait()
	if got := peak(t, w.drey.PID()); got > most {
		t.Errorf("drey took %d MiB, want %d at most", got, most)
	}
	answered("afterwards")
}

// peak is the most memory that a process has had resident, in MiB.
func peak(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Skip("resident memory is read from /proc, which this system does not have")
	}
	_, after, _ := strings.Cut(string(text), "VmHWM:")
	kib, err := strconv.Atoi(strings.Fields(after)[0])
	if err != nil {
		t.Fatal(err)
	}
	return kib / 1024
}
