//go:build integration

package context

import (
	"context"
	"flag"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kubewarden/kubewarden-operator/policies/build"
	"github.com/kubewarden/kubewarden-operator/policyserver/contract"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/metadata"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wasm"
	"github.com/kubewarden/kubewarden-operator/policyserver/policy/wasmtest"
	"github.com/kubewarden/kubewarden-operator/test/bench/child/childtest"
	"github.com/kubewarden/kubewarden-operator/test/bench/record"
)

var (
	namespacesFlag = flag.Int("namespaces", 50, "how many Namespaces there are")
	bindingsFlag   = flag.Int("bindings", 50, "how many RoleBindings there are")
	clientsFlag    = flag.Int("clients", 20, "how many clients ask at the same time")
	requestsFlag   = flag.Int("requests", 5, "how many requests each of them makes")
	holdFlag       = flag.Bool("hold", false, "whether the figures have to hold")
	idleFlag       = flag.Duration("idle", 0, "how long the server is idle before its memory is read")
	binaryFlag     = flag.String("binary", "", "the program that is measured; empty to build it")
	fileFlag       = flag.String("file", "", "where the result is written; empty for nowhere")
)

// changeEvery is how often an object changes under many clients.
const changeEvery = time.Second

// TestWhatReadingCosts asks about Namespaces, then about RoleBindings.
func TestWhatReadingCosts(t *testing.T) {
	binary := childtest.Program(t, filepath.Join("..", "..", ".."), *binaryFlag)
	c := newCluster(t)
	c.fill(t, *namespacesFlag, *bindingsFlag)
	found := &result{Namespaces: *namespacesFlag, Bindings: *bindingsFlag, Clients: *clientsFlag}
	t.Run("namespaces", func(t *testing.T) {
		found.measureNamespaces(t, startServer(t, binary, c.kubeconfig, listingNamespaces(t)), c)
	})
	t.Run("RoleBindings", func(t *testing.T) {
		found.measureBindings(t, startServer(t, binary, c.kubeconfig, listingBindings()), c)
	})
	t.Log("\n" + found.table())
	if err := record.Write(*fileFlag, found); err != nil {
		t.Error(err)
	}
	for _, complaint := range found.check() {
		if *holdFlag {
			t.Error(complaint)
		}
	}
}

// listingNamespaces is a policy in Rego that looks at each Namespace: a Pod is allowed where
// its own is there and none is without a team.
func listingNamespaces(t *testing.T) policy {
	t.Helper()
	folder := fstest.MapFS{"policy.rego": {Data: []byte(`package policy
nameless contains name if {
	some name, namespace in data.kubernetes.namespaces
	startswith(name, "team-")
	not namespace.metadata.labels.team
}
main := {"response": {"uid": input.request.uid, "allowed": count(nameless) == 0}} if data.kubernetes.namespaces[input.request.namespace]
`)}}
	module, err := build.CompileRego(t.Context(), folder, metadata.ModeOPA)
	if err != nil {
		t.Fatal(err)
	}
	return policy{"namespaces", described(t, module, metadata.ModeOPA), contract.ContextAwareResource{APIVersion: "v1", Kind: "Namespace"}}
}

// described is a module with its metadata.
func described(t *testing.T, module []byte, mode metadata.ExecutionMode) []byte {
	t.Helper()
	annotated, err := wasm.SetCustomSection(module, metadata.Section, fmt.Appendf(nil, `{"executionMode":%q,"rules":[],"mutating":false}`, mode))
	if err != nil {
		t.Fatal(err)
	}
	return annotated
}

// listingBindings is a policy that lists some fields of all RoleBindings and looks at none.
func listingBindings() policy {
	g := wasmtest.NewGuest()
	list := g.CallHost("kubernetes", "list_resources_all", `{"api_version":"rbac.authorization.k8s.io/v1","kind":"RoleBinding","field_masks":["subjects.name","roleRef.name"]}`)
	module := g.OnValidate(list, wasmtest.IfI32(g.Respond(`{"accepted":true}`), wasmtest.Else, g.FailHost())).Bytes()
	return policy{"bindings", module, contract.ContextAwareResource{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "RoleBinding"}}
}

func (r *result) measureNamespaces(t *testing.T, s *server, c *cluster) {
	t.Helper()
	for range 3 { // lists, and makes what is made once
		if _, err := s.ask(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	r.NamespacesStill = s.askAtOnce(t)
	ctx, end := context.WithCancel(t.Context())
	var changing sync.WaitGroup
	changing.Go(func() {
		ticker := time.NewTicker(changeEvery)
		defer ticker.Stop()
		for version := 0; ; version++ {
			if err := c.changeNamespace(ctx, version); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return
			}
		}
	})
	r.NamespacesChanging = s.askAtOnce(t)
	end()
	changing.Wait()
}

// askAtOnce has all clients ask, each as often as the flag says.
func (s *server) askAtOnce(t *testing.T) latencies {
	t.Helper()
	var mutex sync.Mutex
	var all []time.Duration
	group, ctx := errgroup.WithContext(t.Context())
	for range *clientsFlag {
		group.Go(func() error {
			for range *requestsFlag {
				took, err := s.ask(ctx)
				if err != nil {
					return err
				}
				mutex.Lock()
				all = append(all, took)
				mutex.Unlock()
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
	return newLatencies(all)
}

func (r *result) measureBindings(t *testing.T, s *server, c *cluster) {
	t.Helper()
	if _, err := s.ask(t.Context()); err != nil { // lists
		t.Fatal(err)
	}
	for _, measured := range []struct {
		into    *latencies
		changes bool
	}{{&r.BindingsStill, false}, {&r.BindingsChanging, true}} {
		all := make([]time.Duration, 0, 2**requestsFlag)
		for version := range 2 * *requestsFlag {
			if measured.changes {
				if err := c.changeBinding(t.Context(), version); err != nil {
					t.Fatal(err)
				}
			}
			took, err := s.ask(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, took)
		}
		*measured.into = newLatencies(all)
	}
	<-time.After(*idleFlag)
	held, err := s.memory()
	if err != nil {
		t.Fatal(err)
	}
	r.IdleRSS = float64(held) / 1e6
}
