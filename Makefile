# SPDX-License-Identifier: Apache-2.0
# `make help` lists what can be done. Only `test-setup` may want root, and only the two setups need the
# network.

BIN := .venv/bin
WORKERS ?= 2
SCENARIO ?=
CUTS ?= 1_000_000
PAYMENTS ?= 10_000
WRITE ?= --write

.DEFAULT_GOAL := help
.PHONY: help setup demo test-setup test bench power-cut soak check format format-check lint types imports clean distclean

help: ## This list
	@echo "Qalta: a card pays a till with no network, and the bank settles later."
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Make .venv and put MicroPython into .runtime; quick and offline when that is done
	@sh provisioning/setup/setup.sh

demo: setup ## Play the three scenarios on real cards, or one of them: make demo SCENARIO=special
	@$(BIN)/qalta demo $(SCENARIO)

test-setup: setup ## Install what the tests need beyond that: as root, else it says which
	@$(BIN)/python -m provisioning.setup.debian

test: test-setup ## Every test, with format, lint, types and imports among them; WORKERS=2 at a time
	@$(BIN)/python -m pytest -n $(WORKERS)

power-cut: setup ## Cut a card's power for hours: make power-cut CUTS=10_000_000
	@$(BIN)/python -m tests.power_cut $(CUTS)

soak: test-setup ## Pay through our reader and pcscd for a long time: make soak PAYMENTS=10_000
	@$(BIN)/python -m tests.pcsc.soak $(PAYMENTS)

bench: test-setup ## What a payment costs: flash, processor, tap, reader; into docs/, or WRITE= to print alone
	@$(BIN)/python -m tests.bench $(WRITE)
	@$(BIN)/qalta bench tap
	@$(BIN)/python -m tests.pcsc.soak 300

check: test ## The same: it is all that CI runs

format: setup ## Put every Python file into the one format
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix-only --quiet .

format-check: setup ## Is every Python file in the one format?
	@$(BIN)/ruff format --check .

lint: setup ## Look for mistakes and bad habits
	@$(BIN)/ruff check .

types: setup ## Check the types, strictly
	@$(BIN)/mypy

imports: setup ## Check who imports whom
	@$(BIN)/lint-imports --no-logo

clean: ## Remove what the tools left behind; .venv and .runtime stay
	@rm -rf build dist *.egg-info .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

distclean: clean ## Remove .venv and .runtime as well
	@rm -rf .venv .runtime
