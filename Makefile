# Every target says what it does; `make help` lists them. Continuous integration runs these targets and nothing else.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# One set of flags for everything that is compiled, so that packages are compiled once.
export GOTOOLCHAIN ?= local
export GOFLAGS := -trimpath -buildvcs=false
export CGO_ENABLED ?= 0

VERSION ?= 0.1.0
IMG ?= ghcr.io/kubewarden/kubewarden-operator:$(VERSION)
# A policy server of upstream's contract, for end-to-end tests; it is never published.
STANDIN ?= localhost/kubewarden/policy-server-standin:$(VERSION)
# local (default), kind or existing: see hack/cluster.
export CLUSTER ?= local
# The version that the end-to-end test of OLM upgrades to; it is never published.
NEXT ?= 0.1.1

# How long a soak takes, and further flags of it: --no-cgroup where the memory cannot be bounded.
DURATION ?= 10m
SOAK_FLAGS ?=

# How many random histories are run, and how long each is; SEED is the number of a single one.
SEEDS ?= 5
STEPS ?= 300
SEED ?=

BIN := bin
CLUSTER_BIN := $(BIN)/cluster
BUILD := build

.PHONY: help
help: ## Show this help
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-zA-Z_-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Start here

.PHONY: demo
demo: cluster-up image-load policies-push deploy ## Bring up a real cluster, install the operator, show what it does
	@eval "$$($(CLUSTER_BIN) env)"; hack/demo/demo.sh

.PHONY: demo-down
demo-down: $(CLUSTER_BIN) ## Take away all that `make demo` made
	@$(CLUSTER_BIN) down

.PHONY: test
test: test-unit test-conformance test-integration ## All tests that need no cluster

##@ Tests

.PHONY: test-unit
test-unit: ## Unit tests with the race detector; no cluster, no network
	CGO_ENABLED=1 go test -race ./api/... ./audit/... ./cmd/... ./config/... ./controllers/... ./hack/... ./matching/... ./policies/... ./policyserver/...
	go test ./policyserver/policy # which checks each restore under the race detector, and one of many without
	go -C hack/cluster test ./...

.PHONY: test-conformance
test-conformance: ## Declarative cases through engine and server
	go test ./test/conformance/...

# The packages with tests against an API server. Their other tests run along, of which those of
# controllers/certs that live in a world run here only.
INTEGRATION = $(sort $(dir $(shell grep -rl '^//go:build integration' --include='*_test.go' audit controllers policyserver test/integration test/model)))

.PHONY: test-integration
test-integration: $(CLUSTER_BIN) ## Tests against a real API server and etcd (envtest), the operator under its own rights
	KUBEBUILDER_ASSETS="$$($(CLUSTER_BIN) assets)" go test -count=1 -tags=integration -timeout=25m $(INTEGRATION:%=./%)

.PHONY: model
model: $(CLUSTER_BIN) ## Random histories of an installation: SEEDS (5) of them, or that of SEED, of STEPS (300) operations; build/model.txt
	@mkdir -p $(BUILD)
	@KUBEBUILDER_ASSETS="$$($(CLUSTER_BIN) assets)" MODEL_SEED=$(or $(SEED),1) MODEL_SEEDS=$(if $(SEED),1,$(SEEDS)) MODEL_STEPS=$(STEPS) \
		go test -count=1 -tags=integration -timeout=0 -v -run=TestRandomHistories ./test/model | tee $(BUILD)/model.txt

# The certificates of the operator's own webhooks come from cert-manager in these tests, from
# the operator in those of e2e-built-in, and from OLM in those of e2e-olm.
.PHONY: e2e
e2e: export CONFIG := config/certmanager
e2e: cluster-up image-load standin-load policies-push deploy ## End-to-end tests on the cluster of `make demo`
	@eval "$$($(CLUSTER_BIN) env)"; KUBEWARDEN_STANDIN=$(STANDIN) go test -count=1 -tags=e2e -timeout=25m -v ./test/e2e/

# What certificates have no part in runs once, in e2e; so does what takes minutes, of which
# e2e-rotation-built-in runs the other half.
NO_CERTIFICATES := TestAChangeAmongFifty|TestAClusterShows|TestImagesAreAdmitted|TestPodsCarryTheLabels|TestPoliciesThatRead|TestAnImageOfUpstreamsContractIsRolledOut|TestNoAdmissionFailsUnderTraffic/(turns|registry|operator|share)|TestNoAdmissionFailsWhileCertificatesChange/authority

BUILT_IN_TESTS := -tags=e2e -timeout=25m -skip='$(NO_CERTIFICATES)'

.PHONY: e2e-built-in
e2e-built-in: cluster-up image-load policies-push undeploy ## The same without cert-manager, which is taken away for the time of the tests
	@if [[ "$(CLUSTER)" == existing ]]; then echo 'e2e-built-in takes cert-manager away: not from a cluster that is not ours' >&2; exit 1; fi
	@eval "$$($(CLUSTER_BIN) env)"; kubectl delete namespace cert-manager --ignore-not-found >/dev/null; \
		kubectl delete $$(kubectl get crds --output=name | grep 'cert-manager[.]io$$') >/dev/null
	@$(MAKE) deploy
	@eval "$$($(CLUSTER_BIN) env)"; go test -count=1 -v $(BUILT_IN_TESTS) ./test/e2e/
	@$(MAKE) undeploy cluster-up

# Another authority needs minutes to take over: what is mounted may lag behind by two.
ROTATION_TESTS := -tags=e2e,e2e_rotation -timeout=30m -run=TestNoAdmissionFailsWhile.*Certificates

.PHONY: e2e-rotation
e2e-rotation: cluster-up image-load policies-push deploy ## Issuers and keys change under 200 admissions a second, by cert-manager; some 12 minutes
	@eval "$$($(CLUSTER_BIN) env)"; go test -count=1 -v $(ROTATION_TESTS) ./test/e2e/

.PHONY: e2e-rotation-built-in
e2e-rotation-built-in: ## The same by the built-in provider, without cert-manager
	@$(MAKE) e2e-built-in BUILT_IN_TESTS="$(ROTATION_TESTS)"

.PHONY: e2e-cold-start
e2e-cold-start: cluster-up image-load policies-push deploy ## Stop and start the whole cluster while a policy refuses everything; CLUSTER=local only
	@eval "$$($(CLUSTER_BIN) env)"; go test -count=1 -tags=e2e,e2e_cold_start -timeout=15m -v -run='^TestAClusterComesBackByItself$$' ./test/e2e/

.PHONY: fuzz
fuzz: ## Every fuzz target for FUZZTIME (1m); the result stands in build/fuzz.txt
	@hack/fuzz.sh

.PHONY: bench
bench: bench-context ## The engine beside wasmtime 25 in one run, and policies that read the cluster; needs gcc, clang with lld, and npm; the results stand in build/bench.json and build/context.json
	@cd test/bench/engine && CGO_ENABLED=1 go run .

.PHONY: bench-context
bench-context: build $(CLUSTER_BIN) ## Policies that read 3,000 Namespaces and 10,000 RoleBindings: latencies, memory; the result stands in build/context.json
	@KUBEBUILDER_ASSETS="$$($(CLUSTER_BIN) assets)" go test -count=1 -tags=integration -timeout=30m -v ./test/bench/context \
		-namespaces=3000 -bindings=10000 -requests=50 -idle=30s -hold -binary=$(CURDIR)/$(BIN)/kubewarden -file=$(CURDIR)/$(BUILD)/context.json

.PHONY: bench-lint
bench-lint: ## Check the style of the comparison with wasmtime; needs gcc
	@cd test/bench/engine && CGO_ENABLED=1 go tool -modfile=../../../hack/tools/golangci-lint/go.mod golangci-lint run

.PHONY: bench-engine
bench-engine: ## Go benchmarks of the engine alone
	go test -run='^$$' -bench=. -benchmem ./policyserver/policy/...

.PHONY: bench-audit
bench-audit: build $(CLUSTER_BIN) ## Scans of 10,000 objects by 20 policies: evaluations, writes, memory, bytes in etcd; the result stands in build/audit.json
	@KUBEBUILDER_ASSETS="$$($(CLUSTER_BIN) assets)" go test -count=1 -tags=integration -timeout=2h -v ./test/bench/audit \
		-objects=10000 -namespaces=200 -binary=$(CURDIR)/$(BIN)/kubewarden -file=$(CURDIR)/$(BUILD)/audit.json

.PHONY: load
load: build ## A policy server's start, rate and latency beside a server without policies; needs clang with lld, and npm; build/load.json
	@go run ./test/load

.PHONY: soak
soak: build policies ## Memory and verdicts of a policy server whose policies change, for DURATION (10m); build/soak.json
	@go run ./test/load --soak --duration=$(DURATION) $(SOAK_FLAGS)

# Sizes are policies x servers; the last has four times as many policies on each server.
SIZES ?= 125x5,250x10,500x20,500x5

.PHONY: scale
scale: $(CLUSTER_BIN) ## Reconciles, calls and memory of the operator for up to 500 policies; the result stands in build/scale.json
	KUBEBUILDER_ASSETS="$$($(CLUSTER_BIN) assets)" go test -count=1 -tags=integration -timeout=1h -v ./test/integration/scale \
		-sizes=$(SIZES) -limit=1.3 -rest=1m -file=$(CURDIR)/$(BUILD)/scale.json

##@ Development

# Tools are pinned in hack/tools/<tool>/go.mod and compiled once into Go's build cache.
tool = go tool -modfile=hack/tools/$(1)/go.mod $(1)

.PHONY: generate
generate: ## Generate the deep copies of the API types
	@$(call tool,controller-gen) object:headerFile=hack/boilerplate.go.txt paths=./api/...

.PHONY: manifests
manifests: ## Generate the CRDs from their Go types and the operator's rights from the controllers
	@$(call tool,controller-gen) crd rbac:roleName=kubewarden-operator paths=./api/... paths=./controllers/... \
		output:crd:artifacts:config=config/crd/bases output:rbac:artifacts:config=config/rbac
	@$(call tool,controller-gen) crd:maxDescLen=0 output:crd:dir=config/crd/reports \
		paths="github.com/kyverno/policy-reporter-kyverno-plugin/pkg/crd/api/policyreport/v1alpha2;github.com/openreports/reports-api/apis/openreports.io/v1alpha1"

.PHONY: fmt
fmt: ## Format the code and its imports
	@$(call tool,golangci-lint) fmt

.PHONY: lint
lint: ## Check style and the import rules between the folders
	@$(call tool,golangci-lint) run
	@cd hack/cluster && go tool -modfile=../tools/golangci-lint/go.mod golangci-lint run

.PHONY: typecheck
typecheck: ## Check that everything compiles for arm64, the engine for macOS, and its comparison with wasmtime, which is not downloaded
	@go build -o $(BIN)/typecheck ./hack/typecheck
	@$(BIN)/typecheck --arch=arm64 --tags=integration,e2e,e2e_olm ./...
	@$(BIN)/typecheck --os=darwin --arch=arm64 ./policyserver/policy/...
	@$(BIN)/typecheck --dir=test/bench/engine --without=github.com/bytecodealliance/wasmtime-go/v25 ./...

.PHONY: verify
verify: generate manifests bundle bundle-validate lint typecheck ## Fail when generated files are stale, a configuration does not build, a binary is in the tree, or linters or the type checker find something
	@test -z "$$(git status --porcelain -- api config bundle catalog)" || { git status --short -- api config bundle catalog; \
		echo 'run "make generate manifests bundle" and commit the result' >&2; exit 1; }
	@git ls-files --eol | awk '/^i\/-text/ { print "take this binary out of the tree: " $$NF; found = 1 } END { exit found }' >&2
	@go mod tidy -diff
	@for dir in config/default config/certmanager config/network-policy config/prometheus config/samples; do $(call tool,kustomize) build $$dir >/dev/null; done

.PHONY: vuln
vuln: ## Look for known vulnerabilities; needs their database on the network
	@$(call tool,govulncheck) ./...

.PHONY: tools
tools: ## Compile the development tools, so that no target needs the network after it
	@for tool in controller-gen kustomize golangci-lint govulncheck; do go tool -modfile=hack/tools/$$tool/go.mod -n $$tool >/dev/null; done

##@ Build

.PHONY: build
build: ## Compile the binary into bin/
	go build -ldflags='-s -w -X main.version=$(VERSION)' -o $(BIN)/kubewarden ./cmd/kubewarden

.PHONY: image
image: $(CLUSTER_BIN) ## Build the container image with docker, or with buildah where no docker answers
	@$(CLUSTER_BIN) image $(IMG) --build-arg VERSION=$(VERSION)

.PHONY: policies
policies: ## Build the policies of policies/ into bin/policies
	@go run ./hack/policies

##@ Cluster

.PHONY: $(CLUSTER_BIN)
$(CLUSTER_BIN):
	@go build -C hack/cluster -o ../../$(CLUSTER_BIN) .

.PHONY: cluster-binaries
cluster-binaries: $(CLUSTER_BIN) ## Compile what the cluster is made of; cached outside of the tree
	@$(CLUSTER_BIN) build

.PHONY: olm-binaries
olm-binaries: $(CLUSTER_BIN) ## Compile the Operator Lifecycle Manager and opm; cached outside of the tree
	@$(CLUSTER_BIN) build olm catalog opm

.PHONY: cluster-up
cluster-up: $(CLUSTER_BIN) ## Bring the cluster up; does only what is missing
	@$(CLUSTER_BIN) up

.PHONY: image-load
image-load: image ## Build the image and load it into the cluster
	@$(CLUSTER_BIN) load $(IMG)

.PHONY: standin-load
standin-load: $(CLUSTER_BIN) ## Build the stand-in for upstream's policy server and load it into the cluster
	@$(CLUSTER_BIN) image $(STANDIN) --build-arg MAIN=./test/e2e/standin
	@$(CLUSTER_BIN) load $(STANDIN)

.PHONY: policies-push
policies-push: $(CLUSTER_BIN) ## Build the policies and push them to the cluster's registry
	@eval "$$($(CLUSTER_BIN) env)"; go run ./hack/policies --push "$$KUBEWARDEN_REGISTRY" --ca "$$KUBEWARDEN_REGISTRY_CA"

.PHONY: deploy
deploy: ## Install the operator into the cluster by kustomize
	@eval "$$($(CLUSTER_BIN) env)"; IMG=$(IMG) hack/demo/deploy.sh

.PHONY: undeploy
undeploy: $(CLUSTER_BIN) ## Remove what `make deploy` installed, policies included
	@eval "$$($(CLUSTER_BIN) env)"; \
		if kubectl get crd kubewardens.operator.kubewarden.io >/dev/null 2>&1; then kubectl delete kubewardens --all --timeout=2m; fi; \
		kubectl delete -k config/default --ignore-not-found --timeout=2m >/dev/null

##@ OLM

.PHONY: bundle
bundle: ## Generate the OLM bundle, and the template of the catalog, from config
	@$(call tool,kustomize) build config/manifests | go run ./hack/bundle generate --version $(VERSION)
	@go run ./hack/bundle catalog --image ghcr.io/kubewarden/kubewarden-operator-bundle --output catalog/template.yaml bundle

.PHONY: bundle-validate
bundle-validate: ## Check the bundle: OLM's validators, and rules of our own
	@go run ./hack/bundle validate bundle

.PHONY: catalog
catalog: $(CLUSTER_BIN) ## Make a catalog of the bundle, and of a next version to upgrade to
	@$(call tool,kustomize) build config/manifests | \
		go run ./hack/bundle generate --version $(NEXT) --replaces $(VERSION) --image $(IMG) --output $(BUILD)/bundle-next
	@go run ./hack/bundle validate $(BUILD)/bundle-next
	@go run ./hack/bundle catalog --opm "$$($(CLUSTER_BIN) opm)" --output $(BUILD)/catalog bundle $(BUILD)/bundle-next

.PHONY: e2e-olm
e2e-olm: cluster-up image-load policies-push undeploy catalog ## End-to-end test of a life under OLM: installed, upgraded, removed in either order
	@$(CLUSTER_BIN) olm
	@export KUBEWARDEN_CATALOG="$$($(CLUSTER_BIN) catalog $(BUILD)/catalog)"; eval "$$($(CLUSTER_BIN) env)"; \
		go test -count=1 -tags=e2e_olm -timeout=15m -v ./test/e2e/olm/
	@$(CLUSTER_BIN) olm-remove
