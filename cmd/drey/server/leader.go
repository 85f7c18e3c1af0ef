package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/google/uuid"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// Leases in drey's own namespace. RBAC grants get and update by these names.
const (
	leaseControllers  = "drey"
	leaseCertificates = "drey-certs"
)

// lead runs work while this process holds a Lease, until ctx ends; one term ends
// before the next begins. An error of work during a term is returned.
func (s *server) lead(ctx context.Context, lease string, work func(context.Context) error) error {
	client, err := coordinationclient.NewForConfig(s.cluster)
	if err != nil {
		return err
	}
	host, err := os.Hostname() // for people; the UUID tells processes apart
	if err != nil {
		return err
	}
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var term sync.Mutex
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: &resourcelock.LeaseLock{
			LeaseMeta: metav1.ObjectMeta{Namespace: s.options.config.Namespace, Name: lease}, Client: client,
			LockConfig: resourcelock.ResourceLockConfig{Identity: host + "_" + uuid.NewString()},
		},
		Name: lease, LeaseDuration: 15 * time.Second, RenewDeadline: 10 * time.Second, RetryPeriod: 2 * time.Second,
		ReleaseOnCancel: true, // the next leader need not wait for the Lease to expire
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(ctx context.Context) { // in a goroutine of its own
				term.Lock()
				defer term.Unlock()
				if ctx.Err() != nil {
					return
				}
				s.log.Info("leading", "lease", lease)
				if err := work(ctx); err != nil && ctx.Err() == nil {
					fail(fmt.Errorf("%s: %w", lease, err))
				}
			},
			OnStoppedLeading: func() { s.log.Info("not leading", "lease", lease) },
		},
	})
	if err != nil {
		return fmt.Errorf("leader election: %w", err)
	}
	for ctx.Err() == nil { // a Lease that was lost while the API server was away is acquired again
		elector.Run(ctx)
	}
	term.Lock() // wait for the last term
	defer term.Unlock()
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}
