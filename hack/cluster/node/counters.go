package node

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// counters are the kernel's named packet counters that kube-proxy makes for its metrics.
var counters = []string{"ct_state_invalid_dropped_pkts", "localhost_nps_accepted_pkts"}

// removeCounters removes them. No rule may use them any more.
func removeCounters() error {
	socket, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if errors.Is(err, unix.EPROTONOSUPPORT) {
		return nil // a kernel without netfilter has no counters
	}
	if err != nil {
		return fmt.Errorf("open netlink socket: %w", err)
	}
	defer func() { _ = unix.Close(socket) }()
	var failures []error
	for _, name := range counters {
		if err := removeCounter(socket, name); err != nil {
			failures = append(failures, fmt.Errorf("remove packet counter %s: %w", name, err))
		}
	}
	return errors.Join(failures...)
}

func removeCounter(socket int, name string) error {
	kernel := &unix.SockaddrNetlink{Family: unix.AF_NETLINK}
	if err := unix.Sendto(socket, counterRemoval(name), 0, kernel); err != nil {
		return err
	}
	answer := make([]byte, unix.Getpagesize())
	length, _, err := unix.Recvfrom(socket, answer, 0)
	if err != nil {
		return err
	}
	if length < unix.SizeofNlMsghdr+4 {
		return fmt.Errorf("netlink answer has %d bytes", length)
	}
	// The answer is an error message: the error's number, negative, or 0 for success.
	switch number := unix.Errno(-binary.NativeEndian.Uint32(answer[unix.SizeofNlMsghdr:])); number {
	case 0, unix.ENOENT, unix.EINVAL:
		return nil // gone, never there, or a kernel without counters
	default:
		return number
	}
}

// counterRemoval is the netlink message NFNL_MSG_ACCT_DEL (linux/netfilter/nfnetlink_acct.h).
func counterRemoval(name string) []byte {
	const (
		messageDelete = 3
		attributeName = 1
		generalHeader = 4 // family, version, resource: all 0
	)
	value := append([]byte(name), 0)
	attribute := unix.SizeofNlAttr + len(value)
	padded := (attribute + 3) &^ 3
	message := make([]byte, unix.SizeofNlMsghdr+generalHeader+padded)
	native := binary.NativeEndian
	native.PutUint32(message[0:], uint32(len(message))) //nolint:gosec // a name is a few dozen bytes long
	native.PutUint16(message[4:], unix.NFNL_SUBSYS_ACCT<<8|messageDelete)
	native.PutUint16(message[6:], unix.NLM_F_REQUEST|unix.NLM_F_ACK)
	body := message[unix.SizeofNlMsghdr+generalHeader:]
	native.PutUint16(body[0:], uint16(attribute)) //nolint:gosec // see above
	native.PutUint16(body[2:], attributeName)
	copy(body[unix.SizeofNlAttr:], value)
	return message
}
