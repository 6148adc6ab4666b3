# Segue: `make demo` shows it, `make test` checks it, `make quick` checks it in a minute. Needs Python >= 3.11 and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TORCH := torch==2.13.0
TRITON := triton==3.9.0
# Many tests start commands: bytecode is kept, so that each of them starts in half the time.
PYTEST := OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -q

.PHONY: demo test quick lint test-browser fuzz bench clean
.DELETE_ON_ERROR:

demo: $(VENV)/.demo
	$(BIN)/segue demo demo --overwrite

test: lint  # unit tests, laws and conformance also check the shapes and types of all arguments
	$(PYTEST) -n 2 --dist worksteal tests/architecture tests/unit tests/laws tests/conformance tests/golden
	$(PYTEST) -n 2 --dist worksteal --jaxtyping-packages= tests/reference tests/e2e

quick: lint  # under a minute on two cores: what a change of one package breaks first
	$(PYTEST) -n 2 --dist worksteal --jaxtyping-packages= tests/unit tests/laws

lint: $(VENV)/.test
	$(BIN)/ruff check src tests studies benchmarks
	$(BIN)/ruff format --check src tests studies benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports

test-browser: $(VENV)/.test  # needs chromium: apt-get install chromium
	CI=true $(PYTEST) tests/e2e/test_page.py

fuzz: $(VENV)/.test  # SECONDS_OF=3600 SEED=7 make fuzz: longer, other inputs
	$(BIN)/python tools/fuzz_readers.py --seconds $(or $(SECONDS_OF),300) --seed $(or $(SEED),0)

bench: $(VENV)/.test
	mkdir -p scratch/bench
	$(BIN)/python benchmarks/against_peers.py --tracks 50000 1000000 > scratch/bench/peers.json
	$(BIN)/python benchmarks/growth.py > scratch/bench/growth.json
	$(BIN)/python benchmarks/full_softmax.py > scratch/bench/full_softmax.json
	$(BIN)/python benchmarks/evaluate.py > scratch/bench/evaluate.json
	$(BIN)/python benchmarks/store_open.py --sessions 3000 300000 > scratch/bench/store_open.json
	$(BIN)/segue simulate scratch/bench/log --sessions 300000 --tracks 1000000 --overwrite
	$(BIN)/python benchmarks/prepare.py scratch/bench/log --single > scratch/bench/prepare.json
	$(BIN)/python benchmarks/prepare.py scratch/bench/log --single --shuffled > scratch/bench/prepare_shuffled.json

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Segue needs Python 3.11 or newer; set PYTHON=python3.12, say"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "this Python lacks the venv module: install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.torch: $(VENV)/.python tools/install_torch.sh
	sh tools/install_torch.sh $(BIN)/python $(TORCH)
	@touch $@

$(VENV)/.demo: $(VENV)/.torch pyproject.toml constraints.txt
	$(BIN)/python -m pip install -q --no-compile --disable-pip-version-check -c constraints.txt -e '.[tensorboard,export,serve]'
	@touch $@

$(VENV)/.test: $(VENV)/.torch pyproject.toml constraints.txt
	$(BIN)/python -m pip install -q --no-compile --disable-pip-version-check -c constraints.txt -e '.[tensorboard,test]'
	$(BIN)/python -c 'import triton' 2>/dev/null || \
		$(BIN)/python -m pip install -q --no-compile --disable-pip-version-check --no-deps $(TRITON) || \
		echo "$(TRITON) does not install here: the GPU kernels will not be tested"
	@touch $@

clean:
	rm -rf $(VENV) demo
