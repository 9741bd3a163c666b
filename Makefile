# Everything that a newcomer needs: make setup | demo | test | check
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
PEERS  := $(VENV)/.peers
NNUNET := $(VENV)/.nnunet
# Two tests at a time, as most wait for processes; those of a file in one process, as they share what is dear to set up.
TWO    := -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: all setup demo test test-long test-gpu bench-gpu bench-engine bench-bootstrap bench-terminal check clean
all: setup
setup: $(READY)

$(READY): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing xray-tui with its engine (torch, about 6 GB; a few minutes) ..."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --progress-bar off -e '.[engine,pretrained,dev]'
	@touch $(READY)

demo: $(READY)
	@$(BIN)/python scripts/demo.py

test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q $(TWO)

test-long: $(NNUNET)
	XRAY_TUI_LONG=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q $(TWO)

test-gpu: $(READY)
	$(BIN)/python -m pytest -q -m gpu
	$(BIN)/python -P tests/bench/acceptance.py

bench-gpu: $(PEERS)
	$(BIN)/python tests/bench/gpu.py

bench-engine: $(READY)
	$(BIN)/python -P tests/bench/engine.py

bench-bootstrap: $(READY)
	$(BIN)/python -P tests/bench/bootstrap.py

bench-terminal: $(READY)
	$(BIN)/python tests/bench/terminal.py

$(NNUNET): $(READY)
	@echo "Installing nnU-Net, to train it ..."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --progress-bar off -e '.[nnunet]'
	@touch $(NNUNET)

$(PEERS): $(READY)
	@echo "Installing nvitop and gpustat, to measure against ..."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --progress-bar off -e '.[bench]'
	@touch $(PEERS)

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
