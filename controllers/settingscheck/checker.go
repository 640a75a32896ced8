package settingscheck

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"

	policiesv1 "github.com/kubewarden/kubewarden-operator/api/policies/v1"
	"github.com/kubewarden/kubewarden-operator/controllers/configured"
	"github.com/kubewarden/kubewarden-operator/controllers/render"
	"github.com/kubewarden/kubewarden-operator/controllers/replicas"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
)

// limit bounds a check, however many questions it is of. The API server waits for 5 s.
const limit = 2 * time.Second

// maxWarningBytes is the length at which API servers cut a warning.
const maxWarningBytes = 256

// Authority is whom the operator trusts, and how it proves to be the operator.
// *certs.Certificates is one.
type Authority interface {
	CABundle(ctx context.Context) ([]byte, error)
	OperatorCertificate(ctx context.Context) (*tls.Certificate, error)
}

// Config is what a Checker works with. Every field is needed.
type Config struct {
	// Client reads from the caches of the manager.
	Client    client.Reader
	Authority Authority
	// Configured and Reports decode what was written for the replicas and by them.
	Configured *configured.Reader
	Reports    *replicas.Reports
	Render     render.Config
}

// Checker has the settings of policies checked. It is safe for concurrent use.
type Checker struct{ Config }

// New returns a Checker.
func New(config Config) *Checker { return &Checker{Config: config} }

// Check has those settings of a policy checked that are new since before, which is nil for a
// policy that is created. It asks one ready replica for each module that one has loaded, and
// is silent about others. The errors are of settings that their module finds invalid; what
// kept a question from being answered is a warning.
func (c *Checker) Check(ctx context.Context, before, after policiesv1.Policy) (field.ErrorList, []string) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	server := after.GetPolicyServer()
	asked, loaded, err := c.prepare(ctx, before, after)
	if err != nil {
		return nil, []string{warning("the settings were not checked", err)}
	}
	var client *http.Client
	var refused field.ErrorList
	var warnings []string
	for _, question := range asked {
		module, found := question.find(loaded)
		if !found {
			continue
		}
		if client == nil {
			if client, err = c.newClient(ctx, server); err != nil {
				return nil, []string{warning("the settings were not checked", err)}
			}
			defer client.CloseIdleConnections()
		}
		answer, err := ask(ctx, client, module, question.body)
		switch {
		case err != nil:
			warnings = append(warnings, warning(question.path.String()+" was not checked", err))
		case !answer.Valid:
			refused = append(refused, question.refusal(module, answer.Message))
		}
	}
	return refused, warnings
}

// warning fits what goes wrong into the length that is shown to users.
func warning(what string, cause error) string {
	text := strings.ToValidUTF8(what+": "+cause.Error(), "\uFFFD")
	if len(text) > maxWarningBytes {
		text = strings.ToValidUTF8(text[:maxWarningBytes-len("...")], "") + "..."
	}
	return text
}

// prepare gives the questions about a policy, and the modules that could answer them.
func (c *Checker) prepare(ctx context.Context, before, after policiesv1.Policy) ([]question, []replicas.Module, error) {
	server := &policiesv1.PolicyServer{}
	err := c.Client.Get(ctx, client.ObjectKey{Name: after.GetPolicyServer()}, server)
	if apierrors.IsNotFound(err) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("get PolicyServer %s: %w", after.GetPolicyServer(), err)
	}
	id, entry, err := render.Entry(after, server)
	if err != nil {
		return nil, nil, err
	}
	var earlier contract.Entry
	if before != nil {
		if _, earlier, err = render.Entry(before, server); err != nil {
			earlier = contract.Entry{} // whatever it was, it is other settings now
		}
	}
	if len(questions(id, earlier, entry, contract.Entry{})) == 0 {
		return nil, nil, nil
	}
	policies, err := c.policies(ctx, server.Name)
	if err != nil {
		return nil, nil, err
	}
	set, err := c.replicas(ctx, server.Name)
	if err != nil {
		return nil, nil, err
	}
	loaded, err := set.Modules(policies)
	return questions(id, earlier, entry, policies[id]), loaded, err
}

// policies are the entries as they were written for the replicas of a server.
func (c *Checker) policies(ctx context.Context, server string) (contract.Policies, error) {
	configMap := &corev1.ConfigMap{}
	if err := c.get(ctx, contract.ConfigMapName(server), configMap); err != nil {
		return nil, err
	}
	// Whatever of it cannot be read is not about the policies.
	configuration, _ := c.Configured.Decode(configMap)
	return configuration.Policies, nil
}

func (c *Checker) replicas(ctx context.Context, server string) (replicas.Set, error) {
	var pods corev1.PodList
	err := c.Client.List(ctx, &pods, client.InNamespace(c.Render.Namespace), client.MatchingLabels(render.PolicyServerLabels(server)))
	if err != nil {
		return nil, fmt.Errorf("list the Pods of PolicyServer %s: %w", server, err)
	}
	reports := &corev1.ConfigMap{}
	if err := c.get(ctx, contract.ReportConfigMapName(server), reports); err != nil {
		return nil, err
	}
	byReplica, _ := c.Reports.Decode(reports)
	return replicas.NewSet(pods.Items, byReplica), nil
}

// get leaves the ConfigMap empty when there is none.
func (c *Checker) get(ctx context.Context, name string, configMap *corev1.ConfigMap) error {
	key := client.ObjectKey{Namespace: c.Render.Namespace, Name: name}
	if err := c.Client.Get(ctx, key, configMap); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("get ConfigMap %s: %w", key, err)
	}
	return nil
}
