package page

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/duration"
)

// age formats the time since t as kubectl does, "–" for the zero time.
func age(now, t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	return duration.HumanDuration(max(now.Sub(t), 0))
}

// formatBytes formats an amount of memory with three digits, such as 1.50 GiB.
func formatBytes(n int64) string {
	if n < 1024 {
		return strconv.FormatInt(n, 10) + " B"
	}
	value, unit := float64(n)/1024, "KiB"
	for _, larger := range []string{"MiB", "GiB", "TiB", "PiB"} {
		if value < 1024 {
			break
		}
		value, unit = value/1024, larger
	}
	digits := 2
	if value >= 100 {
		digits = 0
	} else if value >= 10 {
		digits = 1
	}
	return strconv.FormatFloat(value, 'f', digits, 64) + " " + unit
}

// formatCPU formats an amount of CPU in cores.
func formatCPU(milli int64) string {
	text := strconv.FormatFloat(float64(milli)/1000, 'f', 3, 64)
	text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	whole, fraction, ok := strings.Cut(text, ".")
	n, err := strconv.Atoi(whole)
	if err != nil {
		return text
	}
	if whole = formatCount(n); ok {
		whole += "." + fraction
	}
	return whole
}

// formatCount groups the digits of a number by thousands.
func formatCount(n int) string {
	if n < 0 {
		return "-" + formatCount(-n)
	}
	if n < 1000 {
		return strconv.Itoa(n)
	}
	return fmt.Sprintf("%s,%03d", formatCount(n/1000), n%1000)
}

// plural returns a count with its noun.
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return formatCount(n) + " " + noun + "s"
}
