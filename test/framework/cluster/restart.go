package cluster

import (
	"context"
	"errors"
	"fmt"
	"syscall"
)

// RestartAPIServer stops the API server with a signal, SIGTERM for a graceful shutdown or
// SIGKILL for a crash, and starts it on the same port. It returns when it is ready.
func (c *Cluster) RestartAPIServer(ctx context.Context, s syscall.Signal) error {
	return c.restart(ctx, APIServer, s, c.apiServerReady)
}

// RestartEtcd restarts etcd like [Cluster.RestartAPIServer], with its data. It returns when
// the API server is ready again.
func (c *Cluster) RestartEtcd(ctx context.Context, s syscall.Signal) error {
	return c.restart(ctx, Etcd, s, func(ctx context.Context) error {
		if err := c.etcdHealthy(ctx); err != nil {
			return err
		}
		return c.apiServerReady(ctx)
	})
}

func (c *Cluster) restart(ctx context.Context, component Component, s syscall.Signal, ready func(context.Context) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return fmt.Errorf("restart %s: cluster is stopped", component)
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()

	c.processes[component].end(s, restartGracePeriod)
	if err := c.reaper.update(c.pids()); err != nil {
		return err
	}
	// An outgoing connection may hold the port for a moment.
	for attempt := 1; ; attempt++ {
		if err := c.startComponent(component); err != nil {
			return err
		}
		err := c.await(ctx, component, ready)
		if !errors.Is(err, errPortTaken) || attempt == portAttempts {
			return err
		}
	}
}
