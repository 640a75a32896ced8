//go:build integration

package audit

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/kubewarden/kubewarden-operator/test/bench/child"
	"github.com/kubewarden/kubewarden-operator/test/bench/child/childtest"
	"github.com/kubewarden/kubewarden-operator/test/bench/floor"
)

// TestMain serves as the floor where this program is started as one.
func TestMain(m *testing.M) {
	if len(os.Args) < 2 || os.Args[1] != floor.Command {
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	err := floor.Serve(ctx, os.Args[2:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// floorTime is how long the floor is asked before the first scan, and after it.
const floorTime = 5 * time.Second

// running is a floor that is a process of its own.
type running struct {
	client *floor.Client
	pid    int
}

func startFloor(t *testing.T) *running {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	roots, err := child.WriteCertificate(folder)
	if err != nil {
		t.Fatal(err)
	}
	ports := childtest.FreePorts(t, 2)
	address := func(port string) string { return net.JoinHostPort(child.Loopback, port) }
	command := childtest.Command(t, program, floor.Command, folder, address(ports[0]), address(ports[1]))
	childtest.Serve(t, command, ports[1])
	r := &running{floor.NewClient(address(ports[0]), roots), command.Process.Pid}
	t.Cleanup(r.client.Close)
	return r
}

func (r *running) measure(t *testing.T) floor.Cost {
	t.Helper()
	cost, err := r.client.Measure(t.Context(), r.pid, floorTime)
	if err != nil {
		t.Fatal(err)
	}
	return cost
}
