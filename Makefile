PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
JOBS ?= 2  # processes that test at once; a file's tests stay together

.PHONY: install test test-faults test-fuzz proofs demo bench smollm2 clean

install: $(STAMP)

# torch first and pinned: left to a resolver it becomes a CUDA build of several GB
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 14) else "burnish needs Python 3.11 to 3.13; try: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(STAMP)

test: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -n $(JOBS) --dist loadfile

# the faults that `make test` has no time for, and SIGKILL at 140 random times: writes a table of docs/reliability.md
test-faults: install
	$(BIN)/pytest -m faults
	$(BIN)/python tests/fault/random_kills.py 20

# what `make test` fuzzes a sample of, four times as much: files, recipes, chat templates, models, requests
test-fuzz: install
	BURNISH_FUZZ=$(or $(TIMES),4) $(BIN)/pytest $(wildcard tests/*/test_*_fuzz.py tests/*/*/test_*_fuzz.py)

# how far each method that climbs a reward goes to the known optimum, three seeds: writes docs/correctness.md
proofs: install
	$(BIN)/python tests/proofs/optimum.py 3

# a small real model, Apache-2.0
smollm2: models/smollm2/model.safetensors

models/smollm2/model.safetensors: | install
	$(BIN)/python scripts/smollm2.py models/smollm2

# burnish beside TRL and generate: make bench, make bench ROW=dpo, make bench RECORD=1 (adds the figures to docs/benchmarks.md)
bench: install smollm2
	$(BIN)/python benchmarks/against_trl.py $(ROW) $(if $(RECORD),--record)

# the whole chain on the tiny model that comes with burnish; its report opens offline
demo: install
	$(BIN)/burnish demo

clean:
	rm -rf $(VENV) runs models build
