package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// SaveEtcd stops etcd, copies its data, and starts it. It returns the directory of the copy
// for [Cluster.RestoreEtcd] when the API server is ready again.
func (c *Cluster) SaveEtcd(ctx context.Context) (backup string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return "", errors.New("save etcd: cluster is stopped")
	}
	if backup, err = os.MkdirTemp(c.dir, "etcd-backup-"); err != nil {
		return "", err
	}
	c.processes[Etcd].end(syscall.SIGTERM, restartGracePeriod)
	err = os.CopyFS(backup, os.DirFS(c.etcdData()))
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	err = errors.Join(err, c.startComponent(Etcd), c.await(ctx, Etcd, c.etcdHealthy))
	if err == nil {
		err = c.await(ctx, APIServer, c.apiServerReady)
	}
	if err != nil {
		return "", fmt.Errorf("save etcd: %w", err)
	}
	return backup, nil
}

// RestoreEtcd stops all components, replaces the data of etcd by a backup, and starts them,
// as in Kubernetes' "Operating etcd clusters".
func (c *Cluster) RestoreEtcd(ctx context.Context, backup string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return errors.New("restore etcd: cluster is stopped")
	}
	for _, component := range []Component{ControllerManager, APIServer, Etcd} {
		c.processes[component].end(syscall.SIGTERM, restartGracePeriod)
		delete(c.processes, component)
	}
	if err := errors.Join(os.RemoveAll(c.etcdData()), os.CopyFS(c.etcdData(), os.DirFS(backup)), os.Chmod(c.etcdData(), 0o700)); err != nil {
		return fmt.Errorf("restore etcd: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := c.startAll(ctx); err != nil {
		return fmt.Errorf("restore etcd: %w", err)
	}
	return nil
}

func (c *Cluster) etcdData() string { return filepath.Join(c.dir, "etcd") }
