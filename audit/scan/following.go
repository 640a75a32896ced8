package scan

import (
	"bytes"
	"net/http"
	"sync"
	"time"
)

// FollowEvery is how often a Following reads its configuration again. A scan may take longer
// than a certificate, or the authority of one, is of use.
const FollowEvery = 10 * time.Second

// Following is a transport whose certificates and authorities may change while it is used. It is
// safe for concurrent use.
type Following struct {
	read func() (TransportConfig, error)
	now  func() time.Time

	mu        sync.Mutex
	checked   time.Time
	config    TransportConfig
	transport *http.Transport
}

var _ http.RoundTripper = (*Following)(nil)

// NewFollowing makes a transport of what read gives, now and whenever that gives something else.
// An error now is returned; later ones, as half of a change of files, leave what there was.
func NewFollowing(read func() (TransportConfig, error), now func() time.Time) (*Following, error) {
	config, err := read()
	if err != nil {
		return nil, err
	}
	transport, err := NewTransport(config)
	if err != nil {
		return nil, err
	}
	return &Following{read: read, now: now, checked: now(), config: config, transport: transport}, nil
}

// RoundTrip sends a request.
func (f *Following) RoundTrip(request *http.Request) (*http.Response, error) {
	return f.current().RoundTrip(request)
}

// CloseIdleConnections closes what is not used.
func (f *Following) CloseIdleConnections() { f.current().CloseIdleConnections() }

// current is the transport of now. One that is replaced ends its running requests.
func (f *Following) current() *http.Transport {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.now().Sub(f.checked) < FollowEvery {
		return f.transport
	}
	f.checked = f.now()
	config, err := f.read()
	if err != nil || config.sameFiles(f.config) {
		return f.transport
	}
	transport, err := NewTransport(config)
	if err != nil {
		return f.transport
	}
	f.transport.CloseIdleConnections()
	f.config, f.transport = config, transport
	return f.transport
}

// sameFiles says whether two configurations have the same certificates, keys and authorities.
func (c TransportConfig) sameFiles(other TransportConfig) bool {
	return bytes.Equal(c.ExtraCA, other.ExtraCA) &&
		bytes.Equal(c.ClientCertificate, other.ClientCertificate) && bytes.Equal(c.ClientKey, other.ClientKey)
}
