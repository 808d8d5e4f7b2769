.DEFAULT_GOAL := help
.PHONY: help setup deploy teardown clean-cluster test test-quick quick-tests quick-lint prefetch test-unit test-collection
.PHONY: test-playbooks test-newest test-newest-cached molecule molecule-shared molecule-production lint bench
.PHONY: collection docs clean

export PATH := $(CURDIR)/.venv/bin:$(PATH)
# Where it is set, each of some hundred processes that tests start compiles again all it imports.
unexport PYTHONDONTWRITEBYTECODE
INVENTORY ?= inventories/local
# One of those roles/local_cluster has the Go modules of.
KUBERNETES ?= v1.37.2
SCENARIOS ?= default failure production
# One process a core; tests that share a server stay together.
SPREAD = --numprocesses auto --dist loadgroup
# A ready node image and kind beside the checkout save compiling Kubernetes where no registry answers.
KIND_KIT ?= $(abspath ../shared/kind)
export MEMORY_GRAPH_NODE_ARCHIVE ?= $(wildcard $(KIND_KIT)/node-image.tar.zst)
export MEMORY_GRAPH_KIND_BINARY ?= $(wildcard $(KIND_KIT)/bin/kind)

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-17s%s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## make .venv from the locked requirements (instant when they are unchanged)
	@bin/setup dev

deploy: ## cluster, image and memory graph; EXTRA='-e name=value' passes variables
	@bin/setup deploy
	@ansible-playbook playbooks/local.yml -i $(INVENTORY) $(EXTRA)

teardown: ## take the memory graph away, keep its data
	@bin/setup deploy
	@ansible-playbook playbooks/teardown.yml -i $(INVENTORY) $(EXTRA)

clean-cluster: ## delete the local kind cluster and everything in it
	@bin/setup deploy
	@ansible-playbook playbooks/local_cluster.yml -i $(INVENTORY) -e local_cluster_state=absent $(EXTRA)

# Two at a time and not three: what tests kill and restart wants the rest of a core.
# At the end stands what uses two processes, so that no core is idle.
test: setup prefetch ## every check and test, two targets at a time, the longest first
	@bin/run-all --jobs 2 molecule-shared test-unit molecule-production test-playbooks lint test-collection-own \
	  test-collection-2.21 test-collection-2.20 test-newest-cached

test-quick: setup ## what needs no cluster, no Neo4j, no Kafka and no ansible-playbook, but the slowest, in a few minutes
	@bin/run-all --jobs 2 quick-tests quick-lint

quick-tests: setup
	pytest service/tests tests/docs tests/house collections/ansible_collections/llm_devops/memory_graph/tests/unit \
	  -m "not xdist_group and not slow" $(SPREAD)

quick-lint: setup
	@bin/lint --quick

# Debian packages and jars are had by one process, before targets run beside each other; where they cannot be had, the
# tests that need them say so.
prefetch: setup
	-@cd service/tests && python -m support.prefetch

test-unit: setup prefetch ## the service's unit and integration tests
	pytest service/tests $(SPREAD)

test-collection: setup ## the collection's unit and sanity tests, on three ansible-cores
	bin/test-collection

test-collection-%: setup
	bin/test-collection $*

test-playbooks: setup prefetch ## playbooks and roles of the checkout refuse bad input
	pytest tests $(SPREAD)

BESIDE_CONTROL_PLANE = python -m tests.control_plane --kubernetes $(KUBERNETES)
RELEASE_ENGINE = pytest -m "not containers" tests/control_plane \
  collections/ansible_collections/llm_devops/memory_graph/tests/integration

test-newest: setup ## the release engine on the newest Kubernetes with simulated nodes; builds it once, in 25 minutes
	@$(BESIDE_CONTROL_PLANE) $(RELEASE_ENGINE)

test-newest-cached: setup
	@$(BESIDE_CONTROL_PLANE) --if-built $(RELEASE_ENGINE)

molecule: setup ## deploy and verify on kind clusters: one pod, everything that fails, and production
	bin/molecule $(SCENARIOS)

molecule-shared: setup
	bin/molecule default failure

molecule-production: setup
	bin/molecule production

lint: setup ## ruff, mypy, shellcheck, yamllint, ansible-lint, antsibull
	@bin/lint

bench: setup ## measure the service and the deployment
	@bin/setup bench
	python -m benches

docs: setup ## write the pages of docs/reference that are generated from the code
	@python -m tools.reference

collection: setup ## build the publishable collection into dist/
	ansible-galaxy collection build collections/ansible_collections/llm_devops/memory_graph --output-path dist --force

clean: ## remove what the build and the tests left, not the cluster
	rm -rf .venv .cache dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .ansible .import_linter_cache service/src/memory_graph/gen
