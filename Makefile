# Two commands matter: `make app` and `make test`. Each makes its own environment, so that one
# never changes what the other runs on.
PORT ?= 8501
WORKERS ?= 2
TEST_BIN := .venv-test/bin
# The tests of what reads files, documents and words, but for those of whole libraries of networks.
REFUSING := tests/app tests/measure tests/page/test_address.py tests/page/test_sources.py \
	tests/page/test_uploads.py tests/planner/test_domain.py tests/planner/test_refusals_domain.py \
	tests/planner/test_units.py tests/profiles \
	tests/planner/test_accuracy_measured.py tests/planner/test_accuracy_rules.py tests/run/test_files.py \
	tests/runtime/test_exported.py tests/runtime/test_pattern_documents.py tests/runtime/test_saved.py \
	tests/runtime/test_ways_apart.py \
	tests/simulation/test_scenario.py $(patsubst %,--ignore-glob=*%.py, _library mutants mutations \
	_runtime_tools _architectures _every_multiplication _families _transformers)

# A path from outside would hide the installed project.
unexport PYTHONPATH PYTHONHOME

.DEFAULT_GOAL := help
.PHONY: help app test quick slow refusals bench lint docs wheel clean environment test-environment

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /make \1\t/p' Makefile | expand -t 12

app: environment ## open the what-if page on 127.0.0.1 (PORT=8501)
	@.venv/bin/planner app --port $(PORT)

test: lint ## check style, types and layers, then run the tests (WORKERS=2)
	@scripts/ensure_browser.sh $(TEST_BIN)/python
	$(TEST_BIN)/python -m pytest -n $(WORKERS) --dist loadfile

quick: test-environment ## run the core's quick tests (planner/) in a minute or so
	$(TEST_BIN)/python -m pytest tests/planner -m "not slow and not thorough" --hypothesis-profile quick

slow: test-environment ## run the tests that take minutes
	$(TEST_BIN)/python -m pytest -m slow -o faulthandler_timeout=0
	$(TEST_BIN)/python -m pytest -m "hypothesis and not slow" --hypothesis-profile many

refusals: test-environment ## which refusals of loaders and validators no test reaches; takes minutes
	$(TEST_BIN)/python -m pytest -n $(WORKERS) --dist loadfile -o faulthandler_timeout=0 \
		-p tests.refusals $(REFUSING)

bench: test-environment ## measure against peers, in one run each; takes minutes
	$(TEST_BIN)/python benchmarks/sparsity.py
	$(TEST_BIN)/python benchmarks/allocation.py
	$(TEST_BIN)/python benchmarks/joint.py
	$(TEST_BIN)/python benchmarks/ways.py
	$(TEST_BIN)/python benchmarks/slices.py
	$(TEST_BIN)/python benchmarks/reshape.py
	$(TEST_BIN)/python benchmarks/engines.py
	$(TEST_BIN)/python benchmarks/simulation.py

lint: test-environment ## check style, types and layers
	$(TEST_BIN)/ruff check
	$(TEST_BIN)/ruff format --check
	$(TEST_BIN)/mypy planner profiles app
	$(TEST_BIN)/lint-imports --no-logo

docs: test-environment ## build the documentation as a site into site/
	NO_MKDOCS_2_WARNING=1 $(TEST_BIN)/mkdocs build --strict

wheel: test-environment ## build the wheel and the source archive into dist/
	$(TEST_BIN)/python -m build --no-isolation

clean: ## remove the environments, builds and caches
	rm -rf .venv .venv-test dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find planner profiles app tests -name __pycache__ -type d -prune -exec rm -rf {} +

environment:
	@scripts/environment.sh app

test-environment:
	@scripts/environment.sh test
