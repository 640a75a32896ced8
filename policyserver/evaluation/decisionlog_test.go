package evaluation

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// However long a verdict is, and whatever its request is called, its line of the log is not.
func TestDecisionLogIsBounded(t *testing.T) {
	long := strings.Repeat("ä", 1<<20)
	verdict := denial(long)
	verdict.Status.Details = &Details{Causes: slices.Repeat([]Cause{{Message: &long, Field: &long}}, 1000)}
	var output bytes.Buffer
	environment := NewEnvironment(EnvironmentConfig{Logger: slog.New(slog.NewJSONHandler(&output, nil))})
	environment.log(t.Context(), decision{
		rules:   Rules{PolicyID: "a", Mode: contract.ModeMonitor},
		request: Request{Origin: OriginValidate, UID: long, Kind: long, Namespace: long, Name: long, Operation: long},
		verdict: verdict,
	})
	const least, most = 4_000, 200_000
	if got := output.Len(); got < least || got > most || strings.Contains(output.String(), `\ufffd`) {
		t.Errorf("got a line of %d bytes, want %d to %d and whole characters", got, least, most)
	}
}
