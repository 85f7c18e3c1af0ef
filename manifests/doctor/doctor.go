// Package doctor says what is wrong with an installation of drey, from what was found
// of it in the cluster, and what mends each of it.
package doctor

import (
	"crypto/x509"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"drey.dev/drey/manifests/bundle"
)

// Level says how bad a finding is.
type Level string

// The levels.
const (
	OK   Level = "OK"
	Warn Level = "WARN" // it works, and something will go wrong sooner or later
	Fail Level = "FAIL" // something does not work
)

// Finding is what one check came to.
type Finding struct {
	Check   string `json:"check"`
	Level   Level  `json:"level"`
	Message string `json:"message"`
	Fix     string `json:"fix,omitempty"` // a command, or what to do; empty of what is OK
}

// Facts are what was found.
type Facts struct {
	Now     time.Time
	Version string // of this program
	Options bundle.Options
	Image   string // that the Deployment runs; empty: there is no Deployment

	Expected []bundle.Object
	Live     map[string]*unstructured.Unstructured // by Key; absent: not there
	Unread   map[string]error                      // by Key: it could not be read
	Unknown  map[string]error                      // by check: what it goes by could not be read

	Ready, Desired int64 // replicas
	Endpoints      int   // that are ready
	Leases         map[string]Lease

	Secret     string // that has the certificate
	Leaf       *x509.Certificate
	CA         []*x509.Certificate
	Foreign    bool  // the Secret is not drey's
	Unreadable error // why the certificate is not known, if the Secret is there
	Others     []Webhook
	Namespaces map[string]map[string]string // labels, by name
	Targets    []Target
	NoTargets  error // why the targets are not known
}

// Lease is one by which a replica leads.
type Lease struct {
	Renewed time.Time
	For     time.Duration
}

// Webhook is one of somebody else's.
type Webhook struct {
	Configuration string // kind and name, as kubectl has them
	Name          string
	Fails         bool // it refuses what it cannot be asked about
	Pods          bool // it is asked about new pods
	Home          bool // it is asked about drey's own namespace
}

// Target is a DeploymentTarget.
type Target struct{ Platform, Name, Namespace string }

// Key is how an object is called in Facts.
func Key(kind, namespace, name string) string { return kind + "/" + namespace + "/" + name }

// Diagnose makes all checks, in the order in which what they look at was installed.
func Diagnose(f Facts) []Finding {
	if f.Image == "" {
		return []Finding{{"server", Fail, "drey is not in namespace " + f.Options.Namespace + ": there is no Deployment " + bundle.Name, "drey install -n " + f.Options.Namespace + ", or give the namespace with -n"}}
	}
	d := &diagnosis{Facts: f}
	for _, check := range []func(){d.objects, d.server, d.version, d.leaders, d.certificate, d.trust, d.deadlocks, d.modes, d.marks} {
		check()
	}
	return d.found
}

type diagnosis struct {
	Facts
	found []Finding
}

func (d *diagnosis) add(check string, level Level, message, fix string) {
	d.found = append(d.found, Finding{check, level, message, fix})
}

// unknown says that what a check goes by could not be read, if that is so.
func (d *diagnosis) unknown(check string) bool {
	err := d.Unknown[check]
	if err != nil {
		d.add(check, Warn, fmt.Sprintf("it cannot be looked at: %v", err), "have somebody run drey doctor who may read it")
	}
	return err != nil
}

// ok says that a check has found nothing, unless it has.
func (d *diagnosis) ok(check, message string) {
	for _, f := range d.found {
		if f.Check == check {
			return
		}
	}
	d.add(check, OK, message, "")
}
