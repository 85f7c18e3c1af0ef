package image

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"drey.dev/drey/test/flink/dist"
)

// Client runs Flink's command line clients.
type Client struct {
	Dist *dist.Dist
	Conf string // FLINK_CONF_DIR
}

// JobClass is the main class of the job.
const JobClass = "EndlessJob"

const consoleLog = "log4j-console.properties"

// console is a log4j configuration for standard output. Flink's client copies it into the
// cluster's ConfigMap.
const console = `rootLogger.level = INFO
rootLogger.appenderRef.console.ref = Console
appender.console.name = Console
appender.console.type = CONSOLE
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{HH:mm:ss,SSS} %-5p %-40.40c{1} - %m%n
`

// NewClient writes a configuration into dir, and returns a client with it.
func NewClient(d *dist.Dist, kubeconfig, dir string) (*Client, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	text := Render(d.ConfigFile(), map[string]string{
		"kubernetes.config.file":          kubeconfig,
		"jobmanager.memory.process.size":  "1600m",
		"taskmanager.memory.process.size": "1728m",
		"taskmanager.numberOfTaskSlots":   "1",
		"parallelism.default":             "1",
	})
	for name, text := range map[string]string{d.ConfigFile(): text, consoleLog: console, "log4j-cli.properties": strings.Replace(console, "INFO", "WARN", 1)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	return &Client{Dist: d, Conf: dir}, nil
}

// options returns the -D arguments of a cluster: the common options, and the caller's.
func (c *Client) options(namespace, id string, options map[string]string) []string {
	all := map[string]string{
		"kubernetes.namespace":                  namespace,
		"kubernetes.cluster-id":                 id,
		"kubernetes.container.image.ref":        "flink:" + c.Dist.Version,
		"kubernetes.service-account":            ServiceAccount,
		"restart-strategy.type":                 "fixed-delay",
		"restart-strategy.fixed-delay.attempts": "1000",
		"restart-strategy.fixed-delay.delay":    "1 s",
		"resourcemanager.taskmanager-timeout":   "600000",
	}
	maps.Copy(all, options)
	var args []string
	for _, key := range slices.Sorted(maps.Keys(all)) {
		args = append(args, "-D"+key+"="+all[key])
	}
	return args
}

// Session starts a session cluster, and returns the client's output.
func (c *Client) Session(ctx context.Context, namespace, id string, options map[string]string) (string, error) {
	return c.run(ctx, "org.apache.flink.kubernetes.cli.KubernetesSessionCli", c.options(namespace, id, options)...)
}

// Application starts an application cluster with a job in its image, and returns the
// client's output.
func (c *Client) Application(ctx context.Context, namespace, id, jar string, options map[string]string) (string, error) {
	verb := "run"
	if !c.Dist.AtLeast(2, 0) {
		verb = "run-application"
	}
	args := append([]string{verb, "-t", "kubernetes-application"}, c.options(namespace, id, options)...)
	return c.run(ctx, "org.apache.flink.client.cli.CliFrontend", append(args, "-c", JobClass, "local://"+jar)...)
}

// Submit submits a job to a session cluster, and returns the client's output.
func (c *Client) Submit(ctx context.Context, p *Ports, jar string) (string, error) {
	return c.run(ctx, "org.apache.flink.client.cli.CliFrontend", "run", "-d", "-t", "remote", "-Drest.address=127.0.0.1", "-Drest.port="+p.REST, "-c", JobClass, jar)
}

// run runs a client class to its end.
func (c *Client) run(ctx context.Context, class string, args ...string) (string, error) {
	out, err := c.Dist.Java(ctx, c.Conf, class, args...).CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("%s: %w\n%s", class[strings.LastIndexByte(class, '.')+1:], err, out)
	}
	return string(out), nil
}
