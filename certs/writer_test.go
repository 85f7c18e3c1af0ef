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

// The lifetimes of the simulation, and how far an API server may be behind.
var simulated = rotation.Policy{CALifetime: 3 * time.Hour, LeafLifetime: time.Hour, Settle: 2 * time.Minute, Hosts: []string{"drey.example"}}

const lag = 90 * time.Second

var seeds = flag.Int("seeds", 15, "how many random schedules to simulate")

// TestNoCallMeetsACertificateThatIsNotTrusted is the rule of package rotation,
// under a random schedule: two leaders that end anywhere between a read and a
// write, replicas that are behind, API servers that are behind, and people who
// delete the Secret or restore an old one. A real API server would have to be
// slowed down to show any of it.
func TestNoCallMeetsACertificateThatIsNotTrusted(t *testing.T) {
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
		w.calm()
		for i, r := range w.replicas {
			if err := r.ready(w.now); err != nil {
				t.Fatalf("seed %d: replica %d is not ready after a while without faults: %v\n%s", seed, i, err, w.lastEvents())
			}
		}
		rotations += len(w.cas)
	}
	if rotations < 5**seeds {
		t.Errorf("%d CAs were made in %d runs: too few to show anything", rotations, *seeds)
	}
}

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// simulation is a cluster with two leaders and three replicas.
type simulation struct {
	random   *rand.Rand
	now      time.Time
	version  int
	secret   *corev1.Secret   // nil: there is none
	backups  []*corev1.Secret // what it once was
	config   [2]configuration
	held     []held // what API servers may hold
	leaders  [2]*leader
	replicas [3]*follower
	cas      map[string]bool
	events   []string
	fault    time.Time // when the Secret was last lost
}

// held is a caBundle that was in force until a time.
type held struct {
	config int
	bundle []*x509.Certificate
	until  time.Time            // zero: it is
	known  map[string]time.Time // leaves, and until when the bundle accepts them
}

// accepts says what [rotation.Trust] says, and faster: it is asked often.
func (h held) accepts(leaf *x509.Certificate, now time.Time) bool {
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
			kind: kind, webhooks: []registered{{name: "w", host: "drey.example"}},
			meta: metav1.ObjectMeta{Name: "drey", ResourceVersion: "0", Labels: map[string]string{NameLabel: Owner}},
		}
	}
	for i := range w.leaders {
		w.leaders[i] = w.newLeader()
	}
	for i := range w.replicas {
		w.replicas[i] = &follower{}
		w.replicas[i].restart(w)
	}
	return w
}

func (w *simulation) end() {
	for _, l := range w.leaders {
		l.crash()
	}
}

// step lets one thing happen.
func (w *simulation) step() {
	switch n := w.random.IntN(1000); {
	case n < 500:
		i := w.random.IntN(len(w.leaders))
		w.leaders[i].next()
	case n < 530:
		i := w.random.IntN(len(w.leaders))
		w.leaders[i].crash()
		w.leaders[i] = w.newLeader()
		w.say("leader %d starts anew", i)
	case n < 800:
		w.replicas[w.random.IntN(len(w.replicas))].see(w, w.random.IntN(3))
	case n < 810:
		i := w.random.IntN(len(w.replicas))
		w.replicas[i].restart(w)
		w.say("replica %d starts anew", i)
	case n < 812 && w.secret != nil:
		w.secret, w.fault = nil, w.now
		w.say("Secret deleted")
	case n < 814 && len(w.backups) > 0:
		w.secret = w.backups[w.random.IntN(len(w.backups))].DeepCopy()
		w.version++
		w.secret.ResourceVersion, w.fault = strconv.Itoa(w.version), w.now
		w.say("Secret restored")
	default:
		w.pass(time.Duration(w.random.Int64N(int64(2 * time.Minute))))
	}
}

// pass lets time pass. What has been replaced for long enough is held by nobody.
func (w *simulation) pass(d time.Duration) {
	w.now = w.now.Add(d)
	w.held = slices.DeleteFunc(w.held, func(h held) bool { return !h.until.IsZero() && w.now.Sub(h.until) > lag })
	for _, r := range w.replicas {
		r.settle(w.now, false)
	}
}

// calm lets everything happen that is due, and nothing go wrong.
func (w *simulation) calm() {
	for range 30 {
		for range 12 {
			w.leaders[0].next()
		}
		for _, r := range w.replicas {
			for what := range 3 {
				r.see(w, what)
			}
		}
		w.pass(30 * time.Second)
	}
}

// check returns an error if a replica that was ready is not, or if an API server
// would refuse the certificate of one that is. A replica that became so this
// moment, soon after the Secret was lost, does not count: it gets calls no
// sooner than a changed bundle is seen.
func (w *simulation) check() error {
	for i, r := range w.replicas {
		if r.lost != nil {
			return fmt.Errorf("replica %d was ready, and is not any more: %w", i, r.lost)
		}
		if r.readySince.IsZero() || w.now.Sub(r.readySince) <= lag && w.now.Sub(w.fault) < 10*time.Minute {
			continue
		}
		for _, h := range w.held {
			if !h.accepts(r.choice.Serving.Leaf, w.now) {
				return fmt.Errorf("replica %d serves what API servers refuse that hold what configuration %d was until %s", i, h.config, h.until)
			}
		}
	}
	return nil
}

func (w *simulation) say(format string, args ...any) {
	w.events = append(w.events, w.now.Sub(start).String()+" "+fmt.Sprintf(format, args...))
}

func (w *simulation) lastEvents() string {
	var out string
	for _, e := range w.events[max(0, len(w.events)-40):] {
		out += e + "\n"
	}
	return out
}

// leader is a writer that stops before each read and write until it is its turn.
type leader struct {
	next  func() (string, bool)
	crash func()
}

func (w *simulation) newLeader() *leader {
	l := &leader{}
	l.next, l.crash = iter.Pull(func(yield func(string) bool) {
		s := &turns{simulation: w, yield: yield}
		writer := &writer{api: s, policy: simulated, now: func() time.Time { return w.now }, log: slog.New(slog.DiscardHandler)}
		for !s.crashed {
			if _, err := writer.reconcile(context.Background()); err != nil && !errors.Is(err, errChanged) && !s.crashed {
				panic(err)
			}
		}
	})
	return l
}

var errCrashed = errors.New("crashed")

// turns is the store of a leader.
type turns struct {
	*simulation
	yield   func(string) bool
	crashed bool
}

func (s *turns) turn(what string) bool {
	if !s.crashed && s.yield(what) {
		return true
	}
	s.crashed = true
	return false
}

func (s *turns) secret(context.Context, string) (*corev1.Secret, error) {
	if !s.turn("read the Secret") {
		return nil, errCrashed
	}
	if s.simulation.secret == nil {
		return nil, nil
	}
	return s.simulation.secret.DeepCopy(), nil
}

func (s *turns) write(_ context.Context, secret *corev1.Secret) error {
	if !s.turn("write the Secret") {
		return errCrashed
	}
	have := ""
	if s.simulation.secret != nil {
		have = s.simulation.secret.ResourceVersion
	}
	if have != secret.ResourceVersion {
		return errChanged
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
	s.say("Secret written: %d CAs, next %t", len(cas), secret.Data[nextCAKey] != nil)
	return err
}

func (s *turns) configurations(context.Context) ([]configuration, error) {
	all := make([]configuration, 0, len(s.config))
	for i := range s.config {
		if !s.turn("read a configuration") {
			return nil, errCrashed
		}
		c := s.config[i]
		c.webhooks = slices.Clone(c.webhooks)
		all = append(all, c)
	}
	return all, nil
}

func (s *turns) change(_ context.Context, c configuration, changes []change) error {
	if !s.turn("change a configuration") {
		return errCrashed
	}
	i := slices.IndexFunc(s.config[:], func(have configuration) bool { return have.kind == c.kind })
	have := &s.config[i]
	if have.meta.ResourceVersion != c.meta.ResourceVersion {
		return errChanged
	}
	bundle, err := decodeCerts(changes[0].Value.([]byte))
	s.version++
	have.meta.ResourceVersion = strconv.Itoa(s.version)
	have.webhooks = []registered{{name: "w", host: "drey.example", bundle: bundle, caBundle: changes[0].Value.([]byte)}}
	for j := range s.held {
		if s.held[j].config == i && s.held[j].until.IsZero() {
			s.held[j].until = s.now
		}
	}
	s.held = append(s.held, held{config: i, bundle: bundle, known: map[string]time.Time{}})
	s.say("configuration %d trusts %d CAs", i, len(bundle))
	return err
}

// follower is a replica, with what it has seen so far.
type follower struct {
	secret     *corev1.Secret // the last that there was
	read       *corev1.Secret // the one that choice is about
	config     [2]configuration
	choice     rotation.Choice
	readySince time.Time
	lost       error // why it is not ready any more
}

func (f *follower) restart(w *simulation) {
	*f = follower{secret: w.secret, config: w.config}
	f.settle(w.now, true)
}

// see brings one of the three things that a replica watches up to date.
func (f *follower) see(w *simulation, what int) {
	if what == 2 {
		if w.secret != nil {
			f.secret = w.secret
		}
	} else {
		f.config[what] = w.config[what]
	}
	f.settle(w.now, true)
}

// settle is told the time, and whether there is news.
func (f *follower) settle(now time.Time, news bool) {
	if f.secret != f.read {
		leaf, _ := decodeLeaf(f.secret.Data)
		f.read, f.choice = f.secret, f.choice.Offer(leaf)
	}
	before := f.choice.Serving
	f.choice, _ = f.choice.Settle(trusts(f.config[:]), simulated.Settle, now)
	if !news && f.choice.Serving == before && (before == nil || now.Before(before.Leaf.NotAfter)) {
		return // as it was
	}
	switch err := f.ready(now); {
	case err != nil && before != nil && now.After(before.Leaf.NotAfter):
		f.readySince = time.Time{} // it has not seen the Secret or a configuration for too long
	case err != nil && !f.readySince.IsZero():
		f.lost = err
	case err == nil && f.readySince.IsZero():
		f.readySince = now
	}
}

func (f *follower) ready(now time.Time) error {
	if f.choice.Serving == nil {
		return errors.New("nothing is served")
	}
	return rotation.Verify(f.choice.Serving, trusts(f.config[:]), now)
}
