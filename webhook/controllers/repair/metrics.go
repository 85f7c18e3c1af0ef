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
			Name: "drey_repaired_pods_total", Help: "Pods that repair labeled after admission had missed them.",
		}),
		objects: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "drey_repaired_objects_total", Help: "Objects other than pods that repair labeled after admission had missed them, by kind.",
		}, []string{"kind"}),
		failed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "drey_repair_failures_total", Help: "Failed attempts to label an object, which are retried.",
		}),
	}
	for _, s := range sources {
		if s.labeled {
			m.objects.WithLabelValues(s.kind) // exported with 0
		}
	}
	if r != nil {
		r.MustRegister(m.repaired, m.objects, m.failed)
	}
	return m
}

// observe exports gauges of a Repairer.
func (m metrics) observe(r *Repairer) {
	if m.registerer == nil {
		return
	}
	m.registerer.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "drey_unlabeled_pods", Help: "Flink pods in namespaces with a target that lack labels and are queued for repair.",
	}, func() float64 {
		r.mu.Lock()
		defer r.mu.Unlock()
		return float64(len(r.unlabeled))
	}), prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "drey_label_conflicts", Help: "Pods and workloads with the id or the platform namespace of another object, as of the last scan.",
	}, func() float64 {
		r.mu.Lock()
		defer r.mu.Unlock()
		return float64(len(r.conflicts))
	}))
}
