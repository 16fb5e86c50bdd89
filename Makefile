# Everything a fresh machine with Python 3.11+ and make needs; see README.md.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo quick test check format docs clean

demo: $(VENV)/.installed
	$(BIN)/netshare run configs/quickstart.json
	$(BIN)/netshare run configs/quickstart-netflow.json
	@echo
	@echo "synthetic capture:  demo/pcap/synthetic/synthetic.pcap"
	@echo "synthetic NetFlow:  demo/netflow/synthetic/synthetic.csv"
	@echo "reports:            demo/pcap/report/report.html  demo/netflow/report/report.html"

# What `make quick` runs the quick tests of: the house, and the way of a trace from file to generator and back.
CORE := tests/test_architecture.py \
    $(addprefix tests/preprocess/test_,addresses.py atomic.py chunks.py clock.py codec.py fields.py flows.py merge.py \
        readers_capture.py readers_csv.py spans.py timeseries.py trace.py) \
    $(addprefix tests/postprocess/test_,assemble.py captures.py icmp.py link.py netflow.py payloads.py pcapng.py repair.py \
        sequence.py series_writer.py tcp_connections.py tcp_options.py) \
    tests/netshare/config tests/netshare/generators/test_contract.py tests/netshare/runs/test_folder.py \
    $(addprefix tests/netshare/evaluation/test_,consistency.py distances.py split.py)

# Whether the core holds, in less than a minute of CPU time.
quick: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --hypothesis-profile quick -m "not slow and not referee and not cuda" $(CORE)

test: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest

check: test

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.installed
	$(BIN)/netshare schema --markdown > docs/config.md
	$(BIN)/netshare schema --report > docs/report.schema.json

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml constraints.txt
	$(INSTALL) torch==2.13.0
	$(INSTALL) -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(INSTALL) -e '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) demo
