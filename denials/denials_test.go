package denials

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// memory is a Store that replicas share.
type memory struct {
	mu       sync.Mutex
	document Document
	fail     error
	writes   int
	watchers []func(Document)
}

func (m *memory) Update(_ context.Context, change func(Document) Document) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	_ = change(Document{Revision: 7, Denials: []Denial{{User: "lost race"}}}) // a conflict
	m.document = change(m.document)
	m.writes++
	for _, changed := range m.watchers {
		go changed(m.document)
	}
	return nil
}

func (m *memory) Watch(ctx context.Context, changed func(Document)) error {
	m.mu.Lock()
	m.watchers = append(m.watchers, changed)
	document := m.document
	m.mu.Unlock()
	changed(document)
	<-ctx.Done()
	return nil
}

func run(t *testing.T, replica string, store Store) (h *History, stop func()) {
	t.Helper()
	h = NewHistory(replica, nil)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.Run(ctx, store, slog.New(slog.DiscardHandler))
	}()
	return h, func() { cancel(); <-done }
}

func denial(name string) Denial {
	return Denial{User: "alice", Kind: "Deployment", Namespace: "flink", Name: name, Reason: "NoDeploymentTarget", Message: "message", Mode: "enforce"}
}

func list(t *testing.T, h *History) []Denial {
	t.Helper()
	page, err := h.List(Query{})
	if err != nil {
		t.Fatal(err)
	}
	return page.Items
}

func wantCount(t *testing.T, h *History, name string, count int) {
	t.Helper()
	all := list(t, h)
	for _, d := range all {
		if d.Name == name && d.Count == count {
			return
		}
	}
	t.Errorf("got %+v, want %s with count %d", all, name, count)
}

// pass lets time pass in a bubble of synctest, and what follows from it.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// TestReplicasShareHistory: each replica lists the denials of all, with the sum of their
// counts, and a replica that starts later lists those of before.
func TestReplicasShareHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memory{}
		a, stopA := run(t, "a", store)
		b, stopB := run(t, "b", store)
		a.Record(denial("x"), "")
		a.Record(denial("x"), "")
		b.Record(denial("x"), "")
		b.Record(denial("y"), "")
		pass(writeDelay)
		for _, h := range []*History{a, b} {
			wantCount(t, h, "x", 3)
			wantCount(t, h, "y", 1)
		}
		a.Record(denial("last"), "")
		stopA()
		stopB()
		c, stopC := run(t, "c", store)
		defer stopC()
		synctest.Wait()
		wantCount(t, c, "x", 3)
		wantCount(t, c, "last", 1)
	})
}

// TestFailedWriteIsRetried: denials of a failed write stay listed, and are written later.
func TestFailedWriteIsRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memory{fail: errors.New("unavailable")}
		h, stop := run(t, "a", store)
		defer stop()
		h.Record(denial("x"), "")
		pass(2 * writeDelay)
		wantCount(t, h, "x", 1)
		store.mu.Lock()
		store.fail = nil
		store.mu.Unlock()
		other, stopOther := run(t, "b", store)
		defer stopOther()
		pass(time.Second)
		wantCount(t, other, "x", 1)
	})
}

// TestRepeatedDenialsWriteRarely: a denial that only repeats is not written each second.
func TestRepeatedDenialsWriteRarely(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memory{}
		h, stop := run(t, "a", store)
		for range 50 {
			h.Record(denial("x"), "")
			pass(countInterval / 60)
		}
		wantCount(t, h, "x", 50)
		if store.writes != 1 {
			t.Errorf("%d writes within %s, want 1", store.writes, countInterval)
		}
		pass(countInterval)
		stop()
		if store.writes != 2 {
			t.Errorf("%d writes within two intervals, want 2", store.writes)
		}
	})
}

// TestBounds: a flood of new denials from one sender, in one namespace or in many, is dropped
// beyond the limits, and evicts none of another namespace.
func TestBounds(t *testing.T) {
	now := time.Now()
	dropped := 0
	h := NewHistory("a", func() { dropped++ })
	h.now = func() time.Time { return now }
	h.Record(denial("mine"), "api-server")
	for i := range 1000 {
		h.Record(Denial{Namespace: fmt.Sprint("forged", i)}, "attacker")
	}
	if n := len(list(t, h)); n != 1+senderBurst || dropped != 1000-senderBurst {
		t.Errorf("%d denials, %d dropped", n, dropped)
	}
	for i := range 1000 {
		d := denial(fmt.Sprint("other", i))
		d.Namespace = "noisy"
		h.Record(d, "")
	}
	if n := len(list(t, h)); n != 1+senderBurst+namespaceBurst {
		t.Errorf("%d denials after a flood in one namespace", n)
	}
	document := Document{}.with(h.pending.denials, now)
	for round := range 100 { // far above the rate limits
		more := map[string]Denial{}
		for i := range 200 {
			d := denial(fmt.Sprint("more", i))
			d.Namespace, d.First, d.Last = fmt.Sprint("n", round), now.Add(time.Minute), now.Add(time.Minute)
			more[d.Key()] = d
		}
		document = document.with(more, now)
	}
	byNamespace := map[string]int{}
	for _, d := range document.Denials {
		byNamespace[d.Namespace]++
	}
	if len(document.Denials) != maxDenials || byNamespace["flink"] != 1 {
		t.Errorf("%d denials, by namespace %v", len(document.Denials), byNamespace)
	}
	expired := document.with(nil, now.Add(Retention+2*time.Minute))
	if len(expired.Denials) != 0 {
		t.Errorf("%d denials after the retention", len(expired.Denials))
	}
}

// TestDocumentSize: the largest document fits into a ConfigMap, for messages that differ.
func TestDocumentSize(t *testing.T) {
	more := map[string]Denial{}
	for i := range maxDenials {
		d := denial(fmt.Sprint("workload-", i))
		d.Namespace, d.Last = fmt.Sprint("namespace-", i), time.Now()
		d.Message = fmt.Sprintf("namespace %q has no DeploymentTarget, so Flink may not run there. Register it: echo '{\"apiVersion\":\"drey.dev/v1\",\"kind\":\"DeploymentTarget\",\"metadata\":{\"name\":%q}}' | kubectl apply -f -", d.Namespace, d.Namespace)
		d.Remedy = d.Message
		more[d.Key()] = d
	}
	text, err := Document{}.with(more, time.Now()).Encode()
	if err != nil || len(text) > 256<<10 {
		t.Errorf("%d bytes, error %v", len(text), err)
	}
	t.Logf("%d denials take %d bytes", maxDenials, len(text))
	back, err := Decode(text)
	if err != nil || len(back.Denials) != maxDenials {
		t.Errorf("decoded %d denials, error %v", len(back.Denials), err)
	}
}

// TestDocumentSizeForged: a document of random texts is cut to what fits.
func TestDocumentSizeForged(t *testing.T) {
	var d Document
	for i := range maxDenials {
		random := make([]byte, 600)
		_, _ = rand.Read(random)
		d.Denials = append(d.Denials, Denial{Name: fmt.Sprint(i), Message: hex.EncodeToString(random), Remedy: hex.EncodeToString(random[300:])})
	}
	text, err := d.Encode()
	if err != nil || len(text) > maxEncoded {
		t.Errorf("%d bytes, error %v", len(text), err)
	}
	if back, err := Decode(text); err != nil || len(back.Denials) < maxDenials/2 || back.Denials[0].Name != "0" {
		t.Errorf("%d denials, error %v", len(back.Denials), err)
	}
}

// TestTexts: texts are bounded, and valid UTF-8.
func TestTexts(t *testing.T) {
	h := NewHistory("a", nil)
	d := denial("x")
	d.Message, d.User, d.Groups = strings.Repeat("\u00e9", 5000), "a\xff", make([]string, 1000)
	h.Record(d, "")
	got := list(t, h)[0]
	if len(got.Message) > maxMessage || !strings.HasSuffix(got.Message, "\u00e9...") || got.User != "a\uFFFD" || len(got.Groups) != maxGroups {
		t.Errorf("message of %d bytes, user %q, %d groups", len(got.Message), got.User, len(got.Groups))
	}
}

// TestListPagesAndVisible: pages have each visible denial once, the newest first.
func TestListPagesAndVisible(t *testing.T) {
	h := NewHistory("a", nil)
	now := time.Now()
	h.now = func() time.Time { now = now.Add(time.Second); return now }
	for i := range 10 {
		d := denial(fmt.Sprint(i))
		d.PlatformNamespace = []string{"a", ""}[i%2]
		h.Record(d, "")
	}
	var names []string
	q := Query{Limit: 2, Filter: Filter{Visible: func(p string) (bool, error) { return p == "a", nil }}}
	for {
		page, err := h.List(q)
		if err != nil || page.Total != 5 {
			t.Fatalf("page %+v, error %v", page, err)
		}
		for _, d := range page.Items {
			names = append(names, d.Name)
		}
		if q.Continue = page.Continue; q.Continue == "" {
			break
		}
	}
	if got := strings.Join(names, " "); got != "8 6 4 2 0" {
		t.Errorf("listed %s", got)
	}
}

// TestHistoryHasObject: a denial of the object itself is found, before and after it is stored and
// until it is gone, and none of what it owns or of another mode.
func TestHistoryHasObject(t *testing.T) {
	all := []Denial{
		{Namespace: "n", Kind: "Deployment", Name: "job", Reason: "NoDeploymentTarget", Mode: "audit"},
		{Namespace: "n", Kind: "Pod", Name: "job-1", Owner: Owner{Kind: "Deployment", Name: "job"}, Reason: "NoDeploymentTarget", Mode: "audit"},
	}
	recorded, stored, removed := NewHistory("a", nil), NewHistory("b", nil), NewHistory("c", nil)
	for _, d := range all {
		recorded.Record(d, "")
	}
	stored.Load(Document{Revision: 1, Denials: all})
	removed.Load(Document{Revision: 1, Denials: all})
	removed.Load(Document{Revision: 2})
	written, stop := run(t, "d", &memory{})
	for _, d := range all {
		written.Record(d, "")
	}
	stop() // writes what is pending
	for name, h := range map[string]*History{"recorded": recorded, "stored": stored, "written": written, "removed": removed} {
		t.Run(name, func(t *testing.T) {
			for object, want := range map[[3]string]bool{{"Deployment", "job", "audit"}: h != removed, {"Deployment", "job", "warn"}: false, {"Pod", "job-1", "audit"}: false, {"Deployment", "other", "audit"}: false} {
				if got := h.HasObject("n", object[0], object[1], "NoDeploymentTarget", object[2]); got != want {
					t.Errorf("%v: got %t, want %t", object, got, want)
				}
			}
		})
	}
}

// BenchmarkHasObject looks an object up in a full history that has no denial of it.
func BenchmarkHasObject(b *testing.B) {
	var d Document
	for i := range maxDenials {
		d.Denials = append(d.Denials, denial(fmt.Sprint("workload-", i)))
	}
	h := NewHistory("a", nil)
	h.Load(d)
	b.ReportAllocs()
	for b.Loop() {
		if h.HasObject("flink", "Deployment", "other", "NoDeploymentTarget", "enforce") {
			b.Fatal("found an object without a denial")
		}
	}
}
