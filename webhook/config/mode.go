package config

import (
	"fmt"

	"drey.dev/drey/registry"
)

// Mode is what becomes of a denial.
type Mode string

// The modes. Labels are added in each.
const (
	Enforce Mode = "enforce" // it is refused
	Warn    Mode = "warn"    // it passes, and who made it is warned
	Audit   Mode = "audit"   // it passes, and an event and a metric tell of it
)

// LabelMode sets the mode of one namespace.
const LabelMode = registry.Group + "/mode"

// ParseMode reads a mode.
func ParseMode(text string) (Mode, error) {
	switch m := Mode(text); m {
	case Enforce, Warn, Audit:
		return m, nil
	}
	return "", fmt.Errorf("%q is no mode: use %s, %s or %s", text, Enforce, Warn, Audit)
}
