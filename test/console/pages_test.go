package console

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"

	"drey.dev/drey/registry"
	"drey.dev/drey/registry/access"
	"drey.dev/drey/test/framework/console"
)

var screenshots = flag.String("screenshots", "", "directory to write the screenshots of docs/how-to/console.md to; empty: none")

// denied is a manifest for a namespace without a target.
const denied = `apiVersion: flink.apache.org/v1beta1
kind: FlinkDeployment
metadata:
  name: clickstream-v2
  namespace: web
spec:
  image: flink:1.20
  flinkVersion: v1_20
  job:
    jarURI: local:///opt/flink/examples/streaming/TopSpeedWindowing.jar
`

// allowed is one for a namespace with a target.
const allowed = `---
apiVersion: flink.apache.org/v1beta1
kind: FlinkDeployment
metadata:
  name: fraud-scoring
  namespace: payments-prod
spec:
  image: flink:1.20
  flinkVersion: v1_20
  job:
    jarURI: local:///opt/flink/usrlib/fraud-scoring.jar
`

// shown is a page with the actions that lead to it from its path.
type shown struct {
	name, path string
	actions    []action
}

func pages() []shown {
	return []shown{
		{"overview", "/", nil},
		{"targets", "/console/targets", nil},
		{"new-target", "/console/targets/new?ns=web", nil},
		{"target", "/console/targets/payments/production", nil},
		{"delete-target", "/console/targets/payments/production/delete", nil},
		{"workloads", "/console/workloads", nil},
		{"workload", "/console/workloads/analytics/Deployment/rollup", []action{chromedp.Click(chromedp.CSS(`summary`))}},
		{"denials", "/console/denials", []action{chromedp.Click(chromedp.CSS(`summary`))}},
		{"deployments", "/console/deployments", nil},
		{"deployment", "/console/deployments/payments/fraud-scoring", nil},
		{"session-clusters", "/console/sessionclusters", nil},
		{"explain", "/console/explain", []action{
			chromedp.SetValue(chromedp.CSS(`#manifest`), denied+allowed), chromedp.Click(chromedp.CSS(`form.card button`)), chromedp.WaitVisible(chromedp.CSS(`#results`)),
		}},
	}
}

// TestPages: every page is accessible and fits its window, in light and dark and at each width.
func TestPages(t *testing.T) {
	s := console.Start(t, console.Options{})
	for _, p := range pages() {
		t.Run(p.name, func(t *testing.T) {
			b := open(t)
			for _, width := range []int64{400, 1280, 2000} {
				for _, mode := range []string{"light", "dark"} {
					b.run(chromedp.EmulateViewport(width, 900), scheme(mode), chromedp.Navigate(s.URL+p.path), chromedp.WaitVisible(chromedp.CSS(`h1`)))
					b.run(p.actions...)
					b.checkAxe()
					b.checkWidth()
				}
			}
		})
	}
}

// TestEmptyPages: pages without data say the next command, and are accessible too.
func TestEmptyPages(t *testing.T) {
	for name, o := range map[string]console.Options{"no cluster": {NoCluster: true, Empty: true}, "nothing runs": {Empty: true}} {
		t.Run(name, func(t *testing.T) {
			s, b := console.Start(t, o), open(t)
			for _, path := range []string{"/", "/console/targets", "/console/workloads", "/console/denials", "/console/deployments", "/console/sessionclusters", "/console/targets?q=none"} {
				b.run(chromedp.Navigate(s.URL+path), chromedp.WaitVisible(chromedp.CSS(`.empty`)))
				b.checkAxe()
			}
		})
	}
}

// TestLoginPage: the login is accessible, and so is its refusal.
func TestLoginPage(t *testing.T) {
	s, b := console.Start(t, console.Options{Auth: true}), open(t)
	for _, mode := range []string{"light", "dark"} {
		b.run(scheme(mode), chromedp.Navigate(s.URL+"/"), chromedp.WaitVisible(chromedp.CSS(`#token`)))
		b.checkAxe()
	}
	b.expect("401")
	b.run(chromedp.SendKeys(chromedp.CSS(`#token`), "drey_wrong_token\r"), chromedp.WaitVisible(chromedp.CSS(`.failed`)))
	b.checkAxe()
	token := s.Token(t, registry.Everywhere, access.Owner)
	b.run(chromedp.SendKeys(chromedp.CSS(`#token`), token+"\r"), chromedp.WaitVisible(chromedp.CSS(`#tiles`)))
	b.awaitText("token */owner-0")
}

// TestScreenshots makes the screenshots of the documentation.
func TestScreenshots(t *testing.T) {
	if *screenshots == "" {
		t.Skip("without -screenshots")
	}
	s, b := console.Start(t, console.Options{}), open(t)
	capture := func(name string, width int64, mode string, p shown) {
		b.run(chromedp.EmulateViewport(width, 600), scheme(mode), chromedp.Navigate(s.URL+p.path), chromedp.WaitVisible(chromedp.CSS(`h1`)))
		b.run(p.actions...)
		if evaluate[bool](b, `'topics' in document.body.dataset`) {
			b.await(`document.getElementById('live').textContent === 'Live'`)
		}
		evaluate[int](b, `document.activeElement.blur(); scrollTo(0, 0); 0`)
		image, err := chromedp.Run(b, chromedp.FullScreenshot(100))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(*screenshots, name+".png"), image, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range pages() {
		capture("console-"+p.name, 1280, "light", p)
	}
	capture("console-overview-dark", 1280, "dark", pages()[0])
	capture("console-overview-narrow", 400, "light", pages()[0])
	s = console.Start(t, console.Options{Auth: true, Empty: true})
	capture("console-login", 1280, "light", shown{path: "/console/login"})
}
