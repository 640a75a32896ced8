//go:build integration

package operator

import (
	"fmt"
	"os"
	"testing"
)

// shared is a cluster with a Kubewarden, in which each test has PolicyServers and policies
// of its own. Tests about the installation itself make clusters of their own.
var shared *cluster

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (int, error) {
	var err error
	shared, err = newCluster()
	if err != nil {
		return 0, err
	}
	defer shared.stop()
	for _, step := range []func() error{
		shared.installCertManager, shared.startIssuer, shared.startOperator, shared.createKubewarden,
	} {
		if err := step(); err != nil {
			return 0, err
		}
	}
	return m.Run(), nil
}
