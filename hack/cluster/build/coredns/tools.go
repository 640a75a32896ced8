//go:build tools

// Package coredns pins the CoreDNS version of the local cluster.
package coredns

import _ "github.com/coredns/coredns"
