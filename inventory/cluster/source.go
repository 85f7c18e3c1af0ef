package cluster

import (
	"context"
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	coreclient "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/cache"

	"drey.dev/drey/listwatch"
	"drey.dev/drey/webhook/flink"
)

// selectors select the pods of the inventory: those that drey has labeled, and those without
// its labels that the labels of Flink or of an operator show. drey audit finds the others: it
// reads all pods.
var selectors = []string{
	flink.LabelSystem + "=" + flink.System,
	"!" + flink.LabelSystem + "," + flink.LabelComponent + " in (" + string(flink.JobManager) + "," + string(flink.TaskManager) + ")",
	"!" + flink.LabelSystem + "," + flink.LabelName + "=" + flink.NameFlink,
	"!" + flink.LabelSystem + "," + flink.LabelLyftApp,
}

// source is the store of the reflector of one selector.
type source struct {
	changed func(namespace string)

	mu     sync.RWMutex
	pods   map[string]map[string]pod // by namespace and name
	synced bool
}

func newSource(changed func(string)) *source {
	return &source{changed: changed, pods: make(map[string]map[string]pod)}
}

// reflector returns the reflector that fills the source. An empty namespace is all.
func (s *source) reflector(client coreclient.CoreV1Interface, namespace, selector string) *cache.Reflector {
	lw := listwatch.Consistent(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.LabelSelector = selector
			list, err := client.Pods(namespace).List(ctx, o)
			if err == nil {
				for i := range list.Items {
					list.Items[i].ManagedFields = nil // a list without streaming is in memory at once
				}
			}
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.LabelSelector = selector
			return client.Pods(namespace).Watch(ctx, o)
		},
	}, client)
	return cache.NewReflectorWithOptions(lw, &corev1.Pod{}, s, cache.ReflectorOptions{Name: "inventory/" + selector})
}

// load fills the source once. An empty namespace is all.
func (s *source) load(ctx context.Context, client coreclient.CoreV1Interface, namespace, selector string) error {
	o := metav1.ListOptions{LabelSelector: selector, Limit: pageSize}
	var all []any
	for {
		list, err := client.Pods(namespace).List(ctx, o)
		if err != nil {
			return err
		}
		for i := range list.Items {
			all = append(all, newListed(&list.Items[i]))
		}
		if o.Continue = list.Continue; o.Continue == "" {
			return s.Replace(all, list.ResourceVersion)
		}
	}
}

const pageSize = 500

// Transformer implements cache.TransformingStore: a streaming list keeps no whole pods.
func (s *source) Transformer() cache.TransformFunc { return transform }

func transform(object any) (any, error) {
	if p, ok := object.(*corev1.Pod); ok {
		return newListed(p), nil
	}
	return object, nil
}

// Add implements cache.ReflectorStore.
func (s *source) Add(object any) error {
	object, _ = transform(object)
	if l, ok := object.(*listed); ok {
		s.mu.Lock()
		changed := s.put(l)
		s.mu.Unlock()
		if changed {
			s.changed(l.Namespace)
		}
	}
	return nil
}

// put stores a pod, and reports whether that changes something.
func (s *source) put(l *listed) bool {
	pods := s.pods[l.Namespace]
	before, ok := pods[l.Name]
	switch {
	case l.gone || !l.identity.Value().recognized && !ok:
		if ok {
			delete(pods, l.Name)
		}
		return ok
	case ok && before == l.pod:
		return false
	case pods == nil:
		pods = make(map[string]pod)
		s.pods[l.Namespace] = pods
	}
	pods[l.Name] = l.pod
	return true
}

// Update implements cache.ReflectorStore.
func (s *source) Update(object any) error { return s.Add(object) }

// Delete implements cache.ReflectorStore.
func (s *source) Delete(object any) error {
	name, err := cache.DeletionHandlingObjectToName(object)
	if err != nil {
		return err
	}
	s.mu.Lock()
	_, ok := s.pods[name.Namespace][name.Name]
	delete(s.pods[name.Namespace], name.Name)
	if len(s.pods[name.Namespace]) == 0 {
		delete(s.pods, name.Namespace)
	}
	s.mu.Unlock()
	if ok {
		s.changed(name.Namespace)
	}
	return nil
}

// Replace implements cache.ReflectorStore.
func (s *source) Replace(objects []any, _ string) error {
	s.mu.Lock()
	namespaces := make(map[string]bool, len(s.pods))
	for namespace := range s.pods {
		namespaces[namespace] = true
	}
	s.pods = make(map[string]map[string]pod)
	for _, object := range objects {
		object, _ = transform(object)
		if l, ok := object.(*listed); ok && s.put(l) {
			namespaces[l.Namespace] = true
		}
	}
	s.synced = true
	s.mu.Unlock()
	for namespace := range namespaces {
		s.changed(namespace)
	}
	s.changed("") // synced
	return nil
}

// Resync implements cache.ReflectorStore.
func (s *source) Resync() error { return nil }

func (s *source) hasSynced() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.synced
}
