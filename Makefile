.DEFAULT_GOAL := help
.PHONY: help setup deploy teardown clean-cluster test test-unit test-collection test-playbooks molecule lint bench collection clean

export PATH := $(CURDIR)/.venv/bin:$(PATH)
INVENTORY ?= inventories/local
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

test: setup ## every check and test
	@bin/run-all lint test-unit test-collection test-playbooks molecule

test-unit: setup ## the service's unit and integration tests
	pytest service/tests

test-collection: setup ## the collection's unit and sanity tests
	bin/test-collection

test-playbooks: setup ## playbooks and roles of the checkout refuse bad input
	pytest tests --numprocesses auto --dist loadgroup

molecule: setup ## deploy and verify on kind clusters: one pod, everything that fails, and production
	molecule test --scenario-name default
	molecule test --scenario-name failure
	molecule test --scenario-name production

lint: setup ## ruff, mypy, shellcheck, yamllint, ansible-lint, antsibull
	@bin/lint

bench: setup ## measure the service and the deployment
	@bin/setup bench
	python -m benches

collection: setup ## build the publishable collection into dist/
	ansible-galaxy collection build collections/ansible_collections/llm_devops/memory_graph --output-path dist --force

clean: ## remove what the build and the tests left, not the cluster
	rm -rf .venv .cache dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .ansible service/src/memory_graph/gen
