// Package configmap stores the history of denials in a ConfigMap that all replicas share.
package configmap

import (
	"context"
	"fmt"
	"maps"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	coreclient "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/retry"

	"drey.dev/drey/denials"
	"drey.dev/drey/listwatch"
)

// Name is the name of the ConfigMap in drey's namespace.
const Name = denials.ConfigMapName

// key is the key of the document in binaryData.
const key = "denials.json.gz"

// Store is a [denials.Store] in a ConfigMap. Writes are read-modify-write with optimistic
// concurrency.
type Store struct {
	client    coreclient.ConfigMapInterface
	namespace string
}

// New returns the store in a namespace. It requires get, list, watch and update on the ConfigMap
// with [Name], and create.
func New(config *rest.Config, namespace string) (*Store, error) {
	client, err := coreclient.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	return &Store{client.ConfigMaps(namespace), namespace}, nil
}

// Update implements denials.Store. A document that cannot be read is replaced.
func (s *Store) Update(ctx context.Context, change func(denials.Document) denials.Document) error {
	retriable := func(err error) bool { return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) }
	return retry.OnError(retry.DefaultBackoff, retriable, func() error {
		found, err := s.client.Get(ctx, Name, metav1.GetOptions{})
		missing := apierrors.IsNotFound(err)
		if err != nil && !missing {
			return err
		}
		before, _ := denials.Decode(found.BinaryData[key])
		text, err := change(before).Encode()
		if err != nil {
			return err
		}
		if missing {
			_, err = s.client.Create(ctx, &corev1.ConfigMap{
				ObjectMeta: metav1.ObjectMeta{Name: Name, Namespace: s.namespace, Labels: map[string]string{"app.kubernetes.io/name": "drey"}},
				BinaryData: map[string][]byte{key: text},
			}, metav1.CreateOptions{})
			if apierrors.IsNotFound(err) {
				return fmt.Errorf("namespace %q does not exist: create it, or set --namespace: %w", s.namespace, err)
			}
			return err
		}
		found.BinaryData = maps.Clone(found.BinaryData)
		if found.BinaryData == nil {
			found.BinaryData = make(map[string][]byte)
		}
		found.BinaryData[key] = text
		_, err = s.client.Update(ctx, found, metav1.UpdateOptions{})
		return err
	})
}

// Watch implements denials.Store.
func (s *Store) Watch(ctx context.Context, changed func(denials.Document)) error {
	only := fields.OneTermEqualSelector(metav1.ObjectNameField, Name).String()
	informer := cache.NewSharedIndexInformer(listwatch.Consistent(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.FieldSelector = only
			return s.client.List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.FieldSelector = only
			return s.client.Watch(ctx, o)
		},
	}, nil), &corev1.ConfigMap{}, 0, cache.Indexers{})
	var (
		mu     sync.Mutex
		failed error
	)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if err := informer.SetWatchErrorHandlerWithContext(func(_ context.Context, _ *cache.Reflector, err error) {
		if !apierrors.IsForbidden(err) {
			return // the reflector retries
		}
		mu.Lock()
		defer mu.Unlock()
		failed = err
		cancel()
	}); err != nil {
		return err
	}
	take := func(object any) {
		if c, ok := object.(*corev1.ConfigMap); ok {
			document, _ := denials.Decode(c.BinaryData[key]) // the next write replaces one that cannot be read
			changed(document)
		}
	}
	if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: take, UpdateFunc: func(_, object any) { take(object) }, DeleteFunc: func(any) { changed(denials.Document{}) },
	}); err != nil {
		return err
	}
	informer.RunWithContext(ctx)
	mu.Lock()
	defer mu.Unlock()
	return failed
}

// Read returns the document as it is stored, for readers without a watch.
func (s *Store) Read(ctx context.Context) (denials.Document, error) {
	found, err := s.client.Get(ctx, Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return denials.Document{}, nil
	}
	if err != nil {
		return denials.Document{}, err
	}
	return denials.Decode(found.BinaryData[key])
}
