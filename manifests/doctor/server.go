package doctor

import (
	"fmt"
	"strings"
	"time"

	configv1alpha1 "drey.dev/drey/config/v1alpha1"
	"drey.dev/drey/manifests/bundle"
)

func (d *diagnosis) server() {
	const check = "server"
	describe := fmt.Sprintf("kubectl describe pods -n %s -l app.kubernetes.io/name=%s, and kubectl logs -n %s deployment/%s", d.Options.Namespace, bundle.Name, d.Options.Namespace, bundle.Name)
	level, state := Fail, ""
	switch {
	case d.Desired == 0:
		d.add(check, Fail, fmt.Sprintf("deployment/%s is scaled to 0 replicas", bundle.Name), fmt.Sprintf("kubectl scale -n %s deployment/%s --replicas=2", d.Options.Namespace, bundle.Name))
	case d.Ready == 0 && d.Desired == 1:
		state = "the replica is not ready"
	case d.Ready == 0:
		state = fmt.Sprintf("none of %d replicas is ready", d.Desired)
	case d.Ready < d.Desired:
		level, state = Warn, fmt.Sprintf("%d of %d replicas are ready", d.Ready, d.Desired)
	case len(d.Obstacles) > 0:
		level, state = Warn, "a rollout does not progress, and the previous replicas serve"
	case d.Desired == 1 && d.Options.Store != bundle.Embedded:
		d.add(check, Warn, "one replica: while its node is drained, Flink's Deployments are denied", fmt.Sprintf("kubectl scale -n %s deployment/%s --replicas=2", d.Options.Namespace, bundle.Name))
	}
	for _, o := range d.Obstacles {
		if state != "" {
			d.add(check, level, fmt.Sprintf("%s: %s", state, o), o.Fix)
		}
	}
	if state != "" && len(d.Obstacles) == 0 {
		d.add(check, level, state, describe)
	}
	if d.Ready > 0 && d.Endpoints == 0 && !d.unknown(check) {
		d.add(check, Fail, fmt.Sprintf("the Service %s has no endpoints, although pods are ready: its selector does not match them", bundle.Name),
			fmt.Sprintf("kubectl get service %s -n %s -o yaml, beside kubectl get pods -n %s --show-labels; or %s", bundle.Name, d.Options.Namespace, d.Options.Namespace, d.reinstall()))
	}
	d.ok(check, fmt.Sprintf("%d of %d replicas are ready; endpoints of the Service: %d", d.Ready, d.Desired, d.Endpoints))
}

// configuration decodes and validates the configuration file.
func (d *diagnosis) configuration() {
	const check = "configuration"
	if d.unknown(check) || d.Config == "" {
		return
	}
	if _, err := configv1alpha1.Parse([]byte(d.Config)); err != nil {
		d.add(check, Fail, fmt.Sprintf("configmap/%s is invalid, and drey does not start with it: %v", bundle.Name, err),
			fmt.Sprintf("kubectl edit configmap %[1]s -n %[2]s, and then kubectl rollout restart -n %[2]s deployment/%[1]s; or %[3]s", bundle.Name, d.Options.Namespace, d.reinstall()))
	}
	d.ok(check, fmt.Sprintf("configmap/%s is valid", bundle.Name))
}

func (d *diagnosis) version() {
	const check = "version"
	_, tag, _ := strings.Cut(d.Image[strings.LastIndex(d.Image, "/")+1:], ":")
	tag, _, _ = strings.Cut(tag, "@")
	if tag != "" && d.Version != "dev" && strings.TrimPrefix(tag, "v") != strings.TrimPrefix(d.Version, "v") {
		d.add(check, Warn, fmt.Sprintf("the cluster runs %s, and this program is %s: differences may be due to the version", d.Image, d.Version), "use drey of that version, or install this one: drey install --image")
	}
	d.ok(check, d.Image)
}

// leaseGracePeriod is the time after the expiration of a Lease in which its holder may still
// renew it.
const leaseGracePeriod = 15 * time.Second

func (d *diagnosis) leaders() {
	const check = "leader"
	if d.Options.Store == bundle.Embedded { // a single process, without a Lease
		d.ok(check, "single process")
		return
	}
	if d.Ready == 0 || d.unknown(check) { // the check server says so
		return
	}
	lease, ok := d.Leases["drey"]
	logs := fmt.Sprintf("kubectl logs -n %s deployment/%s, and look for \"lease\"", d.Options.Namespace, bundle.Name)
	switch {
	case !ok:
		d.add(check, Fail, "no leader: namespaces of targets are not labeled, and pods are not repaired", logs)
	case d.Now.Sub(lease.RenewTime) > lease.Duration+leaseGracePeriod:
		d.add(check, Fail, fmt.Sprintf("no leader: the lease was renewed %s ago; namespaces of targets are not labeled, and pods are not repaired", d.Now.Sub(lease.RenewTime).Round(time.Second)), logs)
	}
	d.ok(check, "the lease is held")
}
