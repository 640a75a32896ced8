package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// aptPackage is a Debian package and a file that says that it is installed.
type aptPackage struct{ name, file string }

var packagesForNode = []aptPackage{
	{"containerd", "/usr/bin/containerd"},
	{"runc", "/usr/sbin/runc"},
	{"containernetworking-plugins", "/usr/lib/cni/bridge"},
	{"iptables", "/usr/sbin/iptables"},
	{"conntrack", "/usr/sbin/conntrack"},
	{"iproute2", "/usr/bin/ip"},
	{"ca-certificates", "/etc/ssl/certs/ca-certificates.crt"},
}

var packagesForImages = []aptPackage{
	{"buildah", "/usr/bin/buildah"},
	{"busybox-static", "/bin/busybox"},
	{"ca-certificates", "/etc/ssl/certs/ca-certificates.crt"},
}

// ensurePackages installs what is missing. Services that a package would start stay off.
func ensurePackages(ctx context.Context, wanted []aptPackage) error {
	installed := func(p aptPackage) bool {
		_, err := os.Stat(p.file)
		return err == nil
	}
	missing := slices.DeleteFunc(slices.Clone(wanted), installed)
	if len(missing) == 0 {
		return nil
	}
	var names []string
	for _, p := range missing {
		names = append(names, p.name)
	}
	list := strings.Join(names, " ")
	if os.Geteuid() != 0 {
		return fmt.Errorf("missing Debian packages: install them as root with: apt-get install %s", list)
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return errors.New("missing programs of these Debian packages, and this machine has no apt-get: " + list)
	}
	return newProgress().Step("install "+list, func() error {
		for _, args := range [][]string{{"update", "-q"}, append([]string{"install", "-q", "-y", "--no-install-recommends"}, names...)} {
			cmd := exec.CommandContext(ctx, "apt-get", args...)
			cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1")
			if output, err := cmd.CombinedOutput(); err != nil {
				return fmt.Errorf("apt-get %s: %w\n%s", args[0], err, output)
			}
		}
		return nil
	})
}
