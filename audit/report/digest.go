package report

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// digest is a hash of what a report says.
type digest [sha256.Size]byte

// digestOf hashes a report without what says only when it was written: the times of the
// results, the label that names the scan, and the resource versions of the policies, which
// change with every word of their status. Two reports of the same digest say the same, so
// the second need not be written.
func digestOf(meta metav1.ObjectMeta, c content) (digest, error) {
	said := struct {
		Owners  []metav1.OwnerReference
		Version string
		Content content
	}{Owners: meta.OwnerReferences, Version: meta.Labels[labelVersion], Content: c}
	said.Content.Results = make([]entry, len(c.Results))
	for i, e := range c.Results {
		e.Seconds = 0
		e.Properties = maps.Clone(e.Properties)
		delete(e.Properties, propertyPolicyResourceVersion)
		said.Content.Results[i] = e
	}
	encoded, err := json.Marshal(said)
	if err != nil {
		return digest{}, fmt.Errorf("hash report %s: %w", meta.Name, err)
	}
	return sha256.Sum256(encoded), nil
}
