package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/util/yaml"
	controllermetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/kubewarden/kubewarden-operator/controllers/metrics"
	"github.com/kubewarden/kubewarden-operator/policyserver/telemetry"
)

// Alerts and the dashboard name only series that the commands of this binary expose, with
// labels that these series have.
func TestAlertsAndDashboardNameWhatIsExposed(t *testing.T) {
	exposed := exposedMetrics(t)
	expressions := append(alertExpressions(t), dashboardExpressions(t)...)
	if len(expressions) < 20 {
		t.Fatalf("got %d expressions, want those of all alerts and panels", len(expressions))
	}
	for _, expression := range expressions {
		if problem := checkExpression(expression, exposed); problem != "" {
			t.Errorf("%s: %s", problem, expression)
		}
	}
}

func TestExpressionsAreChecked(t *testing.T) {
	exposed := map[string][]string{"requests_total": {"status"}, "duration_bucket": {"le"}}
	for name, tc := range map[string]struct{ expression, want string }{
		"all is well":                 {`sum by (status) (rate(requests_total{status=~"5..",namespace="a"}[5m])) > 0`, ""},
		"a histogram":                 {`histogram_quantile(0.9, sum by (le) (rate(duration_bucket[5m])))`, ""},
		"no such metric":              {`rate(request_total[5m])`, "request_total is not exposed"},
		"no such label":               {`requests_total{state="200"}`, "requests_total has no label state"},
		"sums by a label of none":     {`sum by (state) (requests_total)`, "no metric has the label state"},
		"a parenthesis is left open":  {`sum(rate(requests_total[5m])`, "parentheses do not match"},
		"a parenthesis closes naught": {`sum(requests_total)) + (1`, "parentheses do not match"},
		"names nothing":               {`1 > 0`, "no metric is named"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := checkExpression(tc.expression, exposed); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// describer hands out the descriptions of everything registered with it; a *Registry does.
type describer interface {
	Describe(descriptions chan<- *prometheus.Desc)
}

// described finds name and labels in the text of a description, which tells them in no
// other way.
var described = regexp.MustCompile(`^Desc\{fqName: "([^"]+)".*constLabels: \{(.*)\}, variableLabels: \{(.*)\}\}$`)

// exposedMetrics are all series by name, with their labels.
func exposedMetrics(t *testing.T) map[string][]string {
	t.Helper()
	workqueueAndReconciler, ok := controllermetrics.Registry.(describer)
	if !ok {
		t.Fatalf("%T does not describe its metrics", controllermetrics.Registry)
	}
	exposed := map[string][]string{}
	for _, source := range []describer{
		workqueueAndReconciler,
		metrics.NewCollector(metrics.Config{Logger: logr.Discard()}),
		telemetry.NewMetrics("test"),
	} {
		descriptions := make(chan *prometheus.Desc)
		go func() {
			defer close(descriptions)
			source.Describe(descriptions)
		}()
		for description := range descriptions {
			found := described.FindStringSubmatch(description.String())
			if found == nil {
				t.Fatalf("cannot read the description %s", description)
			}
			labels := strings.FieldsFunc(found[3], func(r rune) bool { return r == ',' })
			for _, suffix := range []string{"", "_bucket", "_sum", "_count"} {
				exposed[found[1]+suffix] = append(slices.Clone(labels), "le")
			}
		}
	}
	return exposed
}

// targetLabels are on every series by way of what is scraped.
var targetLabels = []string{"namespace", "policy_server"}

var (
	quoted     = regexp.MustCompile(`"[^"]*"`)
	selection  = regexp.MustCompile(`([a-z_:][a-z0-9_:]*)?\{([^}]*)\}`)
	matcher    = regexp.MustCompile(`([a-z_]+)\s*(=~|!~|!=|=)`)
	grouping   = regexp.MustCompile(`\b(by|without|on|ignoring)\s*\(([^)]*)\)`)
	lookback   = regexp.MustCompile(`\[[^\]]*\]`)
	word       = regexp.MustCompile(`[a-z_:][a-z0-9_:]*`)
	functions  = []string{"absent", "sum", "max", "min", "rate", "increase", "histogram_quantile", "topk", "time", "vector", "label_values"}
	operators  = []string{"and", "or", "unless"}
	notMetrics = append(append([]string{}, functions...), operators...)
)

// checkExpression says what is wrong with an expression of PromQL; empty for nothing. It
// knows as much of the language as the expressions use, and takes any other word for a
// metric.
func checkExpression(expression string, exposed map[string][]string) string {
	text := lookback.ReplaceAllString(quoted.ReplaceAllString(expression, `""`), "")
	if problem := checkSelections(text, exposed); problem != "" {
		return problem
	}
	text = regexp.MustCompile(`\{[^}]*\}`).ReplaceAllString(text, "")
	groups := grouping.FindAllStringSubmatch(text, -1)
	text = grouping.ReplaceAllString(text, "")
	if !balanced(text) {
		return "parentheses do not match"
	}
	possible := slices.Clone(targetLabels)
	named := false
	for _, name := range word.FindAllString(text, -1) {
		if slices.Contains(notMetrics, name) {
			continue
		}
		labels, isExposed := exposed[name]
		if !isExposed {
			return name + " is not exposed"
		}
		possible, named = append(possible, labels...), true
	}
	if !named {
		return "no metric is named"
	}
	for _, group := range groups {
		for _, label := range word.FindAllString(group[2], -1) {
			if !slices.Contains(possible, label) {
				return "no metric has the label " + label
			}
		}
	}
	return ""
}

// checkSelections says what is wrong with the labels in braces.
func checkSelections(text string, exposed map[string][]string) string {
	for _, selected := range selection.FindAllStringSubmatch(text, -1) {
		labels, isExposed := exposed[selected[1]]
		if !isExposed {
			return selected[1] + " is not exposed"
		}
		for _, used := range matcher.FindAllStringSubmatch(selected[2], -1) {
			if !slices.Contains(append(labels, targetLabels...), used[1]) {
				return selected[1] + " has no label " + used[1]
			}
		}
	}
	return ""
}

func balanced(text string) bool {
	open := 0
	for _, r := range text {
		switch r {
		case '(':
			open++
		case ')':
			if open--; open < 0 {
				return false
			}
		}
	}
	return open == 0
}

// prometheusConfig decodes one document of config/prometheus, which holds what the operator
// renders.
func prometheusConfig(t *testing.T, name string, into any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "config", "prometheus", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, into); err != nil {
		t.Fatalf("decode %s: %v", name, err)
	}
}

func alertExpressions(t *testing.T) []string {
	t.Helper()
	var rule struct {
		Spec struct {
			Groups []struct {
				Rules []struct {
					Expr string `json:"expr"`
				} `json:"rules"`
			} `json:"groups"`
		} `json:"spec"`
	}
	prometheusConfig(t, "alerts.yaml", &rule)
	var expressions []string
	for _, group := range rule.Spec.Groups {
		for _, rule := range group.Rules {
			expressions = append(expressions, rule.Expr)
		}
	}
	return expressions
}

func dashboardExpressions(t *testing.T) []string {
	t.Helper()
	var configMap struct {
		Data map[string]string `json:"data"`
	}
	prometheusConfig(t, "dashboard.yaml", &configMap)
	var board struct {
		Panels []struct {
			Targets []struct {
				Expr string `json:"expr"`
			} `json:"targets"`
		} `json:"panels"`
	}
	if err := json.Unmarshal([]byte(configMap.Data["kubewarden.json"]), &board); err != nil {
		t.Fatal(err)
	}
	var expressions []string
	for _, panel := range board.Panels {
		for _, target := range panel.Targets {
			expressions = append(expressions, target.Expr)
		}
	}
	return expressions
}
