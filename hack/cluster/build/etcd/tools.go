//go:build tools

// Package etcd pins the etcd version of the local cluster.
package etcd

import _ "go.etcd.io/etcd/server/v3"
