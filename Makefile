# Every target says what it does; `make help` lists them. Continuous integration runs these targets and nothing else.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

export GOTOOLCHAIN ?= local

.PHONY: help
help: ## Show this help
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-zA-Z_-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Tests

.PHONY: test
test: test-unit ## All tests that need no cluster

.PHONY: test-unit
test-unit: ## Unit tests; no cluster, no network
	go test ./...
