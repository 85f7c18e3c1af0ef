package installed

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"drey.dev/drey/manifests/bundle"
)

// AuditLog is the API server's audit log of the requests of drey's ServiceAccount.
type AuditLog struct{ dir string }

// NewAuditLog writes the audit policy into a directory.
func NewAuditLog(dir string) (*AuditLog, error) {
	a := &AuditLog{dir}
	return a, os.WriteFile(a.policy(), []byte(auditPolicy), 0o600)
}

const auditPolicy = `
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules:
- {level: Metadata, users: ["system:serviceaccount:drey-system:drey"]}
- {level: None}
`

func (a *AuditLog) policy() string { return filepath.Join(a.dir, "audit-policy.yaml") }
func (a *AuditLog) log() string    { return filepath.Join(a.dir, "audit.log") }

// Remove removes the directory.
func (a *AuditLog) Remove() error { return os.RemoveAll(a.dir) }

// APIServerArgs returns the flags of the API server that write the log.
func (a *AuditLog) APIServerArgs() []string {
	return []string{"--audit-policy-file=" + a.policy(), "--audit-log-path=" + a.log(), "--audit-log-mode=blocking"}
}

// Call is a logged request.
type Call struct {
	Verb        string
	RequestURI  string
	ObjectRef   struct{ APIGroup, Resource, Subresource, Namespace, Name string }
	Annotations map[string]string
}

// forbidden reports whether the authorizer, and not an admission plugin, denied the request.
func (c Call) forbidden() bool { return c.Annotations["authorization.k8s.io/decision"] == "forbid" }

// Calls returns all requests so far.
func (a *AuditLog) Calls() ([]Call, error) {
	f, err := os.Open(a.log())
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []Call
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var c Call
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, lines.Err()
}

// isOwner reports whether the request reads an owner of a kind without a rule in drey's
// manifests. Its denial is expected: drey then uses the owner reference.
func (c Call) isOwner(granted map[schema.GroupResource]bool) bool {
	return c.Verb == "get" && c.ObjectRef.Name != "" && !granted[schema.GroupResource{Group: c.ObjectRef.APIGroup, Resource: c.ObjectRef.Resource}]
}

// granted returns the resources with any rule in drey's manifests.
func granted() (map[schema.GroupResource]bool, error) {
	stages, err := bundle.Stages(bundle.Defaults())
	if err != nil {
		return nil, err
	}
	all := map[schema.GroupResource]bool{}
	for _, s := range stages {
		for _, o := range s.Objects {
			rules, _, _ := unstructured.NestedSlice(o.Object, "rules") // rules of webhooks are skipped below
			for _, r := range rules {
				groups, _, _ := unstructured.NestedStringSlice(r.(map[string]any), "apiGroups")
				resources, _, _ := unstructured.NestedStringSlice(r.(map[string]any), "resources")
				for _, group := range groups {
					for _, resource := range resources {
						all[schema.GroupResource{Group: group, Resource: resource}] = true
					}
				}
			}
		}
	}
	return all, nil
}

// Forbidden returns an error that lists the requests for which drey lacked permission.
func (a *AuditLog) Forbidden() error {
	calls, err := a.Calls()
	if err != nil {
		return err
	}
	if len(calls) == 0 {
		return errors.New("the audit log has no request of drey")
	}
	granted, err := granted()
	if err != nil {
		return err
	}
	var errs []error
	for _, c := range calls {
		if c.forbidden() && !c.isOwner(granted) {
			errs = append(errs, fmt.Errorf("forbidden: %s %s", c.Verb, c.RequestURI))
		}
	}
	return errors.Join(errs...)
}
