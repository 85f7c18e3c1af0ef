package page

import (
	"net/url"
	"strings"
	"testing"
	"time"
)

// TestTable: a table cuts its page, and its links keep the filter and the order.
func TestTable(t *testing.T) {
	rows := make([]int, 120)
	for i := range rows {
		rows[i] = i
	}
	query := url.Values{"q": {"a&b"}, "sort": {"-age"}, "page": {"2"}}
	table := NewTable("/list", query, "name", "age")
	cut := Cut(&table, rows, 50)
	if len(cut) != 50 || cut[0] != 50 || table.First != 51 || table.Last != 100 || table.Total != 120 || table.Pages != 3 {
		t.Errorf("page 2: %d rows from %d, %+v", len(cut), cut[0], table)
	}
	for link, want := range map[string]string{
		table.Next():                         "/list?page=3&q=a%26b&sort=-age",
		table.Previous():                     "/list?page=1&q=a%26b&sort=-age",
		table.Column("age", "Age", "").URL:   "/list?q=a%26b&sort=age",
		table.Column("name", "Name", "").URL: "/list?q=a%26b&sort=name",
	} {
		if link != want {
			t.Errorf("link %s, want %s", link, want)
		}
	}
	if c := table.Column("age", "Age", ""); c.Order != "descending" {
		t.Errorf("order %q", c.Order)
	}
	for name, test := range map[string]struct {
		query url.Values
		rows  []int
		page  int
	}{
		"beyond the last": {url.Values{"page": {"9"}}, rows, 3},
		"not a number":    {url.Values{"page": {"x"}}, rows, 1},
		"negative":        {url.Values{"page": {"-1"}}, rows, 1},
		"no rows":         {nil, nil, 1},
	} {
		table := NewTable("/list", test.query, "name")
		if Cut(&table, test.rows, 50); table.Page != test.page {
			t.Errorf("%s: page %d, want %d", name, table.Page, test.page)
		}
		if table.Page == table.Pages && table.Next() != "" || table.Page == 1 && table.Previous() != "" {
			t.Errorf("%s: links %q and %q", name, table.Previous(), table.Next())
		}
	}
	if query.Get("page") != "2" {
		t.Error("links change the query")
	}
}

// TestFormat: amounts are readable.
func TestFormat(t *testing.T) {
	now := time.Date(2026, 3, 9, 12, 0, 0, 0, time.UTC)
	for got, want := range map[string]string{
		formatBytes(0): "0 B", formatBytes(1023): "1023 B", formatBytes(1536): "1.50 KiB", formatBytes(10 << 30): "10.0 GiB", formatBytes(204 << 30): "204 GiB", formatBytes(1 << 62): "4096 PiB",
		formatCPU(0): "0", formatCPU(1500): "1.5", formatCPU(12345678): "12,345.678", formatCPU(50): "0.05",
		formatCount(-1234): "-1,234", formatCount(1000000): "1,000,000", plural(1, "pod"): "1 pod", plural(1200, "pod"): "1,200 pods",
		age(now, time.Time{}): "–", age(now, now.Add(time.Hour)): "0s", age(now, now.Add(-90*time.Minute)): "90m",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestRenderUnknownPage: a page without a template is an error.
func TestRenderUnknownPage(t *testing.T) {
	p, err := New()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Render(&strings.Builder{}, "nothing", nil); err == nil {
		t.Error("rendered")
	}
	if names := p.Names(); len(names) != 13 {
		t.Errorf("pages %v", names)
	}
}
