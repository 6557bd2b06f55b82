# Short names for what one does here; `run` and `test` are the README's two commands.

.PHONY: help run test check bench torture fuzz sabotage manual coverage clean

help: ## show this list
	@sed -n 's/^\([a-z]*\): ## /  make \1\t/p' Makefile

run: ## start chatd in the foreground, on port 5555
	python3 -m venv .venv && .venv/bin/pip install --quiet . && .venv/bin/twistd -n chatd

test: ## run all tests
	python3 -m venv .venv && .venv/bin/pip install --quiet -e '.[test]' && .venv/bin/pytest -n auto

check: ## lint, format and types
	python3 -m venv .venv && .venv/bin/pip install --quiet -e '.[lint,test]'
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

bench: ## measure beside the peers that are installed; ROWS=routed,turns for some rows
	python3 -m venv .venv && .venv/bin/pip install --quiet -e '.[bench]'
	.venv/bin/python bench --rows '$(ROWS)'

torture: ## break things under load for ten minutes; run `make test` once before
	.venv/bin/python -m torture --seconds 600

fuzz: ## throw bytes at the parsers and at sessions for ten minutes; `make test` before
	.venv/bin/pip install --quiet -e '.[fuzz]'
	for target in text json names session; do .venv/bin/python tests/fuzz $$target -max_total_time=150 || exit 1; done

sabotage: ## break each promise on purpose, and see that it is found; takes an hour
	.venv/bin/python -m torture.sabotage

manual: ## make the manual pages in docs/man again
	.venv/bin/python docs/manual.py

coverage: ## run all tests with branch coverage, shown line by line in build/coverage
	.venv/bin/coverage erase && .venv/bin/coverage run -m pytest -n auto
	.venv/bin/coverage combine --quiet && .venv/bin/coverage html -d build/coverage
	.venv/bin/coverage report

clean: ## remove what builds and tests leave behind, and the virtual environment
	rm -rf .venv build dist *.egg-info .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
	rm -f twisted/plugins/dropin.cache
