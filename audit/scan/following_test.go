package scan

import (
	"errors"
	"maps"
	"testing"
	"time"
)

func TestCertificatesMayChangeDuringAScan(t *testing.T) {
	d := newDouble(t)
	d.judge("p", allow)
	files, broken := TransportConfig{ExtraCA: d.authority.pem}, error(nil)
	files.ClientCertificate, files.ClientKey = d.authority.issuePEM(t, "first")
	now := time.Now()
	following, err := NewFollowing(func() (TransportConfig, error) { return files, broken }, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	asks := func(want string) {
		t.Helper()
		d.clients = map[string]bool{}
		// The double has an address of its own.
		following.current().DialContext = d.transport(t, TransportConfig{}).DialContext
		if _, err := impatient(following).Ask(t.Context(), doubleURL, "p", reviewOf(t, "uid-1")); err != nil {
			t.Fatal(err)
		}
		following.CloseIdleConnections()
		if !d.clients[want] || len(d.clients) != 1 {
			t.Errorf("presented certificates of %v, want %s", maps.Keys(d.clients), want)
		}
	}
	asks("first")
	files.ClientCertificate, files.ClientKey = d.authority.issuePEM(t, "second")
	asks("first")
	now = now.Add(FollowEvery)
	asks("second")

	for name, spoil := range map[string]func(){
		"a file is gone":        func() { broken = errors.New("no such file") },
		"a key of another pair": func() { _, files.ClientKey = d.authority.issuePEM(t, "third") },
	} {
		t.Log(name)
		before := files
		spoil()
		now = now.Add(FollowEvery)
		asks("second")
		files, broken = before, nil
	}
	if _, err := NewFollowing(func() (TransportConfig, error) { return TransportConfig{}, errors.New("no file") }, time.Now); err == nil {
		t.Error("it begins without its files")
	}
}
