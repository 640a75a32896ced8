package node

import (
	"net"
	"testing"
)

func TestNodeIP(t *testing.T) {
	for _, tc := range []struct {
		name      string
		addresses []string
		want      string
	}{
		{name: "nothing but loopback", addresses: []string{"127.0.0.1/8", "::1/128"}, want: ""},
		{name: "the first of version 4", addresses: []string{"127.0.0.1/8", "2001:db8::7/64", "192.0.2.7/24", "192.0.2.8/24"}, want: "192.0.2.7"},
		{name: "not one of a link, nor of a cluster", addresses: []string{"169.254.1.1/16", "198.18.0.1/32", "198.19.255.1/24", "192.0.2.7/24"}, want: "192.0.2.7"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var addresses []net.Addr
			for _, address := range tc.addresses {
				ip, network, err := net.ParseCIDR(address)
				if err != nil {
					t.Fatal(err)
				}
				addresses = append(addresses, &net.IPNet{IP: ip, Mask: network.Mask})
			}
			if got := nodeIP(addresses); got != tc.want {
				t.Errorf("nodeIP = %q, want %q", got, tc.want)
			}
		})
	}
}
