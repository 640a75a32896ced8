// Package dnstest is a name server for tests: it listens on the loopback interface and knows
// one host.
//
// What never belongs here: anything that product code imports.
package dnstest
