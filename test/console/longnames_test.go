package console

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"drey.dev/drey/denials"
	"drey.dev/drey/inventory"
	"drey.dev/drey/registry"
	"drey.dev/drey/test/framework/console"
)

// The longest names that Kubernetes and the registry accept, without a place to break them.
var (
	longTarget    = strings.Repeat("Target0123", 25)
	longNamespace = strings.Repeat("n", 63)
	longWorkload  = strings.Repeat("w", 63) + "." + strings.Repeat("x", 63)
	longUser      = "system:serviceaccount:" + longNamespace + ":" + strings.Repeat("u", 63)
)

// addLongNames adds objects with the longest names to the sample.
func addLongNames(t *testing.T, s *console.Server) {
	t.Helper()
	s.Target(t, "analytics", longTarget, longNamespace)
	s.Create(t, registry.Deployment, "analytics", longNamespace, map[string]any{"state": "RUNNING", "deploymentTargetName": longTarget})
	w := inventory.Workload{
		Namespace: longNamespace, PlatformNamespace: "analytics", Target: longTarget, Owner: inventory.Owner{Kind: "FlinkBlueGreenDeployment", Name: longWorkload, UID: strings.Repeat("0", 36)},
		Flavor: "spotify-operator", Mode: "application", State: "Transitioning", Kind: "Deployment", Name: longNamespace, ID: strings.Repeat("0", 36), JobID: strings.Repeat("0", 36), Pods: 120, PodsReady: 7,
		Requests: inventory.Resources{MilliCPU: 1234567891, Memory: 1 << 60}, Use: &inventory.Resources{MilliCPU: 1234567890, Memory: 1 << 59}, Since: console.Now.AddDate(-9, 0, 0),
		MissingLabels: []string{"deploymentName", "drey.dev/app", "jobId", "system"}, ConflictingLabels: []string{"deploymentId", "vvpNamespace"},
	}
	s.Inventory.Put(w)
	w.Owner.Name, w.PlatformNamespace, w.Target, w.Misplaced = "y"+longWorkload, "", "", true
	s.Inventory.Put(w)
	s.Deny(denials.Denial{
		User: longUser, Groups: []string{longUser, longUser}, Kind: "FlinkBlueGreenDeployment", Namespace: longNamespace, Name: longWorkload, Operation: "CREATE", Reason: "NoDeploymentTarget", Mode: "enforce", Count: 123456,
		Message: strings.Repeat(longWorkload+" ", 8), Remedy: "kubectl label pods " + longWorkload + " -n " + longNamespace, Replica: "drey-6f7c9d8b54-zq4lm", First: console.Now, Last: console.Now,
	})
}

func longPages() []shown {
	return []shown{
		{"long-workload", "/console/workloads/" + longNamespace + "/FlinkBlueGreenDeployment/" + longWorkload, nil},
		{"long-target", "/console/targets/analytics/" + longTarget, nil},
		{"long-deployment", "/console/deployments/analytics/" + longNamespace, nil},
		{"long-delete", "/console/targets/analytics/" + longTarget + "/delete", nil},
		{"long-new", "/console/targets/new?ns=" + longNamespace, nil},
	}
}

// TestLongNames: pages with the longest names fit the window.
func TestLongNames(t *testing.T) {
	s := console.Start(t, console.Options{})
	addLongNames(t, s)
	for _, p := range append(pages(), longPages()...) {
		t.Run(p.name, func(t *testing.T) {
			b := open(t)
			for _, width := range []int64{400, 1280} {
				b.run(chromedp.EmulateViewport(width, 900), chromedp.Navigate(s.URL+p.path), chromedp.WaitVisible(chromedp.CSS(`h1`)))
				b.run(p.actions...)
				b.checkAxe()
				b.checkWidth()
			}
		})
	}
}
