package config

import (
	"fmt"

	"drey.dev/drey/registry"
)

// Mode is the effect of a denial.
type Mode string

// The modes. Labels are added in each.
const (
	Enforce Mode = "enforce" // the request is denied
	Warn    Mode = "warn"    // the request is allowed with a warning to the client
	Audit   Mode = "audit"   // the request is allowed, with an event and a metric
)

// LabelMode is the label of a namespace that overrides the mode of the installation.
const LabelMode = registry.Group + "/mode"

// ParseMode returns the mode with a name.
func ParseMode(text string) (Mode, error) {
	switch m := Mode(text); m {
	case Enforce, Warn, Audit:
		return m, nil
	}
	return "", fmt.Errorf("invalid mode %q: use %s, %s or %s", text, Enforce, Warn, Audit)
}
