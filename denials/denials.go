// Package denials is the bounded history of denials, which all replicas share. [History] is
// pure: the webhooks feed it, and readers make no API calls.
package denials

import (
	"errors"
	"time"
)

// ConfigMapName is the name of the ConfigMap, in drey's own namespace, in which replicas share
// the history.
const ConfigMapName = "drey-denials"

// Denial is one or more equal denials: of the same user, object, reason and mode.
type Denial struct {
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
	Count int       `json:"count"`

	User   string   `json:"user"`
	Groups []string `json:"groups,omitempty"`

	Kind      string `json:"kind"`           // of the denied object
	Namespace string `json:"namespace"`      // Kubernetes namespace
	Name      string `json:"name,omitempty"` // with a * at its end: a generateName
	Owner     Owner  `json:"owner,omitzero"` // root owner, unless that is the object
	Operation string `json:"operation"`      // CREATE, UPDATE or DELETE

	// PlatformNamespace restricts the readers of the denial: the one that the workload states or
	// that its namespace's only target is of. Empty: only readers of all platform namespaces.
	PlatformNamespace string `json:"platformNamespace,omitempty"`

	Reason  string `json:"reason"`           // see verdict.Reason
	Message string `json:"message"`          // as the user got it, with the remedy
	Remedy  string `json:"remedy,omitempty"` // the command that corrects it
	Mode    string `json:"mode"`             // enforce, warn or audit; the last two allowed the request
	Replica string `json:"replica"`          // that decided last
}

// Owner identifies the root owner of a denied object.
type Owner struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
	UID  string `json:"uid,omitempty"`
}

// Key identifies equal denials.
func (d Denial) Key() string {
	return d.Namespace + "\x00" + d.Kind + "\x00" + d.Name + "\x00" + d.Owner.Kind + "\x00" + d.Owner.Name + "\x00" + d.User + "\x00" + d.Reason + "\x00" + d.Mode
}

// Filter selects denials. Empty fields select all.
type Filter struct {
	PlatformNamespace string
	Namespace         string
	Reason            string
	Mode              string
	Text              string    // part of a user, name, namespace or message, without case
	Since             time.Time // of the last occurrence

	// Visible reports whether the reader may see a platform namespace, and with "" what has
	// none. It is called once per platform namespace. Nil: all.
	Visible func(platformNamespace string) (bool, error)
}

// Query is a filter and a page. The newest denials come first.
type Query struct {
	Filter

	Limit    int    // 0: no limit
	Continue string // of the previous page
}

// Page is a part of a list.
type Page struct {
	Items    []Denial `json:"items"` // never nil
	Total    int      `json:"total"` // selected by the filter
	Continue string   `json:"continue,omitempty"`
}

// ErrInvalidQuery means that a query has an invalid continue token.
var ErrInvalidQuery = errors.New("invalid query")
