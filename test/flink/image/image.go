// Package image replaces the container image of Flink: it runs the commands of Flink's pods
// as processes on loopback, with scripts of the same names and arguments.
package image

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"drey.dev/drey/test/flink/dist"
	"drey.dev/drey/test/framework/cluster"
	"drey.dev/drey/test/framework/drey"
)

//go:embed bin
var scripts embed.FS

// Runtime is a kubelet.Runtime that runs Flink's processes.
type Runtime struct {
	Dist       *dist.Dist
	Kubeconfig string // for Flink's processes
	Home       string // /opt/flink in the image: bin, lib, plugins, and usrlib with the job

	client kubernetes.Interface

	mu    sync.Mutex
	ports map[string]*Ports
}

// Ports are the ports of a JobManager, stable over restarts.
type Ports struct{ RPC, Blob, REST string }

// New writes the image's files into dir, with the job in usrlib, and returns its runtime.
func New(d *dist.Dist, c *cluster.Cluster, kubeconfig, jobJar, dir string) (*Runtime, error) {
	client, err := kubernetes.NewForConfig(c.Config())
	if err != nil {
		return nil, err
	}
	usrlib := filepath.Join(dir, "usrlib")
	if err := errors.Join(os.MkdirAll(usrlib, 0o755), os.CopyFS(dir, scripts)); err != nil {
		return nil, err
	}
	err = errors.Join(
		os.Link(jobJar, filepath.Join(usrlib, JobJar)),
		os.Symlink(filepath.Join(d.Dir, "lib"), filepath.Join(dir, "lib")),
		os.Symlink(filepath.Join(d.Dir, "plugins"), filepath.Join(dir, "plugins")),
	)
	if err != nil {
		return nil, err
	}
	names, err := os.ReadDir(filepath.Join(dir, "bin"))
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if err := os.Chmod(filepath.Join(dir, "bin", name.Name()), 0o755); err != nil {
			return nil, err
		}
	}
	return &Runtime{Dist: d, Kubeconfig: kubeconfig, Home: dir, client: client, ports: map[string]*Ports{}}, nil
}

// JobJar is the file name of the job in usrlib.
const JobJar = "job.jar"

// JobPath returns the path of the job in a container.
func (r *Runtime) JobPath() string { return filepath.Join(r.Home, "usrlib", JobJar) }

// ServiceAccount is the name of the ServiceAccount of Flink's pods.
const ServiceAccount = "flink"

const confDir = "/opt/flink/conf"

// Command returns the command of a pod, nil if it does not mount Flink's configuration.
func (r *Runtime) Command(ctx context.Context, pod *corev1.Pod, dir string) (*exec.Cmd, error) {
	container := &pod.Spec.Containers[0]
	volume := configVolume(pod, container)
	if volume == nil {
		return nil, nil
	}
	ports, err := r.Ports(pod.Namespace, pod.Labels["app"])
	if err != nil {
		return nil, err
	}
	conf := filepath.Join(dir, "conf")
	if err := r.writeConf(ctx, pod, container, volume, conf, overrides(r.Kubeconfig, dir, ports)); err != nil {
		return nil, err
	}
	words := append(slices.Clone(container.Command), container.Args...)
	if len(words) == 0 || !strings.HasSuffix(words[0], "docker-entrypoint.sh") {
		words = append([]string{"docker-entrypoint.sh"}, words...) // the entry point of the image
	}
	bin := filepath.Join(r.Home, "bin")
	cmd := exec.Command(filepath.Join(bin, filepath.Base(words[0])), words[1:]...)
	cmd.Dir = dir
	cmd.Env = r.Dist.Environment(r.Home, conf, "-Djava.io.tmpdir="+dir)
	for _, e := range container.Env {
		if e.ValueFrom == nil {
			cmd.Env = append(cmd.Env, e.Name+"="+e.Value)
		} else if ref := e.ValueFrom.FieldRef; ref != nil {
			cmd.Env = append(cmd.Env, e.Name+"="+field(pod, ref.FieldPath))
		}
	}
	cmd.Env = append(cmd.Env, "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	return cmd, nil
}

// field returns the value of a fieldRef.
func field(pod *corev1.Pod, path string) string {
	switch path {
	case "status.podIP", "status.hostIP":
		return "127.0.0.1"
	case "metadata.name":
		return pod.Name
	case "metadata.namespace":
		return pod.Namespace
	case "metadata.uid":
		return string(pod.UID)
	}
	return ""
}

// configVolume returns the ConfigMap that the container mounts at confDir, nil if none.
func configVolume(pod *corev1.Pod, container *corev1.Container) *corev1.ConfigMapVolumeSource {
	for _, mount := range container.VolumeMounts {
		if strings.TrimSuffix(mount.MountPath, "/") != confDir {
			continue
		}
		for _, v := range pod.Spec.Volumes {
			if v.Name == mount.Name && v.ConfigMap != nil {
				return v.ConfigMap
			}
		}
	}
	return nil
}

// Ports returns the ports of a cluster's JobManager, which it chooses in the first call.
func (r *Runtime) Ports(namespace, cluster string) (*Ports, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := namespace + "/" + cluster
	if p := r.ports[key]; p != nil {
		return p, nil
	}
	addresses, err := drey.FreeAddresses(3)
	if err != nil {
		return nil, err
	}
	p := &Ports{}
	for i, port := range []*string{&p.RPC, &p.Blob, &p.REST} {
		if _, *port, err = net.SplitHostPort(addresses[i]); err != nil {
			return nil, err
		}
	}
	r.ports[key] = p
	return p, nil
}

// overrides returns the options that move a cluster to loopback. They are in the file, since
// a JobManager passes options of its command line to its TaskManagers.
func overrides(kubeconfig, dir string, p *Ports) map[string]string {
	return map[string]string{
		"kubernetes.config.file": kubeconfig,
		"jobmanager.rpc.address": "127.0.0.1",
		"jobmanager.rpc.port":    p.RPC,
		"jobmanager.bind-host":   "127.0.0.1",
		"blob.server.port":       p.Blob,
		"rest.address":           "127.0.0.1",
		"rest.bind-address":      "127.0.0.1",
		"rest.port":              p.REST,
		"rest.bind-port":         p.REST,
		"io.tmp.dirs":            dir,
	}
}

// writeConf writes the ConfigMap's data into a directory, with the overrides.
func (r *Runtime) writeConf(ctx context.Context, pod *corev1.Pod, container *corev1.Container, volume *corev1.ConfigMapVolumeSource, dir string, overrides map[string]string) error {
	m, err := r.client.CoreV1().ConfigMaps(pod.Namespace).Get(ctx, volume.Name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	paths := map[string]string{} // by key
	for _, item := range volume.Items {
		paths[item.Key] = item.Path
	}
	if err := os.WriteFile(filepath.Join(dir, consoleLog), []byte(console), 0o644); err != nil { // part of the image
		return err
	}
	found := false
	for key, text := range m.Data {
		path := key
		if len(paths) > 0 {
			if path = paths[key]; path == "" {
				continue
			}
		}
		if path == "config.yaml" || path == "flink-conf.yaml" {
			found = true
			for _, e := range container.Env {
				if e.Name == "FLINK_PROPERTIES" {
					text += "\n" + e.Value
				}
			}
			if text, err = configure(path, text, overrides); err != nil {
				return fmt.Errorf("read %q of ConfigMap %q: %w", key, m.Name, err)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, path), []byte(text), 0o644); err != nil {
			return err
		}
	}
	if !found {
		return fmt.Errorf("ConfigMap %q has no config.yaml or flink-conf.yaml", m.Name)
	}
	return nil
}

// configure sets options in a configuration file: YAML (config.yaml) or lines of KEY: VALUE
// (flink-conf.yaml).
func configure(name, text string, set map[string]string) (string, error) {
	values := map[string]string{}
	if name == "config.yaml" {
		var nested map[string]any
		if err := yaml.Unmarshal([]byte(text), &nested); err != nil {
			return "", err
		}
		if err := flatten("", nested, values); err != nil {
			return "", err
		}
	} else {
		for line := range strings.Lines(text) {
			if key, value, ok := strings.Cut(strings.TrimSpace(line), ": "); ok && !strings.HasPrefix(key, "#") {
				values[key] = strings.TrimSpace(value)
			}
		}
	}
	maps.Copy(values, set)
	return Render(name, values), nil
}

// Render returns the text of a Flink configuration file.
func Render(name string, values map[string]string) string {
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if value := values[key]; name == "config.yaml" {
			fmt.Fprintf(&b, "%q: %q\n", key, value)
		} else {
			fmt.Fprintf(&b, "%s: %s\n", key, value)
		}
	}
	return b.String()
}

// flatten joins nested keys with dots.
func flatten(prefix string, value any, into map[string]string) error {
	switch v := value.(type) {
	case map[string]any:
		if prefix != "" {
			prefix += "."
		}
		for key, inner := range v {
			if err := flatten(prefix+key, inner, into); err != nil {
				return err
			}
		}
	case nil:
	case string:
		into[prefix] = v
	case []any:
		text, err := yaml.Marshal(v)
		if err != nil {
			return err
		}
		words := strings.Split(strings.TrimSpace(string(text)), "\n")
		for i := range words {
			words[i] = strings.TrimPrefix(words[i], "- ")
		}
		into[prefix] = strings.Join(words, ";") // the list syntax of flink-conf.yaml
	default:
		into[prefix] = strings.TrimSpace(fmt.Sprint(v))
	}
	return nil
}
