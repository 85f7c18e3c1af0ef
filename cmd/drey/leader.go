package main

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/google/uuid"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
	clusterclient "k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// leaseName is the Lease, in drey's own namespace, that the leader holds.
const leaseName = "drey"

// lead runs work while this process leads, until ctx ends: alone if it has a file of
// its own, else when it holds the Lease. Webhooks and REST are served by all.
func (s *service) lead(ctx context.Context, work func(context.Context)) error {
	if s.embedded != nil {
		work(ctx)
		return nil
	}
	client, err := coordinationclient.NewForConfig(clusterclient.CopyConfig(s.cluster))
	if err != nil {
		return err
	}
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	lock := &resourcelock.LeaseLock{
		LeaseMeta: metav1.ObjectMeta{Namespace: s.options.namespace, Name: leaseName}, Client: client,
		LockConfig: resourcelock.ResourceLockConfig{Identity: host + "_" + uuid.NewString()},
	}
	var working sync.Mutex // one term ends before the next begins
	defer working.Lock()
	for ctx.Err() == nil { // who loses the Lease, since the API server was away, stands again
		elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
			Lock: lock, Name: leaseName, LeaseDuration: 15 * time.Second, RenewDeadline: 10 * time.Second, RetryPeriod: 2 * time.Second,
			ReleaseOnCancel: true, // the next one need not wait
			Callbacks: leaderelection.LeaderCallbacks{
				OnStartedLeading: func(ctx context.Context) { // in a goroutine of its own
					working.Lock()
					defer working.Unlock()
					if ctx.Err() == nil {
						s.log.Info("this process leads: it keeps the marks and repairs")
						work(ctx)
					}
				},
				OnStoppedLeading: func() {},
			},
		})
		if err != nil {
			return fmt.Errorf("leader election: %w", err)
		}
		elector.Run(ctx)
	}
	return nil
}
