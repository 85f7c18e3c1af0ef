package certs

import (
	"crypto/x509"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics describe the certificate that this replica serves, which may differ from the one
// in the Secret.
type metrics struct {
	expiry    *prometheus.GaugeVec
	last      *prometheus.GaugeVec
	rotations *prometheus.CounterVec
	backdated time.Duration // from NotBefore to the issuance
	ca        *x509.Certificate
}

const (
	labelCA      = "ca"
	labelServing = "serving"
)

func newMetrics(r prometheus.Registerer, backdated time.Duration) *metrics {
	m := &metrics{
		backdated: backdated,
		expiry: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "drey_certificate_expiry_timestamp_seconds", Help: "When the serving certificate of the webhooks, and the CA that signed it, expire, in Unix time.",
		}, []string{"certificate"}),
		last: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "drey_certificate_last_rotation_timestamp_seconds", Help: "When the serving certificate of the webhooks, and the CA that signed it, were made, in Unix time.",
		}, []string{"certificate"}),
		rotations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "drey_certificate_rotations_total", Help: "How often the serving certificate of the webhooks, and the CA that signed it, have changed while this process ran.",
		}, []string{"certificate"}),
	}
	for _, label := range []string{labelCA, labelServing} {
		m.rotations.WithLabelValues(label)
	}
	if r != nil {
		r.MustRegister(m.expiry, m.last, m.rotations)
	}
	return m
}

// observe records the certificate that is served from now on. replaced is false for the
// first one.
func (m *metrics) observe(leaf *x509.Certificate, cas []*x509.Certificate, replaced bool) {
	m.set(labelServing, leaf, replaced)
	for _, ca := range cas {
		if leaf.CheckSignatureFrom(ca) == nil {
			m.set(labelCA, ca, replaced && !ca.Equal(m.ca))
			m.ca = ca
			return
		}
	}
}

func (m *metrics) set(label string, c *x509.Certificate, replaced bool) {
	m.expiry.WithLabelValues(label).Set(float64(c.NotAfter.Unix()))
	m.last.WithLabelValues(label).Set(float64(c.NotBefore.Add(m.backdated).Unix()))
	if replaced {
		m.rotations.WithLabelValues(label).Inc()
	}
}
