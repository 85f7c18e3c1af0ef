package kubectl

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"

	"drey.dev/drey/cmd/drey/cli/command"
	"drey.dev/drey/cmd/drey/cli/manifest"
)

// Reference names an object as kubectl's arguments do.
type Reference struct {
	Type string // a resource, kind or short name, such as pods, Deployment or flinkdep, with or without version and group
	Name string
}

// String returns TYPE/NAME.
func (r Reference) String() string { return r.Type + "/" + r.Name }

// References parses arguments: TYPE/NAME..., or TYPE NAME...
func References(args []string) (all []Reference, err error) {
	if len(args) > 1 && !strings.Contains(args[0], "/") {
		for _, name := range args[1:] {
			all = append(all, Reference{args[0], name})
		}
	} else {
		for _, arg := range args {
			kind, name, _ := strings.Cut(arg, "/")
			all = append(all, Reference{kind, name})
		}
	}
	for i, r := range all {
		if r.Type == "" || r.Name == "" || strings.Contains(r.Name, "/") {
			return nil, command.WithCode(command.ExitUsage, fmt.Errorf("%q is no object: give TYPE/NAME or TYPE NAME, such as pod/a or flinkdeployment a", args[min(i, len(args)-1)]))
		}
	}
	return all, nil
}

// Objects reads objects of all kinds that a cluster serves.
type Objects struct {
	client dynamic.Interface
	mapper meta.RESTMapper
	host   string
}

// NewObjects returns the objects of a cluster. Kinds are discovered by the first use.
func NewObjects(config *rest.Config) (*Objects, error) {
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	discovered, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, err
	}
	served := memory.NewMemCacheClient(discovered)
	mapper := restmapper.NewShortcutExpander(restmapper.NewDeferredDiscoveryRESTMapper(served), served, func(string) {})
	return &Objects{client: client, mapper: mapper, host: config.Host}, nil
}

// Get reads an object. namespace is that of namespaced kinds.
func (o *Objects) Get(ctx context.Context, namespace string, r Reference) (manifest.Manifest, error) {
	mapping, err := o.mapping(r.Type)
	if err != nil {
		return manifest.Manifest{}, err
	}
	var objects dynamic.ResourceInterface = o.client.Resource(mapping.Resource)
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		objects = o.client.Resource(mapping.Resource).Namespace(namespace)
	}
	found, err := objects.Get(ctx, r.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return manifest.Manifest{}, command.WithCode(command.ExitNotFound, fmt.Errorf("%s %q not found in namespace %q; another namespace: -n NAMESPACE", mapping.GroupVersionKind.Kind, r.Name, namespace))
	case apierrors.IsForbidden(err):
		return manifest.Manifest{}, command.WithCode(command.ExitRefused, err)
	case err != nil:
		return manifest.Manifest{}, err
	}
	text, err := found.MarshalJSON()
	if err != nil {
		return manifest.Manifest{}, err
	}
	return manifest.Manifest{File: r.String(), Text: text, Header: manifest.Header{APIVersion: found.GetAPIVersion(), Kind: found.GetKind()}}, nil
}

// maxOwners bounds a chain of owners.
const maxOwners = 8

// Owners returns the chain of controllers of an object, nearest first: KIND NAME, and a note for one
// that cannot be read.
func (o *Objects) Owners(ctx context.Context, namespace string, object []byte) (all []string) {
	var m metav1.PartialObjectMetadata
	if err := json.Unmarshal(object, &m); err != nil {
		return nil
	}
	for range maxOwners {
		owner := metav1.GetControllerOfNoCopy(&m)
		if owner == nil {
			return all
		}
		all = append(all, owner.Kind+" "+owner.Name)
		found, err := o.owner(ctx, namespace, owner)
		if err != nil {
			all[len(all)-1] += " (" + reasonOf(err) + ")"
			return all
		}
		m = metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{OwnerReferences: found.GetOwnerReferences()}}
	}
	return all
}

func (o *Objects) owner(ctx context.Context, namespace string, owner *metav1.OwnerReference) (*unstructured.Unstructured, error) {
	kind := schema.FromAPIVersionAndKind(owner.APIVersion, owner.Kind)
	mapping, err := o.mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil {
		return nil, err
	}
	return o.client.Resource(mapping.Resource).Namespace(namespace).Get(ctx, owner.Name, metav1.GetOptions{})
}

func reasonOf(err error) string {
	switch {
	case apierrors.IsNotFound(err), meta.IsNoMatchError(err):
		return "not found"
	case apierrors.IsForbidden(err):
		return "you may not read it"
	}
	return err.Error()
}

// mapping returns the resource that a name stands for, as kubectl finds it.
func (o *Objects) mapping(name string) (*meta.RESTMapping, error) {
	full, resource := schema.ParseResourceArg(strings.ToLower(name))
	var kind schema.GroupVersionKind
	if full != nil {
		kind, _ = o.mapper.KindFor(*full) // else without its version
	}
	if kind.Empty() {
		var err error
		kind, err = o.mapper.KindFor(resource.WithVersion(""))
		if meta.IsNoMatchError(err) {
			return nil, command.WithCode(command.ExitUsage, fmt.Errorf("the cluster at %s serves no resource %q: kubectl api-resources lists those that it does", o.host, name))
		}
		if err != nil {
			return nil, command.WithCode(command.ExitUnavailable, fmt.Errorf("list the resources of the cluster: %w", err))
		}
	}
	return o.mapper.RESTMapping(kind.GroupKind(), kind.Version)
}

// Complete completes TYPE/NAME, and NAME after TYPE: types are those of common, names those of
// the cluster.
func (o *Objects) Complete(ctx context.Context, namespace string, common, args []string, toComplete string) ([]string, error) {
	kind, _, hasName := strings.Cut(toComplete, "/")
	prefix := kind + "/"
	switch {
	case len(args) > 0 && !strings.Contains(args[0], "/"):
		kind, prefix = args[0], ""
	case !hasName:
		var types []string
		for _, c := range common {
			types = append(types, c+"/")
		}
		return types, nil
	}
	mapping, err := o.mapping(kind)
	if err != nil {
		return nil, err
	}
	list, err := o.client.Resource(mapping.Resource).Namespace(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	var names []string
	for _, item := range list.Items {
		if name := prefix + item.GetName(); !slices.Contains(args, name) {
			names = append(names, name)
		}
	}
	return names, nil
}
