package node

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"time"
)

// What is sent to an address of the cluster that nobody has would leave the machine by its
// default gateway: to a Pod that is gone, as long as the node runs, and to a Service, until
// kube-proxy has written its rules. Ranges that are closed keep it here.

// awaitServices waits until kube-proxy has written its rules, which it does some time after
// it says that it is healthy.
func (n *Node) awaitServices(ctx context.Context) error {
	return n.Layout.await(ctx, "kube-proxy", 90*time.Second, func(ctx context.Context) error {
		rules, err := exec.CommandContext(ctx, "iptables", "-w", "-t", "nat", "-S", "KUBE-SERVICES").CombinedOutput()
		if err != nil {
			return fmt.Errorf("read the rules for Services: %w: %s", err, rules)
		}
		if !bytes.Contains(rules, []byte(APIServiceIP+"/32")) {
			return fmt.Errorf("there is no rule for the Service at %s", APIServiceIP)
		}
		return nil
	})
}

// closeRange makes those addresses of a range unreachable to which no other route leads.
func closeRange(ctx context.Context, cidr string) error {
	if output, err := exec.CommandContext(ctx, "ip", "route", "replace", "unreachable", cidr).CombinedOutput(); err != nil {
		return fmt.Errorf("make %s unreachable: %w: %s", cidr, err, output)
	}
	return nil
}

// openRange undoes closeRange, where that was done.
func openRange(ctx context.Context, cidr string) error {
	routes, err := exec.CommandContext(ctx, "ip", "route", "show", "type", "unreachable", "exact", cidr).CombinedOutput()
	if err != nil {
		return fmt.Errorf("read the routes to %s: %w: %s", cidr, err, routes)
	}
	if len(bytes.TrimSpace(routes)) == 0 {
		return nil
	}
	if output, err := exec.CommandContext(ctx, "ip", "route", "delete", "unreachable", cidr).CombinedOutput(); err != nil {
		return fmt.Errorf("make %s reachable: %w: %s", cidr, err, output)
	}
	return nil
}
