# The verbs of this repository, the same for people and for CI. `make help` lists them.
# Every verb installs what it needs first; a second run finds it there and starts in seconds.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

PY := .venv/bin/python
ENGINE ?= llama
WORKERS ?= 2
CONFIG ?= deploy/config/dev.yaml
ARGS ?=

# One interpreter for the Rust module, whoever builds it, so that maturin, cargo test and clippy share their work.
export PYO3_PYTHON := $(CURDIR)/.venv/bin/python
export PATH := $(CURDIR)/.venv/bin:$(HOME)/.cargo/bin:$(PATH)
CARGO := cd fastpath && cargo

.PHONY: help
help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup setup-python
setup-python:
	@deploy/setup/packages.sh build bpf
	@deploy/setup/python.sh
	@deploy/setup/bpf.sh

setup: setup-python ## install Debian packages, .venv, Python packages, and build the Rust module
	@deploy/setup/module.sh

.PHONY: certs
certs: setup-python ## development CA, server and client certificates, worker key in certs/dev
	@$(PY) -m certs.dev_ca

.PHONY: demo
demo: setup certs ## ask a real model one question through the whole product, show what happened, stop
	@$(PY) deploy/local/demo.py $(ARGS)

.PHONY: run
run: setup certs ## the stack in the foreground: ENGINE=llama|echo|openai WORKERS=2 CONFIG=...; PACKET=1 behind XDP
	@$(PY) deploy/local/stack.py --engine $(ENGINE) --workers $(WORKERS) --config $(CONFIG) $(ARGS)

.PHONY: test
test: setup certs ## every test: Rust, then Python; skips are printed with their reason
	@deploy/setup/packages.sh tools
	@deploy/setup/p4shell.sh
	@deploy/setup/test.sh $(ARGS)

.PHONY: lint
lint: setup ## formats, types, lints, import rules, generated files, the repository checked as data
	@deploy/setup/lint.sh

.PHONY: bench
bench: setup certs ## the same TLS 1.3 work through nginx, HAProxy, Envoy and ours: ROUNDS=5 SECONDS=3 SIDES= SCENARIOS= QUICK=1
	@deploy/setup/packages.sh build bench
	@deploy/setup/bench.sh
	@$(PY) bench/run.py $(ARGS)

.PHONY: bench-packet
bench-packet: setup-python ## ns per packet of the XDP pipeline beside its own parts: ARGS="--rounds 7 --quick"
	@$(PY) bench/packet/run.py $(ARGS)

.PHONY: testbed
testbed: setup certs ## a kernel with soft-RoCE under emulation: one chat crosses to a worker over RDMA verbs
	@$(PY) deploy/testbed/run.py $(ARGS)

.PHONY: conformance
conformance: setup certs ## foreign judges of the wire (h2spec and others) against their frozen lists: ARGS="h2spec"
	@command -v go >/dev/null || deploy/setup/packages.sh go
	@deploy/setup/conformance.sh $(ARGS)

.PHONY: soak
soak: setup certs ## mixed and hostile load for SECONDS=600, slopes of memory, descriptors and threads, a verdict
	@$(PY) -m tests.conformance.soak --seconds $(or $(SECONDS),600) $(ARGS)

.PHONY: fuzz
fuzz: setup ## libFuzzer over every parser, or TARGET=, for SECONDS=60 each, then JSON against rfc8785 with SWEEP=1000000 doubles
	@deploy/setup/fuzz.sh $(or $(SECONDS),60) $(TARGET)
	@$(if $(TARGET),:,SWEEP=$(or $(SWEEP),1000000) $(PY) -m pytest -q --timeout 1800 tests/conformance/test_rfc8785.py)

.PHONY: format
format: setup-python ## rewrite Python and Rust in the one format
	@ruff check --fix --quiet . ; ruff format .
	@$(CARGO) fmt --all

.PHONY: gen
gen: setup-python ## regenerate what is checked in: abi/gen, fastpath/types/src/gen, protobuf stubs, docs/limits.md
	@$(PY) -m abi.generate
	@$(PY) deploy/setup/stubs.py
	@$(PY) deploy/setup/limits_page.py

.PHONY: p4
p4: ## compile p4/programs/dpu_v1model.p4 into p4/build, which is checked in (needs p4c-bm2-ss, or P4C=)
	@p4/build.sh

.PHONY: lock
lock: setup-python ## resolve requirements.lock anew from pyproject.toml
	@$(PY) deploy/setup/lock.py

.PHONY: clean
clean: ## remove everything that the other verbs made, except the development keys
	rm -rf .venv .run fastpath/target fastpath/fuzz/target fastpath/fuzz/corpus bench/results deploy/testbed/out .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
