package repair

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	registerer prometheus.Registerer
	repaired   prometheus.Counter
	objects    *prometheus.CounterVec
	failed     prometheus.Counter
}

func newMetrics(r prometheus.Registerer) metrics {
	m := metrics{
		registerer: r,
		repaired: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "drey_repaired_pods_total", Help: "Pods that were labeled after they had come without.",
		}),
		objects: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "drey_repaired_objects_total", Help: "Objects beside pods that were labeled after they had come without.",
		}, []string{"kind"}),
		failed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "drey_repair_failures_total", Help: "Attempts to label an object that failed, and are made again.",
		}),
	}
	for _, s := range sources {
		if s.labeled {
			m.objects.WithLabelValues(s.kind) // exported before there is one to count
		}
	}
	if r != nil {
		r.MustRegister(m.repaired, m.objects, m.failed)
	}
	return m
}

// follow exports what a Repairer knows.
func (m metrics) follow(r *Repairer) {
	if m.registerer == nil {
		return
	}
	m.registerer.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "drey_unlabeled_pods", Help: "Pods of Flink's in namespaces with a target that are known to lack labels, and are about to get them.",
	}, func() float64 {
		r.mu.Lock()
		defer r.mu.Unlock()
		return float64(len(r.unlabeled))
	}), prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "workqueue_depth", Help: "Current depth of workqueue.", ConstLabels: prometheus.Labels{"name": "drey-repair"},
	}, func() float64 { return float64(r.queues.Load().pods.Len()) }))
}
