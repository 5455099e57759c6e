# Everything a fresh machine needs: git, make and Python 3.10 or newer. Nothing is installed globally.
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
SHARE ?= 40
export DBT_SEND_ANONYMOUS_USAGE_STATS := false
COMPILE = "$(UV)" pip compile pyproject.toml --universal --python-version 3.10 --generate-hashes \
	--no-emit-index-url --no-strip-extras --no-annotate --quiet

.PHONY: help
help: ## List what make can do
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-10s %s\n", $$1, $$2}'

.PHONY: install
install: .venv/installed ## Create .venv from requirements.lock, with the command funnel in it

.PHONY: develop
develop: .venv/developed ## The same with what tests and checks need, from requirements-dev.lock

.PHONY: demo
demo: .venv/installed ## Build a funnel from generated data, on an embedded Postgres
	@$(BIN)/funnel demo

.PHONY: test
test: .venv/developed ## Run the tests, on real servers, with a fortieth of the long ones (SHARE=1: all)
	FUNNEL_SHARE=$(SHARE) $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: unit
unit: .venv/developed ## Run the tests that need no server, in seconds
	$(BIN)/pytest -n 2 tests/unit

.PHONY: stress
stress: .venv/developed ## Run all tests, the random ones with many more examples, for hours
	FUNNEL_EXAMPLES=2000 FUNNEL_STORIES=1 FUNNEL_CRASHES=60 FUNNEL_RUNS=20 \
		$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: check
check: .venv/developed ## Lint, type-check and hold against the conventions, without changing a file
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m runner.transform.packages
	$(BIN)/funnel db exec $(BIN)/sqlfluff lint --disable-progress-bar models tests
	@if [ -x $(BIN)/dbt-bouncer ]; then \
		$(BIN)/dbt --quiet parse --target local --target-path .funnel/conventions --log-path .funnel/logs \
		&& $(BIN)/dbt-bouncer --show-all-failures; \
	else \
		echo "The conventions are not checked: dbt-bouncer needs Python 3.11."; \
	fi

.PHONY: bench
bench: .venv/developed ## Measure funnel beside dbt, SQL by hand and others, into benchmarks/results.md
	$(BIN)/python -m benchmarks.bench --rows 1000000 --repeats 3

.PHONY: bench-extract
bench-extract: .venv/developed ## Measure what an extract of 5,000 deals costs, into benchmarks/extract.md
	PYTHONPATH=tests/support $(BIN)/python -m benchmarks.extract --deals 5000 --write

.PHONY: bench-spark
bench-spark: .venv/developed ## Measure the counts of ten million rows on Spark, beside Postgres
	PYTHONPATH=tests/support $(BIN)/python -m benchmarks.spark --postgres 10000000

.PHONY: bench-large
bench-large: .venv/developed ## The same with five times the rows, into results-large.md
	$(BIN)/python -m benchmarks.bench --rows 5000000 --repeats 1 --name results-large

.PHONY: format
format: .venv/developed ## Format Python and SQL
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/funnel db exec $(BIN)/sqlfluff fix --disable-progress-bar models tests

.PHONY: lock
lock: .venv/installed ## Pin the newest allowed versions in the two lock files
	$(COMPILE) --extra install --extra report --extra spark --extra dev --upgrade --output-file requirements-dev.lock
	$(COMPILE) --extra install --constraints requirements-dev.lock --output-file requirements.lock

.PHONY: audit
audit: ## Look for known vulnerabilities in requirements-dev.lock (needs pipx; passes offline and says so)
	.ci/audit

.PHONY: clean
clean: ## Remove .venv, the embedded Postgres and everything generated
	-@[ -x $(BIN)/funnel ] && $(BIN)/funnel db stop
	rm -rf .venv .funnel target logs dbt_packages

# pip alone takes four times as long: it brings uv where there is none, and uv the rest, from the index
# that pip is set to. Where uv fails, pip does it all. Both check every hash.
PIP = $(shell \
	if $(PYTHON) -m pip install --help 2>/dev/null | grep -q -e --python; then \
		echo $(PYTHON) -m pip --python $(BIN)/python install; \
	else \
		echo "$(BIN)/python -m ensurepip >/dev/null && $(BIN)/python -m pip install"; \
	fi) --quiet --disable-pip-version-check
UV = $(or $(shell command -v uv),$(BIN)/uv)

define install
	@index=$${PIP_INDEX_URL:-$$($(PYTHON) -m pip config get global.index-url 2>/dev/null)}; \
	[ -z "$$index" ] || export UV_DEFAULT_INDEX="$$index"; \
	UV_SYSTEM_CERTS=1 "$(UV)" pip install --python $(BIN)/python --quiet $(1) 2>.venv/uv.log \
	|| { $(PIP) $(1); }
endef

.venv/installed: requirements.lock pyproject.toml
	@echo "Creating .venv, once."
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.10 or newer is needed" if sys.version_info < (3, 10) else 0)'
	@$(PYTHON) -m venv --without-pip .venv
	@awk '/^[^ ]/ {is_uv = /^uv==/} is_uv' requirements.lock >.venv/uv.lock
	@command -v uv >/dev/null || { $(PIP) --require-hashes -r .venv/uv.lock; }
	$(call install,--require-hashes -r requirements.lock)
	$(call install,--no-deps --no-build-isolation -e .)
	@touch $@

.venv/developed: .venv/installed requirements-dev.lock
	@echo "Adding what tests and checks need."
	$(call install,--require-hashes -r requirements-dev.lock)
	@touch $@
