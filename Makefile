# `make help` lists what there is. What is fetched goes to .cache/ (and tests/page/node_modules/), what is built to target/.

PYTHON ?= python3
CARGO ?= cargo
# Of `make demo` and `make bench`: load for each way to batch, in ROUNDS rounds of DURATION each.
ROUNDS ?= 2
DURATION ?= 7s
# Of `make bench`: a file of texts, one a line, instead of the shipped ones.
TEXTS ?=
# Of `make run`.
LISTEN ?= 127.0.0.1:8080

BINARY := $(or $(CARGO_TARGET_DIR),target)/release/inferneo
DEBUG_BINARY := $(or $(CARGO_TARGET_DIR),target)/debug/inferneo
MODEL := .cache/models/minilm
LIBRARY := .cache/onnxruntime/libonnxruntime.so
MODELS_PYTHON := .cache/venv-models/bin/python
STEP := @scripts/step

# ONNX Runtime's own switch; the program turns telemetry off as well.
export ORT_DISABLE_TELEMETRY := 1

.DEFAULT_GOAL := help
.PHONY: help setup setup-tests build demo run test page-test helm-test lint bench conformance real-models calibrate image image-test clean need-rust need-python need-testdata

help: ## Lists the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

setup: need-python ## Fetches ONNX Runtime and the MiniLM model into .cache/ (once)
	$(STEP) "setup" $(PYTHON) scripts/setup.py

setup-tests: need-python
	$(STEP) "setup" $(PYTHON) scripts/setup.py --tests

build: need-rust ## Builds the release binary
	$(STEP) "build" $(CARGO) build --locked --release

demo: setup build ## Serves a real model, loads it in three ways, prints a table (2 minutes)
	$(STEP) "demo" $(PYTHON) scripts/demo.py --binary $(BINARY) --rounds $(ROUNDS) --duration $(DURATION)

run: setup build ## Serves the MiniLM model on LISTEN (127.0.0.1:8080) until Ctrl-C
	@echo "Serving on $(LISTEN) in a moment. In another terminal:"
	@echo "  curl http://$(LISTEN)/v1/embeddings -H 'content-type: application/json' -d '{\"model\": \"minilm\", \"input\": \"Hello\"}'"
	@exec $(BINARY) serve --model minilm=$(MODEL) --policies policies --onnxruntime-library $(LIBRARY) --listen $(LISTEN)

test: need-rust setup-tests ## Everything CI runs: format, lints, the core alone, all tests, documentation
	$(STEP) "format" $(CARGO) fmt --check
	$(STEP) "lints" $(CARGO) clippy --locked --all-features --all-targets -- -D warnings
	$(STEP) "the core alone" $(CARGO) test --locked --no-default-features --lib --test tidy
	$(STEP) "all tests" $(CARGO) test --locked
	$(STEP) "live page" scripts/page-test --or-skip $(DEBUG_BINARY)
	$(STEP) "chart" scripts/helm-test --or-skip $(DEBUG_BINARY)
	$(STEP) "export of spans" $(CARGO) test --locked --features otlp --test it otlp
	$(STEP) "documentation" env RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --all-features --no-deps

page-test: need-rust setup ## The live page in a real Chromium; needs node 18 and chromium
	$(STEP) "build" $(CARGO) build --locked
	$(STEP) "live page" scripts/page-test $(DEBUG_BINARY)

helm-test: need-rust setup ## The chart, its rules and dashboard; needs promtool and npm
	$(STEP) "build" $(CARGO) build --locked
	$(STEP) "chart" scripts/helm-test $(DEBUG_BINARY)

lint: need-rust ## Format, lints, documentation; licences too where cargo-deny is installed
	$(STEP) "format" $(CARGO) fmt --check
	$(STEP) "lints" $(CARGO) clippy --locked --all-features --all-targets -- -D warnings
	$(STEP) "documentation" env RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --all-features --no-deps
	@if $(CARGO) deny --version >/dev/null 2>&1; then $(CARGO) deny --locked check bans licenses sources; fi

bench: ROUNDS = 3
bench: DURATION = 10s
bench: setup-tests build ## Prints the ratios of docs/performance.md (TEXTS=file) and the cost of a decision (half an hour)
	$(STEP) "load" $(PYTHON) scripts/performance.py --binary $(BINARY) --rounds $(ROUNDS) --duration $(DURATION) --plot $(dir $(BINARY))ramps.svg $(if $(TEXTS),--texts mixed=$(TEXTS))
	$(STEP) "a bare server" $(CARGO) build --locked --release --example echo
	$(STEP) "overhead" $(PYTHON) scripts/overhead.py --binary $(BINARY) --echo $(dir $(BINARY))examples/echo --rounds $(ROUNDS) --duration $(DURATION)
	$(STEP) "scheduler" $(CARGO) bench --locked --no-default-features --bench sched

conformance: need-testdata setup build ## Serves ONNX's node tests, each answer compared; needs libonnx-testdata (a minute)
	$(STEP) "setup" $(PYTHON) scripts/setup_models.py
	$(STEP) "node tests" $(MODELS_PYTHON) scripts/conformance.py --binary $(BINARY)

real-models: setup build ## Serves published models to 64 callers at once, each answer compared (minutes)
	$(STEP) "setup" $(PYTHON) scripts/setup_models.py --real
	$(STEP) "real models" $(MODELS_PYTHON) scripts/real_models.py --binary $(BINARY)

calibrate: setup build ## Holds simulated latencies against measured ones, on this machine (minutes)
	$(STEP) "calibration" $(PYTHON) scripts/calibrate.py --program $(BINARY)

image: build ## Builds the container image without an engine, around BINARY; needs root, buildah, mmdebstrap
	$(STEP) "image" scripts/image $(BINARY)

image-test: image setup ## Runs that image as an engine would: user, files, health check, an inference
	$(STEP) "image test" scripts/image-test

clean: ## Removes what was built and fetched
	rm -rf target .cache tests/page/node_modules

need-rust:
	@command -v $(CARGO) >/dev/null || { echo "Rust is missing: install it with rustup (https://rustup.rs), then run make again." >&2; exit 1; }
	@command -v cc >/dev/null || { echo "A C compiler is missing (cc): on Debian or Ubuntu, apt-get install build-essential." >&2; exit 1; }

need-python:
	@command -v $(PYTHON) >/dev/null || { echo "Python 3 is missing: on Debian or Ubuntu, apt-get install python3 python3-venv." >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "Python's venv module is missing: on Debian or Ubuntu, apt-get install python3-venv." >&2; exit 1; }

need-testdata:
	@test -d /usr/share/libonnx-testdata/data || { echo "ONNX's node tests are missing: on Debian or Ubuntu, apt-get install libonnx-testdata." >&2; exit 1; }
