package cluster

import (
	"context"
	"errors"
	"fmt"
	"syscall"
)

// RestartAPIServer ends the API server with the signal, SIGTERM for an orderly
// end or SIGKILL for a crash, and starts it again on the same port. It returns
// when the new one is ready.
func (c *Cluster) RestartAPIServer(ctx context.Context, how syscall.Signal) error {
	return c.restart(ctx, APIServer, how, c.apiServerReady)
}

// RestartEtcd does the same to etcd, whose data stay. It returns when the API
// server has found the new one.
func (c *Cluster) RestartEtcd(ctx context.Context, how syscall.Signal) error {
	return c.restart(ctx, Etcd, how, func(ctx context.Context) error {
		if err := c.etcdHealthy(ctx); err != nil {
			return err
		}
		return c.apiServerReady(ctx)
	})
}

func (c *Cluster) restart(ctx context.Context, component Component, how syscall.Signal, ready func(context.Context) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return fmt.Errorf("restart %s: the cluster has been stopped", component)
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()

	c.processes[component].end(how, restartGrace)
	if err := c.reaper.tell(c.pids()); err != nil {
		return err
	}
	// The port was free a moment ago: who took it was perhaps an outgoing
	// connection, and gives it back.
	for try := 1; ; try++ {
		if err := c.startComponent(component); err != nil {
			return err
		}
		err := c.await(ctx, component, ready)
		if !errors.Is(err, errPortTaken) || try == portTries {
			return err
		}
	}
}
