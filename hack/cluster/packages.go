package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"

	"github.com/kubewarden/kubewarden-operator/hack/cluster/progress"
)

// aptPackage is a Debian package, and a program or a file that says that it is there.
type aptPackage struct{ name, provides string }

func (p aptPackage) missing() bool {
	_, err := exec.LookPath(p.provides) // which takes a path as it is
	return err != nil
}

// packagesForNode is what a node runs on besides what is compiled for it. CNI plugins are
// looked for where containerd's configuration says that they are.
var packagesForNode = []aptPackage{
	{"containerd", "containerd"},
	{"runc", "runc"},
	{"containernetworking-plugins", "/usr/lib/cni/ptp"},
	{"iptables", "iptables"},
	{"iproute2", "ip"},
	{"mount", "mount"},
}

var packagesForImages = []aptPackage{
	{"buildah", "buildah"},
	{"busybox-static", "busybox"},
}

// ensurePackages installs what is missing.
func ensurePackages(ctx context.Context, wanted []aptPackage, printer *progress.Printer) error {
	var names []string
	for _, p := range wanted {
		if p.missing() {
			names = append(names, p.name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	list := strings.Join(names, " ")
	if _, err := exec.LookPath("apt-get"); err != nil {
		return errors.New("install the programs of these Debian packages; this machine has no apt-get: " + list)
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("install these Debian packages as root: apt-get install %s", list)
	}
	return printer.Step("install "+list, func() error {
		if err := holdServices(); err != nil {
			return err
		}
		return errors.Join(aptGet(ctx, "update"), aptGet(ctx, append([]string{"install", "--yes", "--no-install-recommends"}, names...)...), releaseServices())
	})
}

func aptGet(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "apt-get", append([]string{"--quiet", "--option=DPkg::Lock::Timeout=300"}, args...)...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("apt-get %s: %w\n%s", args[0], err, output)
	}
	return nil
}

// servicePolicy is the file that Debian's packages ask whether they may start services
// (invoke-rc.d(8)). The answer 101 means no: the node starts a containerd of its own, and
// a second one is nobody's wish.
const servicePolicy = "/usr/sbin/policy-rc.d"

var servicePolicyContent = []byte("#!/bin/sh\n# Written by hack/cluster of kubewarden-operator while it installs packages.\nexit 101\n")

// holdServices keeps packages from starting services, unless the machine has a policy of
// its own.
func holdServices() error {
	file, err := os.OpenFile(servicePolicy, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = file.Write(servicePolicyContent)
	return errors.Join(err, file.Close())
}

// releaseServices removes what holdServices wrote, now or in a run that was killed.
func releaseServices() error {
	content, err := os.ReadFile(servicePolicy)
	if errors.Is(err, fs.ErrNotExist) || (err == nil && !bytes.Equal(content, servicePolicyContent)) {
		return nil
	}
	if err != nil {
		return err
	}
	return os.Remove(servicePolicy)
}
