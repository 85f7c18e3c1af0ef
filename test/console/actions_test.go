package console

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"drey.dev/drey/denials"
	"drey.dev/drey/inventory"
	"drey.dev/drey/registry"
	"drey.dev/drey/registry/access"
	"drey.dev/drey/test/framework/console"
)

// focused describes the focused element: the text of links and buttons, the name of fields.
const focused = `(document.activeElement.name || document.activeElement.textContent || document.activeElement.tagName).trim()`

// tabTo presses Tab until an element has the focus, as a user without a mouse.
func (b *browser) tabTo(name string) {
	b.t.Helper()
	var seen []string
	for range 60 {
		b.run(chromedp.KeyEvent(kb.Tab))
		now := evaluate[string](b, focused)
		if now == name {
			if visible := evaluate[bool](b, `document.activeElement.matches(':focus-visible') && getComputedStyle(document.activeElement).outlineStyle !== 'none'`); !visible {
				b.t.Errorf("the focus on %q is invisible", name)
			}
			return
		}
		seen = append(seen, now)
	}
	b.t.Fatalf("no focus on %q by Tab, but on %q", name, seen)
}

// TestKeyboard: all actions are done by the keyboard alone: skip link, create, explain, delete.
func TestKeyboard(t *testing.T) {
	s, b := console.Start(t, console.Options{}), open(t)
	b.run(chromedp.Navigate(s.URL+"/console/targets"), chromedp.KeyEvent(kb.Tab))
	if got := evaluate[string](b, focused); got != "Skip to content" {
		t.Errorf("the first focus is on %q", got)
	}
	b.run(chromedp.KeyEvent(kb.Enter))
	b.await(`document.activeElement.id === 'main'`)
	b.tabTo("New target")
	b.run(chromedp.KeyEvent(kb.Enter))
	b.await(`location.pathname === '/console/targets/new' && document.readyState === 'complete'`)
	b.tabTo("scope")
	b.run(chromedp.KeyEvent("se")) // selects search
	b.tabTo("ns")
	b.run(chromedp.KeyEvent("web"))
	b.tabTo("name")
	b.run(chromedp.KeyEvent("clicks"))
	b.tabTo("Create target")
	b.run(chromedp.KeyEvent(kb.Enter))
	b.awaitText("Flink is admitted to Kubernetes namespace web now.")
	if path := b.path(); path != "/console/targets/search/clicks?done=created" {
		t.Errorf("path %s", path)
	}

	b.tabTo("Explain")
	b.run(chromedp.KeyEvent(kb.Enter))
	b.await(`location.pathname === '/console/explain' && document.readyState === 'complete'`)
	b.tabTo("manifest")
	evaluate[int](b, fmt.Sprintf("document.activeElement.value = %q; 0", denied))
	ctrlEnter(b)
	b.awaitText("HasTarget")
	b.await(`document.activeElement.id === 'results'`)

	b.run(chromedp.Navigate(s.URL + "/console/targets/search/clicks"))
	b.tabTo("Delete…")
	b.run(chromedp.KeyEvent(kb.Enter))
	b.awaitText("Nothing refers to it")
	b.tabTo("Delete target")
	b.run(chromedp.KeyEvent(kb.Enter))
	b.await(`location.pathname === '/console/targets' && document.readyState === 'complete'`)
	if strings.Contains(b.text(), "clicks") {
		t.Error("the deleted target is listed")
	}
	b.run(chromedp.Navigate(s.URL + "/console/workloads"))
	b.tabTo("rollup")
	b.run(chromedp.KeyEvent(kb.Enter))
	b.await(`location.pathname === '/console/workloads/analytics/Deployment/rollup' && document.readyState === 'complete'`)
	b.tabTo("shared-sessions")
	b.tabTo("Memory")
	b.run(chromedp.KeyEvent(kb.Enter))
	b.await(`location.search === '?sort=memory' && document.querySelector('[aria-sort=ascending]')?.textContent.includes('Memory')`)
	b.run(chromedp.Navigate(s.URL + "/console/denials"))
	for range 40 {
		b.run(chromedp.KeyEvent(kb.Tab))
		if evaluate[string](b, `document.activeElement.tagName`) == "SUMMARY" {
			break
		}
	}
	b.run(chromedp.KeyEvent(kb.Enter))
	b.awaitText("echo '{\"apiVersion\":\"drey.dev/v1\"")
}

func ctrlEnter(b *browser) {
	b.t.Helper()
	b.run(chromedp.KeyEvent(kb.Enter, chromedp.KeyModifiers(2))) // Ctrl
}

// TestForms: refusals are shown with their remedy, and keep what the user typed.
func TestForms(t *testing.T) {
	s, b := console.Start(t, console.Options{}), open(t)
	b.expect("409")
	b.expect("400")
	b.run(chromedp.Navigate(s.URL+"/console/targets/new?ns=payments-prod&scope=payments"), chromedp.SetValue(chromedp.CSS("#name"), "production"), chromedp.Click(chromedp.CSS("form.card button")), chromedp.WaitVisible(chromedp.CSS(".failed")))
	b.awaitText("already exists: choose another name")
	if got := evaluate[string](b, `document.querySelector('#ns').value`); got != "payments-prod" {
		t.Errorf("the namespace is %q", got)
	}
	b.checkAxe()
	b.run(chromedp.Navigate(s.URL+"/console/explain"), chromedp.SetValue(chromedp.CSS("#manifest"), "a: ["), chromedp.Click(chromedp.CSS("form.card button")), chromedp.WaitVisible(chromedp.CSS(".failed")))
	b.awaitText("Not explained")
	b.checkAxe()
	b.expect("404")
	b.run(chromedp.Navigate(s.URL+"/console/targets/payments/none"), chromedp.WaitVisible(chromedp.CSS(".failed")))
	b.checkAxe()
}

// TestFilterWhileTyping: a list is filtered while the user types, in the URL too, and ordered by a
// click on a column.
func TestFilterWhileTyping(t *testing.T) {
	s, b := console.Start(t, console.Options{}), open(t)
	b.run(chromedp.Navigate(s.URL+"/console/targets"), chromedp.Click(chromedp.CSS("input[type=search]")), chromedp.KeyEvent("pay"))
	b.await(`document.querySelectorAll('tbody tr').length === 2`)
	b.await(`document.activeElement.name === 'q'`)
	if path := b.path(); path != "/console/targets?q=pay" {
		t.Errorf("path %s", path)
	}
	b.await(`document.getElementById('announcement').textContent === '2 targets'`)
	evaluate[int](b, `document.querySelector('thead th:nth-child(3) a').click(); 0`)
	b.await(`location.search === '?q=pay&sort=namespace' && document.querySelector('[aria-sort=ascending]')?.textContent.includes('Kubernetes namespace')`)
	b.run(chromedp.Navigate(s.URL + "/console/workloads"))
	evaluate[int](b, `{ const s = document.querySelector('select[name=show]'); s.value = 'unhealthy'; s.dispatchEvent(new Event('input', {bubbles: true})); 0 }`)
	b.await(`document.querySelectorAll('tbody tr').length === 2`)
}

// TestLiveUpdates: a page shows a change by its event, announces it, and keeps the focus and what is
// open. The log has the time, half a second on an idle machine.
func TestLiveUpdates(t *testing.T) {
	s, b := console.Start(t, console.Options{}), open(t)
	b.run(chromedp.Navigate(s.URL + "/"))
	b.await(`document.getElementById('live')?.textContent === 'Live'`)
	evaluate[int](b, `document.querySelectorAll('#denials summary')[1].click(); document.querySelectorAll('#denials summary')[1].focus(); 0`)
	start := time.Now()
	s.Deny(denials.Denial{User: "kira@example.com", Kind: "Pod", Namespace: "web", Name: "late", Reason: "NoDeploymentTarget", Mode: "enforce", Message: "namespace \"web\" has no DeploymentTarget", Count: 1, First: console.Now, Last: console.Now})
	b.awaitText("kira@example.com")
	t.Logf("a denial is shown after %s", time.Since(start).Round(time.Millisecond))
	b.await(`document.getElementById('announcement').textContent.includes('19 denials in 24 hours')`)
	b.await(`document.activeElement.closest('li')?.textContent.includes('system:serviceaccount:ci:deployer') && document.activeElement.parentElement.open`)

	b.run(chromedp.Navigate(s.URL + "/console/workloads"))
	b.await(`document.getElementById('live')?.textContent === 'Live'`)
	w := inventory.Workload{Namespace: "staging", PlatformNamespace: "default", Target: "myDeploymentTarget", Owner: inventory.Owner{Kind: "FlinkDeployment", Name: "brand-new"}, Since: console.Now}
	s.Inventory.Put(w)
	b.awaitText("brand-new")
	b.await(`document.querySelector('tr.fresh')?.textContent.includes('brand-new')`)
	s.Inventory.Delete(w.Key())
	b.await(`!document.body.innerText.includes('brand-new')`)
}

// TestWorkloadPage: the page of a workload follows its pods, and shows that it was deleted.
func TestWorkloadPage(t *testing.T) {
	s, b := console.Start(t, console.Options{}), open(t)
	b.expect("404")
	b.run(chromedp.Navigate(s.URL + "/console/workloads/payments-prod/FlinkDeployment/settlement-window"))
	b.awaitText("3 of 4 ready")
	b.await(`document.getElementById('live')?.textContent === 'Live'`)
	w, ok := s.Inventory.Get("payments-prod/FlinkDeployment/settlement-window")
	if !ok {
		t.Fatal("not in the sample")
	}
	w.PodsReady, w.Pods = 5, 5
	s.Inventory.Put(w)
	b.awaitText("5 of 5 ready")
	b.await(`document.querySelector('tr.fresh')?.textContent.includes('settlement-window-taskmanager-1-4')`)
	b.await(`document.getElementById('announcement').textContent === 'transitioning, 5 of 5 pods ready'`)
	s.Inventory.Delete(w.Key())
	b.awaitText("is not a Flink workload that runs")
	b.await(`document.getElementById('announcement').textContent === 'Not found' && document.getElementById('live').hidden`)
	b.checkAxe()
}

// TestReconnect: a page says that it is not live, and is again when the server returns.
func TestReconnect(t *testing.T) {
	s, b := console.Start(t, console.Options{}), open(t)
	b.expect("ERR_")
	b.run(chromedp.Navigate(s.URL + "/console/targets"))
	b.await(`document.getElementById('live')?.textContent === 'Live'`)
	evaluate[int](b, `window.states = []; new MutationObserver(() => states.push(document.getElementById('live').textContent)).observe(document.getElementById('live'), {childList: true}); 0`)
	s.CloseClientConnections()
	s.Target(t, "search", "meanwhile", "web")
	b.await(`states.includes('Reconnecting') && states.at(-1) === 'Live'`)
	b.awaitText("meanwhile")
}

// TestDropFiles: dropped files become the manifest.
func TestDropFiles(t *testing.T) {
	s, b := console.Start(t, console.Options{}), open(t)
	b.run(chromedp.Navigate(s.URL + "/console/explain"))
	evaluate[int](b, fmt.Sprintf(`{
		const data = new DataTransfer();
		data.items.add(new File([%q], 'a.yaml'));
		data.items.add(new File([%q], 'b.yaml'));
		document.getElementById('manifest').dispatchEvent(new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true}));
		0
	}`, denied, strings.TrimPrefix(allowed, "---\n")))
	b.await(`document.getElementById('manifest').value.includes('fraud-scoring')`)
	b.run(chromedp.Click(chromedp.CSS("form.card button")), chromedp.WaitVisible(chromedp.CSS("#results")))
	b.awaitText("2 workloads")

	file := filepath.Join(t.TempDir(), "job.yaml")
	if err := os.WriteFile(file, []byte(denied), 0o600); err != nil {
		t.Fatal(err)
	}
	b.run(chromedp.Navigate(s.URL+"/console/explain"), chromedp.SetUploadFiles(chromedp.CSS("input[type=file]"), []string{file}), chromedp.Click(chromedp.CSS("form.card button")), chromedp.WaitVisible(chromedp.CSS("#results")))
	b.awaitText("NoDeploymentTarget")
}

// TestWithoutScripts: pages, filters and forms work without scripts.
func TestWithoutScripts(t *testing.T) {
	s, b := console.Start(t, console.Options{}), open(t)
	b.run(func(ctx context.Context, tab *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, tab, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
		return chromedp.Void{}, err
	})
	b.run(chromedp.Navigate(s.URL+"/console/targets"), chromedp.SendKeys(chromedp.CSS("input[type=search]"), "indexing"), chromedp.Click(chromedp.CSS(".filter button")), chromedp.WaitVisible(chromedp.CSS("tbody tr:only-child")))
	b.run(chromedp.Navigate(s.URL+"/console/targets/new?ns=web&scope=search"), chromedp.Click(chromedp.CSS("form.card button")), chromedp.WaitVisible(chromedp.CSS(".notice[role=status]")))
	b.run(chromedp.Navigate(s.URL+"/console/explain"), chromedp.SetValue(chromedp.CSS("#manifest"), denied), chromedp.Click(chromedp.CSS("form.card button")), chromedp.WaitVisible(chromedp.CSS(".verdict.allowed")))
	b.run(chromedp.Navigate(s.URL+"/console/denials"), chromedp.Click(chromedp.CSS("summary")), chromedp.WaitVisible(chromedp.CSS("details[open] .command")))
	b.run(chromedp.Navigate(s.URL+"/console/targets/search/web/delete"), chromedp.Click(chromedp.CSS("button.danger")), chromedp.WaitVisible(chromedp.CSS("tbody")))
}

// TestMarkup: text of users that is markup runs no script.
func TestMarkup(t *testing.T) {
	s, b := console.Start(t, console.Options{}), open(t)
	const markup = `</script><img src=x onerror="document.title='owned'"><script>document.title='owned'</script>`
	s.Inventory.Put(inventory.Workload{Namespace: markup, Owner: inventory.Owner{Kind: markup, Name: markup}, Name: markup, Misplaced: true, State: markup, Since: console.Now})
	s.Deny(denials.Denial{User: markup, Kind: markup, Namespace: markup, Name: markup, Reason: markup, Message: markup, Remedy: markup, Count: 1, Last: console.Now})
	for _, path := range []string{"/", "/console/workloads", "/console/denials"} {
		b.run(chromedp.Navigate(s.URL + path))
		b.awaitText("onerror")
		s.Deny(denials.Denial{User: markup + path, Kind: "Pod", Namespace: markup, Name: markup, Message: markup, Count: 1, Last: console.Now})
		s.Inventory.Put(inventory.Workload{Namespace: markup, Owner: inventory.Owner{Kind: "Job", Name: markup + path}, Misplaced: true, Since: console.Now})
		b.await(`document.querySelector('.fresh')`)
		if title := evaluate[string](b, `document.title`); strings.Contains(title, "owned") {
			t.Errorf("%s ran a script", path)
		}
	}
}

// TestSession: a browser keeps the session, updates while it lasts, and returns to the login when
// the token is deleted.
func TestSession(t *testing.T) {
	s, b := console.Start(t, console.Options{Auth: true}), open(t)
	b.expect("401")
	token := s.Token(t, registry.Everywhere, access.Viewer)
	b.run(chromedp.Navigate(s.URL+"/console/targets"), chromedp.WaitVisible(chromedp.CSS("#token")), chromedp.SendKeys(chromedp.CSS("#token"), token+kb.Enter), chromedp.WaitVisible(chromedp.CSS("tbody")))
	b.await(`document.getElementById('live')?.textContent === 'Live'`)
	if cookie := evaluate[string](b, `document.cookie`); cookie != "" {
		t.Errorf("scripts read the cookie %s", cookie)
	}
	s.Target(t, "search", "added", "web")
	b.awaitText("added")
	if _, err := s.Registry.Delete(t.Context(), registry.Key{Kind: registry.APIToken, Namespace: registry.Everywhere, Name: "viewer-0"}, registry.Precondition{}); err != nil {
		t.Fatal(err)
	}
	s.Target(t, "search", "unseen", "web")
	b.await(`location.pathname === '/console/login'`)
	if strings.Contains(b.text(), "unseen") {
		t.Error("data is shown after the token was deleted")
	}
}
