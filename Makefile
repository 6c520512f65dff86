# Agent Gateway. `make run` and `make test` need Python >= 3.11, make and the package index; they install the rest
# into .venv, and do so again only when a lock file changed. Another Python: make run PYTHON=/path/to/python3.12

SHELL := /bin/sh
.DEFAULT_GOAL := help
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory
# Each of the many processes of a test run would compile the tests, or the server, again.
unexport DJANGO_SETTINGS_MODULE PYTHONDONTWRITEBYTECODE

VENV := .venv
PY := $(VENV)/bin/python
PYTHON ?=
TEST_WORKERS ?= 4

# The stamps carry their lock's checksum, so a changed lock is a missing stamp. The development lock holds
# everything of the other one in the same versions (tests/repository sees to that): they share one environment.
LOCKED := $(VENV)/.installed-$(shell cksum < requirements.lock | tr ' ' '-')
LOCKED_DEV := $(VENV)/.installed-dev-$(shell cksum < requirements-dev.lock | tr ' ' '-')

UNIT := not browser and not clients and not soak
# What meets no database or only SQLite is left out of the run on PostgreSQL, and what has PostgreSQL and Valkey
# in every run out of the one on SQLite: once is enough. So it is for pages and routes that only ask the ORM, which
# run on the stricter of the two, and for live servers whose story is not the database's, which run on the quicker.
SQLITE_ONLY := tests/repository tests/fakes tests/media tests/messages $(patsubst %,tests/cache/test_%.py,controls entries keys neighbours) tests/routing/test_facts.py tests/routing/test_hedge_races.py tests/routing/test_hedge_state.py tests/routing/test_strategies.py \
	$(filter-out $(patsubst %,tests/providers/test_%_upstreams.py,anthropic bedrock),$(wildcard tests/providers/test_*.py)) \
	tests/core/test_expressions.py tests/core/test_secret_scanning.py tests/core/test_outbound_places.py \
	tests/core/test_permissions.py tests/core/test_end_users.py tests/core/test_token_principals.py tests/core/test_key_watch.py tests/core/test_authorizing.py tests/core/test_sole_server.py tests/commands/test_guides.py tests/commands/test_bootstrap.py \
	$(patsubst %,tests/doors/test_%.py,access access_rules azure cached_answers chat_clients client_libraries client_recipes django_bodies forwarding \
	denials disconnects endurance failover faults health heads https_only identity_tokens key_entry lifecycle log management_cors media openai_client openai_errors \
	passthrough paths poller requests single_sign_on stalled_client waiting websocket) $(wildcard tests/upstreams/test_demo_* tests/upstreams/test_stream_* tests/upstreams/test_http*) \
	$(patsubst %,tests/agents/test_%.py,agent_copies chat client_tools concurrency confinement convert declared_chat \
	definition examples failing_runs folders forkserver guide isolated_runs judge loader mixture policy \
	ledger probe process_link reload request_fuzz resuming runs saved_state silent_work trace version_pages visibility watching) \
	$(patsubst %,tests/limits/test_%.py,calendar_windows conditions counter_names counting door estimate exchange failover faults many_workers members \
	model runs seeding settled_once upkeep ways_of_service) \
	$(patsubst %,tests/core/test_%.py,authentication clock codec crypto deadline environment errors ids outbound own_address \
	rebinding settings snapshot) tests/api/test_tags.py $(patsubst %,tests/health/test_%.py,metric_names numbers verdicts) \
	$(patsubst %,tests/usage/test_%.py,extraction journal killed_push lines live pictures) \
	$(patsubst %,tests/upstreams/test_%.py,background failures request_head) \
	$(patsubst %,tests/tools/test_%.py,agent_use argument_guards bounded_validation calls guide http_tools mcp_addresses mcp_definitions mcp_door mcp_gateway mcp_pool mcp_progress mcp_rest mcp_results mcp_scanner mcp_stdio mcp_tokens) \
	$(patsubst %,tests/reports/test_%.py,formats periods verify)
POSTGRES_ONLY := tests/test_services.py tests/commands/test_image.py tests/doors/test_workers.py \
	tests/doors/test_live_workers.py tests/doors/test_ledger_away.py tests/usage/test_killed_database.py tests/doors/test_sole_server.py tests/doors/test_metrics.py tests/health/test_database_away.py \
	tests/audit/test_writers.py tests/limits/test_live_pair.py $(patsubst %,tests/cache/test_%.py,answers flights management policies similar stores) \
	$(patsubst %,tests/routing/test_%.py,admission aliases attempts chaos exchange fallback_leave health_watch hedge_bounds hedging selection sent_headers treatment) \
	$(filter-out tests/admin/test_keys.py,$(wildcard tests/admin/test_*.py)) \
	$(filter-out $(patsubst %,tests/management/test_%.py,background keys races),$(wildcard tests/management/test_*.py)) \
	$(patsubst %,tests/agents/test_%.py,admin builder declared_admin declared_management management members pinned_keys pins \
	policy_admin provider run_endings run_journal run_limits run_pages run_rows treatment upstream_kinds versions) \
	$(patsubst %,tests/api/test_%.py,documents every_route model_list) \
	$(patsubst %,tests/audit/test_%.py,accounts finding_sources findings history reading retention) \
	$(patsubst %,tests/health/test_%.py,alerts maintenance page probe_rounds states) \
	$(patsubst %,tests/reports/test_%.py,admin api command schedule uploads) \
	$(patsubst %,tests/tools/test_%.py,admin agent_tools management mcp_admin mcp_catalogue mcp_decisions_api mcp_permissions mcp_servers_api) \
	$(patsubst %,tests/usage/test_%.py,admin alerts refusals budget_burn catalogue dashboard price_changes pricing rates) \
	$(patsubst %,tests/agents/test_%.py,isolated_tools lost_processes pending_runs) \
	$(patsubst %,tests/core/test_%.py,people_snapshot rules_snapshot) \
	$(patsubst %,tests/limits/test_%.py,limit_fields limit_rows) tests/doors/test_live.py
# Neighbours stay in one process, so that what a module starts is started once.
PYTEST := $(PY) -m pytest -n $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder

.PHONY: help install install-dev run test test-sqlite test-postgres test-browser test-clients lint fmt coverage \
	smoke bench soak docker-build sbom audit lock clean

help: ## Show what there is
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-22s %s\n", $$1, $$2 }'

install: $(LOCKED) ## Install what the server needs

install-dev: $(LOCKED_DEV) ## Install what tests and tools need too

run: $(LOCKED) ## Install, prepare and start the gateway
	@$(PY) manage.py bootstrap
	@grep -qs '^GATEWAY_AGENT_AUTO_RELOAD=' .env || export GATEWAY_AGENT_AUTO_RELOAD="$${GATEWAY_AGENT_AUTO_RELOAD-true}"; \
		exec $(PY) manage.py serve

test: test-sqlite test-postgres ## Run the suite on SQLite, then on PostgreSQL and Valkey

test-sqlite: $(LOCKED_DEV) ## Run the suite on SQLite only
	GATEWAY_TEST_DATABASE=sqlite $(PYTEST) -m "$(UNIT)" $(addprefix --ignore=,$(POSTGRES_ONLY))

test-postgres: $(LOCKED_DEV) ## Run the suite on PostgreSQL and Valkey only
	GATEWAY_TEST_DATABASE=postgres $(PYTEST) -m "$(UNIT)" $(addprefix --ignore=,$(SQLITE_ONLY))

test-browser: $(LOCKED_DEV) ## Run the tests that need Debian's chromium
	@if ! command -v chromium >/dev/null 2>&1; then \
		echo "SKIPPED: the browser tests need chromium (Debian: apt-get install chromium)."; \
	else $(PY) -m pytest -m browser; fi

test-clients: $(LOCKED_DEV) ## Run the tests that need Node
	@if ! command -v node >/dev/null 2>&1; then \
		echo "SKIPPED: the client tests need node (Debian: apt-get install nodejs)."; \
	else $(PY) -m pytest -m clients; fi

soak: $(LOCKED_DEV) ## Run the long proofs: kills, floods, memory
	$(PY) -m pytest -m soak
	GATEWAY_TEST_DATABASE=postgres $(PY) -m pytest -m soak tests/usage/test_many_records.py tests/usage/test_log_is_report.py

# mypy's Django plugin and the checks read the settings, which want a data folder.
lint: export DJANGO_SETTINGS_MODULE := gateway_project.settings.test
lint: export GATEWAY_DATA_DIR := $(CURDIR)/$(VENV)/lint-data
lint: $(LOCKED_DEV) ## Check form, types, imports, migrations, settings and templates
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy --num-workers 2
	$(PY) $(VENV)/bin/lint-imports --no-logo
	$(PY) manage.py makemigrations --check --dry-run
	$(PY) manage.py check --fail-level WARNING
	@if find templates -name '*.html' 2>/dev/null | grep -q .; then $(PY) -m djlint --check --lint templates; fi

fmt: $(LOCKED_DEV) ## Bring the code into form
	$(PY) -m ruff check --fix-only .
	$(PY) -m ruff format .
	@if find templates -name '*.html' 2>/dev/null | grep -q .; then $(PY) -m djlint --reformat --quiet templates || true; fi

coverage: $(LOCKED_DEV) ## Run the suite on SQLite and show what it does not reach
	$(PY) -m coverage erase
	GATEWAY_TEST_DATABASE=sqlite $(PY) -m coverage run -m pytest -m "$(UNIT)"
	$(PY) -m coverage combine --quiet
	$(PY) -m coverage report

smoke: ## Ask a running server for its health and models (GATEWAY_URL, GATEWAY_API_KEY)
	@$(find_python); "$$python" tests/smoke.py

bench: $(LOCKED_DEV) ## Measure what the gateway costs against a bare relay, agents and MCP against their SDKs alone
	$(PY) -m bench
	$(PY) -m bench.agents
	$(PY) -m bench.mcp

docker-build: ## Build the container image
	@if [ -f Dockerfile ]; then docker build -t agent-gateway .; else echo "There is no Dockerfile yet." >&2; exit 1; fi

sbom: $(LOCKED_DEV) ## Write the bill of materials to var/sbom.json
	@mkdir -p var
	$(PY) -m cyclonedx_py requirements requirements.lock --pyproject pyproject.toml --of JSON -o var/sbom.json

audit: $(LOCKED_DEV) ## Look for known vulnerabilities in what the server needs
	$(PY) -m pip_audit --requirement requirements.lock --require-hashes --disable-pip --strict

lock: ## Resolve pyproject.toml again into the two lock files (hashes, but no hosts)
	@set -e; $(find_python); tools=$$(mktemp -d); trap 'rm -rf "$$tools"' EXIT; \
	"$$python" -m venv "$$tools"; "$$tools/bin/python" -m pip install --quiet uv; \
	compile="$$tools/bin/uv pip compile pyproject.toml --universal --generate-hashes --no-header --no-annotate --quiet"; \
	$$compile -o requirements.lock; $$compile --group dev --constraint requirements.lock -o requirements-dev.lock

clean: ## Remove what tools made; the data in var/ stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage .coverage.* htmlcov
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Sets $python to the first interpreter that really runs and is new enough.
define find_python
python=; for candidate in $(or $(PYTHON),python3.13 python3.12 python3.11 python3); do \
	if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; \
	then python=$$candidate; break; fi; done; \
if [ -z "$$python" ]; then \
	echo "Agent Gateway needs Python 3.11 or newer, and found none as: $(or $(PYTHON),python3.13 python3.12 python3.11 python3)." >&2; \
	echo "Install one, or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3" >&2; exit 1; fi
endef

# Makes .venv if it is missing or broken (moved, or its Python is gone), and installs the lock $(1).
define install_lock
@set -e; if ! $(PY) -m pip --version >/dev/null 2>&1; then \
	$(find_python); echo "Making $(VENV) with $$("$$python" --version)"; \
	"$$python" -m venv --clear $(VENV) || { rm -rf $(VENV); \
		echo "Could not make $(VENV) (on Debian: apt-get install python3-venv)." >&2; exit 1; }; fi
@echo "Installing $(1)"
@$(PY) -m pip install -qq --disable-pip-version-check --require-hashes -r $(1)
@rm -f $(2)* && touch $@
endef

$(LOCKED_DEV):
	$(call install_lock,requirements-dev.lock,$(VENV)/.installed-dev-)

$(LOCKED):
	$(call install_lock,requirements.lock,$(VENV)/.installed-[0-9])
