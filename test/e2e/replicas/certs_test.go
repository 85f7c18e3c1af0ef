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

// TestCertificateRotation replaces the CA and the serving
// certificate every 20 s; in less than a minute once, for then it has to share the
// machine. A third drey leads at first, and ends on the way.
func TestCertificateRotation(t *testing.T) {
	c := cluster.Start(t)
	program, err := drey.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	home := c.Namespace(t)
	lifetime, rotations := 30*time.Second, int(*soakFor/(22*time.Second))
	if *soakFor < time.Minute {
		lifetime, rotations = *soakFor*4/3, 1 // renewed at two thirds, just before the end, with as long as it can be to do so
	}
	args := []string{"--namespace", home, "--certs-ca-lifetime", lifetime.String(), "--certs-lifetime", lifetime.String(), "--ca-propagation-delay", "1s"}
	first := soak.Start(t, c, program, args)
	time.AfterFunc(*soakFor/2, func() { _ = first.Stop() })
	soak.Run(t, soak.Options{Cluster: c, Program: program, Home: home, Args: args, For: *soakFor, Rotations: rotations})
}
