// Package console tests the console in a real browser, Chromium: every page and action, by the
// keyboard alone, in light and dark, from 400 to 2000 pixels. Errors on the browser's console and
// findings of axe fail a test.
package console

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// axe is axe-core 4.14.1 of its npm package, Mozilla Public License 2.0: see axe/LICENSE.
//
//go:embed axe/axe.min.js
var axe string

type action = chromedp.Action[chromedp.Void]

// browser is a tab. Errors on its console fail the test.
type browser struct {
	context.Context
	t testing.TB

	mu       sync.Mutex
	failures []string
	expected []string // parts of failures that a test provokes
}

var chromium = sync.OnceValues(func() (context.Context, error) {
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		return nil, fmt.Errorf("chromium is not installed: apt-get install chromium")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.WindowSize(1280, 900),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true), chromedp.Flag("ignore-certificate-errors", true), chromedp.Flag("force-color-profile", "srgb"), chromedp.Flag("hide-scrollbars", true),
	)
	allocated, _ := chromedp.NewExecAllocator(context.Background(), options...)
	first, _ := chromedp.NewContext(allocated)
	return first, chromedp.Do(first, chromedp.Navigate("about:blank"))
})

// open returns a new tab with cookies of its own.
func open(t testing.TB) *browser {
	t.Helper()
	parent, err := chromium()
	if err != nil {
		t.Fatal(err)
	}
	tab, closeTab := chromedp.NewContext(parent, chromedp.WithNewBrowserContext())
	ctx, cancel := context.WithTimeout(tab, 5*time.Minute)
	b := &browser{Context: ctx, t: t}
	if err := chromedp.Do(tab, chromedp.Navigate("about:blank")); err != nil { // not with the timeout, which would end the tab
		t.Fatal(err)
	}
	err = chromedp.Listen(ctx, func(event any) {
		switch e := event.(type) {
		case *log.EventEntryAdded:
			if e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning {
				b.fail(fmt.Sprintf("%s: %s %s", e.Entry.Source, e.Entry.Text, e.Entry.URL))
			}
		case *runtime.EventConsoleAPICalled:
			if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
				b.fail(fmt.Sprintf("console.%s: %v", e.Type, e.Args))
			}
		case *runtime.EventExceptionThrown:
			b.fail(fmt.Sprintf("exception: %s %v", e.ExceptionDetails.Text, e.ExceptionDetails.Exception))
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, failure := range b.failures {
			t.Errorf("browser: %s", failure)
		}
		cancel()
		closeTab()
	})
	return b
}

func (b *browser) fail(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, part := range b.expected {
		if strings.Contains(text, part) {
			return
		}
	}
	b.failures = append(b.failures, text)
}

// expect lets failures pass that a test provokes, such as the status of a refused form.
func (b *browser) expect(part string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expected = append(b.expected, part)
}

func (b *browser) run(actions ...action) {
	b.t.Helper()
	if err := chromedp.Do(b, actions...); err != nil {
		b.t.Fatal(err)
	}
}

// text returns the visible text of the page.
func (b *browser) text() string {
	b.t.Helper()
	return evaluate[string](b, `document.body.innerText`)
}

// path returns the path and query of the page.
func (b *browser) path() string {
	b.t.Helper()
	return evaluate[string](b, `location.pathname + location.search`)
}

// awaitTimeout is less than the minute after which a page fetches itself without an event.
const awaitTimeout = 30 * time.Second

// await waits until a condition in JavaScript is true.
func (b *browser) await(condition string) {
	b.t.Helper()
	deadline := time.Now().Add(awaitTimeout)
	for {
		if ok, err := chromedp.Run(b, chromedp.Evaluate[bool](`Boolean(`+condition+`)`)); err == nil && ok {
			return
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("not true in %s: %s; page %s:\n%s", awaitTimeout, condition, b.path(), b.text())
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// awaitText waits until the page shows a text.
func (b *browser) awaitText(text string) {
	b.t.Helper()
	quoted, _ := json.Marshal(text)
	b.await(`document.body.innerText.includes(` + string(quoted) + `)`)
}

// scheme emulates light or dark.
func scheme(name string) action {
	return func(ctx context.Context, tab *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, tab, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}, {Name: "prefers-reduced-motion", Value: "reduce"}},
		})
		return chromedp.Void{}, err
	}
}

// evaluate returns the value of an expression in JavaScript, also of a promise.
func evaluate[T any](b *browser, expression string) T {
	b.t.Helper()
	value, err := chromedp.Run(b, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatal(err)
	}
	return value
}

// violation is a finding of axe.
type violation struct {
	ID, Impact, Help string
	Nodes            []struct {
		HTML           string
		FailureSummary string
	}
}

// checkAxe fails the test if axe finds anything on the page.
func (b *browser) checkAxe() {
	b.t.Helper()
	evaluate[int](b, axe+`;0`)
	result := evaluate[string](b, `axe.run(document, {resultTypes: ['violations']}).then((r) => JSON.stringify(r.violations))`)
	var found []violation
	if err := json.Unmarshal([]byte(result), &found); err != nil {
		b.t.Fatal(err)
	}
	for _, v := range found {
		for _, n := range v.Nodes {
			b.t.Errorf("axe: %s (%s): %s\n%s\n%s", v.ID, v.Impact, v.Help, n.HTML, n.FailureSummary)
		}
	}
}

// checkWidth fails the test if the page is wider than the window.
func (b *browser) checkWidth() {
	b.t.Helper()
	if over := evaluate[int](b, `document.documentElement.scrollWidth - innerWidth`); over > 0 {
		wide := evaluate[string](b, `[...document.querySelectorAll('body *')].filter((e) => e.getBoundingClientRect().right > innerWidth && !e.closest('.scroll, pre')).slice(0, 3).map((e) => e.outerHTML.slice(0, 200)).join('\n')`)
		b.t.Errorf("the page is %d pixels wider than the window: %s", over, wide)
	}
}
