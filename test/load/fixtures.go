package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/test/bench/floor"
)

// outcome is what a request may be answered with.
type outcome struct {
	// status is that of HTTP; verdicts come with 200.
	status  int
	allowed bool
	// message is a part of a denial's message.
	message string
}

var (
	allowed     = outcome{status: 200, allowed: true}
	notFound    = outcome{status: 404, message: "unknown policy"}
	beingLoaded = outcome{status: 503, message: "is being loaded"}
)

// isOneOf says whether an answer is one of the outcomes.
func isOneOf(answer floor.Answer, outcomes ...outcome) bool {
	for _, want := range outcomes {
		if answer.Status == want.status && answer.Allowed == want.allowed && strings.Contains(answer.Message, want.message) {
			return true
		}
	}
	return false
}

func denied(message string) outcome { return outcome{status: 200, message: message} }

// fixture is a policy with settings, and requests of which the verdicts are known.
type fixture struct {
	id       string
	module   string
	settings any
	cases    []testCase
}

// testCase is a request and its outcome.
type testCase struct {
	review review
	want   outcome
}

// newFixture makes the policy of a number. Policies of the same kind differ in settings,
// and so do the verdicts about what is asked; generation changes both, where a policy has
// settings that matter.
func newFixture(number, generation int) fixture {
	kinds := []func(id string, number, generation int) fixture{requiredLabels, containerLimits, podPrivileged, trustedRegistries, noNodePort}
	kind := kinds[number%len(kinds)]
	return kind(fmt.Sprintf("clusterwide-load-%d", number), number, generation)
}

func requiredLabels(id string, number, generation int) fixture {
	label := fmt.Sprintf("team-%d-%d", number, generation%2)
	other := fmt.Sprintf("team-%d-%d", number, 1-generation%2)
	return fixture{
		id: id, module: "required-labels", settings: map[string]any{"mandatory_labels": []string{label}},
		cases: []testCase{
			{podReview(pod{label: label}), allowed},
			{podReview(pod{label: other}), denied(fmt.Sprintf("mandatory label %q is missing", label))},
		},
	}
}

func containerLimits(id string, number, generation int) fixture {
	most := 500 + 10*number + generation%2
	return fixture{
		id: id, module: "container-limits", settings: map[string]any{"cpu": fmt.Sprintf("%dm", most), "memory": "512Mi"},
		cases: []testCase{
			{podReview(pod{cpu: 400}), allowed},
			{podReview(pod{cpu: 502 + 10*number}), denied(fmt.Sprintf("cpu limit %dm is above %dm", 502+10*number, most))},
		},
	}
}

func podPrivileged(id string, number, _ int) fixture {
	skip := number%2 == 1
	initContainer := denied("Privileged container is not allowed")
	if skip {
		initContainer = allowed
	}
	return fixture{
		id: id, module: "pod-privileged", settings: map[string]any{"skip_init_containers": skip},
		cases: []testCase{
			{podReview(pod{}), allowed},
			{podReview(pod{privileged: true}), denied("Privileged container is not allowed")},
			{podReview(pod{privilegedInit: true}), initContainer},
		},
	}
}

func trustedRegistries(id string, number, generation int) fixture {
	trusted := fmt.Sprintf("r%d-%d.registry.example", number, generation%2)
	other := fmt.Sprintf("r%d-%d.registry.example", number, 1-generation%2)
	return fixture{
		id: id, module: "trusted-registries", settings: map[string]any{"registries": []string{trusted}},
		cases: []testCase{
			{podReview(pod{registry: trusted}), allowed},
			{podReview(pod{registry: other}), denied(other)},
		},
	}
}

func noNodePort(id string, _, _ int) fixture {
	return fixture{
		id: id, module: "disallow-service-nodeport", settings: map[string]any{},
		cases: []testCase{
			{serviceReview("ClusterIP"), allowed},
			{serviceReview("NodePort"), denied("Services of type NodePort are not allowed")},
		},
	}
}

// dropCapabilities is not among the others: nobody else uses its module.
func dropCapabilities(id string) fixture {
	return fixture{
		id: id, module: "drop-capabilities", settings: map[string]any{"allowed_capabilities": []string{"NET_ADMIN"}},
		cases: []testCase{
			{podReview(pod{capability: "NET_ADMIN"}), allowed},
			{podReview(pod{capability: "SYS_ADMIN"}), denied("SYS_ADMIN")},
		},
	}
}

// changes says whether the settings of the next generation are others.
func (f fixture) changes() bool {
	return f.module != "pod-privileged" && f.module != "disallow-service-nodeport"
}

// entry is the policy as it stands in policies.yml.
func (f fixture) entry(modules string) (contract.Entry, error) {
	settings, err := json.Marshal(f.settings)
	if err != nil {
		return contract.Entry{}, fmt.Errorf("encode settings of %s: %w", f.id, err)
	}
	return contract.Entry{Module: "file://" + filepath.Join(modules, f.module+".wasm"), Settings: settings}, nil
}

// review is an AdmissionReview around the place of its UID, or a raw request.
type review struct {
	before, after string
	// path is where it is sent to, before the policy's ID.
	path string
}

// body is the review with a UID.
func (r review) body(uid string) []byte { return []byte(r.before + uid + r.after) }

// pod is what distinguishes one Pod from another.
type pod struct {
	label, registry, capability string
	cpu                         int // millicores, 100 by default
	privileged, privilegedInit  bool
}

// padding makes objects as large as real ones: with it a review has about 5 KB.
var padding = strings.Repeat("all work and no play makes a long annotation; ", 90)

func podReview(of pod) review {
	if of.cpu == 0 {
		of.cpu = 100
	}
	if of.registry == "" {
		of.registry = "registry.example"
	}
	labels := map[string]string{"app": "load"}
	if of.label != "" {
		labels[of.label] = "yes"
	}
	capabilities := []string{}
	if of.capability != "" {
		capabilities = append(capabilities, of.capability)
	}
	container := func(name string, privileged bool) map[string]any {
		return map[string]any{
			"name": name, "image": of.registry + "/team/" + name + ":1",
			"resources":       map[string]any{"limits": map[string]any{"cpu": fmt.Sprintf("%dm", of.cpu), "memory": "64Mi"}},
			"securityContext": map[string]any{"privileged": privileged, "capabilities": map[string]any{"add": capabilities}},
		}
	}
	return newReview("Pod", "pods", map[string]any{
		"apiVersion": "v1", "kind": "Pod", "metadata": metadata(labels),
		"spec": map[string]any{
			"initContainers": []any{container("prepare", of.privilegedInit)},
			"containers":     []any{container("web", of.privileged), container("proxy", false)},
		},
	})
}

func serviceReview(kind string) review {
	return newReview("Service", "services", map[string]any{
		"apiVersion": "v1", "kind": "Service", "metadata": metadata(nil),
		"spec": map[string]any{"type": kind, "ports": []any{map[string]any{"port": 80}}},
	})
}

func metadata(labels map[string]string) map[string]any {
	return map[string]any{
		"name": "load", "namespace": "team", "labels": labels, "annotations": map[string]string{"padding": padding},
	}
}

// newReview surrounds an object with what an API server sends.
func newReview(kind, resource string, object map[string]any) review {
	const place = "0f0e0d0c-uid"
	gvk := map[string]string{"group": "", "version": "v1", "kind": kind}
	gvr := map[string]string{"group": "", "version": "v1", "resource": resource}
	encoded, err := json.Marshal(map[string]any{
		"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
		"request": map[string]any{
			"uid": place, "kind": gvk, "resource": gvr, "requestKind": gvk, "requestResource": gvr,
			"name": "load", "namespace": "team", "operation": "CREATE", "dryRun": false, "object": object, "oldObject": nil,
			"userInfo": map[string]any{"username": "system:serviceaccount:team:load", "groups": []string{"system:authenticated"}},
			"options":  map[string]string{"apiVersion": "meta.k8s.io/v1", "kind": "CreateOptions"},
		},
	})
	if err != nil { // maps, strings and numbers only
		return review{}
	}
	before, after, _ := strings.Cut(string(encoded), place)
	return review{before, after, contract.PathValidate}
}
