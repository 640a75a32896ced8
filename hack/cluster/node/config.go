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
	files, err := RenderConfig(layout)
	if err != nil {
		return err
	}
	for name, content := range files {
		path := layout.path(name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// RenderConfig is the content of every configuration file, by its path below the state folder.
func RenderConfig(layout Layout) (map[string][]byte, error) {
	files := map[string][]byte{
		// Nothing is resolved outside: an empty file keeps the machine's resolver out of Pods.
		"resolv.conf": {},
	}
	values := map[string]string{
		"State": layout.State, "Run": layout.Run, "NodeIP": layout.NodeIP, "PodRange": PodRange, "ServiceRange": ServiceRange,
		"DNS": DNSServiceIP, "Bridge": Bridge, "Network": NetworkName, "Port": PortAPI, "PauseImage": PauseImage,
	}
	for name, source := range map[string]string{
		"containerd.toml":              "config/containerd.toml",
		"kubelet.yaml":                 "config/kubelet.yaml",
		"proxy.yaml":                   "config/proxy.yaml",
		"cni/net.d/10-bridge.conflist": "config/cni.json",
	} {
		content, err := render(source, values)
		if err != nil {
			return nil, err
		}
		files[name] = content
	}
	for name, certificate := range kubeconfigs {
		values["Certificate"] = certificate
		content, err := render("config/kubeconfig.yaml", values)
		if err != nil {
			return nil, err
		}
		files[name] = content
	}
	return files, nil
}

func render(source string, values map[string]string) ([]byte, error) {
	parsed, err := template.New(filepath.Base(source)).Option("missingkey=error").ParseFS(configFiles, source)
	if err != nil {
		return nil, fmt.Errorf("parse %s: %w", source, err)
	}
	var out bytes.Buffer
	if err := parsed.Execute(&out, values); err != nil {
		return nil, fmt.Errorf("render %s: %w", source, err)
	}
	return out.Bytes(), nil
}
