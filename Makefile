# webtern, on a machine with Rust (by rustup), Node 20 and make; `make test` needs Python 3 as well.
#
#   make demo    serves the demo page, after compiling what it needs (PORT=4173)
#   make build   compiles every WebAssembly build and makes the npm package, www/dist
#   make test    runs every check and test, natively and in headless Chromium
#   make bench   times forward passes and kernels natively, then webtern beside wllama in headless Chromium
#                (MODEL=file.gguf to choose the model, BENCH="--rounds 2 --busy" for options of the second half)
#   make eval    asks the embedded model its held-out questions in every decode mode, and writes models/tiny/modes.{json,svg}
#   make fuzz    runs every fuzz target for 10 s (FUZZ_SECONDS=600 FUZZ_TARGETS="gguf zip" for more of fewer)
#   make deny    checks the dependencies for advisories, licenses and duplicates, by cargo-deny
#   make load-test   64 clients ask `webtern serve` for five minutes through a proxy that drops connections (Linux)
#   make ray     two replicas of `webtern serve` and an evaluation under Ray, on this machine (installs Ray from PyPI)
#   make convert-memory   converts a checkpoint of 2 GB and shows how much memory that takes (Linux)
#
# Each installs what it lacks, in the usual places of rustup, cargo and npm, in target/ and, for tests, by apt.

PORT ?= 4173
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.PHONY: demo build test lint test-rust test-wasm test-www test-e2e bench eval fuzz deny load-test ray convert-memory toolchains test-runner browser

# The standard library for threads in a browser is built by a nightly toolchain: see wasm-pack.toml.
NIGHTLY := $(shell sed -n 's/^toolchain = "\(nightly-.*\)"/\1/p' wasm-pack.toml)
WASM_BINDGEN := $(shell sed -n '/^name = "wasm-bindgen"$$/{n;s/version = "\(.*\)"/\1/p;}' Cargo.lock)
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
NODE_MODULES := www/node_modules/.package-lock.json
CLIENTS := www/test/clients/node_modules/.package-lock.json
VENV := $(TARGET_DIR)/venv
FIXTURES := $(or $(WEBTERN_FIXTURES),../shared/fixtures)
SMOLLM2 := $(FIXTURES)/smollm2-135m-dlm-subln
BENCH_MODELS := $(or $(MODEL),$(patsubst %,$(TARGET_DIR)/models/smollm2-135m-%.gguf,q2_0 q4_0 q8_0))
BENCH ?=
FUZZ_SECONDS ?= 10
FUZZ_TARGETS ?= $(shell sed -n '/^\[\[bin/{n;s/name = "\(.*\)"/\1/p;}' tests/fuzz/Cargo.toml)
CHROMIUM ?= $(shell command -v chromium || command -v chromium-browser || command -v google-chrome)
CHROMEDRIVER ?= $(shell command -v chromedriver)
export CHROMIUM CHROMEDRIVER

demo: toolchains $(NODE_MODULES)
	node www/scripts/demo.mjs --port $(PORT)

build: toolchains $(NODE_MODULES)
	node www/scripts/build.mjs

# --- tests

test: lint test-rust build test-wasm test-www test-e2e

lint: toolchains $(NODE_MODULES)
	cargo fmt --all --check
	cargo clippy --quiet --workspace --all-targets -- -D warnings
	RUSTFLAGS="-C target-feature=+simd128,+relaxed-simd" \
	  cargo clippy --quiet --lib --no-default-features --features engine,converter,bench --target wasm32-unknown-unknown -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --quiet --no-deps --lib
	cd www && npm run --silent check && npm audit --omit=dev
	node www/scripts/licenses.mjs > $(TARGET_DIR)/THIRD-PARTY.txt
	if command -v cargo-deny >/dev/null; then cargo deny --log-level error check bans licenses sources; else \
	  echo "skipped: cargo-deny is not installed, so duplicates were not listed; make deny installs and runs it"; fi

test-rust: $(VENV)/ready $(CLIENTS)
	mkdir -p $(TARGET_DIR)/tokenizer-cases
	if [ -d $(SMOLLM2) ]; then for case in smollm2:smollm2-135m-dlm-subln tiny-dlm:tiny-dlm/checkpoint; do \
	  $(VENV)/bin/python tests/reference/tokenizer_cases.py $(FIXTURES)/$${case#*:}/tokenizer.json \
	    $(TARGET_DIR)/tokenizer-cases/$${case%%:*}.jsonl --count 10000; done; fi
	$(VENV)/bin/python tests/reference/detokenizer_cases.py $(TARGET_DIR)/tokenizer-cases/decode
	WEBTERN_TOKENIZER_CASES=$(abspath $(TARGET_DIR))/tokenizer-cases WEBTERN_LOAD_SECONDS=60 WEBTERN_FUZZ_SECONDS=10 cargo test
	$(VENV)/bin/python tests/reference/gguf_reads.py $(TARGET_DIR)/debug/webtern
	$(VENV)/bin/python tests/reference/openai_client.py $(TARGET_DIR)/debug/webtern
	node www/test/clients/openai.mjs $(TARGET_DIR)/debug/webtern

# The same unit tests, in the browser, with every backend; those that need files of their own run natively only. The
# golden models leave their logits in target/tmp natively, and the browser is compared with them.
test-wasm: toolchains test-runner browser
	cargo test --quiet --test it model_golden
	RUSTFLAGS="-C target-feature=+simd128,+relaxed-simd" WASM_BINDGEN_USE_BROWSER=1 WASM_BINDGEN_TEST_TIMEOUT=600 \
	CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER=wasm-bindgen-test-runner \
	  cargo test --target wasm32-unknown-unknown --no-default-features --features engine,converter --lib --test it

test-www: build
	cd www && npx vitest run

test-e2e: build browser $(VENV)/ready $(CLIENTS)
	cargo build --quiet
	cd www && npx tsc -p test/clients
	cd www && npx vite build demo --logLevel warn && WEBTERN_PYTHON=$(abspath $(VENV))/bin/python npm run --silent test:e2e

bench: build browser $(BENCH_MODELS)
	node www/scripts/build.mjs --bench
	for model in $(BENCH_MODELS); do echo "== $$model"; cargo run --quiet --release -- bench $$model; done
	cd www && npm run --silent bench -- $(foreach model,$(BENCH_MODELS),--models $(abspath $(model))) \
	  --out $(abspath $(TARGET_DIR))/bench $(BENCH)

eval: $(NODE_MODULES)
	cargo run --quiet --release -- eval tiny models/tiny/eval.jsonl --threads 1 \
	  --report models/tiny/modes.json
	node www/scripts/eval-chart.mjs models/tiny/modes.json models/tiny/modes.svg

# Models of SmolLM2-135M's shape with random weights, the usual load of the benchmarks.
$(TARGET_DIR)/models/smollm2-135m-%.gguf: $(wildcard examples/random_model/*.rs)
	mkdir -p $(@D)
	cargo run --quiet --release --example random_model -- --tokenizer $(SMOLLM2) --type $* --mask-token-id 4 -o $@

# The longer, the better: FUZZ_SECONDS is per target.
fuzz: toolchains
	command -v cargo-fuzz >/dev/null || cargo install cargo-fuzz
	for target in $(FUZZ_TARGETS); do \
	  corpus=$(abspath $(TARGET_DIR))/fuzz-corpus/$$target; mkdir -p $$corpus; echo "== $$target"; \
	  WEBTERN_FUZZ_SEEDS=$$corpus cargo +$(NIGHTLY) fuzz run --fuzz-dir tests/fuzz --codegen-units 16 \
	    --target-dir $(abspath $(TARGET_DIR))/fuzz $$target $$corpus \
	    -- -max_total_time=$(FUZZ_SECONDS) -rss_limit_mb=4096 -timeout=10; done

# Advisories, duplicates, licenses and sources of the dependencies. Installing it takes longer than all the tests.
deny:
	command -v cargo-deny >/dev/null || cargo install cargo-deny
	cargo deny check

load-test:
	WEBTERN_LOAD_SECONDS=300 cargo test --quiet --test it serve::load -- --nocapture

# The requirements of the example, and OpenAI's client.
ray:
	cargo build --quiet
	python3 -m venv $(TARGET_DIR)/ray
	$(TARGET_DIR)/ray/bin/pip install --quiet --disable-pip-version-check -r examples/ray/requirements.txt openai==3.57.0
	WEBTERN=$(TARGET_DIR)/debug/webtern $(TARGET_DIR)/ray/bin/python examples/ray/check.py

convert-memory:
	WEBTERN_CHECKPOINT_MB=2048 cargo test --quiet --test it convert_memory -- --nocapture

# --- what the steps need

toolchains:
	@command -v rustup >/dev/null || { echo "webtern is built with Rust: install it by https://rustup.rs" >&2; exit 1; }
	rustup --quiet target add wasm32-unknown-unknown
	rustup toolchain list | grep -qF $(NIGHTLY) || \
	  rustup --quiet toolchain install $(NIGHTLY) --profile minimal -c rust-src -t wasm32-unknown-unknown

# Runs tests in a browser. It does not take part in a build, so compiling it quickly is better than running it quickly.
test-runner:
	wasm-bindgen-test-runner --version 2>/dev/null | grep -qF $(WASM_BINDGEN) || \
	  CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
	  cargo install --force --no-default-features wasm-bindgen-cli@$(WASM_BINDGEN) --bin wasm-bindgen-test-runner

# $(call apt,packages): by Debian's and Ubuntu's package manager, as root or with sudo.
apt = sudo=$$([ $$(id -u) = 0 ] || echo "sudo -n"); $$sudo apt-get update -qq && $$sudo apt-get install -y -qq $(1) >/dev/null

browser:
	[ -n "$(CHROMIUM)" ] && [ -n "$(CHROMEDRIVER)" ] || { $(call apt,chromium chromium-driver); } || { echo "The browser tests \
	need Chromium and ChromeDriver of one version: install them, or set CHROMIUM and CHROMEDRIVER to their paths." >&2; exit 1; }

$(NODE_MODULES): www/package-lock.json
	cd www && npm ci --no-progress
	touch $@

# OpenAI's packages, for tests.
$(CLIENTS): www/test/clients/package-lock.json
	npm ci --silent --prefix www/test/clients
	touch $@

# From PyPI: the reference of the tokenizer tests, a reader for the files of the converter, and OpenAI's client.
$(VENV)/ready: Makefile
	python3 -m venv $(VENV) || { $(call apt,python3-venv) && python3 -m venv $(VENV); }
	$(VENV)/bin/pip install --quiet --disable-pip-version-check tokenizers==0.22.2 gguf==0.19.0 openai==3.57.0
	touch $@
