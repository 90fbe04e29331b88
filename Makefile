# Every task of the project. `make help` lists them.
# Needs a Rust toolchain, git and make; what else a target needs, it installs itself.

CARGO ?= cargo
PORT ?= 8080
ONCE ?=
CONFIG ?=
FUZZ_SECONDS ?= 60
CARGO_FUZZ_VERSION := 0.13.1

TOOLS := target/tools

.DEFAULT_GOAL := help

.PHONY: help
help: ## Lists every target
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  %-12s %s\n", $$1, $$2}'

.PHONY: build
build: ## Builds the command `amend` (debug)
	$(CARGO) build --locked -p amend-cli

.PHONY: run
run: build ## Starts the service with sample events and shows the decisions (PORT=8080, ONCE=1 to end then)
	./target/debug/amend demo --serve --port $(PORT) $(if $(ONCE),--once)

.PHONY: tools
tools: $(TOOLS)/aws/done $(TOOLS)/models/done $(TOOLS)/postgres/done $(TOOLS)/trackers/done $(TOOLS)/lambda/done ## Installs what the tests need beside Rust: moto, the clouds' own SDKs for Python, PostgreSQL, judges of what trackers are sent, an emulator of Lambda

$(TOOLS)/aws/done: tests/clouds/requirements.txt
	python3 -m venv $(TOOLS)/aws
	$(TOOLS)/aws/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@

$(TOOLS)/models/done: shared/models/extract/requirements.txt
	python3 -m venv $(TOOLS)/models
	$(TOOLS)/models/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@

$(TOOLS)/postgres/done: tests/clouds/postgres.txt
	python3 -m venv $(TOOLS)/postgres
	$(TOOLS)/postgres/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@

$(TOOLS)/trackers/done: tests/trackers/requirements.txt
	python3 -m venv $(TOOLS)/trackers
	$(TOOLS)/trackers/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@

$(TOOLS)/lambda/done: functions/aws/tests/requirements.txt
	python3 -m venv $(TOOLS)/lambda
	$(TOOLS)/lambda/bin/pip install --quiet --disable-pip-version-check --no-deps -r $<
	touch $@

.PHONY: models
models: $(TOOLS)/models/done ## Extracts the API descriptions of the calls that fixes name
	$(TOOLS)/models/bin/python shared/models/extract/extract.py

# What is tested on every kind of store. (`store` itself runs on all of them at once.)
ON_A_STORE := announced:: approvals:: bulk:: callers:: channels:: dates:: exempted:: faults:: fixer:: governance:: guards:: isolation:: live_import:: lookup:: sealed:: notices:: story:: sync:: sync_findings:: tickets:: trail:: work::

.PHONY: test
test: tools ## Runs every test; what works on a store, on SQLite and on PostgreSQL
	$(CARGO) test --locked --workspace
	AMEND_STORE=postgres $(CARGO) test --locked --workspace --test it -- $(ON_A_STORE)

.PHONY: test-long
test-long: tools ## Runs the same tests at full size: more random cases, larger data
	AMEND_TESTS=long $(CARGO) test --locked --workspace
	AMEND_TESTS=long AMEND_STORE=postgres $(CARGO) test --locked --workspace --test it -- $(ON_A_STORE)
	if command -v pgbouncer /usr/sbin/pgbouncer >/dev/null; then AMEND_STORE=pooled $(CARGO) test --locked --workspace --test it -- $(ON_A_STORE); fi

.PHONY: check
check: ## Formatting, lints, generated files: what CI looks at beside the tests
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	$(CARGO) doc --locked --workspace --no-deps --quiet
	$(MAKE) models-check

.PHONY: models-check
models-check: $(TOOLS)/models/done ## Whether the API descriptions are those that the fixes need, as published
	$(TOOLS)/models/bin/python shared/models/extract/extract.py --check

.PHONY: generate
generate: build ## Writes the generated files anew: JSON Schemas, OpenAPI, reference pages
	$(CARGO) run --locked -q -p amend-tests --bin generate

.PHONY: new-fix
new-fix: build ## Writes the frame of a new fix (ID=aws.sns.encryption)
	@test -n "$(ID)" || { echo "say which: make new-fix ID=aws.sns.encryption"; exit 1; }
	@file=shared/catalog/fixes/$$(echo $(ID) | sed 's/\./\//; s/\./-/g').yaml; \
		test ! -e $$file || { echo "$$file is there already"; exit 1; }; \
		./target/debug/amend catalog new $(ID) > $$file.new && mv $$file.new $$file && echo "$$file: fill it in, then \`amend catalog test $$file\`" || { rm -f $$file.new; exit 1; }

.PHONY: bench
bench: $(TOOLS)/postgres/done ## Measures the decision path and the stores: ratios, side by side in one run (release build)
	$(CARGO) bench --locked -p amend-bench

$(TOOLS)/package/done: functions/package.txt
	python3 -m venv $(TOOLS)/package
	$(TOOLS)/package/bin/pip install --quiet --disable-pip-version-check -r $<
	touch $@

PACKAGED := x86_64-unknown-linux-musl aarch64-unknown-linux-musl

.PHONY: package
package: $(TOOLS)/package/done ## Builds what is deployed, into dist/: static programs for x86_64 and arm64 (CONFIG=folder with amend.yaml)
	rustup target add $(PACKAGED)
	@for target in $(PACKAGED); do \
		PATH="$(CURDIR)/$(TOOLS)/package/bin:$$PATH" $(CARGO) zigbuild --locked --release -p amend-azure -p amend-aws -p amend-gcp --target $$target || exit 1; \
		python3 functions/package.py $$target "$(CONFIG)" || exit 1; \
	done

.PHONY: fuzz
fuzz: ## Fuzzes every parser of foreign text for FUZZ_SECONDS=60 each
	@$(CARGO) fuzz --version 2>/dev/null | grep -q '$(CARGO_FUZZ_VERSION)' || $(CARGO) install --locked cargo-fuzz --version $(CARGO_FUZZ_VERSION)
	@for target in events rules governance expression fixes formula; do \
		echo "== $$target"; \
		mkdir -p tests/fuzz/target/found/$$target; \
		( cd tests && RUSTC_BOOTSTRAP=1 $(CARGO) fuzz run --fuzz-dir fuzz $$target fuzz/target/found/$$target fuzz/corpus/$$target -- -max_total_time=$(FUZZ_SECONDS) -rss_limit_mb=4096 -timeout=10 -print_final_stats=1 ) || exit 1; \
	done

.PHONY: clean
clean: ## Removes what was built, and the demo's store
	$(CARGO) clean
	rm -rf .amend
