package certs

import "crypto/tls"

// Fits says whether a pair is one, at whatever time.
func (p Pair) Fits() bool {
	_, err := tls.X509KeyPair(p.Certificate, p.Key)
	return err == nil
}
