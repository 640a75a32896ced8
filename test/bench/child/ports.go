package child

import (
	"context"
	"fmt"
	"net"
)

// Loopback is where children listen, and the only address that anything is dialled at.
const Loopback = "127.0.0.1"

// FreePorts finds ports that nobody listens on. Another process may take one before a child
// does, which then does not start.
func FreePorts(ctx context.Context, count int) ([]string, error) {
	ports := make([]string, 0, count)
	for range count {
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", Loopback+":0")
		if err != nil {
			return nil, fmt.Errorf("find a port: %w", err)
		}
		defer func() { _ = listener.Close() }()
		_, port, err := net.SplitHostPort(listener.Addr().String())
		if err != nil {
			return nil, fmt.Errorf("find a port: %w", err)
		}
		ports = append(ports, port)
	}
	return ports, nil
}
