# Tests run in several processes (-n), since most of them wait for time to pass.
# Each target sets up what it needs, in .venv. PYTHON chooses the interpreter: 3.11 or newer.
PYTHON ?= python3
BIN := .venv/bin
ACTIONS := action.yml composite/action.yml
WORKFLOWS := $(wildcard .github/workflows/*.yml examples/workflows/*.yml)
MANIFESTS := $(wildcard examples/kubernetes/*.yml)
DOCKERFILES := Dockerfile $(wildcard tests/container/standins/*/Dockerfile examples/*/*/Dockerfile)
VERSION = $(shell sed -n 's/^__version__ = "\(.*\)"$$/\1/p' sse_check/__init__.py)
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --require-hashes

.PHONY: demo test fuzz lab container check check-actions audit sbom bench bench-reports fix lock clean
.DEFAULT_GOAL := test

demo: .venv/.runtime  ## the whole check against the embedded server; FAULT=buffered-full shows a fault
	$(BIN)/python -m sse_check demo $(if $(FAULT),--fault $(FAULT))

test: .venv/.dev .venv/.supply  ## every test that needs Python only
	$(BIN)/python -m pytest -n 3 --ignore tests/lab --ignore tests/container

fuzz: .venv/.dev .venv/.fuzz  ## each target of tests/fuzz for a minute; FUZZ="parser scenario" and FUZZ_SECONDS=1800 choose
	$(BIN)/python -m tests.fuzz --seconds $(or $(FUZZ_SECONDS),60) $(FUZZ)

lab: .venv/.dev .venv/.lab  ## the tests against real proxies, which .ci/install-lab installs; prints the confusion matrix
	$(BIN)/python -m pytest -n 4 tests/lab

container: .venv/.dev .venv/.workflows  ## the image, and the action as GitHub's runner runs it; .ci/install-container starts the engine
	$(BIN)/python -m pytest -n 3 tests/container

check: .venv/.dev .venv/.lab .venv/.workflows .venv/.supply  ## formatting, lint, types, the walls between the modules; the action, its image and its workflows
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint $(DOCKERFILES)
	$(BIN)/check-jsonschema --builtin-schema vendor.github-actions $(ACTIONS)
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows $(WORKFLOWS)
	$(BIN)/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	$(BIN)/kubernetes-validate --strict --quiet --kubernetes-version 1.29 $(MANIFESTS)
	$(BIN)/kubernetes-validate --strict --quiet $(MANIFESTS)
	$(BIN)/actionlint -config-file .github/actionlint.yaml $(WORKFLOWS)
	$(BIN)/zizmor --offline --persona=auditor --no-progress --config .github/zizmor.yml $(ACTIONS) $(WORKFLOWS) .github/dependabot.yml

check-actions: .venv/.workflows  ## the workflows' linter with what GitHub knows of the actions they name; needs GH_TOKEN and the Internet
	$(BIN)/zizmor --persona=auditor --no-progress --config .github/zizmor.yml $(ACTIONS) $(WORKFLOWS) .github/dependabot.yml

audit: .venv/.supply  ## known vulnerabilities of everything that is locked; asks the advisory databases, so it needs the Internet
	.ci/audit

sbom: .venv/.dev .venv/.supply  ## dist/*.cdx.json: the libraries, with licences and hashes, as a release has it
	$(BIN)/python .ci/sbom.py dist/sse-check-$(VERSION).cdx.json

bench: .venv/.dev .venv/.bench  ## sse-check beside its peers (docs/performance.md); BENCH="live error --check" chooses
	$(BIN)/python -m benchmarks.run $(BENCH)

bench-reports: .venv/.dev  ## the reports of a large run beside a small one; size and cold start of the image, against its base
	$(BIN)/python benchmarks/reports.py
	$(BIN)/python benchmarks/image.py

fix: .venv/.dev  ## what can be mended by itself
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: .venv/.supply  ## the newest versions, with hashes; for every Python from 3.11 on and every platform
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url pyproject.toml -o requirements/runtime.txt
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url -c requirements/runtime.txt pyproject.toml --group dev -o requirements/dev.txt
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url -c requirements/dev.txt --group lab -o requirements/lab.txt
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url -c requirements/dev.txt --group workflows -o requirements/workflows.txt
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url -c requirements/dev.txt --group fuzz -o requirements/fuzz.txt
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url -c requirements/dev.txt --group bench -o requirements/bench.txt
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url -c requirements/dev.txt --group supply -o requirements/supply.txt
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url tests/lab/requirements.in -o tests/lab/requirements.txt
	echo "aiperf; python_version < '3.14'" | $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url --no-deps - >>requirements/bench.txt

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "sse-check needs Python 3.11 or newer: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv .venv

.venv/.runtime: requirements/runtime.txt | .venv/bin/python
	$(PIP) -r requirements/runtime.txt
	touch $@

.venv/.dev: requirements/dev.txt pyproject.toml | .venv/bin/python
	$(PIP) -r requirements/dev.txt
	$(BIN)/python -m pip --disable-pip-version-check install --quiet --no-deps --no-build-isolation --editable .
	touch $@ .venv/.runtime

.venv/.lab: requirements/lab.txt | .venv/bin/python
	$(PIP) -r requirements/lab.txt
	touch $@

.venv/.supply: requirements/supply.txt | .venv/bin/python
	$(PIP) -r requirements/supply.txt
	touch $@

.venv/.fuzz: requirements/fuzz.txt | .venv/bin/python
	$(PIP) -r requirements/fuzz.txt
	touch $@

.venv/.workflows: requirements/workflows.txt | .venv/bin/python
	$(PIP) -r requirements/workflows.txt
	touch $@

# An environment of its own: the peers may want other versions of what sse-check itself needs.
.venv/.bench: requirements/bench.txt | .venv/bin/python
	$(PYTHON) -m venv .venv/bench
	.venv/bench/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes --no-deps -r requirements/bench.txt
	touch $@

clean:
	rm -rf .venv sse-check-demo .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .fuzz
