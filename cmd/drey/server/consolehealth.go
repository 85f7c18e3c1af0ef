package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	appsclient "k8s.io/client-go/kubernetes/typed/apps/v1"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
	coreclient "k8s.io/client-go/kubernetes/typed/core/v1"

	configv1alpha1 "drey.dev/drey/config/v1alpha1"
	"drey.dev/drey/console/page"
	"drey.dev/drey/manifests/bundle"
)

// healthReader reads the state of the installation for the console. Requests to the cluster are
// made in the background, so that no page waits for them.
type healthReader struct {
	server *server
	host   string

	mu      sync.Mutex
	shared  page.Health // what all replicas have in common
	readAt  time.Time   // when shared was read
	reading bool
	first   chan struct{} // closed after the first read
}

const (
	healthTTL       = 5 * time.Second
	healthTimeout   = 5 * time.Second
	firstHealthWait = time.Second // of the first page
)

func newHealthReader(s *server) *healthReader {
	host, _ := os.Hostname() // the name of the pod; empty: no replica is marked as this one
	return &healthReader{server: s, host: host, first: make(chan struct{})}
}

// read is for [console.Options].
func (h *healthReader) read(ctx context.Context) page.Health {
	s := h.server
	if s.cluster != nil {
		h.refresh()
		select {
		case <-h.first:
		case <-ctx.Done():
		case <-time.After(firstHealthWait):
		}
	}
	h.mu.Lock()
	health := h.shared
	h.mu.Unlock()
	health.Cluster = s.cluster != nil
	health.Mode = s.options.config.Webhooks.Mode
	health.Store = "a file of this process"
	if s.options.config.Registry.Store == configv1alpha1.StoreKubernetes {
		health.Store = "custom resources"
	}
	if err := s.notReady(); err != nil {
		health.NotReady = err.Error()
	}
	health.Certificate = h.certificate()
	return health
}

func (h *healthReader) certificate() page.Certificate {
	c := h.server.certificates.Load()
	if c == nil {
		return page.Certificate{}
	}
	found := page.Certificate{Issuer: "issued"}
	if served, err := (*c).GetCertificate(nil); err == nil && served.Leaf != nil {
		found.Issuer, found.NotAfter = cmp.Or(served.Leaf.Issuer.CommonName, "self-signed"), served.Leaf.NotAfter
	}
	if err := (*c).Ready(); err != nil {
		found.Problem = err.Error()
	}
	return found
}

// refresh reads the cluster in the background if the last read is too old.
func (h *healthReader) refresh() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.reading || time.Since(h.readAt) < healthTTL {
		return
	}
	h.reading = true
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), healthTimeout)
		defer cancel()
		found, err := h.cluster(ctx)
		if err != nil {
			found.Unreadable = err.Error()
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.readAt.IsZero() {
			close(h.first)
		}
		h.shared, h.readAt, h.reading = found, time.Now(), false
	}()
}

// cluster reads the replicas and the leader.
func (h *healthReader) cluster(ctx context.Context) (page.Health, error) {
	var found page.Health
	coordination, errCoordination := coordinationclient.NewForConfig(h.server.cluster)
	apps, errApps := appsclient.NewForConfig(h.server.cluster)
	core, errCore := coreclient.NewForConfig(h.server.cluster)
	if err := errors.Join(errCoordination, errApps, errCore); err != nil {
		return found, err
	}
	namespace := h.server.options.config.Namespace
	var errs []error
	if h.server.embedded == nil {
		lease, err := coordination.Leases(namespace).Get(ctx, leaseControllers, metav1.GetOptions{})
		switch {
		case err == nil && lease.Spec.HolderIdentity != nil:
			found.Leader, _, _ = strings.Cut(*lease.Spec.HolderIdentity, "_")
			if lease.Spec.AcquireTime != nil {
				found.LeaderSince = lease.Spec.AcquireTime.Time
			}
		case err != nil && !apierrors.IsNotFound(err):
			errs = append(errs, fmt.Errorf("leader: %w", err))
		}
	}
	deployment, err := apps.Deployments(namespace).Get(ctx, bundle.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err): // drey runs outside the cluster
		return found, errors.Join(errs...)
	case err != nil:
		return found, errors.Join(append(errs, fmt.Errorf("replicas: %w", err))...)
	case deployment.Spec.Replicas != nil:
		found.Wanted = int(*deployment.Spec.Replicas)
	}
	pods, err := core.Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: metav1.FormatLabelSelector(deployment.Spec.Selector)})
	if err != nil {
		return found, errors.Join(append(errs, fmt.Errorf("replicas: %w", err))...)
	}
	for _, p := range pods.Items {
		found.Replicas = append(found.Replicas, page.Replica{
			Name: p.Name, Leader: p.Name == found.Leader, Self: p.Name == h.host, Since: p.CreationTimestamp.Time,
			Ready: slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue }),
		})
	}
	return found, errors.Join(errs...)
}
