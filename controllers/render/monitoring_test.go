package render_test

import (
	"bytes"
	"encoding/json"
	"iter"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/kubewarden/kubewarden-operator/controllers/render"
)

// monitoringObjects are rendered; each kind has its own name in the result.
func monitoringObjects(t *testing.T, in render.MonitoringInput) []render.Object {
	t.Helper()
	objects, err := render.Monitoring(in)
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

func monitoringInput() render.MonitoringInput {
	return render.MonitoringInput{Config: config(), Installation: installation()}
}

// rule is an alert as it is read back.
type rule struct {
	Alert, For, Expr    string
	Labels, Annotations map[string]string
}

// monitor is a ServiceMonitor as it is read back.
type monitor struct {
	Metadata metav1.ObjectMeta
	Spec     struct {
		Selector  metav1.LabelSelector
		Endpoints []struct {
			Port        string
			Relabelings []struct{ SourceLabels []string }
		}
	}
}

// readBack reads all objects of a kind.
func readBack[T any](t *testing.T, kind string) []T {
	t.Helper()
	var all []T
	for _, object := range monitoringObjects(t, monitoringInput()) {
		custom, is := object.(*unstructured.Unstructured)
		if !is || custom.GetKind() != kind {
			continue
		}
		text, err := json.Marshal(custom)
		if err != nil {
			t.Fatal(err)
		}
		var read T
		if err := json.Unmarshal(text, &read); err != nil {
			t.Fatal(err)
		}
		all = append(all, read)
	}
	return all
}

func alertRules(t *testing.T) []rule {
	t.Helper()
	var rules []rule
	for _, read := range readBack[struct {
		Spec struct{ Groups []struct{ Rules []rule } }
	}](t, "PrometheusRule") {
		for _, group := range read.Spec.Groups {
			rules = append(rules, group.Rules...)
		}
	}
	if len(rules) == 0 {
		t.Fatal("there are no alerts")
	}
	return rules
}

func TestMonitoring(t *testing.T) {
	in := monitoringInput()
	in.Labels = map[string]string{"release": "prometheus", "app.kubernetes.io/part-of": "something-else"}
	golden(t, "monitoring", monitoringObjects(t, in)...)
}

// config/prometheus has the same for those who install without the operator making it.
func TestMonitoringForKustomize(t *testing.T) {
	in := monitoringInput()
	in.Installation = render.Installation{}
	files := map[string][]render.Object{}
	for _, object := range monitoringObjects(t, in) {
		if _, isOurs := object.GetLabels()[render.LabelInstallation]; isOurs {
			t.Errorf("%s %s looks as if the operator had made it", object.GetObjectKind().GroupVersionKind().Kind, object.GetName())
		}
		file := map[string]string{
			"ServiceMonitor": "monitors.yaml", "PrometheusRule": "alerts.yaml", "ConfigMap": "dashboard.yaml",
		}[object.GetObjectKind().GroupVersionKind().Kind]
		files[file] = append(files[file], object)
	}
	for name, objects := range files {
		goldenFile(t, "../../config/prometheus/"+name, objects...)
	}
}

// A monitor finds a Service by its labels, and the port by its name.
func TestMonitorsFindTheServices(t *testing.T) {
	operatorService := &corev1.Service{}
	decode(t, "manager/metrics_service.yaml", operatorService)
	services := map[string]*corev1.Service{
		"kubewarden-operator":       operatorService,
		"kubewarden-policy-servers": render.Service(serverInput()),
	}
	found := 0
	for _, monitor := range readBack[monitor](t, "ServiceMonitor") {
		for name, service := range services {
			if got, want := selects(t, &monitor.Spec.Selector, service.Labels), name == monitor.Metadata.Name; got != want {
				t.Errorf("monitor %s selects Service %s: %t, want %t", monitor.Metadata.Name, service.Name, got, want)
			}
		}
		for _, port := range services[monitor.Metadata.Name].Spec.Ports {
			if port.Name == monitor.Spec.Endpoints[0].Port && monitor.Metadata.Namespace == services[monitor.Metadata.Name].Namespace {
				found++
			}
		}
	}
	if found != len(services) {
		t.Errorf("%d monitors find their port, want %d", found, len(services))
	}
}

// The monitor of the policy servers names each series by a label of the Service.
func TestSeriesAreNamedByTheServicesLabel(t *testing.T) {
	sanitized := regexp.MustCompile(`[^a-zA-Z0-9_]`)
	for _, monitor := range readBack[monitor](t, "ServiceMonitor") {
		if len(monitor.Spec.Endpoints[0].Relabelings) == 0 {
			continue
		}
		source := monitor.Spec.Endpoints[0].Relabelings[0].SourceLabels[0]
		want := "__meta_kubernetes_service_label_" + sanitized.ReplaceAllString(render.LabelPolicyServer, "_")
		if source != want || !labels.Set(render.Service(serverInput()).Labels).Has(render.LabelPolicyServer) {
			t.Errorf("series are named by %s, want %s", source, want)
		}
		return
	}
	t.Error("no monitor names the policy server of its series")
}

// Whoever is called finds out what to do: each alert has a section of its own in the
// runbooks, and each section an alert.
func TestAlertsHaveRunbooks(t *testing.T) {
	text, err := os.ReadFile("../../docs/runbooks.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]string{}
	for section := range bytes.SplitSeq(text, []byte("\n## ")) {
		title, body, _ := strings.Cut(string(section), "\n")
		sections[title] = body
	}
	for _, rule := range alertRules(t) {
		body, isThere := sections[rule.Alert]
		delete(sections, rule.Alert)
		if !isThere {
			t.Errorf("docs/runbooks.md has no section %s", rule.Alert)
		}
		for _, part := range []string{"**Meaning.**", "**Look at.**", "**Do.**"} {
			if !strings.Contains(body, part) {
				t.Errorf("section %s of docs/runbooks.md has no part %s", rule.Alert, part)
			}
		}
		if !strings.HasSuffix(rule.Annotations["runbook_url"], "/docs/runbooks.md#"+strings.ToLower(rule.Alert)) {
			t.Errorf("alert %s leads to %s", rule.Alert, rule.Annotations["runbook_url"])
		}
		if rule.For == "" || rule.Labels["severity"] == "" || rule.Annotations["summary"] == "" {
			t.Errorf("alert %s has no duration, severity or summary", rule.Alert)
		}
	}
	for title := range sections {
		if strings.HasPrefix(title, "Kubewarden") {
			t.Errorf("docs/runbooks.md has section %s, and there is no such alert", title)
		}
	}
}

// gridPos is where a panel is on its board, and how large.
type gridPos struct{ X, Y, W, H int }

// placesOf are the columns and rows that a panel takes.
func placesOf(at gridPos) iter.Seq[[2]int] {
	return func(yield func([2]int) bool) {
		for number := range at.W * at.H {
			if !yield([2]int{at.X + number%at.W, at.Y + number/at.W}) {
				return
			}
		}
	}
}

// theDashboard is the ConfigMap that Grafana finds.
func theDashboard(t *testing.T) *corev1.ConfigMap {
	t.Helper()
	for _, object := range monitoringObjects(t, monitoringInput()) {
		if dashboard, is := object.(*corev1.ConfigMap); is && dashboard.Labels["grafana_dashboard"] == "1" {
			return dashboard
		}
	}
	t.Fatal("there is no ConfigMap that Grafana finds")
	return nil
}

// Panels fill the board without overlapping.
func TestDashboardIsABoard(t *testing.T) {
	var board struct {
		Panels []struct {
			ID      int    `json:"id"`
			Title   string `json:"title"`
			GridPos gridPos
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(theDashboard(t).Data["kubewarden.json"]), &board); err != nil {
		t.Fatal(err)
	}
	if len(board.Panels) == 0 {
		t.Fatal("there are no panels")
	}
	taken := map[[2]int]string{}
	for _, panel := range board.Panels {
		for place := range placesOf(panel.GridPos) {
			if other := taken[place]; other != "" || place[0] >= 24 {
				t.Fatalf("panel %q at column %d, row %d: beyond the board or over panel %q", panel.Title, place[0], place[1], other)
			}
			taken[place] = panel.Title
		}
		for _, target := range panel.Targets {
			if strings.Contains(target.Expr, "OURS") || strings.Contains(target.Expr, "SERVER") {
				t.Errorf("panel %q has an expression that was not filled in: %s", panel.Title, target.Expr)
			}
		}
	}
}

func TestMonitoringKindsAreComplete(t *testing.T) {
	for _, object := range monitoringObjects(t, monitoringInput()) {
		if kind := object.GetObjectKind().GroupVersionKind(); !slices.Contains(render.MonitoringKinds(), kind) {
			t.Errorf("%s is rendered and would never be pruned", kind)
		}
		for key, want := range render.MonitoringLabels("kubewarden") {
			if got := object.GetLabels()[key]; got != want {
				t.Errorf("label %s of %s is %q, want %q", key, object.GetName(), got, want)
			}
		}
	}
}
