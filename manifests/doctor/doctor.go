// Package doctor diagnoses an installation of drey from facts about it, and has a fix for
// each finding. It reads nothing itself.
package doctor

import (
	"crypto/x509"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"drey.dev/drey/manifests/bundle"
	"drey.dev/drey/manifests/readiness"
)

// Level is the severity of a finding.
type Level string

// The levels.
const (
	OK   Level = "OK"
	Warn Level = "WARN" // it works, but not for long, or not in every case
	Fail Level = "FAIL" // it does not work
)

// Finding is a result of a check.
type Finding struct {
	Check   string `json:"check"`
	Level   Level  `json:"level"`
	Message string `json:"message"`
	Fix     string `json:"fix,omitempty"` // a command or an instruction; empty if OK
}

// Facts describe an installation as it was read from the cluster.
type Facts struct {
	Now     time.Time
	Version string // of this program
	Options bundle.Options
	Image   string // of the Deployment; empty: no Deployment exists
	Config  string // the configuration file; empty: arguments alone configure drey
	Manager string // the tool that manages the Deployment, such as a Helm release; empty: none
	Outside *Outside

	Expected    []bundle.Object
	Live        map[string]*unstructured.Unstructured // by Key; absent: does not exist
	ReadErrors  map[string]error                      // by Key, of objects that could not be read
	CheckErrors map[string]error                      // by check whose input could not be read
	Obsolete    []string                              // policies with drey's label that are not in Expected, as KIND/NAME

	Ready, Desired int64 // replicas
	Obstacles      []readiness.Obstacle
	Endpoints      int // ready ones
	Leases         map[string]Lease
	APIServerPorts []int32 // of its endpoints; nil: unknown

	Secret        string // the name of the certificate's
	Leaf          *x509.Certificate
	CA            []*x509.Certificate
	SecretForeign bool                         // the Secret lacks the label of drey's
	SecretError   error                        // of reading the Secret, if it exists
	Webhooks      []Webhook                    // of others
	Namespaces    map[string]map[string]string // labels, by name
	Targets       []Target
	TargetsError  error // of reading the targets
}

// Outside is a drey outside the cluster, whose webhooks are registered by URL.
type Outside struct {
	URL string
	Err error // of a TLS connection to it from here, with the caBundle's trust
}

// Lease is a leader election lease.
type Lease struct {
	RenewTime time.Time
	Duration  time.Duration
}

// Webhook is an admission webhook of others.
type Webhook struct {
	Configuration       string // KIND/NAME
	Name                string
	FailsClosed         bool // its failure policy is Fail
	MatchesPods         bool // its rules match the creation of pods
	MatchesOwnNamespace bool // it selects drey's namespace
}

// Target is a DeploymentTarget.
type Target struct{ Platform, Name, Namespace string }

// Key is the key of an object in Facts.
func Key(kind, namespace, name string) string { return kind + "/" + namespace + "/" + name }

// Diagnose runs all checks, in the order of installation.
func Diagnose(f Facts) []Finding {
	d := &diagnosis{Facts: f}
	checks := []func(){d.objects, d.configuration, d.server, d.network, d.version, d.leaders, d.certificate, d.trust, d.paths, d.admission, d.deadlocks, d.modes, d.targets}
	switch {
	case f.Image == "" && f.Outside != nil:
		checks = []func(){d.outside, d.modes, d.targets}
	case f.Image == "":
		checks = []func(){d.notInstalled}
	}
	for _, check := range checks {
		check()
	}
	return d.found
}

type diagnosis struct {
	Facts
	found               []Finding
	webhooks, untrusted int // drey's, and those that do not trust the serving certificate
}

func (d *diagnosis) add(check string, level Level, message, fix string) {
	d.found = append(d.found, Finding{check, level, message, fix})
}

// unknown reports whether the input of a check could not be read, and adds that finding.
func (d *diagnosis) unknown(check string) bool {
	err := d.CheckErrors[check]
	if err != nil {
		d.add(check, Warn, fmt.Sprintf("not checked: %v", err), runWithRights)
	}
	return err != nil
}

// ok adds an OK finding for a check without others.
func (d *diagnosis) ok(check, message string) {
	for _, f := range d.found {
		if f.Check == check {
			return
		}
	}
	d.add(check, OK, message, "")
}

const runWithRights = "run drey doctor as a user with permission to read it"
