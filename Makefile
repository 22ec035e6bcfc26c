.DEFAULT_GOAL := help
PY ?= python3
VENV := .local/venv
BIN := $(VENV)/bin
OURS := -e shared -e services/app-registry -e services/token-issuer \
	-e services/enforcement-gateway -e deploy/local
# What made one process of tests end would make the next one end: there is no next one.
TESTS := $(BIN)/pytest -n auto --dist loadfile --no-loadscope-reorder --max-worker-restart 0
PIP := $(BIN)/pip install -q --disable-pip-version-check
# A quick run takes the gateway as it finds it: the compiler would double its time.
COMPILED := $(if $(findstring --quick,$(ARGS)),,built-for-bench)

##@ Run

run: $(VENV)/.run ## Start everything on this machine and stay in the foreground
	@$(BIN)/python -m local_stack run

demo: $(VENV)/.run ## Tell the story with the official SDK, against a running `make run`
	@$(BIN)/python -m local_stack demo

clean-local: ## Forget the state of `make run`: logs, keys, broker, settings
	@if [ -e $(VENV)/.run ]; then $(BIN)/python -m local_stack forget; fi

build: $(VENV)/.build ## Compile the gateway's hot path (needs a C compiler and Python's headers)
	@$(BIN)/python services/enforcement-gateway/compile.py

unbuild: ## Back to the interpreted hot path
	@find services -name '*.so' -path '*/src/*' -delete
	@rm -rf .local/build

##@ Work

install: $(VENV)/.dev ## Set up .local/venv with our packages and every tool

test: $(VENV)/.dev ## Every test, with a real Postgres and a real RabbitMQ (ARGS=PATH)
	@$(TESTS) $(ARGS)

unit: $(VENV)/.dev ## Only the tests without I/O, in seconds
	@$(TESTS) tests/unit $(ARGS)

check: $(VENV)/.dev ## Format, lint, types and import contracts
	@$(BIN)/ruff format --check -q
	@$(BIN)/ruff check -q
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-logo > .local/lint-imports.log 2>&1 || { cat .local/lint-imports.log; exit 1; }

fix: $(VENV)/.dev ## Format, and apply the safe lint fixes
	@$(BIN)/ruff format -q
	@$(BIN)/ruff check -q --fix

docs: $(VENV)/.dev ## Write docs/events.md, settings.md and problems.md from the code
	@$(BIN)/python docs/generate.py

bench: $(VENV)/.run ## Measure every cost beside its peer (ARGS=--quick, ARGS=CASE)
	@$(MAKE) -s -j3 $(VENV)/.bench $(COMPILED) peers
	@$(BIN)/python -m bench $(ARGS)

built-for-bench: $(VENV)/.build
	@$(MAKE) -s build || echo "tollgate: only the interpreted gateway is measured" >&2

peers: $(VENV)/.run
	@$(BIN)/python -m bench.peers

##@ Upkeep

lock: $(VENV)/.dev ## Move the pinned versions to the newest ones
	@cd requirements && for set in run dev build bench; do \
		../$(BIN)/uv pip compile -q --upgrade --universal --python-version 3.11 \
			--generate-hashes --no-header --no-annotate -o $$set.txt $$set.in; done

clean: clean-local ## Remove everything that was set up here
	@rm -rf .local

help: ## This index
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.run: requirements/run.txt */pyproject.toml */*/pyproject.toml
	@$(PY) -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
		|| { echo "tollgate: $(PY) is not a Python 3.11 or newer with venv:" \
			"install the package python3-venv, or name another with PY=" >&2; exit 1; }
	@echo "tollgate: making $(VENV) (once)"
	@$(PY) -m venv $(VENV)
	@echo "tollgate: installing the packages of requirements/run.txt (once)"
	@$(PIP) --require-hashes --only-binary :all: -r requirements/run.txt
	@$(PIP) --no-deps --no-build-isolation $(OURS)
	@touch $@

$(VENV)/.dev: $(VENV)/.run requirements/dev.txt
	@echo "tollgate: installing the tools of requirements/dev.txt (once)"
	@$(PIP) --require-hashes --only-binary :all: -r requirements/dev.txt
	@touch $@

$(VENV)/.build: $(VENV)/.run requirements/build.txt
	@echo "tollgate: installing the compiler's Python side of requirements/build.txt (once)"
	@$(PIP) --require-hashes --only-binary :all: -r requirements/build.txt
	@touch $@

# After the other packages: pip and pip are not to write into one folder at a time.
$(VENV)/.bench: $(VENV)/.run requirements/bench.txt | $(VENV)/.build
	@echo "tollgate: installing the packages of requirements/bench.txt (once)"
	@$(PIP) --require-hashes --only-binary :all: -r requirements/bench.txt
	@touch $@

.PHONY: run demo clean-local build unbuild install test unit check fix docs bench \
	built-for-bench peers lock clean help
