# make demo   set up and run the main job: build the sample collection and search it
# make test   set up and pass the tests: lint, types, everything under tests/
# make test-servers   the tests of search, filters and updates once more, over PostgreSQL and Milvus
# make torture   break things on purpose: kills, lost power, damaged files, readers against a writer; then MINUTES (60)
#                of each fuzzer and of a server under load
# make audit  ask PyPI's database whether a weakness of a dependency, as pinned, is known; it needs the network
#
# Both make a virtual environment in $(VENV) once and use it again. PYTHON names the interpreter, 3.11 or 3.12.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
SAMPLE := data/collections/sample
MINUTES ?= 60

.PHONY: demo test test-servers torture audit lint types lock clean

demo: $(INSTALLED)
	$(BIN)/python -m indexer build data/sample --model bundled --collection $(SAMPLE)
	$(BIN)/python -m search "a rooster" --collection $(SAMPLE) -k 3
	$(BIN)/python -m search "people climbing in winter" --collection $(SAMPLE) -k 3
	$(BIN)/python -m search ./data/sample/odd/upside-down.jpg --target texts --collection $(SAMPLE) -k 3
	@echo
	@echo "The search page: $(BIN)/python -m web --collection $(SAMPLE)"

# Two processes share the tests, of which many wait for servers and disks. Each takes whole files (tests/conftest.py).
test: $(INSTALLED) lint types
	$(BIN)/python -m pytest --numprocesses 2 --dist loadgroup --no-loadscope-reorder

# Milvus takes some seconds to publish the smallest index; `make test` has a test of each thing that it does.
test-servers: $(INSTALLED)
	$(BIN)/python -m pytest -m servers

# What docs/RELIABILITY.md and docs/FUZZING.md promise, tried for hours on two cores; `make test` tries a little of it.
torture: $(INSTALLED)
	$(BIN)/python -m tests.faults --instants 50
	$(BIN)/python -m tests.damage 2000
	$(BIN)/python -m tests.readers 300
	$(BIN)/python -m pytest tests/test_kill.py tests/test_trouble.py tests/test_sqlite.py tests/test_snapshot.py tests/test_old_collections.py
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,fuzz]'
	for target in images filters queries vectors captions checkpoints bodies; do \
		$(BIN)/python -m tests.fuzz $$target --minutes $(MINUTES) || exit 1; done
	$(BIN)/python -m benchmarks.soak $(MINUTES)

# Strict: a package that the database does not answer for is no clean one. What is pinned is all there is, so --no-deps.
audit: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[audit]'
	$(BIN)/python -m pip_audit --strict --requirement constraints.txt --no-deps --disable-pip

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED)
	$(BIN)/mypy

# Installs again when the requirements change.
$(INSTALLED): pyproject.toml constraints.txt
	@echo "== installing into $(VENV); the first time downloads PyTorch, some gigabytes"
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13) and "Python 3.11 or 3.12 is needed, this is " + sys.version + "; give another: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(INSTALLED)

# Writes down the versions that are installed now, for everyone's next installation.
lock: $(INSTALLED)
	echo "# The versions that the tests passed with. Made by: make lock" > constraints.txt
	$(BIN)/python -m pip freeze --exclude-editable >> constraints.txt

clean:
	rm -rf $(VENV) $(SAMPLE)
