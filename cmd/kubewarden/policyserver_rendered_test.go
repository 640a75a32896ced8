package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// The command line that the operator renders is one that the command takes.
func TestPolicyServerTakesWhatTheOperatorRenders(t *testing.T) {
	for _, file := range goldensOfOurs(t) {
		deployment := rendered(t, file)
		container := deployment.Spec.Template.Spec.Containers[0]
		variables := map[string]string{}
		for _, variable := range container.Env {
			variables[variable.Name] = variable.Value
			if variable.ValueFrom != nil {
				variables[variable.Name] = "from-the-pod"
			}
		}
		if len(container.Args) == 0 || container.Args[0] != policyServerCommand().Name() {
			t.Errorf("%s: got arguments %v, want them to begin with %s", file, container.Args, policyServerCommand().Name())
			continue
		}
		flags, err := parse(container.Args[1:], variables)
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if flags.configMap == "" || flags.reports == "" || flags.replica == "" || flags.namespace == "" || flags.certFile == "" {
			t.Errorf("%s: got %+v, want a server that follows a ConfigMap, reports, and has a certificate", file, flags)
		}
		if grace := deployment.Spec.Template.Spec.TerminationGracePeriodSeconds; grace != nil && float64(*grace) <= flags.drainPeriod.Seconds() {
			t.Errorf("%s: got a grace period of %d s, want more than the drain period of %s", file, *grace, flags.drainPeriod)
		}
	}
}

// goldensOfOurs are the goldens of policy servers that run this image.
func goldensOfOurs(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", "controllers", "render", "testdata", "policyserver-*.yaml"))
	files = slices.DeleteFunc(files, func(file string) bool { return strings.HasPrefix(filepath.Base(file), "policyserver-rollout-") })
	if err != nil || len(files) == 0 {
		t.Fatalf("got files %v, error %v", files, err)
	}
	return files
}

// rendered gives the Deployment in a golden file.
func rendered(t *testing.T, file string) appsv1.Deployment {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), 4096)
	for {
		var deployment appsv1.Deployment
		err := decoder.Decode(&deployment)
		switch {
		case errors.Is(err, io.EOF):
			t.Fatalf("%s: no Deployment", file)
		case err == nil && deployment.Kind == "Deployment" && len(deployment.Spec.Template.Spec.Containers) > 0:
			return deployment
		}
	}
}
