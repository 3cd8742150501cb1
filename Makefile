# restpg-edge: `make demo` shows it, `make test` checks it.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.ONESHELL:
.PHONY: help demo test build tools test-tools bench clean

BINARY := target/release/restpg-edge
MODEL := smollm2-135m-instruct
REQUEST := a note to the volunteers: the shed door is mended, please keep it shut, and the next work day is Saturday the 8th

help: ## Show the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 16

# A home of its own: the sample writings must not end up in anybody's real profile.
demo: export RESTPG_HOME := $(CURDIR)/target/demo
demo: build ## Pull the default model, take the sample writings in, write in their voice
	@$(BINARY) model pull $(MODEL)
	$(BINARY) ingest --user me docs/sample-writer
	echo
	echo 'restpg-edge generate --user me --task email "$(REQUEST)"'
	echo
	$(BINARY) generate --user me --task email --show-reasoning "$(REQUEST)"

test: tools test-tools ## Check everything: format, lints, docs, tests on tiny and real models
	@cargo fmt --check
	cargo clippy --release --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --release --no-deps --locked
	cargo test --release --locked

build: tools ## Build target/release/restpg-edge
	@cargo build --release --locked

bench: tools ## Compare decoding with a bare llama.cpp loop (medians, ratio)
	@cargo bench --locked --bench decode

tools: ## Install what the build needs and this machine lacks
	@command -v cargo >/dev/null || { echo "cargo is missing: install Rust with rustup first, see the README"; exit 1; }
	missing=()
	command -v cmake >/dev/null || missing+=(cmake)
	command -v c++ >/dev/null || missing+=(c++)
	perl -MIPC::Cmd -MFindBin -MTime::Piece -e1 2>/dev/null || missing+=(perl)
	python3 -m pip --version >/dev/null 2>&1 || missing+=(pip)
	[ -n "$${LIBCLANG_PATH:-}" ] || find -L /usr/lib /usr/lib64 /usr/local/lib /usr/local/opt/llvm /opt/homebrew/opt/llvm \
	    /Library/Developer /Applications/Xcode.app -maxdepth 7 \
	    \( -name 'libclang.so*' -o -name 'libclang-[0-9]*.so*' -o -name 'libclang.dylib' \) -print -quit 2>/dev/null \
	    | grep -q . || missing+=(libclang)
	[ "$${#missing[@]}" -eq 0 ] || $(MAKE) --no-print-directory -s install-packages MISSING="$${missing[*]}" \
	    APT="cmake g++ perl python3-pip libclang-dev" DNF="cmake gcc-c++ perl python3-pip clang-devel" \
	    PACMAN="cmake gcc perl python-pip clang" BREW="cmake llvm perl python"

test-tools: # The offline test watches system calls.
	@command -v strace >/dev/null || [ "$$(uname)" != Linux ] || $(MAKE) --no-print-directory -s install-packages \
	    MISSING=strace APT=strace DNF=strace PACMAN=strace BREW=

.PHONY: install-packages
install-packages: # Installs $(APT) where apt and the rights are there, else prints what to run.
	@echo "missing: $(MISSING)"
	sudo=
	[ "$$(id -u)" -eq 0 ] || sudo="sudo -n"
	if command -v apt-get >/dev/null && { [ -z "$$sudo" ] || $$sudo true 2>/dev/null; }; then
	    $$sudo apt-get update -qq
	    exec $$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(APT)
	fi
	echo "Install them with the one of these that fits, then run make again:"
	echo "  sudo apt-get install $(APT)"
	echo "  sudo dnf install $(DNF)"
	echo "  sudo pacman -S --needed $(PACMAN)"
	[ -z "$(BREW)" ] || echo "  brew install $(BREW)"
	exit 1

clean: ## Remove what was built
	@cargo clean
