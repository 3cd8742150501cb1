# restpg-edge: `make demo` shows it, `make test` checks it.

.DEFAULT_GOAL := help
.PHONY: help demo demo-train test build bench tools clean

BINARY := target/release/restpg-edge
REQUEST := a note to the volunteers: the shed door is mended, please keep it shut, and the next work day is Saturday the 8th

help: ## Show the commands
	@grep -hE '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## /  make \1	/' | expand -t 24

# A home of its own: the sample writings must not end up in anybody's real profile.
demo: export RESTPG_HOME := $(CURDIR)/target/demo
demo: build ## Pull the default model, take the sample writings in, write in their voice
	@$(BINARY) model pull smollm2-135m-instruct
	@$(BINARY) model pull all-minilm-l6-v2
	@$(BINARY) ingest --user me docs/sample-writer
	@echo
	@echo 'restpg-edge generate --user me --task email "$(REQUEST)"'
	@echo
	@$(BINARY) generate --user me --task email --show-reasoning "$(REQUEST)"

# Goes on from there.
demo-train: export RESTPG_HOME := $(CURDIR)/target/demo
demo-train: demo ## Train on the sample writings, prove it, and write again; a quarter of an hour
	@echo
	@echo 'restpg-edge --config configs/demo.toml train --user me --resume'
	@echo
	@$(BINARY) --config configs/demo.toml train --user me --resume
	@$(BINARY) --config configs/demo.toml eval --user me --report target/demo/report.html
	@echo
	@$(BINARY) generate --user me --task email --show-reasoning "$(REQUEST)"

test: ## Check everything: format, lints, docs, tests on tiny and real models
	@.ci/tools test
	cargo fmt --check
	cargo clippy --release --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --release --no-deps --locked
	cargo test --release --locked

build: tools ## Build target/release/restpg-edge
	@cargo build --release --locked

bench: tools ## Every benchmark, with what each is compared with; three hours
	cargo bench --locked --bench decode
	cargo bench --locked --bench startup
	cargo bench --locked --bench prefix
	cargo bench --locked --bench sampling
	cargo bench --locked --bench judging
	cargo bench --locked --bench speculation
	cargo bench --locked --bench memory
	cargo bench --locked --bench ingest
	cargo bench --locked --bench retrieval
	cargo bench --locked --bench training
	cargo bench --locked --bench selftrain

tools: ## Install what the build needs and this machine lacks
	@.ci/tools

clean: ## Remove what was built
	@cargo clean
