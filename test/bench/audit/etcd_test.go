//go:build integration

package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/kubewarden/kubewarden-operator/config/crd/reports"
)

// stored is how many reports there are, and how large they are together with their keys.
type stored struct{ count, bytes int }

func (s stored) mean() float64 { return float64(s.bytes) / float64(max(s.count, 1)) }

// pageOfKeys is how many keys are read at once.
const pageOfKeys = 500

// keyRange is etcd's request for keys, and its answer, in the JSON of its gateway, in which
// bytes are in base64 (api/etcdserverpb/rpc.proto: RangeRequest, RangeResponse).
type (
	keyRange struct {
		Key   []byte `json:"key"`
		End   []byte `json:"range_end"`
		Limit int    `json:"limit,string"`
	}
	keysFound struct {
		Values []struct {
			Key   []byte `json:"key"`
			Value []byte `json:"value"`
		} `json:"kvs"`
		More bool `json:"more"`
	}
)

// reportsOf reads the reports about objects of a kind, or of all kinds, where they are
// stored. What etcd keeps of earlier revisions until it is compacted does not count.
func (c *cluster) reportsOf(t *testing.T, kind string) stored {
	t.Helper()
	var found stored
	// '0' comes after '/'.
	asked := keyRange{Key: []byte("/registry/" + reports.GroupPolicyReports + "/"), End: []byte("/registry/" + reports.GroupPolicyReports + "0"), Limit: pageOfKeys}
	for {
		page, err := c.keys(t, asked)
		if err != nil {
			t.Fatal("read etcd:", err)
		}
		for _, one := range page.Values {
			report := struct {
				Scope struct {
					Kind string `json:"kind"`
				} `json:"scope"`
			}{}
			if err := json.Unmarshal(one.Value, &report); err != nil {
				t.Fatalf("decode %s: %v", one.Key, err)
			}
			if kind == "" || report.Scope.Kind == kind {
				found.count++
				found.bytes += len(one.Key) + len(one.Value)
			}
			asked.Key = slices.Concat(one.Key, []byte{0})
		}
		if !page.More {
			return found
		}
	}
}

func (c *cluster) keys(t *testing.T, asked keyRange) (keysFound, error) {
	t.Helper()
	body, err := json.Marshal(asked)
	if err != nil {
		return keysFound{}, err
	}
	url := c.env.ControlPlane.Etcd.URL.JoinPath("v3", "kv", "range").String()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return keysFound{}, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return keysFound{}, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return keysFound{}, fmt.Errorf("the answer is %s", response.Status)
	}
	var found keysFound
	err = json.NewDecoder(response.Body).Decode(&found)
	return found, err
}
