package replicas

import (
	"flag"
	"testing"
	"time"

	"drey.dev/drey/test/framework/cluster"
	"drey.dev/drey/test/framework/drey"
	soak "drey.dev/drey/test/soak/certs"
)

var soakFor = flag.Duration("soak", 45*time.Second, "how long certificates rotate under load")

// TestCertificateRotation creates pods while the CA and the serving certificate rotate
// every 20 s, or once in a run of less than a minute. The first leader, a third replica,
// stops on the way. No call may fail.
func TestCertificateRotation(t *testing.T) {
	c := cluster.Start(t)
	program, err := drey.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	home := c.Namespace(t)
	lifetime, rotations := 30*time.Second, int(*soakFor/(22*time.Second))
	if *soakFor < time.Minute {
		lifetime, rotations = *soakFor*4/3, 1 // renewed at two thirds of the lifetime, just before the end
	}
	args := []string{"--namespace", home, "--certs-ca-lifetime", lifetime.String(), "--certs-lifetime", lifetime.String(), "--ca-propagation-delay", "1s"}
	first := soak.Start(t, c, program, args)
	time.AfterFunc(*soakFor/2, func() { _ = first.Stop() })
	soak.Run(t, soak.Options{Cluster: c, Program: program, Home: home, Args: args, For: *soakFor, Rotations: rotations})
}
