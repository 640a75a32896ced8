package scan

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kubewarden/kubewarden-operator/audit/plan"
	"github.com/kubewarden/kubewarden-operator/audit/report"
)

// Asked says why a policy was asked about an object, and no earlier result kept.
type Asked string

// Why a policy is asked.
const (
	// AskedFirst: no result is known that answers the question.
	AskedFirst Asked = "NoResult"
	// AskedUnsealed: the result may be another one each time, or it was an error, or nothing
	// is known of what it followed from.
	AskedUnsealed Asked = "NotRepeatable"
	// AskedUnsettled: the status of the policy does not name one revision that all replicas
	// serve.
	AskedUnsettled Asked = "RevisionUnknown"
	// AskedChanged: the object, the labels of its namespace, the policy, its module, or the
	// version of the scanner is another one, or somebody changed the result.
	AskedChanged Asked = "Changed"
)

// basis is everything that a verdict follows from: the whole request, in the bytes that are
// sent, and the revision of the policy. Labels of the namespace and the version of the scanner,
// which is that of the policy servers released with it, are in neither and may change what is
// thought right about both. It is "" where the revision is not known.
func (p *pass) basis(revision string, put Review) string {
	if revision == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(strings.Join([]string{p.config.Version, revision, p.labelsText, string(put.digest[:])}, "\x00")))
	return string(sum[:])
}

// textOf is a text that differs where labels do.
func textOf(labels map[string]string) string {
	var text strings.Builder
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		fmt.Fprintf(&text, "%s=%s\n", key, labels[key])
	}
	return text.String()
}

// earlier is what the report of an object says already. What cannot be read is asked again.
func (p *pass) earlier(ctx context.Context, object *item) map[report.Question]report.Earlier {
	if p.session == nil {
		return nil
	}
	earlier, err := p.session.Earlier(ctx, object.uid)
	if err != nil {
		p.config.Log.DebugContext(ctx, "a report cannot be read: policies are asked again", "error", err.Error())
		return nil
	}
	return earlier
}

// keep is an earlier result that answers the question still, or why there is none.
func (p *pass) keep(question plan.Question, put Review, earlier map[report.Question]report.Earlier) (report.Result, Asked) {
	before, known := earlier[report.Question{PolicyID: question.Policy.ID, Operation: question.Operation}]
	basis := p.basis(question.Policy.Revision, put)
	switch {
	case !known:
		return report.Result{}, AskedFirst
	case !before.Sealed():
		return report.Result{}, AskedUnsealed
	case basis == "":
		return report.Result{}, AskedUnsettled
	case !before.FollowsFrom(basis):
		return report.Result{}, AskedChanged
	default:
		return report.Result{
			Policy: question.Policy, Operation: question.Operation, Outcome: before.Outcome, Message: before.Message, Time: before.Time, Basis: basis,
		}, ""
	}
}
