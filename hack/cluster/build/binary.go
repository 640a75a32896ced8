package build

import (
	"fmt"
	"slices"
	"strings"
)

// KubernetesVersion is the version that the binaries of the Kubernetes family report.
const KubernetesVersion = "v1.37.2"

// Binary is one program and how it is compiled.
type Binary struct {
	// Name is the file name of the program.
	Name string
	// Module is the folder, below this package's, of the Go module that pins its version.
	Module string
	// Package is the main package, as an import path.
	Package string
	// LDFlags are handed to the linker.
	LDFlags string
	// Tags are the build tags, separated by commas.
	Tags string
	// Hint says how long a first build takes on two cores.
	Hint string
}

// Binaries of the cluster, by name.
var (
	APIServer         = kubernetes("kube-apiserver", "about 5 minutes")
	ControllerManager = kubernetes("kube-controller-manager", "about 90 seconds")
	Scheduler         = kubernetes("kube-scheduler", "about 15 seconds")
	Kubelet           = kubernetes("kubelet", "about 30 seconds")
	Proxy             = kubernetes("kube-proxy", "about 15 seconds")
	Kubectl           = kubernetes("kubectl", "about 25 seconds")
	Etcd              = Binary{Name: "etcd", Module: "etcd", Package: "go.etcd.io/etcd/server/v3", LDFlags: "-s -w", Hint: "about a minute"}
	CoreDNS           = Binary{Name: "coredns", Module: "coredns", Package: ".", LDFlags: "-s -w", Hint: "about 30 seconds"}
	Pause             = Binary{Name: "pause", Module: "pause", Package: ".", LDFlags: "-s -w", Hint: "a second"}
	CertManager       = Binary{Name: "cert-manager", Module: "certmanager", Package: ".", LDFlags: "-s -w", Hint: "about a minute"}
)

// All are the binaries of a cluster, those that others wait for first.
var All = []Binary{APIServer, Etcd, Kubectl, ControllerManager, Scheduler, Kubelet, Proxy, Pause, CoreDNS, CertManager}

// The Operator Lifecycle Manager and the server of its catalogs. They are not among All: a
// cluster needs them only where the operator is installed by them. The tags leave out what
// needs C libraries.
var (
	OLM     = lifecycleManager("olm", "github.com/operator-framework/operator-lifecycle-manager/cmd/olm", "about 3 minutes")
	Catalog = lifecycleManager("catalog", "github.com/operator-framework/operator-lifecycle-manager/cmd/catalog", "about a minute")
	OPM     = lifecycleManager("opm", "github.com/operator-framework/operator-registry/cmd/opm", "about 2 minutes")
)

// Optional are the binaries that are built when they are asked for.
var Optional = []Binary{OLM, Catalog, OPM}

// Named are the binaries of these names, or All where there are none.
func Named(names []string) ([]Binary, error) {
	if len(names) == 0 {
		return All, nil
	}
	known := slices.Concat(All, Optional)
	var named []Binary
	for _, name := range names {
		at := slices.IndexFunc(known, func(binary Binary) bool { return binary.Name == name })
		if at < 0 {
			var allowed []string
			for _, binary := range known {
				allowed = append(allowed, binary.Name)
			}
			return nil, fmt.Errorf("binary %q is not known; allowed are %s", name, strings.Join(allowed, ", "))
		}
		named = append(named, known[at])
	}
	return named, nil
}

func lifecycleManager(name, program, hint string) Binary {
	const tags = "containers_image_openpgp,exclude_graphdriver_btrfs,json1"
	return Binary{Name: name, Module: "olm", Package: program, LDFlags: "-s -w", Tags: tags, Hint: hint}
}

// kubernetes is a program of k8s.io/kubernetes with a true version: a plain build of the
// module reports v0.0.0-master, which discovery and minimum-version checks stumble over.
func kubernetes(name, hint string) Binary {
	major, minor, _ := strings.Cut(strings.TrimPrefix(KubernetesVersion, "v"), ".")
	minor, _, _ = strings.Cut(minor, ".")
	values := [][2]string{
		{"gitVersion", KubernetesVersion},
		{"gitMajor", major},
		{"gitMinor", minor},
		{"gitTreeState", "clean"},
		{"gitCommit", "unknown"},
	}
	packages := []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"}
	flags := make([]string, 0, 1+len(packages)*len(values))
	flags = append(flags, "-s -w")
	for _, pkg := range packages {
		for _, value := range values {
			flags = append(flags, "-X "+pkg+"."+value[0]+"="+value[1])
		}
	}
	return Binary{Name: name, Module: "kubernetes", Package: "k8s.io/kubernetes/cmd/" + name, LDFlags: strings.Join(flags, " "), Hint: hint}
}
