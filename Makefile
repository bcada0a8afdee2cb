# `make demo` and `make test` create what they need: a virtual environment with pinned versions.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
# Where pip finds a CPU build of PyTorch, if its default would bring CUDA: see README, "Install".
TORCH_INDEX ?=
STAMP := $(VENV)/.installed
export PIP_DISABLE_PIP_VERSION_CHECK := 1
TEST_STAMP := $(VENV)/.installed-test

.PHONY: demo install test slow lint notebook screenshot docs clean

demo: install
	$(BIN)/python -m sqlcoder_magic --run --limit 10 \
	  -q "How many customers live in Chicago?" \
	  -q "List the names and prices of the five most expensive products, the most expensive first." \
	  -q "How many salespeople work in each region? Give the region and the number of salespeople." \
	  -q "Do we get more sales from customers in New York compared to customers in San Francisco? Give me the total sales for each city, and the difference between the two." \
	  || [ $$? -eq 3 ]  # 3: a draft was refused, shown and not run, which is an honest demo

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt scripts/install_torch.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python scripts/install_torch.py --constraints constraints.txt --index "$(TORCH_INDEX)"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(TEST_STAMP): $(STAMP)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[test]"
	touch $@

test: $(TEST_STAMP)
	$(BIN)/python -m pytest

slow: $(TEST_STAMP)
	$(BIN)/python -m pytest -m slow

lint: $(TEST_STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

notebook: $(TEST_STAMP)
	$(BIN)/jupyter lab $(if $(filter 0,$(shell id -u)),--allow-root) notebooks/quickstart.ipynb

screenshot: $(TEST_STAMP)
	$(BIN)/python scripts/screenshot.py docs/images/quickstart.png

docs: $(STAMP)
	$(BIN)/python scripts/write_options.py

clean:
	rm -rf $(VENV) build dist
