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

	"drey.dev/drey/inflight"
	"drey.dev/drey/test/framework/drey/installed"
	"drey.dev/drey/test/framework/eventually"
	webhookconfig "drey.dev/drey/webhook/config"
)

// maxReview is the size limit of an AdmissionReview, in bytes.
const maxReview = 7 << 20

// paddedReview returns an AdmissionReview of a Pod of about size bytes. The spec of the pod
// is begin, repetitions of text, and end.
func paddedReview(size int, begin, text, end string) []byte {
	head := `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"1","operation":"CREATE","namespace":"default","kind":{"kind":"Pod"},"object":{"kind":"Pod","metadata":{"name":"a","labels":{}},"spec":` + begin
	end += `}}}`
	n := (size - len(head) - len(end)) / len(text)
	return []byte(head + strings.TrimSuffix(strings.Repeat(text, n), ",") + end)
}

// TestLargeReviewMemory sends 100 reviews of the maximal size at once, and holds 100 open:
// drey's resident memory stays below the memory limit of its container, and small reviews are
// answered meanwhile.
func TestLargeReviewMemory(t *testing.T) {
	const concurrency = 100
	w := ownWorld(t) // not parallel: it takes all of the machine
	container, err := installed.Container(w.bundle())
	if err != nil {
		t.Fatal(err)
	}
	limit := int(container.Resources.Limits.Memory().Value() >> 20)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, MaxIdleConnsPerHost: concurrency}}
	defer client.CloseIdleConnections()
	url := w.webhookURL(t, webhookconfig.NameLabelPods)
	post := func(ctx context.Context, body io.Reader, length int64) (int, string, error) {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, body)
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
	small := paddedReview(10<<10, `{"containers":[{"name":"a","args":[`, `"--a=b",`, `]}]}`)
	var slowest time.Duration
	checkSmall := func(when string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), eventually.Timeout)
		defer cancel()
		began := time.Now()
		defer func() { slowest = max(slowest, time.Since(began)) }()
		if status, _, err := post(ctx, bytes.NewReader(small), int64(len(small))); err != nil || status != http.StatusOK {
			t.Errorf("small review %s: got status %d, %v, want 200", when, status, err)
		}
	}
	shapes := []struct {
		name          string
		review        []byte
		contentLength bool // else the body is chunked
	}{
		{"one argument", paddedReview(maxReview, `{"containers":[{"name":"a","args":["`, `aaaaaaaaaaaaaaaa`, `"]}]}`), true},
		{"one argument, chunked", paddedReview(maxReview, `{"containers":[{"name":"a","args":["`, `aaaaaaaaaaaaaaaa`, `"]}]}`), false},
		{"many empty arguments", paddedReview(maxReview, `{"containers":[{"name":"a","args":[`, `"",`, `]}]}`), true},
		{"arguments of 32 bytes", paddedReview(maxReview, `{"containers":[{"name":"a","args":[`, `"`+strings.Repeat("a", 32)+`",`, `]}]}`), true},
		{"many empty containers", paddedReview(maxReview, `{"containers":[`, `{},`, `]}`), true},
		{"containers of 40 bytes", paddedReview(maxReview, `{"containers":[`, `{"name":"`+strings.Repeat("a", 24)+`"},`, `]}`), true},
		{"many numbers", paddedReview(maxReview, `{"containers":[{"name":"a","args":["flink"]}],"x":[`, `{"a":1},`, `]}`), true},
		{"many reviews of 64 KiB", paddedReview(64<<10, `{"containers":[`, `{},`, `]}`), true},
	}
	for _, s := range shapes {
		var wait sync.WaitGroup
		statuses := make([]int, concurrency)
		begun := newSignal()
		for i := range concurrency {
			wait.Go(func() {
				length := int64(-1)
				if s.contentLength {
					length = int64(len(s.review))
				}
				status, retry, err := post(t.Context(), io.TeeReader(bytes.NewReader(s.review), begun), length)
				if status == http.StatusServiceUnavailable && retry == "" {
					t.Errorf("%s: status 503 without Retry-After", s.name)
				}
				statuses[i] = status
				_ = err // the server closes a connection whose body it does not read
			})
		}
		<-begun.c
		large := len(s.review) > inflight.Small
		for i := 0; large && i < 5; i++ { // others share the memory of small reviews
			checkSmall("during " + s.name)
		}
		wait.Wait()
		count := map[int]int{}
		for _, status := range statuses {
			count[status]++
		}
		if !large && (count[http.StatusOK] == 0 || count[http.StatusOK]+count[http.StatusServiceUnavailable] != concurrency) {
			t.Errorf("%s: got statuses %v, want 200, and 503 after a wait of a second only", s.name, count)
		}
		t.Logf("%s: statuses %v; peak %d MiB so far", s.name, count, peakMemory(t, w.drey.PID()))
	}
	// Open requests: all but the last byte of the body is sent.
	ctx, cancel := context.WithCancel(t.Context())
	var wait, sent sync.WaitGroup
	for range concurrency {
		review := shapes[0].review
		body, writer := io.Pipe()
		wait.Go(func() { _, _, _ = post(ctx, body, int64(len(review))) })
		sent.Go(func() { _, _ = writer.Write(review[:len(review)-1]) }) // until drey has read it, or has rejected the request
		context.AfterFunc(ctx, func() { _ = writer.Close() })
	}
	sent.Wait()
	for range 20 {
		checkSmall("during open requests")
	}
	t.Logf("open requests: peak %d MiB", peakMemory(t, w.drey.PID()))
	cancel()
	wait.Wait()
	if got := peakMemory(t, w.drey.PID()); got >= limit {
		t.Errorf("peak memory: got %d MiB, want less than the limit of %d MiB", got, limit)
	}
	checkSmall("afterwards")
	t.Logf("the slowest small review took %s", slowest.Round(time.Millisecond))
}

// signal is a writer whose channel is closed at the first write.
type signal struct {
	once sync.Once
	c    chan struct{}
}

func newSignal() *signal { return &signal{c: make(chan struct{})} }

func (s *signal) Write(p []byte) (int, error) {
	s.once.Do(func() { close(s.c) })
	return len(p), nil
}

// peakMemory returns the peak resident memory of a process in MiB.
func peakMemory(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Skip("resident memory is read from /proc, which is missing on this system")
	}
	_, after, _ := strings.Cut(string(text), "VmHWM:")
	kib, err := strconv.Atoi(strings.Fields(after)[0])
	if err != nil {
		t.Fatal(err)
	}
	return kib / 1024
}
