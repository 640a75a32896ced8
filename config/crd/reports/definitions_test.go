package reports

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDefinitionsDefineTheKindsThatReportsAreWrittenAs(t *testing.T) {
	cases := map[string]struct {
		group string
		want  []string
	}{
		"policy reports": {GroupPolicyReports, []string{
			"clusterpolicyreports.wgpolicyk8s.io Cluster ClusterPolicyReport v1alpha2",
			"policyreports.wgpolicyk8s.io Namespaced PolicyReport v1alpha2",
		}},
		"open reports": {GroupOpenReports, []string{
			"clusterreports.openreports.io Cluster ClusterReport v1alpha1",
			"reports.openreports.io Namespaced Report v1alpha1",
		}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			definitions, err := Definitions(tc.group)
			if err != nil {
				t.Fatal(err)
			}
			got := make([]string, 0, len(definitions))
			for _, d := range definitions {
				line := []string{d.Name, string(d.Spec.Scope), d.Spec.Names.Kind}
				for _, version := range d.Spec.Versions {
					if version.Served && version.Storage {
						line = append(line, version.Name)
					}
				}
				got = append(got, strings.Join(line, " "))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestDefinitionsOfAnUnknownGroup(t *testing.T) {
	_, err := Definitions("reports.example.com")
	if err == nil || !strings.Contains(err.Error(), `group "reports.example.com" has no report kinds`) {
		t.Errorf("error = %v", err)
	}
}
