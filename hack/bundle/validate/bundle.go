package validate

import (
	"fmt"

	"github.com/operator-framework/api/pkg/manifests"
	"github.com/operator-framework/api/pkg/validation"
	"github.com/operator-framework/api/pkg/validation/errors"
	validator "github.com/operator-framework/api/pkg/validation/interfaces"
)

// kubernetesVersion is the newest version that the validators check for removed APIs.
const kubernetesVersion = "1.37"

// validators are those of operator-framework/api, all but the one for several
// architectures: it calls docker to look into the images.
var validators = []struct {
	rule      string
	validator validator.Validator
}{
	{"package-manifest", validation.PackageManifestValidator},
	{"csv", validation.ClusterServiceVersionValidator},
	{"crd", validation.CustomResourceDefinitionValidator},
	{"bundle", validation.BundleValidator},
	{"operatorhub", validation.OperatorHubV2Validator},
	{"categories", validation.StandardCategoriesValidator},
	{"capabilities", validation.StandardCapabilitiesValidator},
	{"object", validation.ObjectValidator},
	{"operator-group", validation.OperatorGroupValidator},
	{"community", validation.CommunityOperatorValidator},
	{"deprecated-apis", validation.AlphaDeprecatedAPIsValidator},
	{"good-practices", validation.GoodPracticesValidator},
}

// Bundle checks the bundle in a folder. The error is that the folder cannot be read as one.
func Bundle(dir string) (*Report, error) {
	bundle, err := manifests.GetBundleFromDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read the bundle in %s: %w", dir, err)
	}
	metadata, err := readMetadata(dir)
	if err != nil {
		return nil, err
	}
	report := &Report{Name: bundle.Name, Rules: len(validators) + len(rules)}
	objects := append(bundle.ObjectsToValidate(), map[string]string{"k8s-version": kubernetesVersion})
	for _, one := range validators {
		for _, result := range one.validator.Validate(objects...) {
			report.add(one.rule, SeverityError, result.Errors)
			report.add(one.rule, SeverityWarning, result.Warnings)
		}
	}
	in := &input{Bundle: bundle, metadata: metadata}
	for _, one := range rules {
		for _, message := range one.check(in) {
			report.Findings = append(report.Findings, Finding{Rule: one.name, Severity: SeverityError, Message: message})
		}
	}
	report.accept(acceptances)
	return report, nil
}

func (r *Report) add(rule string, severity Severity, found []errors.Error) {
	for _, one := range found {
		message := one.Detail
		switch {
		case message == "":
			message = one.Error()
		case one.Field != "":
			message = one.Field + ": " + message
		}
		r.Findings = append(r.Findings, Finding{Rule: rule, Severity: severity, Message: message})
	}
}
