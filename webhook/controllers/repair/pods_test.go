package repair

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata"
)

// away is an API server that fails each list after a delay.
type away struct {
	metadata.Getter
	takes time.Duration
	lists *[]time.Time
}

func (a away) Resource(schema.GroupVersionResource) metadata.Getter { return a }
func (a away) Namespace(string) metadata.ResourceInterface          { return a }
func (a away) List(ctx context.Context, _ metav1.ListOptions) (*metav1.PartialObjectMetadataList, error) {
	*a.lists = append(*a.lists, time.Now())
	select {
	case <-time.After(a.takes):
		return nil, errors.New("connection refused")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// TestWatchPodsRetries: failed lists are retried after 1 to 30 s, with jitter up to as much; a
// watch of two minutes resets the delay.
func TestWatchPodsRetries(t *testing.T) {
	for rule, c := range map[string]struct {
		takes time.Duration
		least func(attempt int) time.Duration
	}{
		"connection refused": {0, func(attempt int) time.Duration { return min(time.Second<<min(attempt, 10), 30*time.Second) }},
		"watch of 3 minutes": {3 * time.Minute, func(int) time.Duration { return 3*time.Minute + time.Second }},
	} {
		t.Run(rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var lists []time.Time
				r := &Repairer{o: Options{Pods: away{takes: c.takes, lists: &lists}, Log: slog.New(slog.DiscardHandler)}}
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				began := time.Now()
				r.watchPods(ctx, selectors[0])
				if time.Since(began) != time.Hour {
					t.Errorf("ended after %s", time.Since(began))
				}
				exact := 0
				for i := range len(lists) - 1 {
					delay, least := lists[i+1].Sub(lists[i]), c.least(i)
					if delay < least || delay-c.takes > 2*min(least, 30*time.Second) {
						t.Errorf("attempt %d after %s, want %s and jitter", i+1, delay, least)
					}
					if delay == least {
						exact++
					}
				}
				if len(lists) < 15 || exact > 1 {
					t.Errorf("%d lists in an hour, %d of them without jitter", len(lists), exact)
				}
			})
		})
	}
}

// TestScanPeriodically: scans are delayed with jitter, and end with the context.
func TestScanPeriodically(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var scans []time.Time
		r := &Repairer{o: Options{Interval: 30 * time.Minute, Namespaces: func() []string {
			scans = append(scans, time.Now())
			return nil
		}}}
		ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
		defer cancel()
		began := time.Now()
		q := newQueues()
		defer q.namespaces.ShutDown()
		defer q.pods.ShutDown()
		defer q.checks.ShutDown()
		r.scanPeriodically(ctx, q)
		if time.Since(began) != 24*time.Hour {
			t.Errorf("ended after %s", time.Since(began))
		}
		if len(scans) < 40 {
			t.Fatalf("%d scans a day", len(scans))
		}
		exact, want := 0, min(secondScanDelay, r.o.Interval)
		for i := range len(scans) - 1 {
			delay := scans[i+1].Sub(scans[i])
			if delay < want || delay > want*6/5 {
				t.Errorf("scan %d after %s, want %s and jitter", i+1, delay, want)
			}
			if delay == want {
				exact++
			}
			want = r.o.Interval
		}
		if exact > 1 {
			t.Errorf("%d scans of %d have no jitter", exact, len(scans))
		}
	})
}

// TestDrain: a queue that ends with items, one of them added again while it is processed, is
// empty afterwards.
func TestDrain(t *testing.T) {
	q := newQueue[string]("")
	for _, item := range []string{"a", "b", "c"} {
		q.Add(item)
	}
	item, _ := q.Get()
	q.Add(item)
	q.ShutDown()
	q.Done(item)
	drain(q)
	if q.Len() != 0 {
		t.Errorf("got %d items, want 0", q.Len())
	}
}
