package certs

import (
	"context"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"drey.dev/drey/certs/rotation"
)

// simulated is the policy of the simulation.
var simulated = rotation.Policy{CALifetime: 3 * time.Hour, LeafLifetime: time.Hour, PropagationDelay: 2 * time.Minute, Hosts: []string{"drey.example"}}

// staleness bounds the age of the configurations that an API server uses.
const staleness = 90 * time.Second

var seeds = flag.Int("seeds", 25, "how many random schedules to simulate")

// TestRotationInvariant checks the invariant of package rotation under random schedules:
// two leaders that crash between reads and writes, replicas and API servers with stale
// caches, and a Secret that is deleted or restored from a backup. A real API server would
// have to be slowed down to show any of it.
func TestRotationInvariant(t *testing.T) {
	var rotations int
	for seed := range *seeds {
		w := newSimulation(uint64(seed))
		defer w.end()
		for range 1500 {
			w.step()
			if err := w.check(); err != nil {
				t.Fatalf("seed %d, after %s: %v\n%s", seed, w.now.Sub(start), err, w.lastEvents())
			}
		}
		w.runWithoutFaults()
		for i, r := range w.replicas {
			if err := r.ready(w.now); err != nil {
				t.Fatalf("seed %d: replica %d is not ready although no fault occurred for a while: %v\n%s", seed, i, err, w.lastEvents())
			}
		}
		rotations += len(w.cas)
	}
	if rotations < 5**seeds {
		t.Errorf("%d CAs were issued in %d runs: too few to exercise rotation", rotations, *seeds)
	}
}

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// simulation is a cluster with two leaders and three replicas.
type simulation struct {
	random   *rand.Rand
	now      time.Time
	version  int
	secret   *corev1.Secret   // nil if it does not exist
	backups  []*corev1.Secret // earlier states
	config   [2]configuration
	held     []heldBundle // caBundles that API servers may use
	leaders  [2]*leader
	replicas [3]*cachedReplica
	cas      map[string]bool
	events   []string
	fault    time.Time // when the Secret was last lost
}

// heldBundle is a caBundle that API servers may use.
type heldBundle struct {
	config int
	bundle []*x509.Certificate
	until  time.Time            // when it was replaced; zero if it is current
	known  map[string]time.Time // expiry of the CA in the bundle that signed a leaf
}

// accepts is a cached version of [rotation.WebhookClient.Verify].
func (h heldBundle) accepts(leaf *x509.Certificate, now time.Time) bool {
	until, known := h.known[string(leaf.Raw)]
	if !known {
		for _, ca := range h.bundle {
			if leaf.CheckSignatureFrom(ca) == nil {
				until = ca.NotAfter
			}
		}
		h.known[string(leaf.Raw)] = until
	}
	return !now.After(until) && !now.After(leaf.NotAfter)
}

func newSimulation(seed uint64) *simulation {
	w := &simulation{random: rand.New(rand.NewPCG(seed, 1)), now: start, fault: start, cas: map[string]bool{}}
	for i, kind := range []string{"mutatingwebhookconfiguration", "validatingwebhookconfiguration"} {
		w.config[i] = configuration{
			kind: kind, webhooks: []webhookEntry{{name: "w", host: "drey.example"}},
			meta: metav1.ObjectMeta{Name: "drey", ResourceVersion: "0", Labels: map[string]string{NameLabel: Owner}},
		}
	}
	for i := range w.leaders {
		w.leaders[i] = w.newLeader()
	}
	for i := range w.replicas {
		w.replicas[i] = &cachedReplica{}
		w.replicas[i].restart(w)
	}
	return w
}

func (w *simulation) end() {
	for _, l := range w.leaders {
		l.crash()
	}
}

// step runs one random event.
func (w *simulation) step() {
	switch n := w.random.IntN(1000); {
	case n < 500:
		i := w.random.IntN(len(w.leaders))
		w.leaders[i].next()
	case n < 530:
		i := w.random.IntN(len(w.leaders))
		w.leaders[i].crash()
		w.leaders[i] = w.newLeader()
		w.record("leader %d restarts", i)
	case n < 800:
		w.replicas[w.random.IntN(len(w.replicas))].refresh(w, w.random.IntN(3))
	case n < 810:
		i := w.random.IntN(len(w.replicas))
		w.replicas[i].restart(w)
		w.record("replica %d restarts", i)
	case n < 812 && w.secret != nil:
		w.secret, w.fault = nil, w.now
		w.record("Secret deleted")
	case n < 814 && len(w.backups) > 0:
		w.secret = w.backups[w.random.IntN(len(w.backups))].DeepCopy()
		w.version++
		w.secret.ResourceVersion, w.fault = strconv.Itoa(w.version), w.now
		w.record("Secret restored")
	default:
		w.advance(time.Duration(w.random.Int64N(int64(2 * time.Minute))))
	}
}

// advance advances the clock and drops the caBundles that no API server uses any more.
func (w *simulation) advance(d time.Duration) {
	w.now = w.now.Add(d)
	w.held = slices.DeleteFunc(w.held, func(h heldBundle) bool { return !h.until.IsZero() && w.now.Sub(h.until) > staleness })
	for _, r := range w.replicas {
		r.promote(w.now, false)
	}
}

// runWithoutFaults runs leaders and replicas for 15 minutes without crashes and stale caches.
func (w *simulation) runWithoutFaults() {
	for range 30 {
		for range 12 {
			w.leaders[0].next()
		}
		for _, r := range w.replicas {
			for object := range 3 {
				r.refresh(w, object)
			}
		}
		w.advance(30 * time.Second)
	}
}

// check returns an error if a ready replica has become unready, or if an API server would
// reject its certificate. A replica that has become ready within the staleness, soon after
// a loss of the Secret, is exempt: it gets no calls before the API servers use the new
// bundle.
func (w *simulation) check() error {
	for i, r := range w.replicas {
		if r.lost != nil {
			return fmt.Errorf("replica %d has become unready: %w", i, r.lost)
		}
		if r.readySince.IsZero() || w.now.Sub(r.readySince) <= staleness && w.now.Sub(w.fault) < 10*time.Minute {
			continue
		}
		for _, h := range w.held {
			if !h.accepts(r.selection.Serving.Leaf, w.now) {
				return fmt.Errorf("the certificate of replica %d is not trusted by the caBundle of configuration %d that was replaced at %s", i, h.config, h.until)
			}
		}
	}
	return nil
}

func (w *simulation) record(format string, args ...any) {
	w.events = append(w.events, w.now.Sub(start).String()+" "+fmt.Sprintf(format, args...))
}

func (w *simulation) lastEvents() string {
	var out string
	for _, e := range w.events[max(0, len(w.events)-40):] {
		out += e + "\n"
	}
	return out
}

// leader is a writer that blocks before each read and write until next is called.
type leader struct {
	next  func() (string, bool)
	crash func()
}

func (w *simulation) newLeader() *leader {
	l := &leader{}
	l.next, l.crash = iter.Pull(func(yield func(string) bool) {
		s := &stepStore{simulation: w, yield: yield}
		writer := &writer{api: s, policy: simulated, now: func() time.Time { return w.now }, log: slog.New(slog.DiscardHandler)}
		for !s.crashed {
			if _, err := writer.reconcile(context.Background()); err != nil && !errors.Is(err, errConflict) && !s.crashed {
				panic(err)
			}
		}
	})
	return l
}

var errCrashed = errors.New("crashed")

// stepStore is the [store] of a leader. It yields before each request.
type stepStore struct {
	*simulation
	yield   func(string) bool
	crashed bool
}

func (s *stepStore) await(request string) bool {
	if !s.crashed && s.yield(request) {
		return true
	}
	s.crashed = true
	return false
}

func (s *stepStore) secret(context.Context, string) (*corev1.Secret, error) {
	if !s.await("read the Secret") {
		return nil, errCrashed
	}
	if s.simulation.secret == nil {
		return nil, nil
	}
	return s.simulation.secret.DeepCopy(), nil
}

func (s *stepStore) write(_ context.Context, secret *corev1.Secret) error {
	if !s.await("write the Secret") {
		return errCrashed
	}
	have := ""
	if s.simulation.secret != nil {
		have = s.simulation.secret.ResourceVersion
	}
	if have != secret.ResourceVersion {
		return errConflict
	}
	s.version++
	secret = secret.DeepCopy()
	secret.ResourceVersion = strconv.Itoa(s.version)
	s.simulation.secret = secret
	s.backups = append(s.backups, secret)
	cas, err := decodeCerts(secret.Data[caCert])
	for _, ca := range cas {
		s.cas[string(ca.Raw)] = true
	}
	s.record("Secret written: %d CAs, next %t", len(cas), secret.Data[nextCAKey] != nil)
	return err
}

func (s *stepStore) configurations(context.Context) ([]configuration, error) {
	all := make([]configuration, 0, len(s.config))
	for i := range s.config {
		if !s.await("read a configuration") {
			return nil, errCrashed
		}
		c := s.config[i]
		c.webhooks = slices.Clone(c.webhooks)
		all = append(all, c)
	}
	return all, nil
}

func (s *stepStore) patch(_ context.Context, c configuration, ops []patchOp) error {
	if !s.await("patch a configuration") {
		return errCrashed
	}
	i := slices.IndexFunc(s.config[:], func(have configuration) bool { return have.kind == c.kind })
	have := &s.config[i]
	if have.meta.ResourceVersion != c.meta.ResourceVersion {
		return errConflict
	}
	bundle, err := decodeCerts(ops[0].Value.([]byte))
	s.version++
	have.meta.ResourceVersion = strconv.Itoa(s.version)
	have.webhooks = []webhookEntry{{name: "w", host: "drey.example", bundle: bundle, caBundle: ops[0].Value.([]byte)}}
	for j := range s.held {
		if s.held[j].config == i && s.held[j].until.IsZero() {
			s.held[j].until = s.now
		}
	}
	s.held = append(s.held, heldBundle{config: i, bundle: bundle, known: map[string]time.Time{}})
	s.record("configuration %d trusts %d CAs", i, len(bundle))
	return err
}

// cachedReplica is a replica with its cache.
type cachedReplica struct {
	secret     *corev1.Secret // cached; a deletion is ignored
	read       *corev1.Secret // the Secret of the candidate
	config     [2]configuration
	selection  rotation.Selection
	readySince time.Time
	lost       error // the error since it is unready
}

func (f *cachedReplica) restart(w *simulation) {
	*f = cachedReplica{secret: w.secret, config: w.config}
	f.promote(w.now, true)
}

// refresh updates one of the three cached objects.
func (f *cachedReplica) refresh(w *simulation, object int) {
	if object == 2 {
		if w.secret != nil {
			f.secret = w.secret
		}
	} else {
		f.config[object] = w.config[object]
	}
	f.promote(w.now, true)
}

// promote selects the certificate and updates the readiness. event is true if a cached
// object has changed.
func (f *cachedReplica) promote(now time.Time, event bool) {
	if f.secret != f.read {
		leaf, _ := decodeLeaf(f.secret.Data)
		f.read, f.selection = f.secret, f.selection.WithCandidate(leaf)
	}
	before := f.selection.Serving
	f.selection, _ = f.selection.Promote(webhookClients(f.config[:]), simulated.PropagationDelay, now)
	if !event && f.selection.Serving == before && (before == nil || now.Before(before.Leaf.NotAfter)) {
		return // nothing has changed
	}
	switch err := f.ready(now); {
	case err != nil && before != nil && now.After(before.Leaf.NotAfter):
		f.readySince = time.Time{} // its cache has been stale for too long
	case err != nil && !f.readySince.IsZero():
		f.lost = err
	case err == nil && f.readySince.IsZero():
		f.readySince = now
	}
}

func (f *cachedReplica) ready(now time.Time) error {
	if f.selection.Serving == nil {
		return errors.New("no serving certificate")
	}
	return rotation.VerifyAll(f.selection.Serving, webhookClients(f.config[:]), now)
}
