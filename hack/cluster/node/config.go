package node

import (
	"bytes"
	"embed"
	"fmt"
	"os"
	"path/filepath"
	"text/template"
)

//go:embed config/*
var configFiles embed.FS

// kubeconfigs are the clients of the API server: file name to certificate.
var kubeconfigs = map[string]string{
	"admin.kubeconfig":              "admin",
	"controller-manager.kubeconfig": "controller-manager",
	"scheduler.kubeconfig":          "scheduler",
	"proxy.kubeconfig":              "proxy",
	"kubelet.kubeconfig":            "kubelet",
}

// writeConfig writes the configuration file of every component.
func writeConfig(layout Layout) error {
	files, err := renderConfig(layout)
	if err != nil {
		return err
	}
	for name, content := range files {
		path := layout.path(name)
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			return err
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// renderConfig is the content of every configuration file, by its path below the state folder.
func renderConfig(layout Layout) (map[string][]byte, error) {
	files := map[string][]byte{"resolv.conf": nil}
	values := map[string]string{
		"State": layout.State, "Run": layout.Run, "Node": Name, "NodeIP": layout.NodeIP, "Port": PortAPI, "Registry": layout.Registry(),
		"PodRange": PodRange, "DNS": DNSServiceIP, "ClusterDomain": ClusterDomain,
		"Network": NetworkName, "PauseImage": PauseImage,
	}
	sources := map[string]string{
		"admission.yaml":             "admission.yaml",
		"webhooks.kubeconfig":        "webhooks.yaml",
		"containerd.toml":            "containerd.toml",
		"kubelet.yaml":               "kubelet.yaml",
		"proxy.yaml":                 "proxy.yaml",
		"cni/net.d/10-pods.conflist": "cni.conflist",
		filepath.Join("registries", layout.Registry(), "hosts.toml"): "hosts.toml",
	}
	for name, source := range sources {
		content, err := render(source, values)
		if err != nil {
			return nil, err
		}
		files[name] = content
	}
	for name, certificate := range kubeconfigs {
		values["Certificate"] = certificate
		content, err := render("kubeconfig.yaml", values)
		if err != nil {
			return nil, err
		}
		files[name] = content
	}
	return files, nil
}

func render(source string, values map[string]string) ([]byte, error) {
	parsed, err := template.New(source).Option("missingkey=error").ParseFS(configFiles, "config/"+source)
	if err != nil {
		return nil, fmt.Errorf("parse %s: %w", source, err)
	}
	var out bytes.Buffer
	if err := parsed.Execute(&out, values); err != nil {
		return nil, fmt.Errorf("render %s: %w", source, err)
	}
	return out.Bytes(), nil
}
