//go:build integration

package operator

import (
	"errors"
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

func run(m *testing.M) (code int, err error) {
	if shared, err = newCluster(); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, shared.Stop()) }()
	for _, step := range []func() error{
		shared.InstallCertManager, shared.StartIssuer, shared.StartOperator, shared.CreateKubewarden,
	} {
		if err := step(); err != nil {
			return 0, err
		}
	}
	return m.Run(), nil
}
