package node

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMountsBelow(t *testing.T) {
	const mountinfo = `22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 22 0:5 / /var/lib/cluster rw - tmpfs secret rw
31 30 0:25 / /var/lib/cluster/kubelet/pods/a/volumes/token rw,relatime shared:1 - tmpfs secret rw
32 22 0:26 / /var/lib/cluster-of-another/x rw - tmpfs secret rw
33 31 0:27 / /var/lib/cluster/kubelet/pods/a/volumes/token/sub\040path\134 rw - tmpfs secret rw
34 22 0:28 / /run/cluster/netns/cni-1 rw - nsfs netns rw
35 22 0:28 / /mnt/var/lib/cluster/x rw - nsfs netns rw
broken
`
	got := mountsBelow(mountinfo, []string{"/var/lib/cluster", "/run/cluster"})
	want := []string{
		"/run/cluster/netns/cni-1",
		`/var/lib/cluster/kubelet/pods/a/volumes/token/sub path\`,
		"/var/lib/cluster/kubelet/pods/a/volumes/token",
		"/var/lib/cluster",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("mounts, the innermost first (-want +got):\n%s", diff)
	}
}

func TestUnescape(t *testing.T) {
	for escaped, want := range map[string]string{
		`/plain`:                 `/plain`,
		`/a\040b\011c\012d\134e`: "/a b\tc\nd\\e",
		`/no\99escape`:           `/no\99escape`,
		`/short\04`:              `/short\04`,
	} {
		if got := unescape(escaped); got != want {
			t.Errorf("unescape(%q) = %q, want %q", escaped, got, want)
		}
	}
}
