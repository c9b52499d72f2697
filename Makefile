# webtern, from a machine with Rust (by rustup), Node 20 and make.
#
#   make demo    builds everything and serves the demo page
#   make test    runs every check and test, natively and in headless Chromium
#   make bench   times forward passes and kernels natively, then webtern beside wllama in headless Chromium
#                (MODEL=file.gguf to choose the model, BENCH="--rounds 2 --busy" for options of the second half)
#   make eval    asks the embedded model its held-out questions in every decode mode, and writes models/tiny/modes.{json,svg}
#   make convert-memory   converts a checkpoint of 2 GB and shows how much memory that takes (Linux)
#
# What a step installs goes to cargo's and npm's usual places and to target/.

WASM_BINDGEN := 0.2.130
WASM_PACK := 0.15.1
# Builds the standard library for threads in a browser: see wasm-pack.toml.
NIGHTLY := $(shell sed -n 's/^toolchain = "\(nightly-.*\)"/\1/p' wasm-pack.toml | head -1)
PORT ?= 4173
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.PHONY: demo build test test-rust test-wasm test-www test-e2e lint bench eval convert-memory tools test-tools

TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
NODE_MODULES := www/node_modules/.package-lock.json
VENV := $(TARGET_DIR)/venv
FIXTURES := $(or $(WEBTERN_FIXTURES),../shared/fixtures)
SMOLLM2 := $(FIXTURES)/smollm2-135m-dlm-subln
BENCH_MODELS := $(or $(MODEL),$(patsubst %,$(TARGET_DIR)/models/smollm2-135m-%.gguf,q2_0 q4_0 q8_0))
BENCH ?=
CHROMIUM ?= $(shell command -v chromium || command -v chromium-browser || command -v google-chrome)
CHROMEDRIVER ?= $(shell command -v chromedriver)
export CHROMIUM CHROMEDRIVER

demo: build
	cd www && npx vite build demo --logLevel warn
	node www/scripts/serve.mjs --port $(PORT) www/demo/dist

build: tools $(NODE_MODULES)
	cd www && npm run --silent build

# --- tests

test: lint test-rust test-wasm test-www test-e2e

lint: $(NODE_MODULES)
	cargo fmt --check
	cargo clippy --quiet --all-targets -- -D warnings
	RUSTFLAGS="-C target-feature=+simd128,+relaxed-simd" \
	  cargo clippy --quiet --lib --no-default-features --features engine,converter,bench --target wasm32-unknown-unknown -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --quiet --no-deps --lib
	cd www && npm run --silent check

test-rust: $(VENV)/ready
	mkdir -p $(TARGET_DIR)/tokenizer-cases
	if [ -d $(SMOLLM2) ]; then for case in smollm2:smollm2-135m-dlm-subln tiny-dlm:tiny-dlm/checkpoint; do \
	  $(VENV)/bin/python tests/reference/tokenizer_cases.py $(FIXTURES)/$${case#*:}/tokenizer.json \
	    $(TARGET_DIR)/tokenizer-cases/$${case%%:*}.jsonl --count 10000; done; fi
	WEBTERN_TOKENIZER_CASES=$(abspath $(TARGET_DIR))/tokenizer-cases cargo test
	$(VENV)/bin/python tests/reference/gguf_reads.py $(TARGET_DIR)/debug/webtern

# The same unit tests, in the browser, with every backend; those that need files of their own run natively only. The golden models leave their logits
# in target/tmp natively, and the browser is compared with them.
test-wasm: test-tools
	cargo test --quiet --test it model_golden
	RUSTFLAGS="-C target-feature=+simd128,+relaxed-simd" WASM_BINDGEN_USE_BROWSER=1 \
	  wasm-pack test --headless --chrome --mode no-install . --no-default-features \
	  --features engine,converter --lib --test it

test-www: $(NODE_MODULES) build
	cd www && npx vitest run

test-e2e: test-tools build $(VENV)/ready
	cargo build --quiet
	cd www && npx vite build demo --logLevel warn && WEBTERN_PYTHON=$(abspath $(VENV))/bin/python npm run --silent test:e2e

bench: build $(BENCH_MODELS)
	cd www && npm run --silent build -- --bench
	[ -n "$(CHROMIUM)" ] || { echo "The benchmark needs Chromium: apt-get install chromium, or set CHROMIUM." >&2; exit 1; }
	for model in $(BENCH_MODELS); do echo "== $$model"; cargo run --quiet --release -- bench $$model; done
	cd www && npm run --silent bench -- $(foreach model,$(BENCH_MODELS),--models $(abspath $(model))) \
	  --out $(abspath $(TARGET_DIR))/bench $(BENCH)

eval:
	cargo run --quiet --release -- eval tiny models/tiny/eval.jsonl --threads 1 \
	  --report models/tiny/modes.json --svg models/tiny/modes.svg

# Models of SmolLM2-135M's shape with random weights, the usual load of the benchmarks.
$(TARGET_DIR)/models/smollm2-135m-%.gguf: $(wildcard examples/random_model/*.rs)
	mkdir -p $(@D)
	cargo run --quiet --release --example random_model -- --tokenizer $(SMOLLM2) --type $* --mask-token-id 4 -o $@

convert-memory:
	WEBTERN_CHECKPOINT_MB=2048 cargo test --quiet --test it convert_memory -- --nocapture

# --- what the steps need

tools:
	rustup target add wasm32-unknown-unknown
	rustup toolchain list | grep -qF $(NIGHTLY) || rustup toolchain install $(NIGHTLY) --profile minimal -c rust-src -t wasm32-unknown-unknown
	wasm-bindgen --version 2>/dev/null | grep -qF $(WASM_BINDGEN) || cargo install wasm-bindgen-cli@$(WASM_BINDGEN)

test-tools: tools
	wasm-pack --version 2>/dev/null | grep -qF $(WASM_PACK) || cargo install wasm-pack@$(WASM_PACK)
	[ -n "$(CHROMIUM)" ] && [ -n "$(CHROMEDRIVER)" ] || { echo "The browser tests need Chromium and ChromeDriver: \
	apt-get install chromium chromium-driver, or set CHROMIUM and CHROMEDRIVER." >&2; exit 1; }

$(NODE_MODULES): www/package-lock.json
	cd www && npm ci --no-progress
	touch $@

# From PyPI: the reference of the tokenizer tests, and a reader for the files of the converter.
$(VENV)/ready: Makefile
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check tokenizers==0.22.2 gguf==0.19.0
	touch $@
